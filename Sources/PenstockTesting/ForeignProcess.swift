// SPDX-License-Identifier: Apache-2.0

package import Foundation
import Glibc
import Reactor
import Synchronization

/// A program that a test runs beside itself: a broker, a client written by others.
///
/// Ended by its process id, at the latest when the last reference goes. Not Foundation's `Process`, which notices an end
/// by a socket that programs started at the same moment inherit: as long as one of them lives, the end goes unseen.
package final class ForeignProcess: Sendable {
    /// The process id.
    package let id: Int32

    /// How it ended: its exit status, or 128 and the signal; nil while it runs.
    private let ending = Mutex<Int32?>(nil)

    /// Where its output and its errors go.
    private let answers: URL
    private let errors: URL

    /// Starts `executable` in `directory`, or where the test runs; its output and its errors go to files of their own.
    ///
    /// - Throws: when it cannot be started.
    package init(
        _ executable: URL,
        _ arguments: [String],
        environment: [String: String] = [:],
        in directory: URL? = nil
    ) throws {
        let name = "penstock-\(executable.lastPathComponent)-\(UUID().uuidString)"
        let folder = FileManager.default.temporaryDirectory
        self.answers = folder.appendingPathComponent("\(name).out")
        self.errors = folder.appendingPathComponent("\(name).log")
        let output = try Self.create(self.answers)
        let errors = try Self.create(self.errors)
        let path = executable.path(percentEncoded: false)
        do {
            self.id = try ChildProcess.spawn(
                [path] + arguments,
                environment: ProcessInfo.processInfo.environment.merging(environment) { $1 }
                    .map { "\($0.key)=\($0.value)" },
                directory: directory?.path(percentEncoded: false) ?? FileManager.default.currentDirectoryPath,
                output: output.fileDescriptor,
                error: errors.fileDescriptor
            )
        } catch {
            throw Failure("cannot start \(path): error \(error.code)")
        }
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
        case 0: return process.standardOutput
        case let status:
            let end = status.map { "ended with status \($0)" } ?? "did not end"
            throw Failure("\(executable.lastPathComponent) \(end): \(process.output)")
        }
    }

    /// Whether it runs.
    package var isRunning: Bool { self.end(waiting: false) == nil }

    /// What it has written so far: its output, and then its errors.
    package var output: String { self.standardOutput + self.standardError }

    /// What it has written to its standard output so far.
    package var standardOutput: String { Self.read(self.answers) }

    /// What it has written to its standard error so far.
    package var standardError: String { Self.read(self.errors) }

    private static func read(_ file: URL) -> String {
        (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    }

    /// Ends it at once, without letting it say goodbye.
    package func kill() {
        guard self.isRunning else { return }
        _ = Glibc.kill(self.id, SIGKILL)
        _ = self.end(waiting: true)
    }

    /// Waits until it has ended, and returns its exit status, or 128 and the signal that ended it; nil when that takes
    /// longer.
    package func status(within timeout: Duration) -> Int32? {
        _ = BoundedWait.until(within: timeout) { !self.isRunning }
        return self.end(waiting: false)
    }

    /// How it ended; collects it when it has, so that its id is used no more.
    private func end(waiting: Bool) -> Int32? {
        self.ending.withLock { ending in
            if let ending { return ending }
            var status: Int32 = 0
            guard unsafe waitpid(self.id, &status, waiting ? 0 : WNOHANG) == self.id else { return nil }
            let signal = status & 0x7F
            ending = signal == 0 ? (status >> 8) & 0xFF : 128 + signal
            return ending
        }
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
    package static func until(within timeout: Duration, _ condition: () throws -> Bool) rethrows -> Bool {
        let deadline = ContinuousClock.now + timeout
        while try !condition() {
            guard ContinuousClock.now < deadline else { return try condition() }
            usleep(5000)
        }
        return true
    }
}

/// A TCP port on the loopback interface that nobody listens on now, and that no other call of this process is given soon.
///
/// Below those that the system gives to outgoing connections (32768 and up): such a connection may take the port before its server
/// does, and one that is made to it before it listens may even connect to itself.
package enum FreePort {
    private static let ports = UInt16(16_384)..<32_768
    private static let next = Mutex(UInt16.random(in: Self.ports))

    /// The next one; 0 when there is none.
    package static func pick() -> UInt16 {
        for _ in Self.ports {
            let port = Self.next.withLock { next in
                defer { next = next + 1 < Self.ports.upperBound ? next + 1 : Self.ports.lowerBound }
                return next
            }
            guard let socket = TestSocket.listen(port: port) else { continue }
            socket.close()
            return port
        }
        return 0
    }
}
