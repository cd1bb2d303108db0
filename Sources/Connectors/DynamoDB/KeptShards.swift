// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Which checkpoints of shards the store has, and which of them nobody needs any more.
///
/// Pure. A shard that is over keeps its checkpoint as long as the stream lists it, for without one it would be read again
/// from its beginning. DynamoDB lists a shard for about a day, so that the store has no more checkpoints than the stream has
/// shards, and a few. One checkpoint of a stream stays in any case: without any it would be unknown, and begin by `start`.
/// Those of a table's earlier streams go when the one that follows has a checkpoint.
struct KeptShards {
    private var kept: [StreamName: [String: Position]] = [:]

    /// Shards of the stream that is read that are over, and were not in its last list.
    private var unlisted: Set<String> = []

    /// How many checkpoints there are.
    var count: Int { self.kept.values.reduce(0) { $0 + $1.count } }

    /// What the store has of a stream's shards.
    func positions(of stream: StreamName) -> [String: Position] { self.kept[stream] ?? [:] }

    /// A checkpoint is in the store, from an earlier run or now.
    mutating func keep(_ position: Position, of shard: String, in stream: StreamName) {
        self.kept[stream, default: [:]][shard] = position
    }

    /// The stream that is read listed these shards, all that it has; returns the names of partitions that may be forgotten.
    ///
    /// A shard that is missing from two lists in a row is gone: the first of them may be a list from before it was there.
    mutating func listed(_ shards: Set<String>, of stream: StreamName) -> [String] {
        guard !shards.isEmpty, let own = self.kept[stream], !own.isEmpty else { return [] }
        let missing = Set(own.filter { $0.value == StreamPosition.end && !shards.contains($0.key) }.keys)
        var gone = missing.intersection(self.unlisted)
        if gone.count == own.count, let last = gone.max() { gone.remove(last) }
        self.unlisted = missing.subtracting(gone)
        self.kept[stream]?.removeAll { gone.contains($0) }
        var names = gone.map { stream.partition(of: $0) }
        for earlier in self.kept.keys where earlier.isSame(as: stream) && earlier < stream {
            names += (self.kept.removeValue(forKey: earlier) ?? [:]).keys.map { earlier.partition(of: $0) }
        }
        return names.sorted()
    }
}

extension StreamName {
    /// Whether it is a stream of the same table.
    fileprivate func isSame(as other: StreamName) -> Bool {
        self.table == other.table && self.region == other.region && self.account == other.account
    }
}

extension Dictionary {
    fileprivate mutating func removeAll(where isGone: (Key) -> Bool) {
        self = self.filter { !isGone($0.key) }
    }
}
