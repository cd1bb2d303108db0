// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore

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

    /// Its place at the hub.
    let seat: FeedSeat

    /// Where the next page begins, when the hub does not know.
    private(set) var place: FeedPlace?

    /// What was read, and how many records of it are handed out.
    private(set) var page: StreamPage?
    private var taken = 0

    /// Whether the page is the shard's last one, as its answer says.
    private(set) var isReadOut = false

    /// When the shard's end was told that its list has neither confirmed nor denied yet; nil for none.
    var endTold: Instant?

    /// How many ends the list of shards has denied, no further apart than a minute and without a record between them, and
    /// whether the hub does not know of the last one yet.
    private(set) var deniedEnds = 0
    private(set) var isEndDenied = false
    private var deniedAt = Instant.start
    private static let deniedApart = Duration.seconds(60)

    /// The lease under which it is read; nil where shards are not shared.
    var fence: Fence?

    /// Whether the shard is about to be given up: nothing more is read of it.
    var isLeaving = false

    /// Failures since the last page.
    var failures = 0

    /// When the shard is to be read again once the page is handed out; nil for at once.
    private(set) var restUntil: Instant?

    /// A shard that was not read yet; `now` is the service's time.
    init(
        partition: Partition,
        stream: StreamName,
        shard: ShardTree.Shard,
        reading: ShardTree.Reading,
        seat: FeedSeat,
        now: Timestamp
    ) {
        self.seat = seat
        self.place = .oldest
        self.partition = partition
        self.stream = stream
        self.shard = shard
        self.reading = reading
        switch reading {
        case .oldest(let since): self.since = since
        case .after(let position):
            self.last = position
            self.place = .after(position)
        case .latest:
            // The service tells its time, and that of a change, in whole seconds.
            self.since = Timestamp(milliseconds: (now.milliseconds / 1000 - 1) * 1000)
        case .skip, .gone: break
        }
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

    /// The hub knows where the next page begins, as it does after each answer.
    func isSeated() {
        self.place = nil
    }

    /// A page was read, or the shard's end; the next one is to be asked for at a time, nil for at once.
    func arrived(_ page: StreamPage?, isLast: Bool, restUntil: Instant?) {
        self.failures = 0
        self.place = nil
        self.isReadOut = isLast
        self.isEndDenied = false
        if !isLast, page != nil { self.deniedEnds = 0 }
        self.restUntil = restUntil
        self.page = nil
        self.taken = 0
        guard var page else { return }
        if self.last == nil, let since = self.since { page.remove(before: since) }
        self.page = page.records.isEmpty ? nil : page
    }

    /// What is gone is gone: reads on from the oldest record there is.
    func restart() {
        self.last = nil
        self.place = .oldest
    }

    /// The shard has not ended: it is read on behind the last record.
    func denyEnd(now: Instant) {
        self.endTold = nil
        if now - self.deniedAt > Self.deniedApart { self.deniedEnds = 0 }
        self.deniedAt = now
        self.deniedEnds += 1
        self.isEndDenied = true
        self.isReadOut = false
        self.place = self.last.map { .after($0) } ?? .oldest
    }

    /// Lets the page go: what is left of it is read again.
    func letGo() {
        self.page = nil
        self.place = self.last.map { .after($0) } ?? .oldest
        self.isReadOut = false
    }

    /// The next records of the page, at most so many, the last of them perhaps beyond so many bytes; `left` are the bytes of
    /// the rest.
    func take(records: Int, bytes: Int) -> (block: RecordBlock, left: Int)? {
        guard let page = self.page else { return nil }
        let most = min(records, page.records.count - self.taken)
        guard most > 0 else { return nil }
        var (end, size) = (self.taken, 0)
        repeat {
            size += page.records[end].byteCount
            end += 1
        } while end < self.taken + most && size < bytes
        let block = page.block(self.taken..<end, of: self.partition)
        self.last = page.records[end - 1].position
        self.taken = end
        let rest = page.records.count - end
        let left = rest == 0 ? 0 : max(1, page.byteCount / page.records.count * rest)
        if rest == 0 { self.page = nil }
        return (block, left)
    }
}
