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
final class FickleStore: StoreView {
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

    func reader() throws(StoreError) -> any StateStore {
        try self.refusal.pass()
        return self.store
    }

    func write<Value: Sendable>(
        _ scope: WriteScope,
        _ body: @Sendable (any StateStore) async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try self.refusal.pass()
        return try await body(self.store)
    }

    func setPaused(_ paused: Bool, trigger: String) async throws(StoreError) {
        try self.refusal.pass()
        await self.pausing.withLock { $0 }?()
        try await self.store.setPaused(paused, trigger: trigger)
    }

    func close() async { await self.store.close() }
}
