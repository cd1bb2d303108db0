// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Several Penstocks that share the shards of one stream.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct SharedShardsTests {
    /// What members meet in.
    private struct Cluster {
        let reactor: Reactor
        let leases: SimulatedLeases
        let base: SQLiteStore
        var drainTimeout = Duration.seconds(25)
        /// So long a member lives without a beat.
        var ttl = Duration.seconds(2)

        /// A member that runs for as long as `body` takes, each with a hub of its own, as processes have.
        func member(
            _ name: String,
            _ streams: ScriptedStreams,
            _ more: String = "",
            _ body: (StreamProbe, SimulatedLeaseStore) async throws -> Void
        ) async throws {
            let way = SimulatedLeaseStore(self.leases, base: self.base)
            let keeper = LeaseKeeper(
                way,
                as: ClusterMember(
                    id: MemberID(""),
                    name: name,
                    version: "1",
                    started: Timestamp(milliseconds: 0)
                ),
                timing: LeaseTiming(ttl: self.ttl, interval: .milliseconds(100)),
                loop: self.reactor,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            ) { MemberID("\(name)-\(UUID().uuidString)") }
            async let beats: Void = keeper.run()
            let leases = PartitionLeases(of: "t", keeper.table, drainTimeout: self.drainTimeout)
            let share = ShardShare(trigger: "t", leases: leases, store: leases.store(way))
            let checkpoints = try await self.base.checkpoints(of: "t")
            let result: Result<Void, any Error>
            do {
                try await StreamProbe.run(
                    streams,
                    more,
                    checkpoints: checkpoints,
                    share: share,
                    on: self.reactor
                ) { try await body($0, way) }
                result = .success(())
            } catch {
                result = .failure(error)
            }
            await keeper.stop()
            await beats
            try result.get()
        }
    }

    private static func cluster(
        drainTimeout: Duration = .seconds(25),
        ttl: Duration = .seconds(2),
        _ body: (Cluster) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "penstock-\(UUID().uuidString)"
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        let base = try SQLiteStore.open(path: folder.appendingPathComponent("s.db").path)
        let reactor = try Reactor(name: "dynamodb-test")
        defer { reactor.stop() }
        let leases = SimulatedLeases { reactor.now }
        var cluster = Cluster(reactor: reactor, leases: leases, base: base)
        (cluster.drainTimeout, cluster.ttl) = (drainTimeout, ttl)
        try await body(cluster)
        await base.close()
    }

    private static func keys(_ prefix: String, _ count: Int) -> [String] {
        (0..<count).map { "\(prefix)\($0)" }
    }

    /// Has all of them receive and answer until a condition holds.
    private static func receive(
        _ probes: [StreamProbe],
        until condition: () -> Bool
    ) async throws {
        while !condition() {
            for probe in probes {
                try await probe.receiveSome()
                try await probe.answerRevocations()
            }
        }
    }

    @Test("What is not drained within drain_timeout is void, and the other member has the shard then")
    func drainTimeout() async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        for shard in streams.openShards { streams.write(Self.keys("\(shard)/", 5), to: shard) }
        // No member is taken for dead meanwhile, however slow the machine is.
        try await Self.cluster(drainTimeout: .milliseconds(500), ttl: .seconds(120)) { cluster in
            try await cluster.member("a", streams) { first, _ in
                first.grant()
                try await first.receive(10)
                try await cluster.member("b", streams) { second, _ in
                    second.grant()
                    // The first one's function is at work, and never answers.
                    // It may be told only after the other one has all, when the machine stood still meanwhile.
                    while second.keys.count < 5 || first.lost.isEmpty {
                        try await first.receiveSome()
                        try await second.receiveSome()
                    }
                    #expect(first.revocations.map(\.within) == [.milliseconds(500)])
                    #expect(first.lost.count == 1 && first.givenBack.isEmpty)
                }
            }
        }
    }

    @Test(
        "A member that joins gets its share of the shards, drained, and the children of each go on anywhere"
    )
    func joins() async throws {
        let streams = try ScriptedStreams(shards: 4)
        defer { streams.stop() }
        let shards = streams.openShards
        for shard in shards { streams.write(Self.keys("\(shard)/", 5), to: shard) }
        try await Self.cluster { cluster in
            try await cluster.member("a", streams) { first, _ in
                first.grant()
                try await first.settleOn()
                try await first.receive(20)
                #expect(Set(first.owned.keys) == Set(shards))
                try await cluster.member("b", streams) { second, _ in
                    second.grant()
                    try await second.settleOn()
                    try await Self.receive([first, second]) { second.owned.count == 2 }
                    #expect(first.owned.count == 2 && first.givenBack.count == 2 && first.lost == [])
                    // Nothing of what was settled comes again.
                    for shard in shards { streams.write(["\(shard)/5"], to: shard) }
                    try await Self.receive([first, second]) { first.keys.count + second.keys.count == 24 }
                    #expect(first.keys.count == 22 && second.keys.count == 2)
                    // A shard of each is split: its children wait for what the other one finishes.
                    let (mine, theirs) = (Array(first.owned.keys), Array(second.owned.keys))
                    let child = streams.replace([mine[0], theirs[0]], by: 1)[0]
                    streams.write(["child"], to: child)
                    try await Self.receive([first, second]) { first.keys.count + second.keys.count == 25 }
                    #expect(first.ended + second.ended == [mine[0]] + [theirs[0]])
                    // One takes over what the other one had, when it leaves.
                }
                for shard in streams.openShards { streams.write(["last"], to: shard) }
                try await Self.receive([first]) { first.keys.filter { $0 == "last" }.count == 3 }
                #expect(first.owned.count == 3 && first.gaps.isEmpty)
            }
        }
        #expect(streams.count("GetRecords") > 0)
    }

    @Test("A member that is cut off loses its shards; what it settles after that counts nothing")
    func cutOff() async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        let shards = streams.openShards
        for shard in shards { streams.write(Self.keys("\(shard)/", 3), to: shard) }
        try await Self.cluster { cluster in
            try await cluster.member("a", streams) { first, way in
                first.grant()
                try await first.receive(6)
                way.cut(StoreError(.unreachable, "as the test says"))
                try await first.receive { $0.lost.count == 2 }
                try await cluster.member("b", streams) { second, _ in
                    second.grant()
                    // It has settled nothing: all comes again.
                    try await Self.receive([second]) { second.keys.count == 6 }
                    #expect(second.owned.count == 2)
                    try await second.settle()
                    way.cut(nil)
                    try await second.settleOn()
                    try await Self.receive([first, second]) { first.owned.count == 1 }
                    let shard = try #require(first.owned.keys.first)
                    #expect(second.givenBack == [shard])
                    streams.write(["new"], to: shard)
                    try await Self.receive([first, second]) { first.keys.count == 7 }
                    #expect(first.keys.last == "new" && first.gaps.isEmpty && second.gaps.isEmpty)
                }
            }
        }
    }

    @Test(
        "Members that come and go over splits settle each change, in the order of each shard, parents first"
    )
    func random() async throws {
        let streams = try ScriptedStreams(shards: 3)
        defer { streams.stop() }
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        var written = 0
        func step() {
            let shard = streams.openShards.randomElement(using: &random) ?? ""
            if Int.random(in: 0..<6, using: &random) == 0, streams.openShards.count < 8 {
                streams.replace([shard], by: Int.random(in: 1...2, using: &random))
            } else {
                let keys = Self.keys("\(written)/", Int.random(in: 1...20, using: &random))
                streams.write(keys, to: shard)
                written += keys.count
            }
        }
        var received: [[String: [String]]] = []
        // A lease may end on a machine with more work than processors; what was received under it comes again.
        var isSure = true
        try await Self.cluster { cluster in
            try await cluster.member("a", streams) { first, _ in
                first.grant()
                try await first.settleOn()
                for _ in 0..<3 {
                    try await cluster.member("b", streams) { second, _ in
                        second.grant()
                        try await second.settleOn()
                        for _ in 0..<25 {
                            step()
                            try await first.receiveSome()
                            try await first.answerRevocations()
                            try await second.receiveSome()
                            try await second.answerRevocations()
                        }
                        received.append(second.received)
                        if !second.lost.isEmpty || second.hasUnsettled { isSure = false }
                        #expect(second.gaps.isEmpty, "seed \(seed)")
                    }
                }
                let others = received.reduce(0) { $0 + $1.values.joined().count }
                try await Self.receive([first]) { first.keys.count + others >= written }
                if isSure, first.lost.isEmpty, !first.hasUnsettled {
                    #expect(
                        first.keys.count + others == written,
                        "seed \(seed): each comes once, as all is settled"
                    )
                }
                #expect(first.gaps.isEmpty, "seed \(seed)")
            }
        }
    }
}
