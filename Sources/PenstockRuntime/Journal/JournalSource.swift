// SPDX-License-Identifier: Apache-2.0

import DequeModule
package import PenstockCore
package import PenstockStore
package import Reactor
import Synchronization

/// A journal as a source (contract rule 9): an event is in the store before it counts as received, and stays there until
/// it is settled.
///
/// A cursor over one partition: its positions are those of the journal, a commit removes what is settled. While the store
/// refuses, it is disconnected and tries again; nothing that came due meanwhile is lost.
package final class JournalSource: FiringSource {
    private struct State {
        var budget = ReceiveBudget.none
        /// What was received and is not in the store yet.
        var intake: JournalIntake?
        /// Whether the store may have it nevertheless: it failed, and perhaps in its answer alone.
        var isUncertain = false
        /// What was handed out and is not settled, in order; only for feeds that want to know.
        var handedOut: Deque<TimedEntry> = []
        /// Keys, by position, of those that are done already: only what stands before them is not.
        var done: [UInt64: String] = [:]
        /// The last position handed out.
        var position: UInt64 = 0
        /// Where what was handed out at once ends, and how many entries it had; of what is not settled.
        var pages: Deque<(end: UInt64, count: Int)> = []
        /// Whether the journal may hold more behind it.
        var hasMore = true
        /// Entries that are not settled.
        var waiting = 0
        /// Positions of entries whose place a later one took.
        var overtaken: Set<UInt64> = []
        /// Whether entries came since they were looked up.
        var mayOvertake = true
        /// Whether it is not sure any more how many entries wait, and which.
        var mustRecount = false
        /// Commits that are being carried out, and how many have begun.
        var removing = 0
        var removals = 0
        /// Whether nothing is left in the store of a feed that is over.
        var isForgotten = false
        var hasStarted = false
        var isAssigned = false
        var status: SourceStatus?
        var committed: Position?
        var isClosed = false
        /// Something happened since the last look.
        var isSignalled = false
        var pause: LoopPause?
    }

    private let journal: String
    private let partition: Partition
    private let store: any JournalStore
    private let feed: any JournalFeed
    private let loop: any EventLoop
    private let state = Mutex(State())

    package let format: any EventFormat

    /// Entries that are read at once.
    private static let pageMax = 1024
    /// About so many settled entries are removed in one write: what fires next must not wait behind thousands.
    private static let removalMax = 256
    /// Intakes before what is in the journal is handed out.
    private static let roundsMax = 16
    /// A wall clock that was set is noticed within this time.
    private static let pauseMax = Duration.seconds(1)

    /// A source over the journal of a trigger, which `feed` fills.
    package init(
        journal: String,
        partition: Partition,
        format: any EventFormat,
        store: any JournalStore,
        feed: any JournalFeed,
        loop: any EventLoop
    ) {
        self.journal = journal
        self.partition = partition
        self.format = format
        self.store = store
        self.feed = feed
        self.loop = loop
    }

    package func start(checkpoints: [String: Position]) async throws(SourceError) {
        let committed = checkpoints[self.partition.name]
        let position = committed?.offset ?? 0
        do {
            // Settled before a crash that came between the checkpoint and the removal.
            try await self.store.removeEntries(of: self.journal, through: position)
            let waiting = try await self.store.countEntries(of: self.journal)
            var past = JournalPast(mark: try await self.store.mark(of: self.journal))
            if self.feed.needs.contains(.members) {
                past.members = try await self.store.members(of: self.journal)
            }
            if self.feed.needs.contains(.waiting) {
                past.waiting = try await self.store.entryKeys(of: self.journal)
            }
            self.feed.begin(past, now: self.loop.wallNow)
            self.state.withLock { state in
                state.position = position
                state.committed = committed
                state.waiting = waiting
                state.hasStarted = true
            }
        } catch {
            throw SourceError(.unreachable, error.detail)
        }
    }

    package func grant(_ budget: ReceiveBudget) {
        self.signal { $0.budget = budget }
    }

    package func receive() async throws(SourceError) -> [SourceEvent] {
        while !Task.isCancelled, !self.state.withLock({ $0.isClosed }) {
            var events: [SourceEvent] = []
            if self.state.withLock({ !$0.isAssigned }) {
                self.state.withLock { $0.isAssigned = true }
                events.append(.assigned([self.partition]))
            }
            let (new, isRefused) = await self.look()
            events += new
            if !events.isEmpty { return events }
            await self.wait(isRefused: isRefused)
        }
        return []
    }

    package func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition] {
        let own = positions.filter { $0.partition == self.partition.id }
        guard let position = own.last?.position else { return [] }
        self.state.withLock { state in
            state.removing += 1
            state.removals += 1
        }
        defer { self.state.withLock { $0.removing -= 1 } }
        do {
            for end in self.removals(through: position.offset ?? 0) {
                let count = try await self.store.removeEntries(of: self.journal, through: end)
                self.state.withLock { $0.waiting -= count }
            }
            let settled = self.state.withLock { state -> [String] in
                state.committed = position
                var keys: [String] = []
                while let first = state.handedOut.first, first.position <= position.offset ?? 0 {
                    if state.done.removeValue(forKey: first.position) == nil { keys.append(first.key) }
                    state.handedOut.removeFirst()
                }
                return keys
            }
            if !settled.isEmpty { self.feed.settled(settled) }
            return own
        } catch {
            // They may have been removed nevertheless.
            self.signal { $0.mustRecount = true }
            throw SourceError(.unreachable, error.detail)
        }
    }

    /// The ends of the parts in which settled entries are removed; the last is the position itself.
    private func removals(through position: UInt64) -> [UInt64] {
        self.state.withLock { state in
            var ends: [UInt64] = []
            var count = 0
            while let page = state.pages.first, page.end <= position {
                state.pages.removeFirst()
                count += page.count
                guard count >= Self.removalMax else { continue }
                ends.append(page.end)
                count = 0
            }
            if ends.last != position { ends.append(position) }
            return ends
        }
    }

    package func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {}

    package func lag() -> [PartitionLag] {
        let (committed, waiting) = self.state.withLock { ($0.committed, $0.waiting) }
        return [PartitionLag(partition: self.partition.name, committed: committed, records: Int64(waiting))]
    }

    package func run() async {
        await self.feed.run { self.signal { _ in } }
    }

    package func stop() async {
        self.feed.stop()
        self.signal { $0.isClosed = true }
    }

    package var next: Timestamp? {
        self.state.withLock { $0.hasStarted } ? self.feed.next() : nil
    }

    package func next(of member: String) -> Timestamp? {
        self.state.withLock { $0.hasStarted } ? self.feed.next(of: member) : nil
    }

    package func fire(
        _ order: FireOrder,
        of member: String?
    ) async throws(StoreError) -> FireReceipt? {
        guard self.state.withLock({ $0.hasStarted && !$0.isClosed }),
            let ordered = self.feed.ordered(order, of: member, now: self.loop.wallNow)
        else { return nil }
        var write = JournalWrite(entries: ordered.entries, fires: ordered.fires)
        write.firesKept = self.feed.firesKept
        let fired: Int
        do {
            fired = try await self.store.append(write, to: self.journal)
        } catch {
            // It may have been kept nevertheless.
            self.signal { state in
                state.mustRecount = true
                state.hasMore = true
                state.isForgotten = false
            }
            throw error
        }
        self.signal { state in
            state.waiting += fired
            state.isForgotten = false
            state.mustRecount = state.mustRecount || fired > 0
            state.hasMore = state.hasMore || fired > 0
        }
        return FireReceipt(keys: ordered.entries.map(\.key), fired: fired, rest: ordered.rest)
    }

    package func note(
        _ outcome: ScheduleFire.Outcome,
        of keys: [[UInt8]]
    ) async throws(StoreError) {
        let keys = keys.map { String(decoding: $0, as: UTF8.self) }
        try await self.store.note(outcome, of: keys, in: self.journal)
    }

    package var hearsOfDone: Bool { self.feed.needs.contains(.waiting) }

    package func done(_ positions: [Position]) {
        self.state.withLock { state in
            var keys: [String] = []
            for offset in positions.compactMap(\.offset) where state.done[offset] == nil {
                guard let place = state.handedOut.place(of: offset) else { continue }
                state.done[offset] = state.handedOut[place].key
                keys.append(state.handedOut[place].key)
            }
            if !keys.isEmpty { self.feed.settled(keys) }
        }
    }

    package var overtakes: Bool { self.feed.overtakes }

    package func isOvertaken(_ position: Position) -> Bool {
        guard let offset = position.offset else { return false }
        return self.state.withLock { $0.overtaken.contains(offset) }
    }

    // MARK: - Looking

    /// Takes in what is due and hands out what may be handed out.
    private func look() async -> (events: [SourceEvent], isRefused: Bool) {
        var events: [SourceEvent] = []
        do {
            // What comes without a break must not keep what came before it from being handed out.
            var rounds = self.feed.overtakes ? Int.max : Self.roundsMax
            while rounds > 0, let gap = try await self.takeIn() {
                if let gap { events.append(.gap(SourceGap(partition: self.partition.name, detail: gap))) }
                rounds -= 1
                // Nor is more put there before; what overtakes must have come first.
                let isReady = self.state.withLock { $0.hasMore && self.allowance($0.budget) > 0 }
                if isReady, !self.feed.overtakes { break }
            }
            if rounds == 0 { self.signal { _ in } }
            try await self.recount()
            if try await self.findOvertaken() { events.append(.overtaken) }
            if let block = try await self.read() { events.append(.records(block)) }
            try await self.forget()
            switch self.feed.status {
            case .connecting: break
            case .connected: self.note(.connected, &events)
            case .disconnected(let text): self.note(.disconnected(text), &events)
            }
            return (events, false)
        } catch {
            self.note(.disconnected(error.detail), &events)
            return (events, true)
        }
    }

    /// Tells a status that is another one than before.
    private func note(_ status: SourceStatus, _ events: inout [SourceEvent]) {
        let isNew = self.state.withLock { state in
            defer { state.status = status }
            return state.status != status
        }
        if isNew { events.append(.status(status)) }
    }

    /// Puts one intake into the store; its gap, or nil when nothing was due.
    private func takeIn() async throws(StoreError) -> String?? {
        try await self.recount()
        let (kept, waiting) = self.state.withLock { ($0.intake, $0.waiting) }
        guard let intake = kept ?? self.feed.due(now: self.loop.wallNow, waiting: waiting) else { return nil }
        self.state.withLock { $0.intake = intake }
        let count: Int
        do {
            count = try await self.store.append(intake.write, to: self.journal)
        } catch {
            self.state.withLock { $0.isUncertain = true }
            throw error
        }
        self.state.withLock { state in
            // What is not new now may have been kept by the append whose answer was lost.
            state.mustRecount = state.mustRecount || count < intake.write.entries.count
            state.hasMore = state.hasMore || state.isUncertain || count > 0
            state.isUncertain = false
            state.intake = nil
            state.mayOvertake = true
            state.waiting += count
        }
        return .some(intake.gap)
    }

    /// Counts the entries that wait, and tells the feed which they are, when that is not sure any more; later, while some are
    /// being removed.
    private func recount() async throws(StoreError) {
        let removals = self.state.withLock { state -> Int? in
            guard state.mustRecount, state.intake == nil, state.removing == 0 else { return nil }
            state.mustRecount = false
            return state.removals
        }
        guard let removals else { return }
        do {
            let keys = self.hearsOfDone ? try await self.store.entryKeys(of: self.journal) : nil
            let count =
                if let keys { keys.count } else { try await self.store.countEntries(of: self.journal) }
            self.state.withLock { state in
                guard state.removals == removals else {
                    state.mustRecount = true
                    return
                }
                state.waiting = count
                if let keys {
                    let done = Set(state.done.values)
                    self.feed.recount(waiting: keys.filter { !done.contains($0) })
                }
            }
        } catch {
            self.state.withLock { $0.mustRecount = true }
            throw error
        }
    }

    /// Leaves nothing in the store of a feed that is over, once all is settled.
    private func forget() async throws(StoreError) {
        guard self.feed.isOver else { return }
        // An order that comes meanwhile says that there is something again.
        let isDue = self.state.withLock { state in
            guard state.waiting == 0, state.intake == nil, !state.isForgotten else { return false }
            state.isForgotten = true
            return true
        }
        guard isDue else { return }
        do {
            try await self.store.forget(self.journal, partition: self.partition.name)
        } catch {
            self.state.withLock { $0.isForgotten = false }
            throw error
        }
    }

    /// Finds the entries whose place a later one took; whether there are any.
    private func findOvertaken() async throws(StoreError) -> Bool {
        guard self.feed.overtakes, self.state.withLock({ $0.mayOvertake }) else { return false }
        // An entry that an operator ordered takes nobody's place, and nobody takes its place.
        let entries = try await self.store.timedEntries(of: self.journal)
        var lanes: Set<String> = []
        var overtaken: Set<UInt64> = []
        for entry in entries.reversed() where !lanes.insert(self.feed.lane(of: entry.key)).inserted {
            overtaken.insert(entry.position)
        }
        let found = overtaken
        return self.state.withLock { state in
            state.mayOvertake = false
            state.overtaken = found
            return !found.isEmpty
        }
    }

    private func read() async throws(StoreError) -> RecordBlock? {
        let (position, limit) = self.state.withLock { state in
            let limit = state.hasMore ? self.allowance(state.budget) : 0
            // An order may add entries while these are read.
            if limit > 0 { state.hasMore = false }
            return (state.position, limit)
        }
        guard limit > 0 else { return nil }
        let entries: [StoredJournalEntry]
        do {
            entries = try await self.store.entries(of: self.journal, after: position, limit: limit)
        } catch {
            self.state.withLock { $0.hasMore = true }
            throw error
        }
        return self.state.withLock { state in
            var builder = RecordBlockBuilder(byteCapacity: 4096, recordCapacity: entries.count)
            let index = builder.add(self.partition)
            // What was granted may have become less since.
            for stored in entries where self.allowance(state.budget) > 0 {
                let before = builder.byteCount
                Self.append(stored, to: &builder, index)
                state.position = stored.position
                if self.feed.needs.contains(.waiting) {
                    state.handedOut.append(TimedEntry(position: stored.position, key: stored.entry.key))
                }
                state.budget.records -= 1
                state.budget.bytes -= builder.byteCount - before
            }
            state.hasMore = state.hasMore || entries.count == limit || builder.count < entries.count
            if builder.count > 0 { state.pages.append((state.position, builder.count)) }
            return builder.count > 0 ? builder.finish() : nil
        }
    }

    private func allowance(_ budget: ReceiveBudget) -> Int {
        guard budget.bytes > 0, !budget.held.contains(self.partition.id) else { return 0 }
        return min(budget.records, Self.pageMax)
    }

    private static func append(
        _ stored: StoredJournalEntry,
        to builder: inout RecordBlockBuilder,
        _ partitionIndex: UInt32
    ) {
        let key = Array(stored.entry.key.utf8)
        unsafe key.withUnsafeBytes { key in
            unsafe stored.entry.body.withUnsafeBytes { body in
                unsafe builder.append(
                    position: Position(stored.position),
                    timestamp: stored.entry.timestamp,
                    tag: 0,
                    partitionIndex: partitionIndex,
                    payload: RecordPayload(key: key, body: body)
                )
            }
        }
        for attribute in stored.entry.attributes {
            unsafe Array(attribute.name.utf8).withUnsafeBytes { name in
                guard let value = attribute.value else {
                    return unsafe builder.appendAttribute(name: name, value: nil)
                }
                unsafe value.withUnsafeBytes { unsafe builder.appendAttribute(name: name, value: $0) }
            }
        }
    }

    // MARK: - Waiting

    private func signal(_ change: (inout State) -> Void) {
        let pause = self.state.withLock { state in
            change(&state)
            state.isSignalled = true
            return state.pause.take()
        }
        pause?.end()
    }

    /// Until something comes due, is granted, or stops.
    private func wait(isRefused: Bool) async {
        let pause = LoopPause()
        let waits = self.state.withLock { state in
            defer { state.isSignalled = false }
            if !state.isSignalled { state.pause = pause }
            return !state.isSignalled
        }
        guard waits else { return }
        var length = Self.pauseMax
        if !isRefused, let next = self.feed.next() {
            length = max(.milliseconds(1), min(length, next - self.loop.wallNow))
        }
        await pause.wait(until: self.loop.now + length, on: self.loop)
        self.state.withLock { state in
            state.pause = nil
            state.isSignalled = false
        }
    }
}
