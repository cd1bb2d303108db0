// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Which shards are read, and from where.
@Suite struct ShardTreeTests {
    private typealias Shard = ShardTree.Shard

    private static func shard(_ id: String, _ parents: String..., closed: Bool = false) -> Shard {
        Shard(id: id, parents: parents, isClosed: closed)
    }

    private static func ready(_ tree: inout ShardTree) -> [String] {
        tree.takeReady().map { "\($0.shard.id): \($0.reading)" }
    }

    /// a was split into b and c, b into d, and e comes from one that is not listed any more.
    private static let family = [
        shard("a", closed: true), shard("b", "a", closed: true), shard("c", "a"), shard("d", "b"),
        shard("e", "x"),
    ]

    @Test("From the begin: those without a listed parent first, children when their parents are finished")
    func earliest() {
        var tree = ShardTree(checkpoints: [:], start: .earliest)
        #expect(Self.ready(&tree).isEmpty && !tree.isFinished)
        tree.list(Self.family)
        #expect(Self.ready(&tree) == ["a: oldest(since: nil)", "e: oldest(since: nil)"])
        #expect(Self.ready(&tree).isEmpty)
        tree.finish("a")
        #expect(Self.ready(&tree) == ["b: oldest(since: nil)", "c: oldest(since: nil)"])
        tree.finish("c")
        #expect(Self.ready(&tree).isEmpty)
        #expect(tree.awaitsChildren)
        tree.finish("b")
        #expect(Self.ready(&tree) == ["d: oldest(since: nil)"])
        #expect(tree.hasChildren("b") && !tree.hasChildren("d"))
        tree.finish("d")
        #expect(!tree.isFinished)
        tree.finish("e")
        #expect(tree.isFinished)
    }

    @Test("From now on: open shards, and none of those that are closed; what comes later from its begin")
    func latest() {
        var tree = ShardTree(checkpoints: [:], start: .latest)
        tree.list(Self.family + [Self.shard("lone", closed: true)])
        #expect(Self.ready(&tree) == ["c: latest", "d: latest", "e: latest", "lone: skip"])
        tree.list(Self.family + [Self.shard("f", "d")])
        #expect(Self.ready(&tree).isEmpty)
        tree.finish("d")
        #expect(Self.ready(&tree) == ["f: oldest(since: nil)"])
    }

