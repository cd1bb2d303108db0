// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Synchronization
import Testing

/// Orders that reach a journal source while it is at work.
@Suite(.timeLimit(.minutes(1)))
struct JournalOrderTests {
    /// One event that is due, and one for each order.
    private final class Feed: JournalFeed {
        private let scripted = ScriptedFeed(count: 1)

        func begin(mark: String?, now: Timestamp) { self.scripted.begin(mark: mark, now: now) }
        func due(now: Timestamp, waiting: Int) -> JournalIntake? {
            self.scripted.due(now: now, waiting: waiting)
        }
        func next() -> Timestamp? { nil }
        func ordered(_ order: FireOrder, now: Timestamp) -> OrderedFires? {
            OrderedFires(entries: [JournalEntry(key: "order", timestamp: now, body: [])], fires: [])
        }
    }

    /// A journal in which something happens between a look at its entries and the answer, and answers are lost.
    private final class SlowJournal: JournalStore {
        private let store: SQLiteStore
        private let interruption = Mutex<(@Sendable () async throws -> Void)?>(nil)
        private let losesAnswer = Mutex(false)

        init(_ store: SQLiteStore) {
            self.store = store
        }

        /// Once, at the next look.
        func interrupt(_ body: @escaping @Sendable () async throws -> Void) {
            self.interruption.withLock { $0 = body }
        }

        /// The next append is kept, and nobody hears of it.
        func loseAnswer() { self.losesAnswer.withLock { $0 = true } }

        func entries(
            of journal: String,
            after position: UInt64,
            limit: Int
        ) async throws(StoreError) -> [StoredJournalEntry] {
            let entries = try await self.store.entries(of: journal, after: position, limit: limit)
            do {
                try await self.interruption.withLock { $0.take() }?()
            } catch {
                throw StoreError(.inputOutput, "\(error)")
            }
            return entries
        }

        func append(
            _ entries: [JournalEntry],
            to journal: String,
            mark: String?,
            fires: [ScheduleFire]
        ) async throws(StoreError) -> Int {
            let count = try await self.store.append(entries, to: journal, mark: mark, fires: fires)
            let isLost = self.losesAnswer.withLock { losesAnswer in
                defer { losesAnswer = false }
                return losesAnswer
            }
            if isLost { throw StoreError(.inputOutput, "the answer is lost") }
            return count
        }
        func mark(of journal: String) async throws(StoreError) -> String? {
            try await self.store.mark(of: journal)
        }
        func countEntries(of journal: String) async throws(StoreError) -> Int {
            try await self.store.countEntries(of: journal)
        }
        func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int {
            try await self.store.removeEntries(of: journal, through: position)
        }
        func timedEntries(of journal: String) async throws(StoreError) -> [UInt64] {
            try await self.store.timedEntries(of: journal)
        }
        func forget(_ journal: String) async throws(StoreError) {
            try await self.store.forget(journal)
        }
        func note(
            _ outcome: ScheduleFire.Outcome,
            of keys: [String],
            in journal: String
        ) async throws(StoreError) {
            try await self.store.note(outcome, of: keys, in: journal)
        }
        func fires(
            of journal: String,
            before number: UInt64?,
            limit: Int
        ) async throws(StoreError) -> [StoredFire] {
            try await self.store.fires(of: journal, before: number, limit: limit)
        }
        func countFires(of journal: String) async throws(StoreError) -> FireCount {
            try await self.store.countFires(of: journal)
        }
    }

    @Test("An order that comes while entries are read is handed out, too")
    func orderWhileReading() async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).db")
        defer { try? FileManager.default.removeItem(at: file) }
        let store = try SQLiteStore.open(path: file.path)
        let reactor = try TestReactor()
        let journal = SlowJournal(store)
        let source = JournalSource(
            journal: "orders",
            partition: Partition(id: PartitionID(1), name: "journal"),
            format: LineFormat(),
            store: journal,
            feed: Feed(),
            loop: reactor.reactor
        )
        #expect(try await source.fire(.now) == nil, "not before the start")
        try await source.start(checkpoints: [:])
        journal.interrupt { _ = try await source.fire(.now) }
        source.grant(ReceiveBudget(records: 10, bytes: 1 << 20))
        var count = 0
        while count < 2 {
            for event in try await source.receive() {
                if case .records(let block) = event { count += block.count }
            }
        }
        #expect(count == 2)
        #expect(source.lag().first?.records == 2)
        await source.stop()
        #expect(try await source.fire(.now) == nil, "nor after the stop")
        await store.close()
    }

    @Test("An event that was kept while the store's answer was lost is handed out, and counted once")
    func lostAnswer() async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).db")
        defer { try? FileManager.default.removeItem(at: file) }
        let store = try SQLiteStore.open(path: file.path)
        let reactor = try TestReactor()
        let journal = SlowJournal(store)
        let source = JournalSource(
            journal: "orders",
            partition: Partition(id: PartitionID(1), name: "journal"),
            format: LineFormat(),
            store: journal,
            feed: Feed(),
            loop: reactor.reactor
        )
        try await source.start(checkpoints: [:])
        journal.loseAnswer()
        source.grant(ReceiveBudget(records: 10, bytes: 1 << 20))
        var count = 0
        while count < 1 {
            for event in try await source.receive() {
                if case .records(let block) = event { count += block.count }
            }
        }
        #expect(count == 1)
        #expect(source.lag().first?.records == 1)
        await source.stop()
        await store.close()
    }
}
