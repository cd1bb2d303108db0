// SPDX-License-Identifier: Apache-2.0

/// What a trigger's configuration tells of its tumbling windows (esm-spec 3.2).
package struct TumblingPolicy: Sendable, Equatable {
    /// How long a window is.
    package var length: Duration

    /// How long to wait, after a window's end and after the last record, for records that are on their way.
    package var grace: Duration

    /// The same where upstream seems to have more: its last offset may be that of no record, so this ends, too.
    var patience: Duration { self.grace * 15 }

    /// Bytes of a state with which a window goes on; a larger one ends it early.
    package var stateBytesMax: Int

    /// Windows of this length.
    package init(length: Duration, grace: Duration = .seconds(2), stateBytesMax: Int = 1 << 20) {
        self.length = length
        self.grace = grace
        self.stateBytesMax = stateBytesMax
    }
}

/// A stretch of time: from its start on, up to its end and without it.
package struct WindowSpan: Sendable, Hashable {
    /// When it begins.
    package var start: Timestamp
    /// When it is over.
    package var end: Timestamp

    /// The span that holds a time, of those of this length which begin at the Unix epoch and follow each other.
    ///
    /// - Parameters:
    ///   - time: any time.
    ///   - length: at least a millisecond.
    package init(holding time: Timestamp, length: Duration) {
        let length = max(1, length.wholeMilliseconds)
        let past = time.milliseconds % length
        let start = time.milliseconds - (past < 0 ? past + length : past)
        self.start = Timestamp(milliseconds: start)
        self.end = Timestamp(milliseconds: start + length)
    }

    /// The span between two times.
    package init(start: Timestamp, end: Timestamp) {
        self.start = start
        self.end = end
    }
}

/// A window under way in a partition.
package struct OpenWindow: Sendable, Hashable {
    /// The time whose records it gathers.
    package var span: WindowSpan
    /// What the function answered last: one JSON object.
    package var state: [UInt8]
    /// Whether it ends before its time, because its state has become too large.
    package var isEndingEarly: Bool

    /// A window without records.
    package init(_ span: WindowSpan) {
        self.span = span
        self.state = Self.noState
        self.isEndingEarly = false
    }

    private static let noState = Array("{}".utf8)
}

/// How far a partition has come in its windows, as it is kept beside the position that upstream may be told.
package struct KeptWindow: Sendable, Hashable {
    /// All up to and including it is settled, and counted in the state.
    package var position: Position
    /// What upstream may be told: all before the open window.
    package var closed: Position
    /// Records of an earlier time count as of this one; nil before the first window has ended.
    package var floor: Timestamp?
    /// The window that is open; nil for none.
    package var open: OpenWindow?

    /// A partition between two windows.
    package init(position: Position, closed: Position) {
        self.position = position
        self.closed = closed
    }
}

/// What a function is told of the window of a batch.
package struct BatchWindow: Sendable {
    /// The partition of its records.
    package var partition: Partition
    /// The window.
    package var open: OpenWindow
    /// Whether this is the call at its end, which has no records.
    package var isFinal: Bool
    /// The last position settled before the call; nil for none.
    ///
    /// Tells ends of windows of the same time apart.
    package var settled: Position?

    /// A window as a call is told of it.
    package init(partition: Partition, open: OpenWindow, isFinal: Bool = false, settled: Position? = nil) {
        self.partition = partition
        self.open = open
        self.isFinal = isFinal
        self.settled = settled
    }
}

extension BatchWindow {
    /// The members that a window adds to an event (esm-spec 3.2), with the comma before them.
    ///
    /// - Parameters:
    ///   - shard: `shardId`, a JSON string with its quotes.
    ///   - source: `eventSourceARN`, a JSON string with its quotes.
    /// - Returns: What stands before the state, and what behind it.
    package func members(shard: [UInt8], source: [UInt8]) -> (before: [UInt8], after: [UInt8]) {
        let span = self.open.span
        let before =
            ",\"window\":{\"start\":\"\(span.start.configurationText)\",\"end\":\"\(span.end.configurationText)\"},\"state\":"
        let isEarly = self.isFinal && self.open.isEndingEarly
        let flags = ",\"isFinalInvokeForWindow\":\(self.isFinal),\"isWindowTerminatedEarly\":\(isEarly)"
        var after = Array(",\"shardId\":".utf8) + shard
        after += Array(",\"eventSourceARN\":".utf8) + source
        return (Array(before.utf8), after + Array(flags.utf8))
    }
}

/// Where a window ends among the records of a partition, as seen at one moment.
struct WindowEdge {
    /// The end of the window.
    let end: Timestamp
    /// The wall clock.
    let now: Timestamp

    /// The time that a record counts with: its own, but never a later one than now.
    ///
    /// So a clock that is wrong upstream ends no window before its time. A record without a time counts with now.
    static func time(of record: Timestamp, now: Timestamp) -> Timestamp {
        record.milliseconds > 0 ? min(record, now) : now
    }

    /// Whether a record of this time is of a later window.
    ///
    /// One of an earlier window is not: it came late, and counts in the window that is open.
    func isBehind(_ record: Timestamp) -> Bool { Self.time(of: record, now: self.now) >= self.end }

    /// How many records at the start of a run are not of a later window.
    func count(of run: Run) -> Int {
        guard self.now >= self.end else { return run.count }
        let entries = run.admitted.block.entries
        let indices = run.indices
        return indices.firstIndex { self.isBehind(entries[$0].timestamp) }.map { $0 - indices.startIndex }
            ?? run.count
    }
}

/// The call at the end of a window, from the moment that it is due.
struct FinalCall {
    /// Failed attempts.
    var attempts = 0
}

/// The windows of one partition.
///
/// At most one is open. Upstream is told only of what lies before it: who takes the partition over without its state begins
/// at the window's first record. Who has it goes on with it (``KeptWindow``).
struct PartitionWindow {
    /// The window under way; nil between windows.
    var open: OpenWindow?

    /// The last position settled before the open window; nil for none.
    var closed: Position?

    /// Records of an earlier time count as of this one: a window that is over is not opened again.
    var floor: Timestamp?

    /// Since when nothing has arrived although it could have.
    var quietSince: Instant

    /// The windows of a partition, which go on from what was kept.
    init(_ kept: KeptWindow?, at now: Instant) {
        self.quietSince = now
        self.open = kept?.open
        self.closed = kept?.closed
        self.floor = kept?.floor
    }

    /// What is kept of them: all up to `position` is settled, and upstream may be told `closed`.
    func kept(_ position: Position, closed: Position) -> KeptWindow {
        var kept = KeptWindow(position: position, closed: closed)
        kept.floor = self.floor
        kept.open = self.open
        return kept
    }

    /// The window that a record goes to when none is open.
    func next(for record: Timestamp, now: Timestamp, length: Duration) -> OpenWindow {
        let time = WindowEdge.time(of: record, now: now)
        return OpenWindow(WindowSpan(holding: max(time, self.floor ?? time), length: length))
    }

    /// Begins a window behind a settled position.
    mutating func begin(_ window: OpenWindow, behind position: Position?) {
        self.open = window
        self.closed = position ?? self.closed
    }

    /// The function dealt with some of the window's records, and answered this state.
    mutating func keep(_ state: [UInt8], limit: Int) {
        self.open?.state = state
        if state.count > limit { self.open?.isEndingEarly = true }
    }

    /// The final call succeeded.
    mutating func end() {
        guard let open = self.open.take() else { return }
        // One that ended early goes on as another one of the same time.
        self.floor = open.isEndingEarly ? open.span.start : open.span.end
    }
}
