// SPDX-License-Identifier: Apache-2.0

import AWSClient
import DequeModule
import PenstockCore

/// Where a reader stands in a shard.
enum FeedPlace: Sendable, Equatable {
    /// Before the oldest record that there is.
    case oldest
    /// Before what is written from now on.
    case latest
    /// Behind the record of this sequence number.
    case after(Position)
}

/// The pages that were read of one shard for several readers, as long as somebody may want them.
///
/// Pure. Pages are numbered, so that a reader needs to remember a number only. They have no gap between them: what a page is
/// added to ends where the page begins. A reader that comes from elsewhere finds its place by the last record that it has seen.
struct SharedPages {
    private struct Entry {
        var page: StreamPage
        var last: Position
    }

    /// Where a place is among the pages.
    enum Found: Equatable {
        /// Before the page of this number, which may have some records that the reader has seen.
        case before(Int)
        /// Before the first page that is still here.
        case behind
        /// Behind the last page.
        case ahead
        /// It cannot be told: nothing was read yet.
        case unknown
    }

    private var entries: Deque<Entry> = []

    /// Where the first page begins that is still here.
    private(set) var floor: FeedPlace

    /// The number of the first page that is still here.
    private(set) var first = 0

    /// Whether the shard ends behind the last page.
    private(set) var isOver = false

    /// Bytes of the pages that are here.
    private(set) var bytes = 0

    /// No pages, of a shard that is read from that place on.
    init(from place: FeedPlace) {
        self.floor = place
    }

    /// The number that the next page will have.
    var end: Int { self.first + self.entries.count }

    /// The last record of all that was read, or the one behind which reading began; nil when there was none yet.
    var tip: Position? {
        if let last = self.entries.last?.last { return last }
        return if case .after(let position) = self.floor { position } else { nil }
    }

    /// Where the next page begins.
    ///
    /// Reading that began with what was new goes on with the oldest record, if it has to ask for a place again: its readers leave
    /// out what is older than their beginning.
    var place: FeedPlace { self.tip.map { .after($0) } ?? .oldest }

    /// The page of a number; nil when it is not here.
    func page(_ number: Int) -> StreamPage? {
        guard number >= self.first, number < self.end else { return nil }
        return self.entries[number - self.first].page
    }

    /// Finds a reader's place.
    func find(_ place: FeedPlace) -> Found {
        switch place {
        case .latest: return .before(self.end)
        case .oldest: return self.floor == .oldest ? .before(self.first) : .behind
        case .after(let position):
            guard let tip = self.tip else { return self.floor == .oldest ? .ahead : .unknown }
            if position >= tip { return position == tip ? .before(self.end) : .ahead }
            if case .after(let floor) = self.floor {
                if position < floor { return .behind }
            } else {
                // What was written before the first record is not here, or has been trimmed.
                guard let first = self.entries.first?.page.first, position >= first else { return .behind }
            }
            let index = self.entries.firstIndex { $0.last > position } ?? self.entries.count
            return .before(self.first + index)
        }
    }

    /// Adds what was read behind the last page, or what overlaps with it; false when it is older than that.
    mutating func add(_ page: StreamPage) -> Bool {
        guard let last = page.last else { return true }
        var page = page
        if let tip = self.tip {
            guard last > tip else { return last == tip }
            if let first = page.first, first <= tip { page.remove(through: tip) }
        }
        self.entries.append(Entry(page: page, last: last))
        self.bytes += page.byteCount
        return true
    }

    /// The shard ends behind what was read.
    mutating func finish() {
        self.isOver = true
    }

    /// It has not ended after all.
    mutating func reopen() {
        self.isOver = false
    }

    /// Lets pages go that are before a number.
    mutating func drop(before number: Int) {
        while self.first < number, let entry = self.entries.popFirst() {
            self.first += 1
            self.bytes -= entry.page.byteCount
            self.floor = .after(entry.last)
        }
    }

    /// Lets the oldest pages go until there are no more bytes than that; the last page stays.
    mutating func trim(to bytesMax: Int) {
        while self.bytes > bytesMax, self.entries.count > 1 { self.drop(before: self.first + 1) }
    }
}

/// One shard as those read it who share a hub: what was read ahead of most of them, and who they are.
///
/// Belongs to the hub's actor.
final class ShardLane {
    /// What those read who are in front; nil before anybody has.
    var feed: ShardFeed?
    /// Who has a seat here.
    var seats: Set<UInt64> = []
    /// Whether somebody who is behind reads by himself, one at a time, and who waits for his turn.
    var isCatchingUp = false
    var waiters: [UInt64] = []
    /// When the next one may, unless pages are full.
    var catchUpAt: Instant

