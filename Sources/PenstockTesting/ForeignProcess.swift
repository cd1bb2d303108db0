// SPDX-License-Identifier: Apache-2.0

import CReactor
package import Foundation
import Glibc

/// A program that a test runs beside itself: a broker, a client written by others.
///
/// Ended by its process id, at the latest when the last reference goes.
package final class ForeignProcess: @unchecked Sendable {
    // @unchecked: `Process` is only asked for its state and told to end, which it does under its own lock.
    private let process: Process

    /// Where its output goes.
    package let log: URL

    /// Starts `executable`; its output goes to a file of its own.
    ///
    /// - Throws: when it cannot be started.
    package init(_ executable: URL, _ arguments: [String], environment: [String: String] = [:]) throws {
        let name = "penstock-\(executable.lastPathComponent)-\(UUID().uuidString).log"
        self.log = FileManager.default.temporaryDirectory.appendingPathComponent(name)
        _ = FileManager.default.createFile(atPath: self.log.path, contents: nil)
        self.process = Process()
        self.process.executableURL = executable
        self.process.arguments = arguments
        self.process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = try FileHandle(forWritingTo: self.log)
        self.process.standardOutput = output
        self.process.standardError = output
        self.process.standardInput = FileHandle.nullDevice
        try self.process.run()
    }

    deinit {
        self.kill()
        try? FileManager.default.removeItem(at: self.log)
    }

    /// The process id.
    package var id: Int32 { self.process.processIdentifier }

    /// Whether it runs.
    package var isRunning: Bool { self.process.isRunning }

    /// What it has written so far.
    package var output: String { (try? String(contentsOf: self.log, encoding: .utf8)) ?? "" }

    /// Ends it at once, without letting it say goodbye.
    package func kill() {
        guard self.process.isRunning else { return }
        _ = Glibc.kill(self.process.processIdentifier, SIGKILL)
        self.process.waitUntilExit()
    }

    /// Waits until it has ended, and returns its exit status; nil when that takes longer.
    package func status(within timeout: Duration) -> Int32? {
        let ended = BoundedWait.until(within: timeout) { !self.process.isRunning }
        return ended ? self.process.terminationStatus : nil
    }
}

/// Waits for what a foreign process does, which sends no signal to us.
package enum BoundedWait {
    /// Asks `condition` every few milliseconds; false when it did not hold in time.
    ///
    /// Blocks the thread.
    package static func until(within timeout: Duration, _ condition: () -> Bool) -> Bool {
        let deadline = ContinuousClock.now + timeout
        while !condition() {
            guard ContinuousClock.now < deadline else { return condition() }
            usleep(5000)
        }
        return true
    }
}

/// A TCP port on the loopback interface that nobody listens on now.
package enum FreePort {
    /// Asks the system for one.
    package static func pick() -> UInt16 {
        guard let socket = TestSocket.listen(port: 0) else { return 0 }
        defer { socket.close() }
        return socket.port
    }
}
