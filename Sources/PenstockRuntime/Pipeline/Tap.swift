// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
import PenstockFilters
package import Reactor
import Synchronization

/// A live view of the records that a trigger receives, as one reader sees it.
///
/// A reader that is slow never slows the trigger: records beyond a few hundred, or a few megabytes, that wait for it are
/// left out and counted, and so are those beyond ``rateMax`` a second.
package final class Tap: Sendable {
    /// Which records.
    package enum Kind: Sendable {
        /// Those that the function gets.
        case passing
        /// Those that no filter matched.
        case filtered
    }

    /// A record, copied.
    package struct Entry: Sendable {
        /// The record, as a dead letter would keep it.
        package var record: DeadLetter
        /// When it was received.
        package var receivedAt: Timestamp
    }

    /// What has come since the last call.
    package struct News: Sendable {
        /// The records.
        package var entries: [Entry] = []
        /// Records left out since the last call.
        package var skipped = 0
        /// Whether nothing more comes: the trigger has ended, or the tap was closed.
        package var isEnded = false
    }

    /// Records a second at most.
    package static let rateMax = 1000
    private static let waitingMax = 256
    private static let waitingBytesMax = 4 << 20

    private enum Event: Sendable {
        case record(Entry)
        case tick
    }

    private struct State {
        var waiting = 0
        var waitingBytes = 0
        var skipped = 0
        var second: Int64 = 0
        var inSecond = 0
        var isTicking = false
    }

    /// Which records.
    package let kind: Kind

    private let loop: any EventLoop
    private let explain: @Sendable (DeadLetter) -> [FilterMiss]
    private let mailbox = Mailbox<Event>()
    private let state = Mutex(State())

    /// A tap; `explain` tells why a record passes no filter.
    package init(
        _ kind: Kind,
        loop: any EventLoop,
        explain: @escaping @Sendable (DeadLetter) -> [FilterMiss] = { _ in [] }
    ) {
        self.kind = kind
        self.loop = loop
        self.explain = explain
    }

    /// Why a record passes no filter; empty for one that passes.
    package func misses(of entry: Entry) -> [FilterMiss] {
        self.kind == .filtered ? self.explain(entry.record) : []
    }

    /// Waits for records, for a few seconds at most.
    package func next() async -> News {
        let starts = self.state.withLock { state in
            defer { state.isTicking = true }
            return !state.isTicking
        }
        if starts {
            self.loop.submit {
                _ = self.loop.schedule(at: self.loop.now + .seconds(5)) {
                    self.state.withLock { $0.isTicking = false }
                    self.mailbox.put(.tick)
                }
            }
        }
        let events = await self.mailbox.takeAll()
        let entries = events.compactMap { event -> Entry? in
            if case .record(let entry) = event { entry } else { nil }
        }
        let bytes = entries.reduce(0) { $0 + Self.size(of: $1.record) }
        return self.state.withLock { state in
            state.waiting -= entries.count
            state.waitingBytes -= bytes
            defer { state.skipped = 0 }
            return News(entries: entries, skipped: state.skipped, isEnded: events.isEmpty)
        }
    }

    /// Nothing more comes.
    ///
    /// Idempotent; any thread.
    package func close() { self.mailbox.close() }

    private static func size(of record: DeadLetter) -> Int {
        (record.key?.count ?? 0) + (record.body?.count ?? 0)
    }

    /// Copies as many of these records as the reader may get.
    func offer(_ block: RecordBlock, _ ranges: [Range<Int>], trigger: String, at time: Timestamp) {
        var left = ranges.reduce(0) { $0 + $1.count }
        for index in ranges.joined() {
            let size = unsafe (block.key(at: index)?.count ?? 0) + (block.body(at: index)?.count ?? 0)
            guard self.takesOne(size, at: time, orSkips: left) else { return }
            left -= 1
            let verdict = DeadLetterVerdict(
                trigger: trigger,
                function: "",
                reason: .filtered,
                at: time,
                attempts: [],
                attemptCount: 0,
                invocation: ""
            )
            let record = DeadLetter(block: block, index: index, verdict: verdict)
            self.mailbox.put(.record(Entry(record: record, receivedAt: time)))
        }
    }

    /// Makes room for a record; counts all that are left as skipped when there is none.
    private func takesOne(_ size: Int, at time: Timestamp, orSkips left: Int) -> Bool {
        self.state.withLock { state in
            let second = time.milliseconds / 1000
            if state.second != second { (state.second, state.inSecond) = (second, 0) }
            guard state.waiting < Self.waitingMax, state.inSecond < Self.rateMax,
                state.waitingBytes + size <= Self.waitingBytesMax
            else {
                state.skipped += left
                return false
            }
            state.waiting += 1
            state.waitingBytes += size
            state.inSecond += 1
            return true
        }
    }
}

/// The taps of a trigger; while there is none, a block of records costs one look.
final class TapBoard: Sendable {
    private let taps = Mutex<[Tap]>([])
    private let isUsed = Atomic(false)

    /// Whether anybody listens.
    var isListening: Bool { self.isUsed.load(ordering: .relaxed) }

    func add(_ tap: Tap) {
        self.change { $0.append(tap) }
    }

    func remove(_ tap: Tap) {
        self.change { $0.removeAll { $0 === tap } }
    }

    /// Ends all taps.
    func close() {
        for tap in self.taps.withLock({ $0 }) { tap.close() }
        self.change { $0 = [] }
    }

    private func change(_ body: (inout [Tap]) -> Void) {
        self.taps.withLock { taps in
            body(&taps)
            self.isUsed.store(!taps.isEmpty, ordering: .relaxed)
        }
    }

    /// Shows records that were received; `passing` are those that a filter matched.
    func show(_ block: RecordBlock, passing: [Range<Int>], trigger: String, at time: Timestamp) {
        var others: [Range<Int>] = []
        var end = 0
        for range in passing + [block.count..<block.count] {
            if end < range.lowerBound { others.append(end..<range.lowerBound) }
            end = range.upperBound
        }
        for tap in self.taps.withLock({ $0 }) {
            tap.offer(block, tap.kind == .passing ? passing : others, trigger: trigger, at: time)
        }
    }
}

extension Pipeline {
    /// Shows what was received to those who listen.
    func show(_ block: RecordBlock) {
        if self.tapFilter == nil { self.tapFilter = self.parts.filter?.make() }
        let passing = self.tapFilter?.select(block) ?? [0..<block.count]
        self.taps.show(block, passing: passing, trigger: self.parts.name, at: self.loop.wallNow)
    }
}
