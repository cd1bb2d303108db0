// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Which checkpoints of shards are removed, and that nothing is lost or read twice without them.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct KeptShardsTests {
    private static func stream(_ number: Int, table: String = "orders") throws -> StreamName {
        let label = "2026-03-14T08:0\(number):00.123"
        return try #require(
            StreamName("arn:aws:dynamodb:eu-west-1:000000000000:table/\(table)/stream/\(label)")
        )
    }

    @Test("What is over and missing from two lists in a row goes; what is listed, or not over, stays")
    func unlisted() throws {
        let stream = try Self.stream(1)
        var kept = KeptShards()
        kept.keep(StreamPosition.end, of: "a", in: stream)
        kept.keep(StreamPosition.end, of: "b", in: stream)
        kept.keep(Position(7), of: "c", in: stream)
        kept.keep(Position(8), of: "d", in: stream)
        #expect(kept.listed(["a", "b", "d"], of: stream).isEmpty)
        #expect(kept.listed(["b", "d"], of: stream).isEmpty)
        // It was there after all.
        #expect(kept.listed(["a", "b", "d"], of: stream).isEmpty)
        #expect(kept.listed(["d"], of: stream).isEmpty)
        #expect(kept.listed(["b", "d"], of: stream) == ["\(stream.arn)/a"])
        #expect(kept.listed([], of: stream).isEmpty)
        #expect(kept.count == 3)
    }

    @Test("One checkpoint of a stream stays, so that it is known; it goes when there is another one")
    func last() throws {
        let stream = try Self.stream(1)
        var kept = KeptShards()
        kept.keep(StreamPosition.end, of: "a", in: stream)
        kept.keep(StreamPosition.end, of: "b", in: stream)
        #expect(kept.listed(["c"], of: stream).isEmpty)
        #expect(kept.listed(["c"], of: stream) == ["\(stream.arn)/a"])
        #expect(kept.listed(["c"], of: stream).isEmpty)
        kept.keep(Position(1), of: "c", in: stream)
        #expect(kept.listed(["c"], of: stream) == ["\(stream.arn)/b"])
    }

    @Test(
        "Those of a table's earlier streams go when the next one has a checkpoint, those of other tables stay"
    )
    func earlier() throws {
        let (old, new, other) = (try Self.stream(1), try Self.stream(2), try Self.stream(1, table: "carts"))
        var kept = KeptShards()
        kept.keep(StreamPosition.end, of: "a", in: old)
        kept.keep(StreamPosition.end, of: "a", in: other)
        #expect(kept.listed(["b"], of: new).isEmpty)
        kept.keep(Position(1), of: "b", in: new)
        #expect(kept.listed(["b"], of: new) == ["\(old.arn)/a"])
        #expect(kept.count == 2)
    }

    /// Shards that follow each other, are trimmed, and are read by a process that dies at random.
    private struct World {
        var random: SplitMix64
        let stream: StreamName
        let start: ShardTree.Start
        var shards: [ShardTree.Shard] = []
        var lastShard = 0
        var store: [String: Position] = [:]
        var tree: ShardTree
        var kept = KeptShards()
        var reading: [String] = []
        /// Shards that were settled to their end, durably, and those that upstream has trimmed.
        var finished: Set<String> = []
        var trimmed: Set<String> = []
        var wasKnown = false

        init(seed: UInt64, stream: StreamName) {
            var random = SplitMix64(seed: seed)
            self.start = Bool.random(using: &random) ? .earliest : .latest
            self.random = random
            self.stream = stream
            self.tree = ShardTree(checkpoints: [:], start: self.start)
            self.open(from: [])
        }

        mutating func open(from parents: [String]) {
            self.lastShard += 1
            let id = "shard-\(10_000 + self.lastShard)"
            self.shards.append(ShardTree.Shard(id: id, parents: parents))
        }

        mutating func save(_ position: Position, of shard: String) {
            self.store[shard] = position
            self.kept.keep(position, of: shard, in: self.stream)
            self.wasKnown = true
        }

        mutating func step() throws {
            switch Int.random(in: 0..<10, using: &self.random) {
            case 0...1: self.succeed()
            case 2: self.trim()
            case 3: self.crash()
            case 4...6: try self.list()
            default: self.settle()
            }
            #expect(!self.wasKnown || !self.store.isEmpty, "the stream is unknown")
        }

        /// An open shard is closed, and one or two come of it.
        mutating func succeed() {
            let open = self.shards.indices.filter { !self.shards[$0].isClosed }
            guard let index = open.randomElement(using: &self.random) else { return }
            self.shards[index].isClosed = true
            for _ in 0..<Int.random(in: 1...2, using: &self.random) {
                self.open(from: [self.shards[index].id])
            }
        }

        /// The oldest shard goes, which is a day after its end: it was read long before.
        mutating func trim() {
            guard let first = self.shards.first, first.isClosed, self.finished.contains(first.id) else {
                return
            }
            self.trimmed.insert(first.id)
            self.shards.removeFirst()
        }

        mutating func crash() {
            self.tree = ShardTree(checkpoints: self.store, start: self.start)
            self.kept = KeptShards()
            for (shard, position) in self.store { self.kept.keep(position, of: shard, in: self.stream) }
            self.reading = []
        }

        mutating func list() throws {
            // What was over before an unknown stream is read from now on is never read.
            if self.start == .latest, self.store.isEmpty {
                self.finished.formUnion(self.shards.filter(\.isClosed).map(\.id))
            }
            self.tree.list(self.shards)
            for name in self.kept.listed(Set(self.shards.map(\.id)), of: self.stream) {
                let shard = ShardName(name).shard
                #expect(self.trimmed.contains(shard), "\(shard) is forgotten while it is listed")
                self.store[shard] = nil
            }
            self.begin()
        }

        mutating func begin() {
            for (shard, reading) in self.tree.takeReady() {
                #expect(
                    reading == .skip || !self.finished.contains(shard.id),
                    "\(shard.id) is read again, \(reading)"
                )
                #expect(shard.parents.allSatisfy { self.finished.contains($0) || self.trimmed.contains($0) })
                if reading == .skip { self.finish(shard.id) } else { self.reading.append(shard.id) }
                if reading == .latest {
                    self.save(StreamPosition.since(Timestamp(milliseconds: 1)), of: shard.id)
                }
            }
        }

        mutating func settle() {
            guard let index = self.reading.indices.randomElement(using: &self.random) else { return }
            let id = self.reading[index]
            if self.shards.contains(where: { $0.id == id && $0.isClosed }), Bool.random(using: &self.random) {
                self.reading.remove(at: index)
                self.finish(id)
                self.begin()
            } else {
                self.save(Position(UInt64(self.lastShard)), of: id)
            }
        }

        mutating func finish(_ id: String) {
            self.save(StreamPosition.end, of: id)
            self.finished.insert(id)
            self.tree.finish(id)
        }
    }

    @Test(
        "Over seeded crashes, splits and trims no shard is read twice or out of order, and checkpoints stay few"
    )
    func smallWorld() throws {
        let stream = try Self.stream(1)
        for seed in 0..<300 {
            var world = World(seed: UInt64(seed), stream: stream)
            for _ in 0..<400 { try world.step() }
            try world.list()
            try world.list()
            try world.list()
            #expect(world.store.count <= world.shards.count + 1, "seed \(seed): \(world.store.count)")
        }
    }

    @Test("A shard that is over and gone is forgotten, and after a restart nothing is missing or comes again")
    func source() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let first = streams.openShards[0]
        streams.write(["a"], to: first)
        let second = streams.replace([first], by: 1)[0]
        streams.write(["b"], to: second)
        let kept = try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive { $0.keys == ["a", "b"] }
            #expect(probe.forgotten.isEmpty)
            streams.remove(first)
            // Each end of a shard makes a new list, and two without it are wanted.
            let third = streams.replace([second], by: 1)[0]
            streams.write(["c"], to: third)
            try await probe.receive { $0.keys == ["a", "b", "c"] }
            let fourth = streams.replace([third], by: 1)[0]
            streams.write(["d"], to: fourth)
            try await probe.receive { $0.keys == ["a", "b", "c", "d"] }
            let fifth = streams.replace([fourth], by: 1)[0]
            streams.write(["e"], to: fifth)
            try await probe.receive { $0.keys.count == 5 && $0.forgotten == [first] }
        }
        #expect(kept["\(streams.arn)/\(first)"] == nil)
        #expect(kept["\(streams.arn)/\(second)"] == StreamPosition.end)
        streams.write(["f"], to: streams.openShards[0])
        try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive { $0.keys.last == "f" }
            #expect(probe.keys == ["f"] || probe.keys == ["e", "f"])
            #expect(probe.gaps.isEmpty)
        }
    }
}
