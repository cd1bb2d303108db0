// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

@Suite(.ownThreads, .timeLimit(.minutes(2)))
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
                    headers: [
                        (name: "a", value: [1, 255]), (name: "a", value: nil), (name: "ü", value: []),
                    ],
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
                        .init(name: "a", value: [1, 255]), .init(name: "a", value: nil),
                        .init(name: "ü", value: []),
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

    @Test("Nothing is handed out beyond the budget, and order holds in each partition")
    func budget() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("many", partitions: 2)
        try TestProducer.produce(
            (0..<3000).map { .fixture("many", Int32($0 % 2), "\($0)") },
            to: broker.address
        )
        let probe = try await KafkaSourceProbe.start(.fixture(broker.address, ["many"]))
        probe.budget = ReceiveBudget(records: 100, bytes: 1 << 20)
        try await probe.receive(until: "all records") { $0.records.count >= 3000 }
        await probe.stop()
        #expect(probe.blocks >= 30)
        for partition in ["many-0", "many-1"] {
            let offsets = probe.records.filter { $0.partition == partition }.map(\.offset)
            #expect(offsets == Array(0..<1500))
        }
    }

    @Test("Headers count in the budget of bytes")
    func headersCount() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("headers")
        let messages = (0..<50).map { number in
            var message = RDKafkaOutgoing.fixture("headers", 0, "\(number)")
            message.headers = [("h", [UInt8](repeating: 1, count: 1000))]
            return message
        }
        try TestProducer.produce(messages, to: broker.address)
        let probe = try await KafkaSourceProbe.start(.fixture(broker.address, ["headers"]))
        probe.budget = ReceiveBudget(records: 1000, bytes: 5000)
        try await probe.receive(until: "all records") { $0.records.count >= 50 }
        await probe.stop()
        #expect(probe.blocks >= 10, "five records use up a budget")
    }

    @Test("A member begins behind what the group has committed")
    func resumes() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("resume")
        try TestProducer.produce((0..<10).map { .fixture("resume", 0, "\($0)") }, to: broker.address)
        let first = try await KafkaSourceProbe.start(.fixture(broker.address, ["resume"]))
        try await first.receive(until: "ten records") { $0.records.count == 10 }
        let partition = try #require(first.owned.values.first)
        let accepted = try await first.source.commit([
            PartitionPosition(partition: partition.id, name: partition.name, position: Position(6)),
            PartitionPosition(partition: PartitionID(999), name: "resume-0", position: Position(9)),
        ])
        #expect(accepted.map(\.partition) == [partition.id])
        await first.stop()
        let second = try await KafkaSourceProbe.start(.fixture(broker.address, ["resume"]))
        try await second.receive(until: "three records") { $0.records.count >= 3 }
        await second.stop()
        #expect(second.records.map(\.offset) == [7, 8, 9])
    }

    @Test(
        "Two members share partitions, and what is revoked drains first",
        arguments: KafkaAssignment.allCases
    )
    func handsOver(assignment: KafkaAssignment) async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("shared", partitions: 4)
        try TestProducer.produce(
            (0..<40).map { .fixture("shared", Int32($0 % 4), "\($0)") },
            to: broker.address
        )
        var configuration = KafkaSourceConfiguration.fixture(broker.address, ["shared"])
        configuration.assignment = assignment
        // On a crowded machine a shorter session ends, and with it the right to commit what was drained.
        configuration.sessionTimeout = .seconds(6)
        let first = try await KafkaSourceProbe.start(configuration)
        try await first.receive(until: "all records") { $0.records.count == 40 }
        let second = try await KafkaSourceProbe.start(configuration)
        try await first.receive(until: "two partitions left") {
            !$0.revocations.isEmpty && $0.owned.count == 2
        }
        try await second.receive(until: "two partitions") { $0.owned.count == 2 }
        try TestProducer.produce(
            (40..<80).map { .fixture("shared", Int32($0 % 4), "\($0)") },
            to: broker.address
        )
        try await first.receive(until: "its share") { $0.records.count >= 60 }
        try await second.receive(until: "its share") { $0.records.count >= 20 }
        await second.stop()
        await first.stop()
        #expect(first.lost.isEmpty)
        // What was settled on revocation was committed: nothing comes twice.
        let seen = (first.records + second.records).map { "\($0.partition)@\($0.offset)" }
        #expect(seen.count == 80)
        #expect(Set(seen).count == 80)
    }

    @Test("A missing topic is named until it exists, then its records come")
    func missingTopic() async throws {
        let broker = try TestKafkaBroker()
        let probe = try await KafkaSourceProbe.start(.fixture(broker.address, ["late"]))
        let text = "topic \"late\" does not exist on \(broker.address); create it or fix topics"
        try await probe.receive(until: "the missing topic") { $0.statuses.contains(.disconnected(text)) }
        try broker.createTopic("late")
        try TestProducer.produce([.fixture("late", 0, "x")], to: broker.address)
        try await probe.receive(until: "a record") { $0.records.count == 1 }
        await probe.stop()
        #expect(probe.statuses.last == .connected)
    }

    @Test("A connection that is cut and restored is told, and loses nothing")
    func reconnects() async throws {
        let port = FreePort.pick()
        let proxy = try TestProxy(to: port)
        defer { proxy.stop() }
        let broker = try TestKafkaBroker(port: port, advertisedPort: proxy.port)
        try broker.createTopic("cut")
        let address = "127.0.0.1:\(proxy.port)"
        try TestProducer.produce([.fixture("cut", 0, "0")], to: address)
        let probe = try await KafkaSourceProbe.start(.fixture(address, ["cut"]))
        try await probe.receive(until: "a record") { $0.records.count == 1 }
        proxy.cut()
        try await probe.receive(until: "the disconnection") {
            if case .disconnected = $0.statuses.last { true } else { false }
        }
        proxy.restore()
        try await probe.receive(until: "the connection") { $0.statuses.last == .connected }
        try TestProducer.produce([.fixture("cut", 0, "1")], to: address)
        try await probe.receive(until: "the next record") { $0.records.contains { $0.offset == 1 } }
        await probe.stop()
    }

    @Test("A property of ours, or one librdkafka does not know, is refused at the start by name")
    func refusesProperties() async throws {
        for name in ["enable.auto.commit", "no.such.property"] {
            var configuration = KafkaSourceConfiguration.fixture("127.0.0.1:1", ["t"])
            configuration.properties[name] = "true"
            let source = KafkaSourceProbe(configuration).source
            let error = await #expect(throws: SourceError.self) { try await source.start(checkpoints: [:]) }
            #expect(error?.code == .rejected)
            #expect(error?.detail.contains(name) == true)
        }
    }
}
