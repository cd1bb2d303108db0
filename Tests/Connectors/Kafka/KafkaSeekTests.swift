// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

/// Where partitions would go, and how the group follows, against real brokers.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct KafkaSeekTests {
    /// An hour ago: the broker soon removes what is older than a week.
    private static let start = Int64(Date().timeIntervalSince1970 * 1000) - 3_600_000

    /// A broker with topic `t`: ten records, a second apart, of which the first two are gone.
    private static func broker() throws -> TestOffsetBroker {
        let broker = try TestOffsetBroker()
        try broker.makeTopic("t", times: (0..<10).map { Self.start + $0 * 1000 }, removedBelow: 2)
        return broker
    }

    private static func configuration(_ broker: TestOffsetBroker) -> KafkaSourceConfiguration {
        var configuration = KafkaSourceConfiguration.fixture(broker.address, ["t"])
        configuration.sessionTimeout = .seconds(6)
        return configuration
    }

    private static func refusal(_ source: KafkaSource, _ order: SeekOrder) async -> SeekError? {
        do throws(SeekError) {
            _ = try await source.moves(for: order)
            return nil
        } catch {
            return error
        }
    }

    @Test("Each target is an offset of the partition, with how far it is away; nothing moves by asking")
    func targets() async throws {
        let broker = try Self.broker()
        let probe = try await KafkaSourceProbe.start(Self.configuration(broker))
        try await probe.receive(until: "all records") { $0.records.count == 8 }
        let targets: [(SeekOrder.Target, Int64, Int64?)] = [
            (.earliest, 2, nil), (.latest, 10, nil),
            (.time(Timestamp(milliseconds: Self.start + 4500)), 5, nil),
            (.time(Timestamp(milliseconds: Self.start - 1_000_000)), 2, nil),
            (.time(Timestamp(milliseconds: Self.start + 1_000_000)), 10, nil),
            (.position("7"), 7, nil), (.position("10"), 10, nil),
        ]
        for (target, offset, distance) in targets {
            let moves = try await probe.source.moves(for: SeekOrder(target))
            let move = SeekMove(
                partition: "t-0",
                from: nil,
                to: "\(offset)",
                distance: distance,
                checkpoint: Position(UInt64(offset - 1))
            )
            #expect(moves == [move], "\(target)")
        }
        #expect(try await probe.source.commit(probe.settledPositions).count == 1)
        let back = try await probe.source.moves(for: SeekOrder(.earliest, partitions: ["t-0", "t-0"]))
        #expect(back.map(\.from) == ["10"] && back.map(\.distance) == [-8])
        for (text, words) in [
            ("11", "t-0 has no offset 11; it can go on at 2 to 10"), ("x", "no offset x"),
            ("1", "no offset 1;"),
        ] {
            let error = await Self.refusal(probe.source, SeekOrder(.position(text)))
            #expect(error?.code == .badPosition && error?.detail.contains(words) == true, "\(text)")
        }
        let unknown = await Self.refusal(probe.source, SeekOrder(.earliest, partitions: ["t-1"]))
        #expect(unknown == SeekError(.noPartition, "there is no partition \"t-1\"; there are t-0"))
        await probe.stop()
        #expect(await Self.refusal(probe.source, SeekOrder(.earliest))?.code == .notRunning)
    }

    @Test("The group goes back, and ahead, and a source begins there, whatever its checkpoints say")
    func follows() async throws {
        let broker = try Self.broker()
        let configuration = Self.configuration(broker)
        let first = try await KafkaSourceProbe.start(configuration)
        try await first.receive(until: "all records") { $0.records.count == 8 }
        #expect(try await first.source.commit(first.settledPositions).count == 1)
        let back = try await first.source.moves(for: SeekOrder(.position("4")))
        #expect(try await first.source.follow(back) == ["t-0"])
        await first.stop()
        let second = try await KafkaSourceProbe.start(configuration, checkpoints: ["t-0": Position(9)])
        try await second.receive(until: "six records") { $0.records.count == 6 }
        #expect(second.offsets(of: "t-0") == Array(4..<10))
        let ahead = try await second.source.moves(for: SeekOrder(.latest))
        #expect(ahead.map(\.from) == ["4"] && ahead.map(\.distance) == [6])
        #expect(try await second.source.follow(ahead) == ["t-0"])
        await second.stop()
        let third = try await KafkaSourceProbe.start(configuration)
        try await third.receive(until: "the partition") { $0.owned.count == 1 }
        try TestProducer.produce([.fixture("t", 0, "new")], to: broker.address)
        try await third.receive(until: "a new record") { $0.records.count == 1 }
        #expect(third.offsets(of: "t-0") == [10])
        await third.stop()
    }

    @Test("What another member reads is refused by name, and what is read here can be moved alone")
    func members() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("two", partitions: 2)
        try TestProducer.produce((0..<8).map { .fixture("two", Int32($0 % 2), "\($0)") }, to: broker.address)
        let configuration = KafkaSourceConfiguration.fixture(broker.address, ["two"])
        let first = try await KafkaSourceProbe.start(configuration)
        try await first.receive(until: "all records") { $0.records.count == 8 }
        #expect(try await first.source.commit(first.settledPositions).count == 2)
        let second = try await KafkaSourceProbe.start(configuration)
        try await first.receive(until: "a partition gone") { !$0.revocations.isEmpty && $0.owned.count == 1 }
        try await second.receive(until: "a partition") { $0.owned.count == 1 }
        let mine = try #require(first.owned.values.first?.name)
        let others = try #require(second.owned.values.first?.name)
        // The group may still be on its way to where it stands.
        var all = await Self.refusal(first.source, SeekOrder(.earliest))
        while all?.code == .busy {
            try await first.expectNever("another record", for: .milliseconds(100)) { $0.records.count > 8 }
            all = await Self.refusal(first.source, SeekOrder(.earliest))
        }
        let text = "other members of group \"g\" read \(others), or nobody yet; "
        #expect(
            all
                == SeekError(
                    .readElsewhere,
                    text + "stop the other members, or name partitions that are read here"
                )
        )
        let named = await Self.refusal(first.source, SeekOrder(.earliest, partitions: [mine, others]))
        #expect(
            named
                == SeekError(.readElsewhere, text + "ask the member that reads it, or stop the other members")
        )
        let moves = try await first.source.moves(for: SeekOrder(.earliest, partitions: [mine]))
        #expect(moves.map(\.to) == ["0"] && moves.map(\.checkpoint) == [nil])
        let foreign = SeekMove(partition: others, from: nil, to: "0", checkpoint: nil)
        #expect(try await first.source.follow(moves + [foreign]) == [mine], "only what is owned follows")
        await first.stop()
        try await second.receive(until: "what was moved") { $0.records.count == 4 }
        #expect(second.offsets(of: mine) == Array(0..<4))
        await second.stop()
    }
}
