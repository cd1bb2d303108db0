// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// Foreign processes, as tests see them.
enum Processes {
    /// Whether a process has ended; one that only waits to be collected by init has.
    static func isGone(_ pid: Int32) -> Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else {
            return true
        }
        return text.split(separator: ")").last?.trimmingCharacters(in: .whitespaces).hasPrefix("Z") ?? true
    }

    /// Waits at most 10 s for a foreign process to end.
    static func waitUntilGone(_ pid: Int32) async throws {
        let limit = ContinuousClock.now + .seconds(10)
        while !Self.isGone(pid) {
            guard ContinuousClock.now < limit else { throw Late() }
            await Task.yield()
        }
    }

    /// SIGKILL to one process that a test started.
    static func kill(_ pid: Int32) {
        Glibc.kill(pid, SIGKILL)
    }

    private struct Late: Error {}
}

/// A fifo that lets waiting readers go.
struct Fifo {
    let path: String

    private struct Refused: Error {}

    init() throws {
        self.path = NSTemporaryDirectory() + "penstock-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        guard unsafe mkfifo(self.path, 0o600) == 0 else { throw Refused() }
    }

    /// Opens it for writing and closes it again: who reads a line gets the end of the file.
    func open() throws {
        let descriptor = unsafe Glibc.open(self.path, O_WRONLY)
        guard descriptor >= 0 else { throw Refused() }
        close(descriptor)
    }

    func remove() {
        unsafe unlink(self.path)
    }
}
