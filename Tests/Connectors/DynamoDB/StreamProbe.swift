// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockConfiguration
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

extension ScriptedStreams {
    /// What stands under `dynamodb:` to read it.
    func settings(_ more: String = "", stream: String? = nil) -> String {
        """
        \(stream.map { "stream: \"\($0)\"" } ?? "table: \(self.table)")
        region: eu-west-1
        endpoint: "\(self.endpoint)"
        credentials: { access_key_id: test, secret_access_key: test }
        \(more)
        """
    }

    /// A source of it that was not started.
    func makeSource(
        _ more: String = "",
        stream: String? = nil,
        hubs: StreamHubs = StreamHubs(),
        share: ShardShare? = nil,
        on reactor: Reactor
    ) throws -> DynamoDBSource {
        let yaml = self.settings(more, stream: stream)
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml")
            .read(DynamoDBSourceConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let hub = try hubs.hub(configuration.options, reactor: reactor)
        return DynamoDBSource(configuration, hub: hub, share: share)
    }
}

/// A source against a scripted stream, driven as a pipeline drives it, that settles what it is told to.
///
/// Of one task.
final class StreamProbe {
    let source: DynamoDBSource
    /// What a store would have, kept over restarts by the caller.
    private(set) var checkpoints: [String: Position]
    /// The partitions owned now, by shard.
    private(set) var owned: [String: Partition] = [:]
    /// The shards that were assigned, and those that ended, in order.
    private(set) var assigned: [String] = []
    private(set) var ended: [String] = []
    /// The shards whose checkpoints nobody needs, in order.
    private(set) var forgotten: [String] = []
    /// What is asked back, and not answered; the shards that were given back, and those that were lost.
    private(set) var revocations: [Revocation] = []
    private(set) var givenBack: [String] = []
    private(set) var lost: [String] = []
    private(set) var gaps: [SourceGap] = []
    private(set) var statuses: [SourceStatus] = []
    /// The keys received, in order, by shard.
    private(set) var received: [String: [String]] = [:]
    /// All keys in the order of their arrival.
    private(set) var keys: [String] = []
    /// What was told of a shard and is not settled: records, or where it has advanced to.
    private var unsettled: [String: [Position]] = [:]
    private var names: [PartitionID: String] = [:]
    private var settlesAll = false
    private var settling: Set<String> = []

    /// How much was told that is not settled.
    var unsettledCount: Int { self.unsettled.values.reduce(0) { $0 + $1.count } }

    private init(_ source: DynamoDBSource, _ checkpoints: [String: Position]) {
        self.source = source
        self.checkpoints = checkpoints
    }

