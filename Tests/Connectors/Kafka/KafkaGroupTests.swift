// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

/// Membership of a group, against a real broker: what is held, given up, lost, and kept alive.
@Suite(.ownThreads, .timeLimit(.minutes(2)))
struct KafkaGroupTests {
    @Test("A held partition brings nothing, does not eat the others' budget, and goes on in order")
    func held() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("held", partitions: 2)
        try TestProducer.produce(
            (0..<4000).map { .fixture("held", Int32($0 % 2), "\($0)") },
            to: broker.address
        )
        let probe = try await KafkaSourceProbe.start(.fixture(broker.address, ["held"]))
        probe.budget = .none
        try await probe.receive(until: "both partitions") { $0.owned.count == 2 }
        let held = try probe.id(of: "held-0")
        probe.budget = ReceiveBudget(records: 50, bytes: 1 << 20, held: [held])
        try await probe.receive(until: "all of the other") { $0.offsets(of: "held-1").count == 2000 }
        #expect(probe.offsets(of: "held-0").isEmpty)
        probe.budget.held = []
        try await probe.receive(until: "some of it") { $0.offsets(of: "held-0").count >= 300 }
        probe.budget.held = [held]
        try TestProducer.produce((0..<200).map { .fixture("held", 1, "\($0)") }, to: broker.address)
        // What was handed out before the source knew may still come.
        try await probe.receive(until: "a new record") { $0.offsets(of: "held-1").count > 2000 }
        let before = probe.offsets(of: "held-0").count
        #expect(before < 2000)
        try await probe.receive(until: "the new records") { $0.offsets(of: "held-1").count == 2200 }
        #expect(probe.offsets(of: "held-0").count == before)
        probe.budget.held = []
        try await probe.receive(until: "the rest") { $0.records.count >= 4200 }
        await probe.stop()
        #expect(probe.offsets(of: "held-0") == Array(0..<2000))
        #expect(probe.offsets(of: "held-1") == Array(0..<2200))
    }

    @Test(
        "A partition that comes back begins at the commit, whatever was received of it before",
        arguments: [KafkaAssignment.range, .cooperativeSticky]
    )
    func comesBack(assignment: KafkaAssignment) async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("back", partitions: 2)
        try TestProducer.produce(
            (0..<200).map { .fixture("back", Int32($0 % 2), "\($0)") },
            to: broker.address
        )
        var configuration = KafkaSourceConfiguration.fixture(broker.address, ["back"])
        configuration.assignment = assignment
        let first = try await KafkaSourceProbe.start(configuration)
        // A small budget of bytes: most of what librdkafka handed over waits for the next one.
        first.budget = ReceiveBudget(records: 1000, bytes: 100)
        try await first.receive(until: "a few") { $0.records.count >= 5 }
        first.budget = .none
        // Only the first two of each are settled: the others are released, and must come again.
        first.settlesOnRevocation = 2
        let second = try await KafkaSourceProbe.start(configuration)
        second.budget = .none
        try await first.receive(until: "a partition gone") { !$0.revocations.isEmpty && $0.owned.count == 1 }
        try await second.receive(until: "a partition") { $0.owned.count == 1 }
        await second.stop()
        try await first.receive(until: "both partitions") { $0.owned.count == 2 }
        let came = first.records.count
        let expected = ["back-0", "back-1"].map { partition in
            let before = first.offsets(of: partition).count
            return Array(UInt64(first.revoked.contains(partition) ? min(2, before) : before)..<100)
        }
        first.budget = ReceiveBudget(records: 1000, bytes: 1 << 20)
        try await first.receive(until: "all that was not settled") { probe in
            probe.records.count - came >= expected.reduce(0) { $0 + $1.count }
        }
        await first.stop()
        if assignment == .range { #expect(first.revoked.count == 2) }
        for (partition, offsets) in zip(["back-0", "back-1"], expected) {
            #expect(first.records[came...].filter { $0.partition == partition }.map(\.offset) == offsets)
        }
    }

    @Test("A revocation that nobody answers ends at its deadline, and late results commit nothing")
    func lateResults() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("late", partitions: 2)
        try TestProducer.produce(
            (0..<20).map { .fixture("late", Int32($0 % 2), "\($0)") },
            to: broker.address
        )
        var configuration = KafkaSourceConfiguration.fixture(broker.address, ["late"])
        configuration.drainTimeout = .milliseconds(400)
        let first = try await KafkaSourceProbe.start(configuration)
        first.answersRevocations = false
        try await first.receive(until: "all records") { $0.records.count == 20 }
        let second = try await KafkaSourceProbe.start(configuration)
        try await first.receive(until: "the revocation") { !$0.revocations.isEmpty }
        let revocation = first.revocations[0]
        #expect(revocation.within == .milliseconds(400))
        let id = try #require(revocation.partitions.first)
        let partition = try #require(first.owned[id])
        try await second.receive(until: "the partition, from its begin") {
            $0.offsets(of: partition.name).count == 10
        }
        #expect(second.offsets(of: partition.name) == Array(0..<10))
        // The first one's function answers now.
        let late = PartitionPosition(partition: id, name: partition.name, position: Position(9))
        #expect(try await first.source.commit([late]).isEmpty)
        first.source.finishRevocation(revocation.id, positions: [late])
        let kept = try #require(first.owned.values.first { $0.id != id })
        let own = PartitionPosition(partition: kept.id, name: kept.name, position: Position(4))
        #expect(try await first.source.commit([late, own]) == [own])
        await first.stop()
        await second.stop()
        let third = try await KafkaSourceProbe.start(configuration)
        try await third.receive(until: "what is not committed") { $0.records.count >= 15 }
        await third.stop()
        #expect(third.offsets(of: partition.name) == Array(0..<10))
        #expect(third.offsets(of: kept.name) == Array(5..<10))
    }

    @Test(
        "A session that ends while the broker is away loses the partitions; they come back behind the commit"
    )
    func sessionEnds() async throws {
        let port = FreePort.pick()
        let proxy = try TestProxy(to: port)
        defer { proxy.stop() }
        let broker = try TestKafkaBroker(port: port, advertisedPort: proxy.port)
        try broker.createTopic("away")
        let address = "127.0.0.1:\(proxy.port)"
        try TestProducer.produce((0..<10).map { .fixture("away", 0, "\($0)") }, to: address)
        let probe = try await KafkaSourceProbe.start(.fixture(address, ["away"]))
        try await probe.receive(until: "ten records") { $0.records.count == 10 }
        let id = try probe.id(of: "away-0")
        _ = try await probe.source.commit([
            PartitionPosition(partition: id, name: "away-0", position: Position(3))
        ])
        proxy.cut()
        try await probe.receive(until: "the loss") { $0.lost == [id] }
        // Fenced: the partition may be somebody else's by now.
        let late = PartitionPosition(partition: id, name: "away-0", position: Position(9))
        #expect(try await probe.source.commit([late]).isEmpty)
        proxy.restore()
        try await probe.receive(until: "the rest again") { $0.records.count >= 16 }
        await probe.stop()
        #expect(probe.offsets(of: "away-0") == Array(0..<10) + Array(4..<10))
        #expect(try probe.id(of: "away-0") != id)
    }

    @Test("A member that is idle, or whose function is slow, is not thrown out after max.poll.interval.ms")
    func keepsPolling() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("slow")
        try TestProducer.produce([.fixture("slow", 0, "0"), .fixture("slow", 0, "1")], to: broker.address)
        var configuration = KafkaSourceConfiguration.fixture(broker.address, ["slow"])
        configuration.sessionTimeout = .milliseconds(1000)
        configuration.properties["max.poll.interval.ms"] = "1000"
        let probe = try await KafkaSourceProbe.start(configuration)
        probe.budget.records = 1
        try await probe.receive(until: "a record") { $0.records.count == 1 }
        let id = try probe.id(of: "slow-0")
        // The function is slow: no budget, with a record waiting. Then idle: nothing to read.
        probe.budget = .none
        try await probe.expectNever("a loss", for: .seconds(3)) {
            !$0.lost.isEmpty || !$0.revocations.isEmpty
        }
        probe.budget = ReceiveBudget(records: 10, bytes: 1 << 20)
        try await probe.receive(until: "the other record") { $0.records.count == 2 }
        try await probe.expectNever("a loss", for: .seconds(3)) {
            !$0.lost.isEmpty || !$0.revocations.isEmpty
        }
        try TestProducer.produce([.fixture("slow", 0, "2")], to: broker.address)
        try await probe.receive(until: "a third record") { $0.records.count == 3 }
        #expect(try probe.id(of: "slow-0") == id)
        await probe.stop()
    }

    @Test("Several topics, patterns, and a topic that is created later are read by one source")
    func topics() async throws {
        let broker = try TestKafkaBroker()
        for topic in ["plain", "re-a", "other"] {
            try broker.createTopic(topic, partitions: 2)
            try TestProducer.produce([.fixture(topic, 1, topic)], to: broker.address)
        }
        let probe = try await KafkaSourceProbe.start(.fixture(broker.address, ["plain", "^re-.*"]))
        try await probe.receive(until: "two records") { $0.records.count == 2 }
        #expect(Set(probe.records.map(\.partition)) == ["plain-1", "re-a-1"])
        try broker.createTopic("re-late", partitions: 3)
        try TestProducer.produce([.fixture("re-late", 2, "x")], to: broker.address)
        try await probe.receive(until: "the later topic") { $0.records.count == 3 }
        await probe.stop()
        #expect(probe.offsets(of: "re-late-2") == [0])
        #expect(probe.statuses == [.connected])
    }
}
