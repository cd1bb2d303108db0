// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockConfiguration
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import PenstockCore
@testable import PostgresConnector

/// Slots of a real server.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(10)))
struct ChangesConformanceTests {
    @Test("The source of changes keeps the contract, with changes in one transaction and in many")
    func conforms() async throws {
        let server = try PostgresServer.replicating()
        for isOne in [true, false] {
            for (number, check) in SourceConformance.checks.enumerated() where !check.needsRebalance {
                let name = "s_\(isOne ? "one" : "many")_\(number)"
                try server.makeSlot(name)
                let range = 10_000..<(10_000 + check.records)
                let inserts = range.map { "INSERT INTO \(name) VALUES (\($0), 'v')" }
                try server.run(
                    isOne
                        ? "INSERT INTO \(name) SELECT n, 'v' FROM generate_series(10000, \(range.upperBound - 1)) n"
                        : "DO $$ BEGIN \(inserts.map { $0 + "; COMMIT;" }.joined()) END $$"
                )
                let reactor = try Reactor(name: "changes-test")
                defer { reactor.stop() }
                let yaml = "url: \"\(server.url())\"\nslot: \(name)\n"
                let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(
                    ChangesConfiguration.self
                )
                let plan = PostgresConnector.plan(try #require(read.value, "\(read.findings)"))
                let context = RuntimeContext(reactor: reactor, logger: Logger(label: "test"))
                let upstream = SourceConformance.Upstream(loop: reactor, partitions: [name]) {
                    try plan.make("t", context)
                }
                do {
                    try await check.run(upstream)
                } catch {
                    Issue.record("\(check), in \(isOne ? "one transaction" : "many"): \(error)")
                }
                try server.run(
                    """
                    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active
                    """
                )
                _ = BoundedWait.until(within: .seconds(20)) {
                    (try? server.run("SELECT pg_drop_replication_slot('\(name)')")) != nil
                }
            }
        }
    }
}
