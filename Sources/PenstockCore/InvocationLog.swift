// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// The latest invocations of a trigger, for who asks what became of a record.
///
/// Bounded in number and memory. What succeeded, what failed and what found no room are kept apart, so that many successes
/// do not drive out the few failures that somebody asks about, nor hours without room what was tried before them. The work
/// is per batch: a stretch of neighbouring positions is two numbers; only where positions have holes, as in batches by key,
/// are four bytes kept of each.
package struct InvocationLog: Sendable {
    /// Invocations of each sort that are kept at most.
    package static let invocationsMax = 1024
    /// Memory that each sort takes at most, about.
    package static let bytesMax = 256 << 10
    /// Of invocations that found no room, the latest: so many, and so much memory.
    package static let throttlesMax = 128
    /// Memory that invocations without room take at most, about.
    package static let throttleBytesMax = 64 << 10

    /// The records of one partition in a batch.
    package struct Stretch: Sendable, Equatable {
        /// The upstream's name of the partition.
        package let partition: String
        /// The lowest and the highest position; there may be records between them that are not in the batch.
        package let positions: ClosedRange<Position>
        /// How many records.
        package let count: Int
        /// Where the first of them stands in the batch.
        let start: Int
        /// The low bits of each position, in the order of the batch; empty when they are neighbours in order.
        let lowBits: [UInt32]

        /// About what it takes.
        fileprivate var bytes: Int { 96 + 4 * self.lowBits.count }

        /// The place of a record in the batch; nil when it is not in it.
        func place(of position: Position) -> Int? {
            guard self.positions.contains(position) else { return nil }
            if !self.lowBits.isEmpty {
                return self.lowBits.firstIndex(of: position.lowBits).map { self.start + $0 }
            }
            guard let offset = position.offset, let first = self.positions.lowerBound.offset else {
                return nil
            }
            return self.start + Int(offset - first)
        }
    }

    /// An invocation that a record was part of.
    package struct Mention: Sendable, Equatable {
        /// The request id.
        package var id: String
        /// When it began.
        package var at: Timestamp
        /// The number of the attempt, from 1.
        package var attempt: Int
        /// Its records, by partition.
        package var batch: [Stretch]
        /// How long it took; nil while it is under way.
        package var duration: Duration?
        /// What came of this record; nil while it is under way.
        package var word: Word?
        /// Why, unless it succeeded.
        package var failure: Failure?
    }

    /// What came of one record of an invocation.
    package enum Word: String, Sendable {
        /// The function dealt with it.
        case succeeded
        /// It, or its whole batch, failed.
        case failed
        /// The function refused it for good.
        case poison
        /// The function had no room, or could not be reached: nothing was tried.
        case throttled
        /// Nobody wanted it any more.
        case cancelled
    }

    /// The records of a batch, which are of one partition most of the time, and need no list then.
    private struct Stretches: Sendable {
        var first: Stretch?
        var others: [Stretch] = []

        mutating func append(_ stretch: Stretch) {
            if self.first == nil { self.first = stretch } else { self.others.append(stretch) }
        }

        var all: [Stretch] { self.first.map { [$0] + self.others } ?? [] }

        /// About what they take.
        var bytes: Int {
            self.others.reduce(self.first?.bytes ?? 0) { $0 + $1.bytes }
        }
    }

    private struct Entry: Sendable {
        var id: String
        var at: Timestamp
        var attempt: Int
        var stretches: Stretches
        var end: (duration: Duration, verdict: BatchVerdict)?

        /// About what it takes.
        var bytes: Int {
            256 + self.stretches.bytes + (self.end?.verdict.bytes ?? 0)
        }

        func mention(of partition: String, _ position: Position) -> Mention? {
            for stretch in self.stretches.all where stretch.partition == partition {
                guard let place = stretch.place(of: position) else { continue }
                let (word, failure) = self.end?.verdict.word(at: place) ?? (nil, nil)
                return Mention(
                    id: self.id,
                    at: self.at,
                    attempt: self.attempt,
                    batch: self.stretches.all,
                    duration: self.end?.duration,
                    word: word,
                    failure: failure
                )
            }
            return nil
        }
    }

    private struct Ring: Sendable {
        var countMax = InvocationLog.invocationsMax
        var bytesMax = InvocationLog.bytesMax
        var entries = Deque<Entry>()
        var bytes = 0
        /// When the latest one began that was dropped.
        var forgotten: Timestamp?

        mutating func append(_ entry: Entry) {
            self.entries.append(entry)
            self.bytes += entry.bytes
            while self.entries.count > self.countMax || self.bytes > self.bytesMax,
                let oldest = self.entries.popFirst()
            {
                self.bytes -= oldest.bytes
                self.forgotten = max(self.forgotten ?? oldest.at, oldest.at)
            }
        }
    }

    private var underWay: [BatchID: Entry] = [:]
    private var succeeded = Ring()
    private var failed = Ring()
    private var throttled = Ring(countMax: Self.throttlesMax, bytesMax: Self.throttleBytesMax)

    /// A log without invocations.
    package init() {}

    /// An invocation begins.
    package mutating func begin(_ batch: Batch, id: String, at: Timestamp) {
        self.underWay[batch.id] = Entry(
            id: id,
            at: at,
            attempt: batch.attempt,
            stretches: Self.stretches(of: batch)
        )
    }

    /// It ended.
    package mutating func end(_ id: BatchID, verdict: BatchVerdict, duration: Duration) {
        guard var entry = self.underWay.removeValue(forKey: id) else { return }
        entry.end = (duration, verdict)
        switch verdict {
        case .succeeded: self.succeeded.append(entry)
        case .throttled: self.throttled.append(entry)
        case .failed, .partial, .poison, .cancelled: self.failed.append(entry)
        }
    }

    /// Forgets what is under way: its pipeline ended, and nothing more comes.
    package mutating func abandon() { self.underWay = [:] }

    /// The invocations that a record was part of, as far as they are kept, oldest first.
    package func mentions(of partition: String, _ position: Position) -> [Mention] {
        var found: [Mention] = []
        for entries in [self.failed.entries, self.succeeded.entries, self.throttled.entries] {
            found += entries.compactMap { $0.mention(of: partition, position) }
        }
        found += self.underWay.values.compactMap { $0.mention(of: partition, position) }
        return found.sorted { ($0.at, $0.attempt) < ($1.at, $1.attempt) }
    }

    /// When the latest invocation began that is not kept any more; nil while all are.
    ///
    /// Those without room do not count: nothing was tried.
    package var forgotten: Timestamp? {
        [self.succeeded.forgotten, self.failed.forgotten].compactMap(\.self).max()
    }

    // MARK: - Stretches

    private static func stretches(of batch: Batch) -> Stretches {
        var stretches = Stretches()
        var (index, start) = (0, 0)
        while index < batch.runs.count {
            let partition = batch.runs[index].partition
            var end = index + 1
            while end < batch.runs.count, batch.runs[end].partition.id == partition.id { end += 1 }
            let stretch = Self.stretch(batch.runs[index..<end], of: partition, start: start)
            stretches.append(stretch)
            start += stretch.count
            index = end
        }
        return stretches
    }

    private static func stretch(_ runs: ArraySlice<Run>, of partition: Partition, start: Int) -> Stretch {
        let count = runs.reduce(0) { $0 + $1.count }
        if let positions = Self.neighbours(runs) {
            return Stretch(
                partition: partition.name,
                positions: positions,
                count: count,
                start: start,
                lowBits: []
            )
        }
        var lowBits: [UInt32] = []
        lowBits.reserveCapacity(count)
        var low = runs.first?.firstPosition ?? Position(0)
        var high = low
        for run in runs {
            let entries = run.admitted.block.entries
            for index in run.indices {
                let position = entries[index].position
                low = min(low, position)
                high = max(high, position)
                lowBits.append(position.lowBits)
            }
        }
        return Stretch(
            partition: partition.name,
            positions: low...high,
            count: count,
            start: start,
            lowBits: lowBits
        )
    }

    /// The positions of runs that follow each other without a hole, without a look at single records.
    private static func neighbours(_ runs: ArraySlice<Run>) -> ClosedRange<Position>? {
        var last: UInt64?
        for run in runs {
            let isInOrder = run.admitted.order == nil && run.admitted.block.lease == nil
            guard isInOrder || run.count == 1, let first = run.firstPosition.offset,
                let end = run.lastPosition.offset, end >= first, end - first == UInt64(run.count - 1),
                last.map({ $0 &+ 1 == first }) ?? true
            else { return nil }
            last = end
        }
        guard let first = runs.first?.firstPosition, let end = runs.last?.lastPosition else { return nil }
        return first...end
    }
}

