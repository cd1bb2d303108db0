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

    /// Where its output and its errors go.
    private let answers: URL
    private let errors: URL

    /// Starts `executable`; its output and its errors go to files of their own.
    ///
    /// - Throws: when it cannot be started.
    package init(_ executable: URL, _ arguments: [String], environment: [String: String] = [:]) throws {
        let name = "penstock-\(executable.lastPathComponent)-\(UUID().uuidString)"
        let folder = FileManager.default.temporaryDirectory
        self.answers = folder.appendingPathComponent("\(name).out")
        self.errors = folder.appendingPathComponent("\(name).log")
        self.process = Process()
        self.process.executableURL = executable
        self.process.arguments = arguments
        self.process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        self.process.standardOutput = try Self.create(self.answers)
        self.process.standardError = try Self.create(self.errors)
        self.process.standardInput = FileHandle.nullDevice
        try self.process.run()
    }

    deinit {
        self.kill()
        for file in [self.answers, self.errors] { try? FileManager.default.removeItem(at: file) }
    }

    private static func create(_ file: URL) throws -> FileHandle {
        _ = FileManager.default.createFile(atPath: file.path, contents: nil)
        return try FileHandle(forWritingTo: file)
    }

    /// Runs a program to its end, and returns what it wrote to its standard output.
    ///
    /// Blocks the thread, for 90 s at most.
    ///
    /// - Throws: ``Failure`` with all that it wrote, when it takes longer or its exit status is not 0.
    package static func answer(
        of executable: URL,
        _ arguments: [String],
        environment: [String: String] = [:]
    ) throws -> String {
        let process = try Self(executable, arguments, environment: environment)
        switch process.status(within: .seconds(90)) {
        case 0: return process.read(process.answers)
        case let status:
            let end = status.map { "ended with status \($0)" } ?? "did not end"
            throw Failure("\(executable.lastPathComponent) \(end): \(process.output)")
        }
    }

    /// The process id.
    package var id: Int32 { self.process.processIdentifier }

    /// Whether it runs.
    package var isRunning: Bool { self.process.isRunning }

    /// What it has written so far: its output, and then its errors.
    package var output: String { self.read(self.answers) + self.read(self.errors) }

    private func read(_ file: URL) -> String { (try? String(contentsOf: file, encoding: .utf8)) ?? "" }

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

    /// A program that did not do what it was to do, and what it said.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String

        package init(_ description: String) { self.description = description }
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
