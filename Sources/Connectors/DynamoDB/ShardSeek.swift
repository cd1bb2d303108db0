// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockCore
import PenstockRuntime
import Reactor

/// Decides which checkpoints send all shards of a stream back to the oldest records, or to what is written from now on.
///
/// Pure. Shards are read in the order of their lineage, so they go together: back, the first ones have a checkpoint that says so,
/// which makes the stream a known one whatever `start` says, and those behind them have none; ahead, shards that are over
/// count as read, and the open ones are read from now on.
struct ShardSeek: Sendable {
    /// What the stream lists, whole.
    let shards: [ShardTree.Shard]
    /// What the store has of the stream, by shard.
    let kept: [String: Position]
    /// The name of a shard's partition.
    let name: @Sendable (String) -> String

    /// All records that are there, again.
    var earliest: [SeekMove] {
        let listed = Set(self.shards.map(\.id))
        let moves = self.shards.map { shard in
            let isFirst = listed.isDisjoint(with: shard.parents)
            return self.move(shard.id, to: Self.beginning, isFirst ? StreamPosition.oldest : nil)
        }
        return (moves + self.gone(listed)).sorted { $0.partition < $1.partition }
    }

    /// None of those that are there; `now` is the service's time.
    func latest(now: Timestamp) -> [SeekMove] {
        // The service tells its time, and that of a change, in whole seconds.
        let since = StreamPosition.since(Timestamp(milliseconds: (now.milliseconds / 1000 - 1) * 1000))
        let moves = self.shards.map { shard in
            shard.isClosed
                ? self.move(shard.id, to: Self.end, StreamPosition.end)
                : self.move(shard.id, to: "what is written from now on", since)
        }
        return (moves + self.gone(Set(self.shards.map(\.id)))).sorted { $0.partition < $1.partition }
    }

    /// What the store has of shards that are not there any more.
    private func gone(_ listed: Set<String>) -> [SeekMove] {
        self.kept.keys.filter { !listed.contains($0) }.map { self.move($0, to: "no longer there", nil) }
    }

    private func move(_ shard: String, to: String, _ checkpoint: Position?) -> SeekMove {
        SeekMove(
            partition: self.name(shard),
            from: self.kept[shard].map(Self.text),
            to: to,
            checkpoint: checkpoint
        )
    }

    private static let beginning = "its beginning"
    private static let end = "its end"

    /// A checkpoint in words.
    private static func text(_ position: Position) -> String {
        if position == StreamPosition.end { return Self.end }
        guard let time = StreamPosition.time(in: position) else { return "behind \(position)" }
        return time.milliseconds == 0 ? Self.beginning : "what was written since \(time.configurationText)"
    }
}

// MARK: - Seeking

extension DynamoDBSource: SeekableSource {
    func moves(for order: SeekOrder) async throws(SeekError) -> [SeekMove] {
        let summary = self.configuration.summary
        guard self.share == nil else {
            throw SeekError(
                .cannotSeek,
                "\(summary): Penstocks that share a store remember by themselves which shards are over; a trigger of another "
                    + "name with \"start: earliest\" reads the 24 hours there are again"
            )
        }
        guard order.partitions == nil else {
            throw SeekError(
                .cannotSeek,
                "\(summary): a shard begins when those before it have ended, so that all of them are moved together; leave "
                    + "the partitions out"
            )
        }
        switch order.target {
        case .earliest, .latest: break
        case .time, .position:
            throw SeekError(
                .cannotSeek,
                "\(summary): DynamoDB finds no record by its time, and shards have no positions in common; it can go to "
                    + "\"earliest\", which is all of its 24 hours again, or to \"latest\""
            )
        }
        guard let stream = self.stream, !self.isStopped else {
            throw SeekError(
                .notRunning,
                "\(summary): its stream is not found yet; `penstock triggers show` tells why"
            )
        }
        let description: StreamDescription
        do throws(AWSError) {
            description = try await self.hub.describe(stream, newerThan: self.reactor.now).description
        } catch {
            throw SeekError(.upstream, "nothing has moved: \(self.advice(error))")
        }
        guard !description.shards.isEmpty else {
            throw SeekError(.notRunning, "\(summary): its stream lists no shards; try again")
        }
        let seek = ShardSeek(shards: description.shards, kept: self.kept.positions(of: stream)) {
            stream.partition(of: $0)
        }
        return order.target == .earliest
            ? seek.earliest : seek.latest(now: description.time ?? self.reactor.wallNow)
    }

    /// All of them: DynamoDB itself keeps nothing.
    func follow(_ moves: [SeekMove]) async throws(SourceError) -> Set<String> {
        Set(moves.map(\.partition))
    }
}
