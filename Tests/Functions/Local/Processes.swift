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
///
/// It is open for writing all along: a reader that comes late waits for its byte, and not for a writer that has left.
struct Fifo {
    let path: String
    private let descriptor: Int32

    private struct Refused: Error {}

    init() throws {
        self.path = NSTemporaryDirectory() + "penstock-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        guard unsafe mkfifo(self.path, 0o600) == 0 else { throw Refused() }
        self.descriptor = unsafe Glibc.open(self.path, O_RDWR | O_CLOEXEC)
        guard self.descriptor >= 0 else { throw Refused() }
    }

    /// Lets so many readers go: each takes one byte.
    func open(for readers: Int = 1) throws {
        let bytes = [UInt8](repeating: 0, count: readers)
        guard unsafe write(self.descriptor, bytes, readers) == readers else { throw Refused() }
    }

    func remove() {
        close(self.descriptor)
        unsafe unlink(self.path)
    }
}
