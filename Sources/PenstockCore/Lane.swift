// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Records of one lane that are tried together, with what was tried so far.
package struct Parcel: Sendable {
    /// The records, in order.
    package var runs: [Run]

    /// Failed attempts at the first record.
    package var attempts: Int

    /// The failed attempts, at most ``DeadLetter/attemptsMax``: the first and the latest.
    package var history: [Attempt]

    /// The request id of the last invocation; empty when there was none.
    package var invocation: String

    /// Records that were not tried yet.
    package init(runs: [Run]) {
        self.runs = runs
        self.attempts = 0
        self.history = []
        self.invocation = ""
    }

    /// How many records.
    package var count: Int { self.runs.reduce(0) { $0 + $1.count } }

    /// Cuts off and returns the first `count` records, with the same history.
    package mutating func removePrefix(_ count: Int) -> Parcel {
        var prefix = self
        prefix.runs = []
        var missing = count
        while missing > 0 {
            if self.runs[0].count <= missing {
                missing -= self.runs[0].count
                prefix.runs.append(self.runs.removeFirst())
            } else {
                prefix.runs.append(self.runs[0].removePrefix(missing))
                missing = 0
            }
        }
        return prefix
    }

    /// Adds a failed attempt to the history.
    package mutating func record(_ failure: Failure, in report: InvocationReport) {
        if self.history.count == DeadLetter.attemptsMax { self.history.remove(at: 1) }
        self.history.append(Attempt(at: report.at, duration: report.duration, failure: failure))
        self.invocation = report.id
    }
}

/// An invocation that ended: its request id, when it began, and how long it took.
package struct InvocationReport: Sendable {
    /// The request id.
    package var id: String
    /// When it began.
    package var at: Timestamp
    /// How long it took.
    package var duration: Duration

    /// A report.
    package init(id: String, at: Timestamp, duration: Duration) {
        self.id = id
        self.at = at
        self.duration = duration
    }
}

/// A sub-stream in which order is kept: one batch in flight, retries before newer records.
///
/// Pure data; ``TriggerEngine`` moves it. With `ordering: partition` each partition is one lane.
struct Lane {
    /// Can go to `inFlight` when a batch takes its records, and to `deadLettering` when its head expired.
    ///
    /// `inFlight` can go to `idle` on success or throttling, to `waiting` when the policy says retry, to `deadLettering`
    /// when it gives up. `waiting` can go to `idle` when its time has come. `deadLettering` can go to `idle` when the
    /// letters are durable, to `blocked` when the destination refused; `blocked` goes back to `deadLettering`.
    enum State: Equatable {
        case idle
        case inFlight(BatchID)
        case waiting(until: Instant)
        case deadLettering(DeadLetterTicketID)
        case blocked(DeadLetterTicketID, until: Instant)
    }

    let partition: Partition
    var state = State.idle

    /// Records that were tried, oldest first; each parcel is a batch of its own.
    var retries = Deque<Parcel>()

    /// Records that were not tried, oldest first.
    var fresh = Deque<Run>()
    var freshCount = 0
    var freshBytes = 0

    /// Set while the partition is given up: nothing new is started.
    var revocation: RevocationKey?

    /// Whether the lane stands in the engine's queue of lanes with something to do.
    var isQueued = false

    init(partition: Partition) {
        self.partition = partition
    }

    var isEmpty: Bool { self.retries.isEmpty && self.fresh.isEmpty }

    mutating func append(_ run: Run) {
        self.fresh.append(run)
        self.freshCount += run.count
        self.freshBytes += run.bytes
    }

    /// Puts untried records back in front, as after throttling.
    mutating func putBack(_ runs: [Run]) {
        for run in runs.reversed() {
            self.fresh.prepend(run)
            self.freshCount += run.count
            self.freshBytes += run.bytes
        }
    }

    /// Takes untried records up to a number and a number of bytes (each record counts one more byte, its separator).
    mutating func takeFresh(count: Int, bytes: Int) -> [Run] {
        var taken: [Run] = []
        var missing = count
        var room = bytes
        while missing > 0, var run = self.fresh.popFirst() {
            var fitting = min(run.count, missing)
            if run.bytes + run.count > room { fitting = Self.fitting(run, count: fitting, bytes: room) }
            guard fitting > 0 else {
                self.fresh.prepend(run)
                break
            }
            let isWhole = fitting == run.count
            let part = run.removePrefix(fitting)
            if !isWhole { self.fresh.prepend(run) }
            self.freshCount -= part.count
            self.freshBytes -= part.bytes
            missing -= part.count
            room -= part.bytes + part.count
            taken.append(part)
        }
        return taken
    }

    /// How many records at the start of `run`, at most `count`, fit into `bytes`.
    private static func fitting(_ run: Run, count: Int, bytes: Int) -> Int {
        let sizes = run.admitted.sizes
        let start = run.range.lowerBound
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high + 1) / 2
            if sizes[start + middle] - sizes[start] + middle <= bytes {
                low = middle
            } else {
                high = middle - 1
            }
        }
        return low
    }

    /// Forgets everything that is not in flight; returns how many records that were.
    mutating func clear() -> Int {
        let count = self.freshCount + self.retries.reduce(0) { $0 + $1.count }
        self.fresh.removeAll()
        self.retries.removeAll()
        self.freshCount = 0
        self.freshBytes = 0
        return count
    }
}

/// Names a revocation inside the engine.
package struct RevocationKey: Hashable, Sendable {
    /// The source's number for it.
    package var rawValue: UInt64

    /// The key with this number.
    package init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

/// Names dead letters on their way to the destination.
package struct DeadLetterTicketID: Hashable, Sendable {
    /// Unique within the engine.
    package var rawValue: UInt64
}

/// Records to be given up: the shell makes them durable and reports back.
package struct DeadLetterTicket: Sendable {
    /// Names the ticket in the report.
    package var id: DeadLetterTicketID

    /// The records, all of one partition, in order.
    package var runs: [Run]

    /// Why.
    package var reason: DeadLetterReason

    /// The attempts made.
    package var attempts: [Attempt]

    /// How many attempts were made in all.
    package var attemptCount: Int

    /// The request id of the last invocation; empty when there was none.
    package var invocation: String

    /// How many records.
    package var count: Int { self.runs.reduce(0) { $0 + $1.count } }
}
