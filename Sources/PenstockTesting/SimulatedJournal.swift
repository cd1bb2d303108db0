// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
package import PenstockStore
import Reactor
import Synchronization

/// A journal as a store on disk has it: it outlives the processes that fill and empty it.
struct SimulatedEntries: Sendable {
    var entries: [StoredJournalEntry] = []
    var mark: String?
    /// The keys of all that ever was in it, as the fire log knows them.
    var keys: Set<String> = []
    var last: UInt64 = 0
}

/// The journal of a ``SimulatedWorld`` as one process reaches it.
///
/// Its entries are the records of the world's partition `orders-0`, and a removal is a commit. Positions of journals begin with
/// 1, so the record 0 counts as settled before.
package final class SimulatedJournal: JournalStore {
    /// The partition that is journaled.
    package static let partition = "orders-0"

    private let world: SimulatedWorld
    private let process: Int

    /// The journal as one process opened it.
    package init(world: SimulatedWorld, process: Int) {
        self.world = world
        self.process = process
        world.state.withLock { _ = $0.deadLetters[Self.partition, default: []].insert(0) }
    }

    private func reach(isWrite: Bool) async throws(StoreError) {
        await self.world.dawdle(.milliseconds(10))
        guard self.world.isAlive(self.process), !isWrite || !self.world.happens(\.storeFull) else {
            throw StoreError(.diskFull, "the simulated disk is full")
        }
    }

    package func append(_ write: JournalWrite, to journal: String) async throws(StoreError) -> Int {
        try await self.reach(isWrite: true)
        let count = self.world.state.withLock { state in
            let new = write.entries.filter { state.journal.keys.insert($0.key).inserted }
            for entry in new {
                state.journal.last += 1
                if entry.key != "\(state.journal.last)" {
                    state.violations.append("the event \(entry.key) is entry \(state.journal.last)")
                }
                state.journal.entries.append(StoredJournalEntry(position: state.journal.last, entry: entry))
            }
            state.journal.mark = write.mark ?? state.journal.mark
            return new.count
        }
        // It is on disk, and nobody hears of it.
        if self.world.happens(\.settlementLost) {
            throw StoreError(.inputOutput, "the simulated store's answer is lost")
        }
        return count
    }

    package func mark(of journal: String) async throws(StoreError) -> String? {
        try await self.reach(isWrite: false)
        return self.world.state.withLock { $0.journal.mark }
    }

    package func entries(
        of journal: String,
        after position: UInt64,
        limit: Int
    ) async throws(StoreError) -> [StoredJournalEntry] {
        try await self.reach(isWrite: false)
        return self.world.state.withLock { state in
            Array(state.journal.entries.lazy.filter { $0.position > position }.prefix(limit))
        }
    }

    package func countEntries(of journal: String) async throws(StoreError) -> Int {
        try await self.reach(isWrite: false)
        return self.world.state.withLock { $0.journal.entries.count }
    }

    package func members(of journal: String) async throws(StoreError) -> [JournalMember] { [] }

    package func entryKeys(of journal: String) async throws(StoreError) -> [String] {
        try await self.reach(isWrite: false)
        return self.world.state.withLock { $0.journal.entries.map(\.entry.key) }
    }

    package func timedEntries(of journal: String) async throws(StoreError) -> [TimedEntry] { [] }

    package func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int {
        try await self.reach(isWrite: true)
        let (epoch, count) = self.world.state.withLock { state in
            let before = state.journal.entries.count
            state.journal.entries.removeAll { $0.position <= position }
            return (state.epochs[Self.partition, default: 0], before - state.journal.entries.count)
        }
        if position > 0 {
            self.world.commit(Self.partition, Position(position), epoch: epoch, process: self.process)
        }
        return count
    }

    package func note(
        _ outcome: ScheduleFire.Outcome,
        of keys: [String],
        in journal: String
    ) async throws(StoreError) {}

    package func forget(_ journal: String, partition: String) async throws(StoreError) {}

    package func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int
    ) async throws(StoreError) -> [StoredFire] { [] }

    package func countFires(of journal: String) async throws(StoreError) -> FireCount { FireCount() }
}

/// Lets the records of a ``SimulatedWorld`` come due, one after the other.
package final class SimulatedFeed: JournalFeed {
    private let world: SimulatedWorld
    /// The number of the next event.
    private let upcoming = Mutex<UInt64>(1)

    /// The feed of a process.
    package init(world: SimulatedWorld) {
        self.world = world
    }

    /// Between two events.
    private static let interval: Int64 = 50

    private func time(_ number: UInt64) -> Timestamp {
        Timestamp(milliseconds: VirtualLoop.epoch.milliseconds + Int64(number) * Self.interval)
    }

    private var count: UInt64 {
        self.world.state.withLock { $0.recordCounts[SimulatedJournal.partition] ?? 0 }
    }

    package func begin(_ past: JournalPast, now: Timestamp) {
        self.upcoming.withLock { $0 = (past.mark.flatMap { UInt64($0) } ?? 0) + 1 }
    }

    package func due(now: Timestamp, waiting: Int) -> JournalIntake? {
        let count = self.count
        let most = UInt64(self.world.random(in: 1...10))
        let numbers = self.upcoming.withLock { next -> Range<UInt64> in
            let first = next
            while next < count, next < first + most, self.time(next) <= now { next += 1 }
            return first..<next
        }
        guard !numbers.isEmpty else { return nil }
        let entries = numbers.map { number in
            let key = self.world.key(SimulatedJournal.partition, number)
            return JournalEntry(
                key: "\(number)",
                timestamp: self.time(number),
                body: key.map { Array(#"{"customer":{"id":"c\#($0)"}}"#.utf8) } ?? []
            )
        }
        return JournalIntake(entries: entries, mark: "\(numbers.upperBound - 1)")
    }

    package func next() -> Timestamp? {
        let next = self.upcoming.withLock { $0 }
        return next < self.count ? self.time(next) : nil
    }
}
