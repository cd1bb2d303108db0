// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

@Suite(.timeLimit(.minutes(2)))
struct KafkaSourceTests {
    @Test("Records arrive byte for byte: headers, null headers, tombstones, null and empty keys")
    func recordsAreExact() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("exact")
        let all = [UInt8](0...255)
        try TestProducer.produce(
            [
                RDKafkaOutgoing(
                    topic: "exact",
                    partition: 0,
                    key: all,
                    value: all.reversed(),
                    headers: [(name: "a", value: [1, 255]), (name: "a", value: nil), (name: "ü", value: [])],
                    timestamp: 1_700_000_000_123
                ),
                RDKafkaOutgoing(topic: "exact", partition: 0, key: nil, value: Array("plain".utf8)),
                RDKafkaOutgoing(topic: "exact", partition: 0, key: Array("gone".utf8), value: nil),
                RDKafkaOutgoing(topic: "exact", partition: 0, key: [], value: []),
            ],
            to: broker.address
        )
        let probe = try await KafkaSourceProbe.start(.fixture(broker.address, ["exact"]))
        try await probe.receive(until: "four records") { $0.records.count >= 4 }
        await probe.stop()
        try #require(probe.records.count == 4)
        #expect(
            probe.records[0]
                == .init(
                    partition: "exact-0",
                    offset: 0,
                    key: all,
                    value: all.reversed(),
                    headers: [
                        .init(name: "a", value: [1, 255]), .init(name: "a", value: nil), .init(name: "ü", value: []),
                    ],
                    timestamp: 1_700_000_000_123,
                    tag: 1
                )
        )
        #expect(probe.records[1].key == nil)
        #expect(probe.records[1].value == Array("plain".utf8))
        #expect(probe.records[1].headers == [])
        #expect(probe.records[2].key == Array("gone".utf8))
        #expect(probe.records[2].value == nil)
        #expect(probe.records[3].key == [])
        #expect(probe.records[3].value == [])
        #expect(probe.records.map(\.offset) == [0, 1, 2, 3])
        #expect(probe.statuses == [.connected])
    }
}
