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

    /// When it may be tried again; nil for at once.
    package var notBefore: Instant?

    /// Why it is to be given up as soon as its turn comes; nil for records that are tried.
    package var doom: DeadLetterReason?

    /// Records that were not tried yet.
    package init(runs: [Run]) {
        self.runs = runs
        self.attempts = 0
        self.history = []
        self.invocation = ""
    }

    /// Other records, with no attempt.
    package mutating func startOver(with runs: [Run]) {
        self.runs = runs
        self.attempts = 0
        self.history = []
    }

    /// How many records.
    package var count: Int { self.runs.reduce(0) { $0 + $1.count } }

    /// Bytes of the records' events.
    var bytes: Int { self.runs.reduce(0) { $0 + $1.bytes } }

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
        self.history.append(
            Attempt(
                at: report.at,
                duration: report.duration,
                failure: failure,
                executedVersion: report.executedVersion
            )
        )
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
    /// What is to be kept of its result before any of its records is settled; nil for nothing.
    package var record: InvocationRecord?
    /// The state that the function answered, in a tumbling window: one JSON object; nil for none.
    package var state: [UInt8]?
    /// The version of the function that ran, in AWS Lambda's words; nil where none is known.
    package var executedVersion: String?

    /// A report.
    package init(id: String, at: Timestamp, duration: Duration, record: InvocationRecord? = nil) {
        self.id = id
        self.at = at
        self.duration = duration
        self.record = record
    }
}

/// Names a lane of a trigger.
struct LaneID: Hashable {
    /// The partition of its records.
    var partition: PartitionID
    /// 0 for the lane that takes all records of its partition.
    var number: UInt32

    func hash(into hasher: inout Hasher) {
        hasher.combine(UInt64(self.partition.rawValue) << 32 | UInt64(self.number))
    }
}

/// A sub-stream in which order is kept: one batch in flight, retries before newer records.
///
/// Pure data, which ``TriggerEngine`` owns and moves; a class, so that changing one in its table copies nothing. With
/// `ordering: partition` each partition is one lane. With `key` it has many, and a key is always in the same one. With
/// `none` one lane takes what arrives and is never in flight: each batch of its records becomes a lane of its own, and
/// ends with it.
final class Lane {
    /// Can go to `inFlight` when a batch takes its records, and to `deadLettering` when its head expired.
    ///
    /// `inFlight` can go to `idle` on success or throttling, to `waiting` when the policy says retry, to `deadLettering`
    /// when it gives up. `waiting` can go to `idle` when its time has come. `deadLettering` can go to `idle` when the
    /// letters are durable, to `blocked` when the destination refused; `blocked` goes back to `deadLettering`.
    ///
    /// Where results are kept, `inFlight` goes to `reporting` first, and from there on when the result is durable;
    /// `refused` is to `reporting` what `blocked` is to `deadLettering`.
    enum State: Equatable {
        case idle
        case inFlight(BatchID)
        case waiting(until: Instant)
        case deadLettering(DeadLetterTicketID)
        case blocked(DeadLetterTicketID, until: Instant)
        case reporting(ResultTicketID)
        case refused(ResultTicketID, until: Instant)
    }

    let id: LaneID
    var state = State.idle

    /// Since when it does not advance; nil while it does.
    var blockedSince: Timestamp?

    /// Records that were tried, oldest first; each parcel is a batch of its own.
    var retries = Deque<Parcel>()

    /// Records that were not tried, oldest first.
    var fresh = Deque<Run>()
    var freshCount = 0
    var freshBytes = 0

    /// The final call of a window, when it is due: after what is tried again, before fresh records.
    var final: FinalCall?

    /// Whether the lane stands in one of the engine's queues of lanes with something to do.
    var isQueued = false

    init(_ id: LaneID) {
        self.id = id
    }

    var isEmpty: Bool { self.retries.isEmpty && self.fresh.isEmpty }

    /// Whether untried records are next.
    var isFresh: Bool { self.retries.isEmpty && self.final == nil }

    /// Whether it waits for something that may take long, while records pile up in it.
    var isParked: Bool {
        switch self.state {
        case .waiting, .deadLettering, .blocked, .refused: true
        case .idle, .inFlight, .reporting: false
        }
    }

    /// The records that are not in flight, and the bytes of their events.
    var held: Load {
        self.retries.reduce(Load(records: self.freshCount, bytes: self.freshBytes)) { sum, parcel in
            Load(records: sum.records + parcel.count, bytes: sum.bytes + parcel.bytes)
        }
    }

    func append(_ run: Run) {
        self.fresh.append(run)
        self.freshCount += run.count
        self.freshBytes += run.bytes
    }

    /// Puts untried records back in front, as after throttling.
    func putBack(_ runs: [Run]) {
        for run in runs.reversed() {
            self.fresh.prepend(run)
            self.freshCount += run.count
            self.freshBytes += run.bytes
        }
    }

    /// Takes untried records up to a number and a number of bytes (each record counts one more byte, its separator), and
    /// up to the end of a window.
    func takeFresh(count: Int, bytes: Int, before edge: WindowEdge? = nil) -> [Run] {
        var taken: [Run] = []
        var missing = count
        var room = bytes
        while missing > 0, self.fresh.first?.isFiltered == false, var run = self.fresh.popFirst() {
            var fitting = min(edge?.count(of: run) ?? run.count, missing)
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

    /// Takes the records at the head that no filter matched; nil when the head is for the function.
    func takeFiltered() -> Run? {
        guard self.fresh.first?.isFiltered == true, let run = self.fresh.popFirst() else { return nil }
        self.freshCount -= run.count
        self.freshBytes -= run.bytes
        return run
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

    /// Takes everything that is not in flight, in order.
    func clear() -> [Run] {
        defer {
            self.fresh.removeAll()
            self.retries.removeAll()
            self.final = nil
            self.freshCount = 0
            self.freshBytes = 0
        }
        return self.retries.flatMap(\.runs) + self.fresh
    }
}

/// A number of records, and the bytes of their events.
struct Load: Equatable {
    var records = 0
    var bytes = 0

    static func += (lhs: inout Load, rhs: Load) {
        lhs.records += rhs.records
        lhs.bytes += rhs.bytes
    }

    static func -= (lhs: inout Load, rhs: Load) {
        lhs.records -= rhs.records
        lhs.bytes -= rhs.bytes
    }
}

/// A partition as the engine owns it.
final class OwnedPartition {
    let partition: Partition
    var watermark: Watermark

    /// Its tumbling windows, where there are any.
    var window: PartitionWindow

    /// Whether nothing else comes in it: a window ends with what is in hand.
    var isReadOut = false

    /// Set while the partition is given up: nothing new is started.
    var revocation: RevocationKey?

    /// Lanes that are not idle.
    var busy = 0

    /// What lanes hold that are parked.
    var parked = Load()

    /// When the last invocation with its records ended; its assignment before.
    var windowOpenedAt: Instant

    init(_ partition: Partition, at now: Instant) {
        self.partition = partition
        self.watermark = Watermark(position: partition.kept?.position)
        self.window = PartitionWindow(partition.kept, at: now)
        self.windowOpenedAt = now
    }
    /// Up to here upstream may be told that all is settled: not beyond the beginning of an open window.
    var acknowledgeable: Position? {
        self.window.open == nil ? self.watermark.position : self.window.closed
    }
}
