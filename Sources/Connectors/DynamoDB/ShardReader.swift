// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Where the reading of one shard stands.
///
/// Belongs to the source's actor.
final class ShardReader {
    let partition: Partition
    let stream: StreamName
    let shard: ShardTree.Shard
    let reading: ShardTree.Reading

    /// Until the first record is handed out: those that were written before are not wanted; nil when all are.
    private(set) var since: Timestamp?

    /// The last record handed out; nil before the first one.
    private(set) var last: Position?

    /// Where the next page begins; nil when that is to be asked for.
    var iterator: String?

    /// Whether the iterator was not used yet.
    var isFresh = false

    /// What was read, and how many records of it are handed out.
    private(set) var page: StreamPage?
    private var taken = 0

    /// Whether the page is the shard's last one.
    private(set) var isReadOut = false

    /// Failures since the last page.
    var failures = 0

    /// How long the shard rests after the next page that is not full.
    private(set) var pause = ShardReader.pauseMin

    /// AWS's pollers read a shard four times in a second.
    static let pauseMin = Duration.milliseconds(250)
    /// An idle shard is read once in a second.
    static let pauseMax = Duration.seconds(1)

    /// A shard that was not read yet; `now` is the service's time.
    init(
        partition: Partition,
        stream: StreamName,
        shard: ShardTree.Shard,
        reading: ShardTree.Reading,
        now: Timestamp
    ) {
        self.partition = partition
        self.stream = stream
        self.shard = shard
        self.reading = reading
        switch reading {
        case .oldest(let since): self.since = since
        case .after(let position): self.last = position
        case .latest:
            // The service tells its time, and that of a change, in whole seconds.
            self.since = Timestamp(milliseconds: (now.milliseconds / 1000 - 1) * 1000)
        case .skip, .gone: break
        }
    }

    /// Where an iterator has to begin.
    var place: StreamsClient.Place {
        guard let last = self.last else { return .oldest }
        let digits = max(StreamPosition.digitsMin, self.shard.first?.utf8.count ?? 0)
        return .after(StreamPosition.text(last, digits: digits))
    }

    /// The last record that is settled for good when reading begins; nil for none.
    var committed: Position? {
        let position: Position? = if case .after(let last) = self.reading { last } else { nil }
        return (self.partition.kept?.closed ?? position).flatMap {
            StreamPosition.isSequence($0) ? $0 : nil
        }
    }

    func position(_ position: Position) -> PartitionPosition {
        PartitionPosition(partition: self.partition.id, name: self.partition.name, position: position)
    }

    /// A page was read.
    func arrived(_ page: StreamPage) {
        self.failures = 0
        self.isFresh = false
        self.iterator = page.next
        self.isReadOut = page.next == nil
        var page = page
        if self.last == nil, let since = self.since { page.remove(before: since) }
        self.page = page.records.isEmpty ? nil : page
        self.taken = 0
        self.isFull = false
        self.pause = self.page == nil ? min(Self.pauseMax, self.pause * 3 / 2) : Self.pauseMin
    }

    /// What is gone is gone: reads on from the oldest record there is.
    func restart() {
        self.last = nil
        self.iterator = nil
    }

    /// Lets the page go: what is left of it is read again.
    func letGo() {
        self.page = nil
        self.iterator = nil
        self.isReadOut = false
    }

    /// The next records of the page, at most so many, the last of them perhaps beyond so many bytes; `left` are the bytes of
    /// the rest.
    func take(records: Int, bytes: Int) -> (block: RecordBlock, left: Int)? {
        guard var page = self.page else { return nil }
        let count = min(records, page.records.count - self.taken)
        guard count > 0 else { return nil }
        var builder = RecordBlockBuilder(
            byteCapacity: min(page.byteCount, bytes) + 1024,
            recordCapacity: count
        )
        let partitionIndex = builder.add(self.partition)
        while builder.count < count, builder.byteCount < bytes, !builder.isFull {
            page.copy(self.taken, to: &builder, partitionIndex)
            self.last = page.records[self.taken].position
            self.taken += 1
        }
        let rest = page.records.count - self.taken
        let left = rest == 0 ? 0 : max(1, page.byteCount / page.records.count * rest)
        self.isFull = page.records.count >= Self.fullRecords || page.byteCount >= Self.fullBytes
        self.page = rest == 0 ? nil : page
        return (builder.finish(), left)
    }

    /// Whether the page that was handed out says that there is more at once.
    private(set) var isFull = false
    private static let fullRecords = 100
    private static let fullBytes = 128 << 10
}
