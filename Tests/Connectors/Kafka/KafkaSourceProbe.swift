// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Synchronization
import Testing

@testable import KafkaConnector

/// Drives a source as a pipeline would, and keeps what it told.
final class KafkaSourceProbe {
    let source: KafkaSource
    private(set) var records: [SeenRecord] = []
    private(set) var owned: [PartitionID: Partition] = [:]
    private(set) var revocations: [Revocation] = []
    /// Names of partitions that were asked back.
    private(set) var revoked: Set<String> = []
    private(set) var lost: [PartitionID] = []
    private(set) var gaps: [SourceGap] = []
    private(set) var statuses: [SourceStatus] = []
    private(set) var blocks = 0
    var budget = ReceiveBudget(records: 10_000, bytes: 64 << 20)
    /// Answers revocations as soon as they come, with everything that was received.
    var answersRevocations = true
    /// How many of the records received of a partition count as settled when it is revoked; all when nil.
    var settlesOnRevocation: Int?

    struct SeenRecord: Equatable {
        var partition: String
        var offset: UInt64
        var key: [UInt8]?
        var value: [UInt8]?
        var headers: [DeadLetter.Attribute]
        var timestamp: Int64
        var tag: UInt8
    }

    struct TimedOut: Error {
        var waitedFor: String
    }

    init(_ configuration: KafkaSourceConfiguration) {
        self.source = KafkaSource(configuration, logger: Logger(label: "kafka-tests"))
    }

    static func start(
        _ configuration: KafkaSourceConfiguration,
        checkpoints: [String: Position] = [:]
    ) async throws -> KafkaSourceProbe {
        let probe = KafkaSourceProbe(configuration)
        try await probe.source.start(checkpoints: checkpoints)
        return probe
    }

    /// Receives until `condition` holds.
    func receive(
        until what: String,
        within timeout: Duration = .seconds(20),
        _ condition: (KafkaSourceProbe) -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + timeout
        while !condition(self) {
            guard ContinuousClock.now < deadline else {
                throw TimedOut(waitedFor: "\(what); \(self.summary)")
            }
            for event in try await self.receive(before: deadline) { self.note(event) }
        }
    }

    /// One receive, which ends at the deadline.
    private func receive(before deadline: ContinuousClock.Instant) async throws -> [SourceEvent] {
        let source = self.source
        let budget = self.budget
        return try await withThrowingTaskGroup(of: [SourceEvent].self) { group in
            group.addTask {
                source.grant(budget)
                return try await source.receive()
            }
            group.addTask {
                try? await ContinuousClock().sleep(until: deadline)
                return []
            }
            defer { group.cancelAll() }
            let first = try await group.next() ?? []
            group.cancelAll()
            var rest: [SourceEvent] = []
            while let more = try await group.next() { rest += more }
            return first + rest
        }
    }

    var summary: String {
        "\(self.records.count) records, owned \(self.owned.values.map(\.name).sorted()), statuses \(self.statuses)"
    }

    private func note(_ event: SourceEvent) {
        switch event {
        case .assigned(let partitions): for partition in partitions { self.owned[partition.id] = partition }
        case .records(let block):
            self.blocks += 1
            for index in 0..<block.count { self.records.append(Self.record(block, index)) }
        case .revoking(let revocation):
            self.revocations.append(revocation)
            self.revoked.formUnion(revocation.partitions.compactMap { self.owned[$0]?.name })
            guard self.answersRevocations else { return }
            let positions = self.settledPositions.filter { revocation.partitions.contains($0.partition) }
            self.source.finishRevocation(revocation.id, positions: positions)
            for id in revocation.partitions { self.owned[id] = nil }
        case .advanced, .readOut, .ended, .forgotten: break
        case .lost(let ids):
            self.lost += ids
            for id in ids { self.owned[id] = nil }
        case .gap(let gap): self.gaps.append(gap)
        case .overtaken: break
        case .status(let status): self.statuses.append(status)
        }
    }

    /// The highest position received of each partition owned.
    var settledPositions: [PartitionPosition] {
        self.owned.values.compactMap { partition in
            var offsets = self.records.filter { $0.partition == partition.name }.map(\.offset)[...]
            if let count = self.settlesOnRevocation { offsets = offsets.prefix(count) }
            guard let last = offsets.max() else { return nil }
            return PartitionPosition(partition: partition.id, name: partition.name, position: Position(last))
        }
    }

    static func record(_ block: RecordBlock, _ index: Int) -> SeenRecord {
        let entry = block.entries[index]
        var headers: [DeadLetter.Attribute] = []
        unsafe block.forEachAttribute(at: index) { name, value in
            let value = unsafe value.map { unsafe [UInt8]($0) }
            unsafe headers.append(.init(name: String(decoding: name, as: UTF8.self), value: value))
        }
        return SeenRecord(
            partition: block.partition(at: index).name,
            offset: entry.position.offset ?? .max,
            key: unsafe block.key(at: index).map { unsafe [UInt8]($0) },
            value: unsafe block.body(at: index).map { unsafe [UInt8]($0) },
            headers: headers,
            timestamp: entry.timestamp.milliseconds,
            tag: entry.tag
        )
    }

    /// Receives for so long, and nothing that `condition` looks for may come.
    func expectNever(
        _ what: String,
        for time: Duration,
        _ condition: (KafkaSourceProbe) -> Bool
    ) async throws {
        do {
            try await self.receive(until: what, within: time, condition)
        } catch is TimedOut {
            return
        }
        Issue.record("\(what) came: \(self.summary)")
    }

    /// Offsets received of a partition, in order.
    func offsets(of partition: String) -> [UInt64] {
        self.records.filter { $0.partition == partition }.map(\.offset)
    }

    /// The id of an owned partition.
    func id(of partition: String) throws -> PartitionID {
        try #require(self.owned.values.first { $0.name == partition }?.id)
    }

    func stop() async { await self.source.stop() }
}

extension KafkaSourceConfiguration {
    /// A member that joins fast: Tansu holds a join for half the session timeout.
    static func fixture(_ broker: String, _ topics: [String], group: String = "g") -> KafkaSourceConfiguration
    {
        var configuration = KafkaSourceConfiguration(brokers: [broker], topics: topics, group: group)
        configuration.sessionTimeout = .milliseconds(2000)
        configuration.properties = [
            "heartbeat.interval.ms": "200", "topic.metadata.refresh.interval.ms": "300",
            "reconnect.backoff.max.ms": "500",
        ]
        return configuration
    }
}