extension Position {
    /// Tells a position from its neighbours: from others within four billion exactly, from any others as a hash does.
    fileprivate var lowBits: UInt32 { UInt32(truncatingIfNeeded: self.low) }
}

extension BatchVerdict {
    /// What came of the record at a place of the batch, and why.
    fileprivate func word(at place: Int) -> (InvocationLog.Word?, Failure?) {
        switch self {
        case .succeeded: return (.succeeded, nil)
        case .failed(let failure): return (.failed, failure)
        case .poison(let failure): return (.poison, failure)
        case .throttled(_, let failure): return (.throttled, failure)
        case .cancelled(let failure): return (.cancelled, failure)
        case .partial(let verdicts, let failure):
            guard place < verdicts.count else { return (nil, nil) }
            switch verdicts[place] {
            case .succeeded: return (.succeeded, nil)
            case .failed: return (.failed, failure)
            case .poison: return (.poison, failure)
            }
        }
    }

    /// About what it takes beside itself.
    fileprivate var bytes: Int {
        switch self {
        case .succeeded: 0
        case .failed(let failure), .poison(let failure), .throttled(_, let failure), .cancelled(let failure):
            failure.bytes
        case .partial(let verdicts, let failure): verdicts.count + failure.bytes
        }
    }
}

extension Failure {
    fileprivate var bytes: Int { self.type.utf8.count + self.message.utf8.count }
}
