// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Streams that operators send back or ahead.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct ShardSeekTests {
    private typealias Shard = ShardTree.Shard

    /// `a`, over and gone, was split into `b`, over, and `c`, open; `d` follows `b`; `e` stands alone, and is over.
    private static let seek = ShardSeek(
        shards: [
            Shard(id: "b", parents: ["a"], isClosed: true), Shard(id: "c", parents: ["a"]),
            Shard(id: "d", parents: ["b"]), Shard(id: "e", isClosed: true),
        ],
        kept: [
            "a": StreamPosition.end, "b": StreamPosition.end, "d": Position(42),
            "c": StreamPosition.since(Timestamp(milliseconds: 1_773_478_811_000)),
        ]
    ) { "s/\($0)" }

    private static func checkpoints(_ moves: [SeekMove]) -> [String: Position] {
        Dictionary(moves.compactMap { move in move.checkpoint.map { (move.partition, $0) } }) { $1 }
    }

    @Test("Back: the first shards that are there say so, those behind them are forgotten")
    func earliest() {
        let moves = Self.seek.earliest
        #expect(moves.map(\.partition) == ["s/a", "s/b", "s/c", "s/d", "s/e"])
        let first = StreamPosition.oldest
        #expect(Self.checkpoints(moves) == ["s/b": first, "s/c": first, "s/e": first])
        #expect(
            moves.map(\.from) == [
                "its end", "its end", "what was written since 2026-03-14T09:00:11Z", "behind 42", nil,
            ]
        )
        #expect(moves.map(\.to) == ["no longer there"] + Array(repeating: "its beginning", count: 4))
    }

    @Test("Ahead: shards that are over count as read, the open ones are read from now on")
    func latest() {
        let now = Timestamp(milliseconds: 1_773_478_811_900)
        let moves = Self.seek.latest(now: now)
        let since = StreamPosition.since(Timestamp(milliseconds: 1_773_478_810_000))
        #expect(
            Self.checkpoints(moves)
                == ["s/b": StreamPosition.end, "s/c": since, "s/d": since, "s/e": StreamPosition.end]
        )
    }

    @Test("What the moves keep makes a tree read again from the first shards on, whatever `start` says")
    func tree() {
        let kept = Self.checkpoints(Self.seek.earliest)
        let checkpoints = Dictionary(kept.map { (String($0.key.dropFirst(2)), $0.value) }) { $1 }
        for start in [ShardTree.Start.earliest, .latest] {
            var tree = ShardTree(checkpoints: checkpoints, start: start)
            tree.list(Self.seek.shards)
            #expect(tree.takeReady().map(\.shard.id) == ["b", "c", "e"])
            tree.finish("b")
            let next = tree.takeReady()
            #expect(next.map(\.shard.id) == ["d"] && next.map(\.reading) == [.oldest(since: nil)])
        }
    }

    /// Lets a source say the moves, and gives what the store has then.
    private static func moved(
        _ probe: StreamProbe,
        _ target: SeekOrder.Target
    ) async throws -> [String: Position] {
        let moves = try await probe.source.moves(for: SeekOrder(target))
        #expect(try await probe.source.follow(moves) == Set(moves.map(\.partition)))
        var checkpoints = probe.checkpoints
        for move in moves { checkpoints[move.partition] = move.checkpoint }
        return checkpoints
    }

    @Test("A stream is read again over a split, parents first, without a gap; and then from now on")
    func stream() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let root = streams.openShards[0]
        streams.write(["a0", "a1"], to: root)
        let children = streams.replace([root], by: 2)
        for (child, key) in zip(children, ["b0", "c0"]) { streams.write([key], to: child) }
        var checkpoints: [String: Position] = [:]
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive(4)
            checkpoints = try await Self.moved(probe, .earliest)
        }
        #expect(checkpoints == ["\(streams.arn)/\(root)": StreamPosition.oldest])
        try await StreamProbe.run(streams, "start: latest", checkpoints: checkpoints) { probe in
            probe.grant()
            try await probe.receive(2)
            #expect(probe.keys == ["a0", "a1"] && probe.assigned == [root])
            try await probe.settleOn()
            try await probe.receive(4)
            #expect(Set(probe.keys.dropFirst(2)) == ["b0", "c0"] && probe.gaps.isEmpty)
            checkpoints = try await Self.moved(probe, .latest)
        }
        #expect(checkpoints.count == 3 && checkpoints["\(streams.arn)/\(root)"] == StreamPosition.end)
    }

    @Test("What a stream has no position for is refused, with what can be")
    func refusals() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            let orders: [(SeekOrder, SeekError.Code, String)] = [
                (
                    SeekOrder(.time(Timestamp(milliseconds: 1))), .cannotSeek,
                    "finds no record by its time"
                ),
                (SeekOrder(.position("42")), .cannotSeek, "shards have no positions in common"),
                (SeekOrder(.earliest, partitions: ["x"]), .cannotSeek, "leave the partitions out"),
                (SeekOrder(.earliest), .notRunning, "its stream is not found yet"),
            ]
            for (order, code, words) in orders {
                do throws(SeekError) {
                    _ = try await probe.source.moves(for: order)
                    // It may have been found already.
                    #expect(code == .notRunning, "\(order)")
                } catch {
                    #expect(error.code == code && error.detail.contains(words), "\(error)")
                }
            }
        }
    }
}