    /// A source of the streams, started, run, and stopped in order; gives what a store has then.
    @discardableResult
    static func run(
        _ streams: ScriptedStreams,
        _ more: String = "",
        stream: String? = nil,
        checkpoints: [String: Position] = [:],
        windows: [String: KeptWindow] = [:],
        with hubs: StreamHubs = StreamHubs(),
        share: ShardShare? = nil,
        on shared: Reactor? = nil,
        _ body: (StreamProbe) async throws -> Void
    ) async throws -> [String: Position] {
        let reactor = try shared ?? Reactor(name: "dynamodb-test")
        let source = try streams.makeSource(more, stream: stream, hubs: hubs, share: share, on: reactor)
        let probe = StreamProbe(source, checkpoints)
        if windows.isEmpty {
            try await source.start(checkpoints: checkpoints)
        } else {
            try await source.start(checkpoints: checkpoints, windows: windows)
        }
        async let running: Void = source.run()
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(probe))
        } catch {
            result = .failure(error)
        }
        await source.stop()
        await running
        if shared == nil { reactor.stop() }
        try result.get()
        return probe.checkpoints
    }

    func grant(_ records: Int = 100_000, held: Set<PartitionID> = []) {
        self.source.grant(ReceiveBudget(records: records, bytes: 1 << 30, held: held))
    }

    /// Receives until a condition holds.
    func receive(until condition: (StreamProbe) throws -> Bool) async throws {
        while try !condition(self) {
            let events = try await self.source.receive()
            try #require(!events.isEmpty, "the source ended")
            for event in events { self.note(event) }
            if self.settlesAll || !self.settling.isEmpty {
                try await self.settle(self.settlesAll ? nil : Array(self.settling))
            }
        }
    }

    /// Receives whatever comes within a moment.
    func receiveSome() async throws {
        let reactor = self.source.reactor
        for event in try await self.source.receive(until: reactor.now + .milliseconds(5), on: reactor) {
            self.note(event)
        }
        if self.settlesAll || !self.settling.isEmpty {
            try await self.settle(self.settlesAll ? nil : Array(self.settling))
        }
    }

    /// Settles all that came and comes of some shards, or of all.
    func settleOn(_ shards: [String]? = nil) async throws {
        if let shards { self.settling.formUnion(shards) } else { self.settlesAll = true }
        try await self.settle(shards)
    }

    /// Receives until so many records have come in all.
    func receive(_ count: Int) async throws {
        try await self.receive { $0.keys.count >= count }
        #expect(self.keys.count == count)
    }

    /// Settles all that came so far of some shards, or of all: keeps it, and commits it.
    func settle(_ shards: [String]? = nil) async throws {
        var positions: [PartitionPosition] = []
        for (shard, told) in self.unsettled where shards?.contains(shard) ?? true {
            guard let last = told.last, let partition = self.owned[shard] else { continue }
            positions.append(
                PartitionPosition(partition: partition.id, name: partition.name, position: last)
            )
            self.checkpoints[partition.name] = last
            self.unsettled[shard] = nil
        }
        guard !positions.isEmpty else { return }
        if let share = self.source.share, try await !self.keep(positions, share) { return }
        _ = try await self.source.commit(positions)
    }

    /// Keeps positions in the store that members share; false when a lease is gone.
    private func keep(_ positions: [PartitionPosition], _ share: ShardShare) async throws -> Bool {
        do {
            try await share.store.save(
                positions.map {
                    Checkpoint(trigger: share.trigger, partition: $0.name, position: $0.position)
                }
            )
            return true
        } catch {
            guard error.code == .fenced else { throw error }
            return false
        }
    }

    /// Answers what is asked back, with what came of it.
    func answerRevocations() async throws {
        for revocation in self.revocations {
            var positions: [PartitionPosition] = []
            for id in revocation.partitions {
                guard let shard = self.names[id], let partition = self.owned[shard], partition.id == id else {
                    continue
                }
                if let last = self.unsettled.removeValue(forKey: shard)?.last {
                    positions.append(PartitionPosition(partition: id, name: partition.name, position: last))
                }
                self.owned[shard] = nil
                self.givenBack.append(shard)
            }
            if let share = self.source.share, try await !self.keep(positions, share) { positions = [] }
            self.source.finishRevocation(revocation.id, positions: positions)
        }
        self.revocations = []
    }

    private func note(_ event: SourceEvent) {
        switch event {
        case .assigned(let partitions):
            for partition in partitions {
                let shard = ShardName(partition.name).shard
                self.owned[shard] = partition
                self.names[partition.id] = shard
                self.assigned.append(shard)
            }
        case .records(let block):
            for index in 0..<block.count {
                let shard = ShardName(block.partition(at: index).name).shard
                let key = Self.item(unsafe block.key(at: index).map { unsafe [UInt8]($0) } ?? [])
                self.received[shard, default: []].append(key)
                self.keys.append(key)
                self.unsettled[shard, default: []].append(block.entries[index].position)
            }
        case .advanced(let positions), .readOut(let positions):
            for position in positions {
                guard let shard = self.names[position.partition] else { continue }
                self.unsettled[shard, default: []].append(position.position)
            }
        case .ended(let ids):
            for id in ids {
                guard let shard = self.names[id] else { continue }
                self.owned[shard] = nil
                self.ended.append(shard)
            }
        case .forgotten(let names):
            for name in names {
                #expect(self.owned[ShardName(name).shard]?.name != name, "\(name) is owned")
                self.checkpoints[name] = nil
                self.forgotten.append(ShardName(name).shard)
            }
        case .gap(let gap): self.gaps.append(gap)
        case .status(let status): self.statuses.append(status)
        case .revoking(let revocation): self.revocations.append(revocation)
        case .lost(let ids):
            for id in ids {
                guard let shard = self.names[id], self.owned[shard]?.id == id else { continue }
                self.owned[shard] = nil
                self.unsettled[shard] = nil
                self.lost.append(shard)
            }
        case .overtaken: Issue.record("nothing is overtaken here")
        }
    }

    /// `a` of `{"pk":{"S":"a"}}`.
    private static func item(_ key: [UInt8]) -> String {
        String(decoding: key, as: UTF8.self).replacing(#"{"pk":{"S":""#, with: "")
            .replacing(#""}}"#, with: "")
    }
}
