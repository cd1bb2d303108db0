// SPDX-License-Identifier: Apache-2.0

package import Foundation
import Glibc

/// The built program, run from a folder of its own: configuration, store, ready file.
///
/// Ended with the last reference.
package final class PenstockProcess: Sendable {
    private let process: ForeignProcess

    /// Why it did not do what was asked.
    package struct Failure: Error, CustomStringConvertible {
        /// What was asked, and what it wrote last.
        package let description: String

        /// A failure in these words.
        package init(_ description: String) {
            self.description = description
        }
    }

    /// Which librdkafka it finds.
    package enum KafkaLibrary: Sendable {
        /// The one that `make setup` installs beside the tests.
        case newest
        /// The system's own.
        case system
    }

    /// Starts `penstock run` in `folder` with `configuration` and variables besides the test's own, and waits until it says that it is ready.
    ///
    /// - Throws: ``Failure`` when the program was not built, ends, or is not ready in 90 s.
    package init(
        in folder: URL,
        configuration: String,
        arguments: [String] = [],
        environment: [String: String] = [:],
        library: KafkaLibrary = .newest
    ) throws {
        let file = folder.appendingPathComponent("connectors.yaml")
        let ready = folder.appendingPathComponent("ready")
        try? FileManager.default.removeItem(at: ready)
        try configuration.write(to: file, atomically: true, encoding: .utf8)
        let libraries = TestEnvironment.libraries
        self.process = try ForeignProcess(
            try Self.executable(),
            ["run", "--config", file.path, "--ready-file", ready.path] + arguments,
            environment: environment.merging(["LD_LIBRARY_PATH": library == .newest ? libraries : ""]) { $1 }
        )
        let isReady = BoundedWait.until(within: .seconds(90)) {
            FileManager.default.fileExists(atPath: ready.path) || !self.process.isRunning
        }
        guard isReady, self.process.isRunning else { throw self.failure("did not get ready") }
    }

    /// The process id.
    package var id: Int32 { self.process.id }

    /// What it has written to its log.
    package var log: String { self.process.output }

    /// The end of what it has written to its log.
    package var logTail: String { String(self.process.output.suffix(4000)) }

    /// Ends it by SIGKILL, at once.
    package func kill() { self.process.kill() }

    /// Ends it by SIGTERM, and waits until it has drained.
    ///
    /// - Throws: ``Failure`` when that takes longer than 90 s or its exit status is not 0.
    package func terminate() throws {
        self.drain()
        try self.waitForEnd()
    }

    /// Lets it drain by SIGTERM.
    package func drain() { _ = Glibc.kill(self.process.id, SIGTERM) }

    /// Waits until it has ended.
    ///
    /// - Throws: ``Failure`` when that takes longer than 90 s or its exit status is not 0.
    package func waitForEnd() throws {
        guard let status = self.process.status(within: .seconds(90)) else {
            throw self.failure("did not end")
        }
        guard status == 0 else { throw self.failure("ended with status \(status)") }
    }

    /// The processes it has started and that still live: its functions.
    package var children: [Int32] {
        let tasks = URL(fileURLWithPath: "/proc/\(self.id)/task")
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks.path)) ?? []
        return threads.flatMap { thread -> [Int32] in
            let file = tasks.appendingPathComponent("\(thread)/children")
            let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
            return text.split(separator: " ").compactMap { Int32($0) }
        }
    }

    private func failure(_ what: String) -> Failure {
        Failure("penstock \(what); its log ends:\n\(self.logTail)")
    }

    /// The program beside the tests that run.
    ///
    /// - Throws: ``Failure`` when it was not built.
    package static func executable() throws -> URL {
        let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        let folders = [tests.deletingLastPathComponent(), URL(fileURLWithPath: ".build/debug")]
        for folder in folders {
            let file = folder.appendingPathComponent("penstock")
            if FileManager.default.isExecutableFile(atPath: file.path) { return file }
        }
        throw Failure("penstock is not built: \(folders.map(\.path))")
    }
}
