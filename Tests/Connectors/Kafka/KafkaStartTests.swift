// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

/// Where a partition begins, against a real broker that knows times, ends, and removed records.
///
/// One at a time: this broker answers fetches at once, so an idle consumer keeps a core busy.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct KafkaStartTests {
    /// An hour ago: the broker soon removes what is older than a week.
    private static let start = Int64(Date().timeIntervalSince1970 * 1000) - 3_600_000

    /// A broker with topic `t`: ten records, a second apart.
    private static func broker(
        records: Int64 = 10,
        removedBelow removed: Int = 0,
        committed: [String: Int] = [:]
    ) throws -> TestOffsetBroker {
        let broker = try TestOffsetBroker()
        let times = (0..<records).map { Self.start + $0 * 1000 }
        try broker.makeTopic("t", times: times, removedBelow: removed, committed: committed)
        return broker
    }

    private static func produce(_ count: Int, to broker: TestOffsetBroker) throws {
        try TestProducer.produce((0..<count).map { .fixture("t", 0, "\($0)") }, to: broker.address)
    }

    /// This broker, like Apache Kafka by default, takes no session below six seconds.
    private static func configuration(
        _ broker: TestOffsetBroker,
        group: String = "g"
    ) -> KafkaSourceConfiguration {
        var configuration = KafkaSourceConfiguration.fixture(broker.address, ["t"], group: group)
        configuration.sessionTimeout = .seconds(6)
        return configuration
    }

    @Test("`latest` begins behind what was there, also after a crash before the first commit")
    func latest() async throws {
        let broker = try Self.broker(records: 3)
        var configuration = Self.configuration(broker)
        configuration.start = .latest
        let first = try await KafkaSourceProbe.start(configuration)
        try await first.receive(until: "the partition") { $0.owned.count == 1 }
        try Self.produce(2, to: broker)
        try await first.receive(until: "two records") { $0.records.count == 2 }
        await first.stop()
        #expect(first.offsets(of: "t-0") == [3, 4])
        // Nothing was settled. One that looked for the end anew would skip these two.
        let second = try await KafkaSourceProbe.start(configuration)
        try await second.receive(until: "them again") { $0.records.count == 2 }
        await second.stop()
        #expect(second.offsets(of: "t-0") == [3, 4])
    }

    @Test("A time begins at the first record that is not older; behind the last one when all are")
    func timestamp() async throws {
        let broker = try Self.broker()
        var configuration = Self.configuration(broker, group: "in")
        configuration.start = .timestamp(Timestamp(milliseconds: Self.start + 6500))
        let inside = try await KafkaSourceProbe.start(configuration)
        try await inside.receive(until: "three records") { $0.records.count == 3 }
        await inside.stop()
        #expect(inside.offsets(of: "t-0") == [7, 8, 9])
        configuration.group = "behind"
        configuration.start = .timestamp(Timestamp(milliseconds: Self.start + 7_200_000))
        let behind = try await KafkaSourceProbe.start(configuration)
        try await behind.receive(until: "the partition") { $0.owned.count == 1 }
        try Self.produce(1, to: broker)
        try await behind.receive(until: "a new record") { $0.records.count == 1 }
        await behind.stop()
        #expect(behind.offsets(of: "t-0") == [10])
    }

    @Test("A checkpoint of ours counts where the group has no offset, and not where it has one")
    func checkpoint() async throws {
        let broker = try Self.broker(committed: ["some": 9])
        let configuration = Self.configuration(broker, group: "none")
        let alone = try await KafkaSourceProbe.start(configuration, checkpoints: ["t-0": Position(6)])
        try await alone.receive(until: "three records") { $0.records.count == 3 }
        await alone.stop()
        #expect(alone.offsets(of: "t-0") == [7, 8, 9])
        let both = try await KafkaSourceProbe.start(
            Self.configuration(broker, group: "some"),
            checkpoints: ["t-0": Position(2)]
        )
        try await both.receive(until: "a record") { $0.records.count == 1 }
        await both.stop()
        #expect(both.offsets(of: "t-0") == [9])
    }

    @Test("A window goes on where the group is still at its beginning, also when its partition comes back")
    func window() async throws {
        let broker = try Self.broker(committed: ["at": 4, "beyond": 6])
        var kept = KeptWindow(position: Position(7), closed: Position(3))
        kept.open = OpenWindow(WindowSpan(holding: Timestamp(milliseconds: Self.start), length: .seconds(60)))
        let beyond = KafkaSourceProbe(Self.configuration(broker, group: "beyond"))
        try await beyond.source.start(checkpoints: ["t-0": Position(3)], windows: ["t-0": kept])
        try await beyond.receive(until: "four records") { $0.records.count == 4 }
        #expect(beyond.offsets(of: "t-0") == [6, 7, 8, 9], "another member went on")
        #expect(beyond.owned.values.allSatisfy { $0.kept == nil })
        await beyond.stop()
        let probe = KafkaSourceProbe(Self.configuration(broker, group: "at"))
        try await probe.source.start(checkpoints: ["t-0": Position(3)], windows: ["t-0": kept])
        try await probe.receive(until: "two records") { $0.records.count == 2 }
        #expect(probe.offsets(of: "t-0") == [8, 9])
        #expect(probe.owned.values.map(\.kept) == [kept])
        // In the middle of a window there is nothing to commit, and it is accepted at once.
        var position = PartitionPosition(
            partition: try probe.id(of: "t-0"),
            name: "t-0",
            position: Position(3)
        )
        position.window = kept
        position.window?.position = Position(8)
        #expect(try await probe.source.commit([position]) == [position])
        await probe.stop()
        let again = KafkaSourceProbe(Self.configuration(broker, group: "at"))
        try await again.source.start(checkpoints: ["t-0": Position(3)], windows: [:])
        try await again.receive(until: "six records") { $0.records.count == 6 }
        #expect(again.offsets(of: "t-0") == Array(4..<10), "the group's offset did not move")
        await again.stop()
    }

    @Test("A checkpoint that the broker no longer has is a gap, and reading goes on by the start policy")
    func staleCheckpoint() async throws {
        let broker = try Self.broker(removedBelow: 4)
        let probe = try await KafkaSourceProbe.start(
            Self.configuration(broker),
            checkpoints: ["t-0": Position(1)]
        )
        try await probe.receive(until: "six records") { $0.records.count == 6 }
        await probe.stop()
        #expect(probe.offsets(of: "t-0") == Array(4..<10))
        #expect(probe.gaps.map(\.partition) == ["t-0"])
        #expect(
            probe.gaps.first?.detail.contains("checkpoint 1 is outside of what the broker has, 4 to 9")
                == true
        )
    }

    /// A committed offset that is gone, and how it is gone.
    enum Gone: Int, CaseIterable {
        /// Below what is still there: retention.
        case removed = 2
        /// Behind the end: the topic was made anew.
        case future = 5000
    }

    @Test(
        "An offset that is gone is a gap, and reading goes on by the start policy, in every kind of group",
        arguments: KafkaAssignment.allCases,
        Gone.allCases
    )
    func outOfRange(assignment: KafkaAssignment, gone: Gone) async throws {
        let broker = try Self.broker(removedBelow: 4, committed: ["g": gone.rawValue])
        var configuration = Self.configuration(broker)
        configuration.assignment = assignment
        let probe = try await KafkaSourceProbe.start(configuration)
        try await probe.receive(until: "six records") { $0.records.count == 6 }
        #expect(probe.offsets(of: "t-0") == Array(4..<10))
        #expect(probe.gaps.map(\.partition) == ["t-0"])
        #expect(probe.gaps.first?.detail.hasPrefix("offset \(gone.rawValue) of t-0 is gone") == true)
        #expect(probe.gaps.first?.detail.hasSuffix("going on at 4") == true)
        // The partition is still ours: new records come, and a commit is taken.
        try Self.produce(1, to: broker)
        try await probe.receive(until: "a new record") { $0.records.count == 7 }
        #expect(try await probe.source.commit(probe.settledPositions).count == 1)
        await probe.stop()
        #expect(probe.lost.isEmpty)
        let next = try await KafkaSourceProbe.start(configuration)
        try Self.produce(1, to: broker)
        try await next.receive(until: "the next record") { $0.records.count == 1 }
        await next.stop()
        #expect(next.offsets(of: "t-0") == [11])
    }

    @Test("With `latest`, an offset that is gone is passed over to the end")
    func outOfRangeLatest() async throws {
        let broker = try Self.broker(removedBelow: 4, committed: ["g": 2])
        var configuration = Self.configuration(broker)
        configuration.start = .latest
        let probe = try await KafkaSourceProbe.start(configuration)
        try await probe.receive(until: "the gap") { $0.gaps.count == 1 }
        #expect(probe.gaps.first?.detail.hasSuffix("going on at 10") == true)
        try Self.produce(1, to: broker)
        try await probe.receive(until: "a new record") { $0.records.count == 1 }
        await probe.stop()
        #expect(probe.offsets(of: "t-0") == [10])
    }

    @Test("A group that does not take the member is told, with what to change")
    func refusedMember() async throws {
        let broker = try Self.broker(records: 1)
        var configuration = Self.configuration(broker)
        configuration.sessionTimeout = .seconds(2)
        let short = try await KafkaSourceProbe.start(configuration)
        let session =
            "\(broker.address) does not allow session_timeout 2s; set it to what its group.min.session.timeout.ms "
            + "and group.max.session.timeout.ms allow, which is 6s to 30m unless they were changed"
        try await short.receive(until: "the refusal") { $0.statuses.contains(.disconnected(session)) }
        await short.stop()
    }

    @Test(
        "A group whose members have another assignment, or that is full, is told, until it takes the member"
    )
    func refusals() throws {
        var health = KafkaHealth(.fixture("h:1", ["t"]))
        let isTold = health.failed(RDKafkaError(.inconsistentGroupProtocol))
        #expect(isTold)
        let text =
            "group \"g\" has members with another assignment than cooperative-sticky; give all of its members the same "
            + "assignment"
        let first = health.takeNews()
        #expect(first == .disconnected(text))
        health.assigned([])
        let second = health.takeNews()
        #expect(second == .connected)
        let isFullTold = health.failed(RDKafkaError(.groupMaxSizeReached))
        #expect(isFullTold)
        let full = "group \"g\" is full; stop a member, or raise group.max.size on h:1"
        let third = health.takeNews()
        #expect(third == .disconnected(full))
    }
}