    @Test("Checkpoints: behind them, not again what is finished, and ancestors are finished by them")
    func checkpoints() {
        let time = Timestamp(milliseconds: 1_773_478_811_000)
        var tree = ShardTree(
            checkpoints: ["c": Position(42), "d": StreamPosition.since(time)],
            start: .latest
        )
        tree.list(Self.family)
        let ready = tree.takeReady()
        #expect(ready.map(\.shard.id) == ["c", "d", "e"])
        #expect(ready.map(\.reading) == [.after(Position(42)), .oldest(since: time), .oldest(since: nil)])
        var ended = ShardTree(checkpoints: ["a": StreamPosition.end], start: .latest)
        ended.list(Self.family)
        #expect(
            Self.ready(&ended) == ["b: oldest(since: nil)", "c: oldest(since: nil)", "e: oldest(since: nil)"]
        )
    }

    @Test("A parent with a checkpoint of its own is read to its end before its child")
    func parentWithCheckpoint() {
        var tree = ShardTree(checkpoints: ["a": Position(1), "b": Position(9)], start: .earliest)
        tree.list([Self.shard("a", closed: true), Self.shard("b", "a")])
        #expect(Self.ready(&tree) == ["a: after(1)"])
        tree.finish("a")
        #expect(Self.ready(&tree) == ["b: after(9)"])
    }

    @Test("Shards that vanish: unread ones are gone, finished ones forgotten, one that is read goes on")
    func vanishing() {
        var tree = ShardTree(checkpoints: ["z": Position(7), "y": StreamPosition.end], start: .earliest)
        tree.list([Self.shard("a", closed: true), Self.shard("b", "a")])
        #expect(Self.ready(&tree) == ["a: oldest(since: nil)", "z: gone"])
        tree.list([Self.shard("c", "b")])
        // Its parent is still read, but of b nothing is left.
        #expect(Self.ready(&tree) == ["b: gone"])
        #expect(!tree.isListed("a"))
        tree.finish("a")
        tree.finish("b")
        tree.finish("z")
        #expect(Self.ready(&tree) == ["c: oldest(since: nil)"])
        tree.finish("c")
        tree.list([])
        #expect(tree.isFinished)
    }

    @Test("A shard is over when a list has it closed, or has it no more; no later list opens it again")
    func over() {
        var tree = ShardTree(checkpoints: [:], start: .earliest)
        tree.list(Self.family)
        #expect(["a", "b", "c", "d", "e"].filter { tree.isOver($0) } == ["a", "b"])
        tree.list([Self.shard("a"), Self.shard("c", "a", closed: true), Self.shard("d", "b")])
        #expect(["a", "b", "c", "d", "e"].filter { tree.isOver($0) } == ["a", "b", "c", "e"])
    }

    @Test("Positions say times and the end by numbers beyond all sequence numbers, and come back as text")
    func positions() throws {
        let greatest = try #require(Position(String(repeating: "9", count: 40)))
        let time = Timestamp(milliseconds: 1_773_478_811_123)
        let since = StreamPosition.since(time)
        #expect(greatest < since && since < StreamPosition.end)
        #expect(StreamPosition.time(in: since) == time)
        #expect(
            StreamPosition.time(in: greatest) == nil && StreamPosition.time(in: StreamPosition.end) == nil
        )
        #expect(StreamPosition.isSequence(greatest) && !StreamPosition.isSequence(since))
        for position in [greatest, since, StreamPosition.end] {
            #expect(Position(position.description) == position)
        }
        for digits in [21, 22, 38, 39, 40] {
            let text = String(repeating: "8", count: digits)
            let position = try #require(StreamPosition.read(text))
            #expect(position == Position(text))
            #expect(StreamPosition.text(position) == text)
        }
        #expect(StreamPosition.text(Position(7), digits: 30) == String(repeating: "0", count: 29) + "7")
        for broken in ["", "12x", "-1", String(repeating: "1", count: 41)] {
            #expect(StreamPosition.read(broken) == nil)
        }
    }

    @Test("Names of streams and of partitions")
    func names() throws {
        let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-03-14T08:00:00.123"
        let name = try #require(StreamName(arn))
        #expect(name.table == "orders" && name.region == "eu-west-1")
        #expect(name.label == "2026-03-14T08:00:00.123")
        #expect(ShardName(name.partition(of: "shardId-1")).stream == arn)
        #expect(ShardName(name.partition(of: "shardId-1")).shard == "shardId-1")
        #expect(ShardName("lone").shard == "lone")
        for broken in [
            "", "orders", "arn:aws:dynamodb:eu-west-1:1:table/orders",
            "arn:aws:sqs:eu-west-1:1:table/a/stream/b",
            "arn:aws:dynamodb::1:table/a/stream/b", "arn:aws:dynamodb:eu-west-1:1:table//stream/b",
        ] { #expect(StreamName(broken) == nil) }
    }

    @Test("A shard that was read to its end with a window open is not finished, listed or not")
    func openWindow() {
        let checkpoints = ["a": StreamPosition.end, "e": StreamPosition.end]
        var tree = ShardTree(checkpoints: checkpoints, unfinished: ["a"], start: .latest)
        tree.list(Self.family)
        #expect(Self.ready(&tree) == ["a: skip"], "its children wait")
        tree.finish("a")
        #expect(Self.ready(&tree) == ["b: oldest(since: nil)", "c: oldest(since: nil)"])
        var gone = ShardTree(checkpoints: checkpoints, unfinished: ["a"], start: .latest)
        gone.list([])
        #expect(!gone.isFinished)
        #expect(Self.ready(&gone) == ["a: skip"], "nothing of it is missing")
        gone.finish("a")
        #expect(gone.isFinished)
    }
}
