// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import ServiceLifecycle
import Synchronization
import Testing

/// A supervisor that runs, with a store of its own.
struct SupervisorFixture {
    let supervisor: Supervisor
    let store: FickleStore
    let group: ServiceGroup

    static let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    /// Runs a supervisor for as long as `body` takes, then stops it gracefully.
    static func run(_ text: String, _ body: (SupervisorFixture) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "penstock-\(UUID().uuidString)"
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        let reactor = try Reactor()
        defer { reactor.stop() }
        let sqlite = try SQLiteStore.open(path: folder.appendingPathComponent("penstock.db").path)
        let store = FickleStore(sqlite)
        let context = RuntimeContext(reactor: reactor, logger: Self.quiet)
        let plan = try ScriptedPlan.read(text)
        let supervisor = try await Supervisor(plan: plan, store: store, context: context)
        let group = ServiceGroup(services: [supervisor], logger: Self.quiet)
        let fixture = SupervisorFixture(supervisor: supervisor, store: store, group: group)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(fixture))
            } catch {
                result = .failure(error)
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            try result.get()
        }
        await sqlite.close()
    }

    /// The state of a trigger.
    func state(_ name: String) async -> TriggerSnapshot.State? {
        await self.supervisor.snapshot(of: name)?.state
    }
}

/// A store that refuses when it is told to.
final class FickleStore: StateStore {
    private let store: SQLiteStore
    private let refusal = Gate()
    private let pausing = Mutex<(@Sendable () async -> Void)?>(nil)

    init(_ store: SQLiteStore) {
        self.store = store
    }

    /// Refuses all writes and reads from now on; nil serves again.
    func refuse(_ error: StoreError?) { self.refusal.set(error) }

    /// Lets this happen before a pause is remembered.
    func beforePause(_ body: @escaping @Sendable () async -> Void) { self.pausing.withLock { $0 = body } }

    func checkpoints(of trigger: String) async throws(StoreError) -> [String: Position] {
        try self.refusal.pass()
        return try await self.store.checkpoints(of: trigger)
    }

    func windows(of trigger: String) async throws(StoreError) -> [String: KeptWindow] {
        try self.refusal.pass()
        return try await self.store.windows(of: trigger)
    }

    func save(_ checkpoints: [Checkpoint]) async throws(StoreError) {
        try self.refusal.pass()
        try await self.store.save(checkpoints)
    }

    func removeCheckpoints(of trigger: String, partitions: [String]) async throws(StoreError) {
        try self.refusal.pass()
        try await self.store.removeCheckpoints(of: trigger, partitions: partitions)
    }

    func append(_ letters: [DeadLetter]) async throws(StoreError) {
        try self.refusal.pass()
        try await self.store.append(letters)
    }

    func deadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> [StoredDeadLetter.Summary] {
        try self.refusal.pass()
        return try await self.store.deadLetters(matching: query)
    }

    func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter? {
        try self.refusal.pass()
        return try await self.store.deadLetter(id)
    }

    func countDeadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> DeadLetterCount {
        try self.refusal.pass()
        return try await self.store.countDeadLetters(matching: query)
    }

    func oldestDeadLetters(limit: Int) async throws(StoreError) -> [StoredDeadLetter.Age] {
        try self.refusal.pass()
        return try await self.store.oldestDeadLetters(limit: limit)
    }

    func removeDeadLetters(_ ids: [DeadLetterID]) async throws(StoreError) -> Int {
        try self.refusal.pass()
        return try await self.store.removeDeadLetters(ids)
    }

    func recordRedrive(_ ids: [DeadLetterID], attempt: Attempt) async throws(StoreError) {
        try self.refusal.pass()
        try await self.store.recordRedrive(ids, attempt: attempt)
    }

    func pausedTriggers() async throws(StoreError) -> Set<String> {
        try self.refusal.pass()
        return try await self.store.pausedTriggers()
    }

    func setPaused(_ paused: Bool, trigger: String) async throws(StoreError) {
        try self.refusal.pass()
        await self.pausing.withLock { $0 }?()
        try await self.store.setPaused(paused, trigger: trigger)
    }

    func append(_ write: JournalWrite, to journal: String) async throws(StoreError) -> Int {
        try self.refusal.pass()
        return try await self.store.append(write, to: journal)
    }

    func members(of journal: String) async throws(StoreError) -> [JournalMember] {
        try self.refusal.pass()
        return try await self.store.members(of: journal)
    }

    func entryKeys(of journal: String) async throws(StoreError) -> [String] {
        try self.refusal.pass()
        return try await self.store.entryKeys(of: journal)
    }

    func mark(of journal: String) async throws(StoreError) -> String? {
        try self.refusal.pass()
        return try await self.store.mark(of: journal)
    }

    func entries(
        of journal: String,
        after position: UInt64,
        limit: Int
    ) async throws(StoreError) -> [StoredJournalEntry] {
        try self.refusal.pass()
        return try await self.store.entries(of: journal, after: position, limit: limit)
    }

    func countEntries(of journal: String) async throws(StoreError) -> Int {
        try self.refusal.pass()
        return try await self.store.countEntries(of: journal)
    }

    func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int {
        try self.refusal.pass()
        return try await self.store.removeEntries(of: journal, through: position)
    }

    func timedEntries(of journal: String) async throws(StoreError) -> [TimedEntry] {
        try self.refusal.pass()
        return try await self.store.timedEntries(of: journal)
    }

    func forget(_ journal: String, partition: String) async throws(StoreError) {
        try self.refusal.pass()
        try await self.store.forget(journal, partition: partition)
    }

    func note(
        _ outcome: ScheduleFire.Outcome,
        of keys: [String],
        in journal: String
    ) async throws(StoreError) {
        try self.refusal.pass()
        try await self.store.note(outcome, of: keys, in: journal)
    }

    func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int
    ) async throws(StoreError) -> [StoredFire] {
        try self.refusal.pass()
        return try await self.store.fires(of: journal, member: member, before: number, limit: limit)
    }

    func countFires(of journal: String) async throws(StoreError) -> FireCount {
        try self.refusal.pass()
        return try await self.store.countFires(of: journal)
    }

    func close() async { await self.store.close() }
}