    init(now: Instant) {
        self.catchUpAt = now
    }
}

/// The front of one shard, which one reader at a time carries forward for all that have come there.
///
/// Belongs to the hub's actor.
final class ShardFeed {
    var pages: SharedPages
    /// Where the next page begins; nil when that is to be asked for.
    var iterator: String?
    /// Whether the iterator was not used yet.
    var isFresh = true
    /// Whether a read is under way, and who waits for it.
    var isReading = false
    var waiters: [UInt64] = []
    /// Whether another feed took its place: what it has is still taken, and nothing is read any more.
    var isReplaced = false
    /// Before that time nothing is read.
    var restsUntil: Instant
    /// How long the shard rests after the next page that is not full.
    private var pause = ShardFeed.pauseMin
    /// The last failure since something was read, and how many there were in all.
    private(set) var failure: AWSFailure?
    private var failures = 0
    /// Failures since something was read.
    private(set) var failuresInRow = 0

    /// AWS's pollers read a shard four times in a second.
    static let pauseMin = Duration.milliseconds(250)
    /// An idle shard is read once in a second.
    static let pauseMax = Duration.seconds(1)

    init(from place: FeedPlace, now: Instant) {
        self.pages = SharedPages(from: place)
        self.restsUntil = now
    }

    /// A page was read by that iterator; of two reads side by side the one that came further counts.
    func arrived(_ page: StreamPage, by used: String, now: Instant) {
        self.failure = nil
        self.failuresInRow = 0
        let goesOn = page.records.isEmpty ? used == self.iterator : self.pages.add(page)
        if goesOn {
            self.iterator = page.next
            self.isFresh = false
            if page.next == nil { self.pages.finish() }
        }
        self.pause = page.records.isEmpty ? min(Self.pauseMax, self.pause * 3 / 2) : Self.pauseMin
        self.restsUntil = page.isFull ? now : now + self.pause
    }

    /// The shard has not ended, whatever was answered: it is read on behind what was read.
    func reopen() {
        guard self.pages.isOver else { return }
        self.pages.reopen()
        self.iterator = nil
    }

    /// A read failed; it is tried again after so long.
    func failed(_ error: AWSError, resting delay: Duration, now: Instant) {
        self.failures += 1
        self.failuresInRow += 1
        self.failure = AWSFailure(number: self.failures, error: error)
        self.restsUntil = now + delay
    }
}

/// A failure that is told to each of several readers.
struct AWSFailure {
    var number: Int
    var error: AWSError
}

/// One trigger's place in one shard, by name.
struct FeedSeat: Sendable {
    /// Unlike all others of its hub.
    let id: UInt64
    /// The stream.
    let stream: StreamName
    /// The shard.
    let shard: ShardTree.Shard
}

/// What a hub knows of a seat.
///
/// Belongs to the hub's actor.
final class SeatState {
    let seat: FeedSeat
    /// Behind what the trigger goes on.
    var place: FeedPlace
    /// The feed that it follows, and its next page there; nil while it is behind.
    private(set) var feed: ShardFeed?
    var number = 0
    /// The number with which it began to follow.
    private(set) var began = 0
    /// Where it goes on by itself; nil when that is to be asked for.
    var iterator: String?
    /// Whether the iterator was not used yet.
    var isFresh = true
    /// Whether its last page by itself said that there is more at once.
    var hasMore = true
    /// The last failure of the feed that it was told of.
    var failureSeen = 0

    init(_ seat: FeedSeat, at place: FeedPlace) {
        self.seat = seat
        self.place = place
    }

    func follow(_ feed: ShardFeed, from number: Int) {
        self.feed = feed
        self.number = number
        self.began = number
        self.failureSeen = feed.failure?.number ?? 0
        self.iterator = nil
        self.hasMore = true
    }

    func leaveFeed() {
        self.feed = nil
        self.iterator = nil
        self.hasMore = true
    }

    /// Goes to another place; to the oldest record means back to where nothing was taken yet.
    func move(to place: FeedPlace) {
        self.place = place
        self.iterator = nil
        self.hasMore = true
        guard let feed = self.feed else { return }
        if place == .oldest, feed.pages.page(self.began) != nil {
            self.number = self.began
        } else {
            self.feed = nil
        }
    }
}
