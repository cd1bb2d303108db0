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

        func begin(_ past: JournalPast, now: Timestamp) { self.scripted.begin(past, now: now) }
        func due(now: Timestamp, waiting: Int) -> JournalIntake? {
            self.scripted.due(now: now, waiting: waiting)
        }
        func next() -> Timestamp? { nil }
        func ordered(_ order: FireOrder, of member: String?, now: Timestamp) -> OrderedFires? {
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

        /// The next append, or removal, is kept, and nobody hears of it.
        func loseAnswer() { self.losesAnswer.withLock { $0 = true } }

        private func answer<Value>(_ value: Value) throws(StoreError) -> Value {
            let isLost = self.losesAnswer.withLock { losesAnswer in
                defer { losesAnswer = false }
                return losesAnswer
            }
            if isLost { throw StoreError(.inputOutput, "the answer is lost") }
            return value
        }

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

        func append(_ write: JournalWrite, to journal: String) async throws(StoreError) -> Int {
            try self.answer(await self.store.append(write, to: journal))
        }

        func members(of journal: String) async throws(StoreError) -> [JournalMember] {
            try await self.store.members(of: journal)
        }

        func entryKeys(of journal: String) async throws(StoreError) -> [String] {
            try await self.store.entryKeys(of: journal)
        }

        func mark(of journal: String) async throws(StoreError) -> String? {
            try await self.store.mark(of: journal)
        }
        func countEntries(of journal: String) async throws(StoreError) -> Int {
            try await self.store.countEntries(of: journal)
        }
        func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int {
            try self.answer(await self.store.removeEntries(of: journal, through: position))
        }
        func timedEntries(of journal: String) async throws(StoreError) -> [TimedEntry] {
            try await self.store.timedEntries(of: journal)
        }
        func forget(_ journal: String, partition: String) async throws(StoreError) {
            try await self.store.forget(journal, partition: partition)
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
            member: String?,
            before number: UInt64?,
            limit: Int
        ) async throws(StoreError) -> [StoredFire] {
            try await self.store.fires(of: journal, member: member, before: number, limit: limit)
        }
        func countFires(of journal: String) async throws(StoreError) -> FireCount {
            try await self.store.countFires(of: journal)
        }
    }

    /// A store in a file of its own, and what reads a journal of it through `journal`.
    private static func run(
        _ feed: any JournalFeed,
        _ body: (JournalSource, SlowJournal) async throws -> Void
    ) async throws {
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
            feed: feed,
            loop: reactor.reactor
        )
        try await body(source, journal)
        await source.stop()
        await store.close()
    }

    /// The positions of so many records.
    private static func receive(_ count: Int, from source: JournalSource) async throws -> [Position] {
        var positions: [Position] = []
        while positions.count < count {
            for case .records(let block) in try await source.receive() {
                positions += (0..<block.count).map { block.entries[$0].position }
            }
        }
        return positions
    }

    @Test("An order that comes while entries are read is handed out, too")
    func orderWhileReading() async throws {
        try await Self.run(Feed()) { source, journal in
            #expect(try await source.fire(.now, of: nil) == nil, "not before the start")
            try await source.start(checkpoints: [:])
            journal.interrupt { _ = try await source.fire(.now, of: nil) }
            source.grant(ReceiveBudget(records: 10, bytes: 1 << 20))
            #expect(try await Self.receive(2, from: source).count == 2)
            #expect(source.lag().first?.records == 2)
            await source.stop()
            #expect(try await source.fire(.now, of: nil) == nil, "nor after the stop")
        }
    }

    /// Two events that are due, and a note of what it was told.
    private final class CountingFeed: JournalFeed {
        private let scripted = ScriptedFeed(count: 2)
        private let told = Mutex<[String]>([])

        var notes: [String] { self.told.withLock { $0 } }
        var needs: JournalNeeds { [.members, .waiting] }

        func begin(_ past: JournalPast, now: Timestamp) {
            self.told.withLock { told in
                told.append("members \(past.members.map(\.name))")
                told.append("waiting \(past.waiting)")
            }
            self.scripted.begin(past, now: now)
        }
        func due(now: Timestamp, waiting: Int) -> JournalIntake? {
            var intake = self.scripted.due(now: now, waiting: waiting)
            intake?.write.members = [JournalMember(name: "m", mark: "1")]
            return intake
        }
        func next() -> Timestamp? { nil }
        func recount(waiting keys: [String]) { self.told.withLock { $0.append("recount \(keys)") } }
        func settled(_ keys: [String]) { self.told.withLock { $0.append("settled \(keys)") } }
        func ordered(_ order: FireOrder, of member: String?, now: Timestamp) -> OrderedFires? {
            OrderedFires(
                entries: [JournalEntry(key: "order \(member ?? "")", timestamp: now, body: [])],
                fires: []
            )
        }
    }

    @Test("A feed that wants to know is told which entries wait, which are settled, and its members")
    func told() async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).db")
        defer { try? FileManager.default.removeItem(at: file) }
        let store = try SQLiteStore.open(path: file.path)
        let reactor = try TestReactor()
        let partition = Partition(id: PartitionID(1), name: "journal")
        func source(_ feed: CountingFeed) -> JournalSource {
            JournalSource(
                journal: "orders",
                partition: partition,
                format: LineFormat(),
                store: store,
                feed: feed,
                loop: reactor.reactor
            )
        }
        let feed = CountingFeed()
        let first = source(feed)
        try await first.start(checkpoints: [:])
        first.grant(ReceiveBudget(records: 10, bytes: 1 << 20))
        let positions = try await Self.receive(2, from: first)
        let committed = [PartitionPosition(partition: partition.id, name: "journal", position: positions[0])]
        #expect(try await first.commit(committed).count == 1)
        _ = try await first.fire(.now, of: "x")
        _ = try await Self.receive(1, from: first)
        await first.stop()
        #expect(
            feed.notes == [
                "members []", "waiting []", "settled [\"event-10000\"]",
                "recount [\"event-10001\", \"order x\"]",
            ]
        )
        let next = CountingFeed()
        let second = source(next)
        try await second.start(checkpoints: ["journal": positions[0]])
        #expect(next.notes == ["members [\"m\"]", "waiting [\"event-10001\", \"order x\"]"])
        await second.stop()
        await store.close()
    }

    @Test("What is done counts no more, though an event before it is not, and is settled once")
    func done() async throws {
        let feed = CountingFeed()
        try await Self.run(feed) { source, _ in
            try await source.start(checkpoints: [:])
            source.grant(ReceiveBudget(records: 10, bytes: 1 << 20))
            let positions = try await Self.receive(2, from: source)
            #expect(source.hearsOfDone)
            source.done([positions[1], Position(999)])
            source.done([positions[1]])
            #expect(feed.notes.last == "settled [\"event-10001\"]")
            // An order has the feed told again which entries wait.
            _ = try await source.fire(.now, of: "x")
            _ = try await Self.receive(1, from: source)
            #expect(feed.notes.last == "recount [\"event-10000\", \"order x\"]")
            let end = PartitionPosition(partition: PartitionID(1), name: "journal", position: positions[1])
            #expect(try await source.commit([end]).count == 1)
            #expect(feed.notes.last == "settled [\"event-10000\"]")
        }
    }

    @Test(
        "What was removed while the store's answer was lost waits no more: a schedule that skips would never fire again"
    )
    func lostRemoval() async throws {
        try await Self.run(Feed()) { source, journal in
            try await source.start(checkpoints: [:])
            source.grant(ReceiveBudget(records: 10, bytes: 1 << 20))
            let positions = try await Self.receive(1, from: source)
            let end = PartitionPosition(partition: PartitionID(1), name: "journal", position: positions[0])
            journal.loseAnswer()
            await #expect(throws: SourceError.self) { try await source.commit([end]) }
            #expect(try await source.commit([end]).count == 1)
            _ = try await source.fire(.now, of: nil)
            #expect(try await Self.receive(1, from: source).count == 1)
            #expect(source.lag().first?.records == 1)
        }
    }

    @Test(
        "What was kept while the store's answer was lost, an order or an event, is handed out and counted once"
    )
    func lostAnswers() async throws {
        try await Self.run(Feed()) { source, journal in
            try await source.start(checkpoints: [:])
            journal.loseAnswer()
            source.grant(ReceiveBudget(records: 10, bytes: 1 << 20))
            #expect(try await Self.receive(1, from: source).count == 1)
            #expect(source.lag().first?.records == 1)
            journal.loseAnswer()
            await #expect(throws: StoreError.self) { try await source.fire(.now, of: nil) }
            #expect(try await Self.receive(1, from: source).count == 1)
            #expect(source.lag().first?.records == 2)
        }
    }
}
