// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import KafkaConnector

/// Topics of a real broker, read as a member of a group.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct KafkaSourceConformanceTests {
    @Test("The Kafka source keeps the contract", arguments: SourceConformance.checks)
    func conforms(check: SourceConformance.Check) async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("t", partitions: 2)
        let messages = (0..<2 * check.records).map {
            RDKafkaOutgoing.fixture("t", Int32($0 % 2), "\(10_000 + $0)")
        }
        try TestProducer.produce(messages, to: broker.address)
        let reactor = try Reactor()
        defer { reactor.stop() }
        let makeSource = { @Sendable in
            KafkaSource(.fixture(broker.address, ["t"]), logger: Logger(label: "kafka-tests"))
        }
        var upstream = SourceConformance.Upstream(loop: reactor, partitions: ["t-0", "t-1"]) { makeSource() }
        upstream.takeBack = {
            let other = makeSource()
            try await other.start(checkpoints: [:])
            return { await other.stop() }
        }
        try await check.run(upstream)
    }
}
