// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

/// Decides when an outbox table is asked for rows, and for how many.
///
/// Pure. One receive is under way at a time. The next follows at once when one came back full, and else at the doorbell, when
/// a row that was given back comes due, or after the poll's interval.
struct OutboxIntake {
    /// Rows of one receive at most.
    static let receiveMax = 1000

    /// How many rows a receive looks at among which it may take some, besides those in hand, at least and at most.
    private static let depths = 1000...1_000_000

    private let poll: Duration

    /// What is left of the standing budget.
    private var records = 0
    private var bytes = 0

    /// What was handed over and is not with the pipeline yet: the next budget is made without knowing of it.
    private var unreturned = 0
    private var unreturnedBytes = 0

    /// Bytes of a record, by what came so far.
    private var size = 1024

    /// Deliveries that were handed over and are not settled, and when that changed last.
    private var outstanding = 0
    private var lastMove = Instant.start
    private static let patience = Duration.seconds(10)

    /// How many rows the next receive looks at behind those in hand: more when those are all taken or wait for others.
    private(set) var depth = 1000
    /// How many the last one looked at, at most.
    private(set) var lastReach = 0
    private var isUnderWay = false
    /// Whether the doorbell rang since the last receive began.
    private var isRung = true
    /// When the table is asked again anyway.
    private var nextPoll = Instant.start
    /// When rows come due that were given back, earliest first; the poll finds those for which there is no place.
    private var dues: [Instant] = []
    private static let duesMax = 256
    private var failuresInRow = 0

    init(poll: Duration) {
        self.poll = poll
    }

    /// The pipeline replaced the budget.
    mutating func grant(_ budget: ReceiveBudget) {
        self.records = budget.records - self.unreturned
        self.bytes = budget.bytes - self.unreturnedBytes
    }

    /// Rows may have come.
    mutating func ring() { self.isRung = true }

    /// Rows that were given back come due then.
    mutating func comesDue(at time: Instant) {
        let place = self.dues.lastIndex { $0 <= time }.map { $0 + 1 } ?? 0
        guard place == 0 || self.dues[place - 1] != time else { return }
        self.dues.insert(time, at: place)
        if self.dues.count > Self.duesMax { self.dues.removeLast() }
    }

    /// How many of the oldest unfinished rows the next receive looks at: the first of them may be those in hand.
    var reach: Int { min(Self.depths.upperBound, self.depth + self.outstanding) }

    /// How many rows to ask for now; nil to wait.
    mutating func next(_ now: Instant) -> Int? {
        guard !self.isUnderWay, self.records > 0, self.bytes > 0 else { return nil }
        let isDue = self.dues.first.map { $0 <= now } ?? false
        guard
            self.isRung && self.failuresInRow == 0 || isDue && self.failuresInRow == 0 || self.nextPoll <= now
        else { return nil }
        if isDue { self.dues.removeAll { $0 <= now } }
        self.isUnderWay = true
        self.isRung = false
        self.lastReach = self.reach
        return max(1, min(self.records, Self.receiveMax, self.bytes / self.size))
    }

    /// When to look again, without a grant or a doorbell; nil when nothing may be asked then either.
    var nextLook: Instant? {
        guard !self.isUnderWay, self.records > 0, self.bytes > 0 else { return nil }
        guard let due = self.dues.first, self.failuresInRow == 0 else { return self.nextPoll }
        return min(due, self.nextPoll)
    }

    /// A receive brought so many rows of those it asked for, which are handed over; it looked at so many for that.
    mutating func ended(asked: Int, brought: Int, bytes: Int, looked: Int, at now: Instant) {
        self.isUnderWay = false
        self.failuresInRow = 0
        self.records -= brought
        self.bytes -= bytes
        self.unreturned += brought
        self.unreturnedBytes += bytes
        if brought > 0 { self.size = max(1, (3 * self.size + bytes / brought) / 4) }
        if brought >= asked {
            self.isRung = true
            self.depth = max(Self.depths.lowerBound, self.depth - self.depth / 8)
        } else if looked < self.lastReach {
            // It has seen them all; a delivery whose lease was lost is settled by nobody.
            self.depth = Self.depths.lowerBound
            self.outstanding = min(self.outstanding, looked)
        } else if looked > 0, self.depth < Self.depths.upperBound, self.isQuiet(now) {
            // What it looked at is not ours: there may be others behind it.
            self.isRung = true
            self.depth = min(Self.depths.upperBound, 2 * self.depth)
        }
        if brought > 0 {
            self.outstanding += brought
            self.lastMove = now
        }
        self.nextPoll = now + self.poll
    }

    /// So many deliveries were settled; with `rings`, others of their groups may be free by that.
    mutating func settled(_ count: Int, rings: Bool, at now: Instant) {
        self.outstanding = max(0, self.outstanding - count)
        self.lastMove = now
        if rings { self.isRung = true }
    }

    /// Whether nothing that was handed over seems to be at work: deliveries whose lease was lost are not settled.
    private func isQuiet(_ now: Instant) -> Bool {
        self.outstanding == 0 || now - self.lastMove > Self.patience
    }

    /// A receive failed; it is repeated after a pause.
    ///
    /// Returns how often in a row that was so.
    mutating func failed() -> Int {
        self.isUnderWay = false
        self.failuresInRow += 1
        return self.failuresInRow
    }

    /// The pause after a failure ends then.
    mutating func pauses(until time: Instant) {
        self.nextPoll = time
    }

    /// The pipeline took what was handed over.
    mutating func returned(records: Int, bytes: Int) {
        self.unreturned -= records
        self.unreturnedBytes -= bytes
    }
}
