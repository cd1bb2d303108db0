// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Synchronization
import Testing

/// An admin API that listens on a free port, before triggers that a test scripts and a real store.
struct AdminFixture {
    let port: Int
    let store: SQLiteStore
    let operations: ScriptedOperations
    let world: ScriptedWorld
    let clock: TestClock

    static let token = "a-token-of-enough-letters"

    /// Serves for as long as `body` takes, with scripted operations unless others are given.
    static func serve(
        token: String? = nil,
        host: String = "127.0.0.1",
        operations others: (any Operations)? = nil,
        change: (inout AdminServer.Settings) -> Void = { _ in },
        _ body: (AdminFixture) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "penstock-\(UUID().uuidString)"
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        let reactor = try Reactor()
        defer { reactor.stop() }
        let store = try SQLiteStore.open(path: folder.appendingPathComponent("penstock.db").path)
        let world = ScriptedWorld()
        let clock = TestClock(VirtualLoop.epoch)
        let operations = ScriptedOperations(world: world, store: store, reactor: reactor)
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        var settings = AdminServer.Settings(
            listen: ListenAddress(host: host, port: 0),
            token: token.map { Secret($0) },
            version: "1.2.3",
            configuration: "connectors.yaml",
            started: VirtualLoop.epoch
        )
        change(&settings)
        let server = AdminServer(
            settings,
            operations: others ?? operations,
            store: store,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            now: { clock.now },
            listening: { port.yield($0) }
        )
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await server.run() }
            var iterator = ports.makeAsyncIterator()
            let number = try #require(await iterator.next())
            let fixture = AdminFixture(
                port: number,
                store: store,
                operations: operations,
                world: world,
                clock: clock
            )
            defer { tasks.cancelAll() }
            try await body(fixture)
        }
        await store.close()
    }

    /// One request; a test fails when there is no response.
    func send(
        _ method: String,
        _ path: String,
        headers: [String] = [],
        body: String? = nil
    ) async throws -> TestResponse {
        try #require(
            await TestConnection.exchange(method, path, port: self.port, headers: headers, body: body),
            "\(method) \(path): no response"
        )
    }

    func get(_ path: String, headers: [String] = []) async throws -> TestResponse {
        try await self.send("GET", path, headers: headers)
    }

    /// Appends letters of the trigger `orders`, positions 0 and up.
    func keep(_ letters: [DeadLetter]) async throws {
        try await self.store.append(letters)
    }

    static func letter(
        _ partition: String,
        _ offset: UInt64,
        key: String? = nil,
        error: String = "boom"
    ) -> DeadLetter {
        let verdict = DeadLetterVerdict(
            trigger: "orders",
            function: "f",
            reason: .retriesExhausted,
            at: VirtualLoop.epoch,
            attempts: [
                Attempt(
                    at: VirtualLoop.epoch,
                    duration: .milliseconds(12),
                    failure: Failure(type: "ValueError", message: error)
                )
            ],
            attemptCount: 1,
            invocation: "an-id"
        )
        var letter = DeadLetter(
            partition: partition,
            position: Position(offset),
            timestamp: VirtualLoop.epoch,
            verdict: verdict
        )
        letter.key = key.map { Array($0.utf8) }
        letter.body = Array(#"{"id":\#(offset)}"#.utf8)
        return letter
    }
}

/// A wall clock that tests set.
final class TestClock: Sendable {
    private let time: Mutex<Timestamp>

    init(_ time: Timestamp) {
        self.time = Mutex(time)
    }

    var now: Timestamp { self.time.withLock { $0 } }

    /// Sets it to so many seconds after the start.
    func advance(seconds: Int64) {
        let time = Timestamp(milliseconds: VirtualLoop.epoch.milliseconds + seconds * 1000)
        self.time.withLock { $0 = time }
    }
}

extension TestResponse {
    /// The body as JSON.
    func json() throws -> JSONValue {
        try #require(JSONValue(parsing: self.body), "not JSON: \(self.text)")
    }

    /// The code in an error's body.
    func code() throws -> String? { try self.json()["error"]?["code"]?.stringValue }

    /// The message in an error's body.
    func message() throws -> String? { try self.json()["error"]?["message"]?.stringValue }
}

/// Triggers that are what a test says.
final class ScriptedOperations: Operations {
    private let triggers = Mutex<[TriggerSnapshot]>([])
    private let refusal = Mutex<StoreError?>(nil)
    private let status = Mutex(RetentionStatus(retention: LetterRetention()))
    private let world: ScriptedWorld
    private let store: SQLiteStore
    private let reactor: Reactor

    init(world: ScriptedWorld, store: SQLiteStore, reactor: Reactor) {
        self.world = world
        self.store = store
        self.reactor = reactor
        self.set([Self.snapshot("orders")])
    }

    static func snapshot(
        _ name: String,
        state: TriggerSnapshot.State = .running,
        detail: String? = nil,
        _ change: (inout Counters) -> Void = { _ in }
    ) -> TriggerSnapshot {
        var counters = Counters()
        change(&counters)
        return TriggerSnapshot(
            name: name,
            function: "f",
            sourceKind: "scripted",
            state: state,
            detail: detail,
            counters: counters,
            invocationsInFlight: 0,
            partitions: ["p"],
            blocked: [],
            lag: [PartitionLag(partition: "p", committed: Position(41), records: 3)],
            gaps: [],
            lastFailure: nil,
            ages: ["p": .seconds(2)],
            blockedLanes: 0,
            figures: TriggerFigures(),
            lastProgress: nil,
            restarts: 0
        )
    }

    func set(_ triggers: [TriggerSnapshot]) { self.triggers.withLock { $0 = triggers } }

    /// Lets the store refuse to remember a pause.
    func refuse(_ error: StoreError?) { self.refusal.withLock { $0 = error } }

    /// Sets the limits of dead letters, and what became of them.
    func set(_ status: RetentionStatus) { self.status.withLock { $0 = status } }

    func snapshots() async -> [TriggerSnapshot] { self.triggers.withLock { $0 } }

    func snapshot(of name: String) async -> TriggerSnapshot? {
        self.triggers.withLock { $0.first { $0.name == name } }
    }

    func setPaused(_ isPaused: Bool, trigger: String) async throws -> Bool {
        if let error = self.refusal.withLock({ $0 }) { throw error }
        return self.triggers.withLock { triggers in
            guard let index = triggers.firstIndex(where: { $0.name == trigger }) else { return false }
            triggers[index].state = isPaused ? .paused : .running
            return true
        }
    }

    /// What was asked of sources, and why they refuse; nil when they do not.
    let seeks = Mutex<(orders: [SeekOrder], refusal: SeekError?)>(([], nil))

    func seek(
        _ order: SeekOrder,
        trigger: String,
        isTrial: Bool
    ) async throws(SeekError) -> SeekReport? {
        guard await self.snapshot(of: trigger) != nil else { return nil }
        let refusal = self.seeks.withLock { seeks in
            seeks.orders.append(order)
            return seeks.refusal
        }
        if let refusal { throw refusal }
        let moves = [
            SeekMove(partition: "p", from: "42", to: "40", distance: -2, checkpoint: Position(39)),
            SeekMove(partition: "q", from: nil, to: "0", checkpoint: nil),
        ]
        return SeekReport(moves: moves, lost: isTrial ? [] : ["r"])
    }

    func redriver(to function: String?, like trigger: String?) async -> Redriver? {
        if let function, !["f", "other"].contains(function) { return nil }
        let functions = ["f", "other"].reduce(into: [:]) { $0[$1] = ScriptedFunction($1, self.world) }
        guard let plan = try? ScriptedPlan.read(self.plan) else { return nil }
        return Redriver(
            store: self.store,
            loop: self.reactor,
            route: plan.routes(functions, to: function, like: trigger)
        )
    }

    private var plan: String {
        """
        functions: { f: { scripted: { world: \(self.world.name) } } }
        triggers: { orders: { source: { scripted: { world: \(self.world.name) } }, function: f } }
        """
    }

    func timeout(of function: String) async -> Duration? { .seconds(30) }
    func functionNames() async -> [String] { ["f", "other"] }
    func generation() async -> Int { 3 }
    /// Of a trigger that does not run: what the store knows.
    func trace(_ address: RecordAddress, of trigger: String) async throws -> RecordTrace? {
        let plan = try ScriptedPlan.read(self.plan)
        guard let trigger = plan.triggers.first(where: { $0.name == trigger }) else { return nil }
        return try await RecordTrace(address, of: trigger, in: self.store)
    }

    /// One schedule, "orders", that takes orders and says so.
    func schedules() async throws -> [ScheduleStatus] {
        let facts = ScheduleFacts(expression: "@daily", words: "every day at 00:00", zone: "UTC")
        return await self.scheduleNames().map {
            ScheduleStatus(name: $0, facts: facts, next: nil, count: FireCount(outcomes: [.missed: 2]))
        }
    }

    func scheduleNames() async -> [String] { ["orders", "stopped", "many"] }

    func hasSchedule(_ address: ScheduleAddress) async -> Bool {
        address.trigger == "many"
            ? ["alice", "bob/1"].contains(address.member ?? "")
            : await self.scheduleNames().contains(address.trigger) && address.member == nil
    }

    /// Of the set "many".
    func scheduleMembers(
        of trigger: String,
        from first: String,
        limit: Int
    ) async -> (members: [ScheduleMember], hasMore: Bool)? {
        guard trigger == "many" else { return nil }
        let facts = ScheduleFacts(expression: "@daily", words: "every day at 00:00", zone: "UTC")
        let all = ["alice", "bob/1"].filter { $0 >= first }
        let members = all.prefix(limit).map { ScheduleMember(name: $0, facts: facts, next: nil) }
        return (members, all.count > limit)
    }

    func fire(_ order: FireOrder, schedule: ScheduleAddress) async throws -> FireReceipt? {
        if schedule.trigger == "stopped" { return nil }
        switch order {
        case .now: return FireReceipt(keys: ["now"], fired: 1, rest: nil)
        case .times(let from, let through):
            return FireReceipt(
                keys: [from.configurationText, through.configurationText],
                fired: 1,
                rest: through
            )
        }
    }

    func hasFilters(_ trigger: String) async -> Bool? {
        await self.snapshot(of: trigger).map { _ in trigger == "orders" }
    }

    /// A trigger that ends at once.
    func tap(
        _ trigger: String,
        _ kind: Tap.Kind,
        _ body: @Sendable (Tap) async throws -> Void
    ) async throws {
        let tap = Tap(kind, loop: self.reactor)
        tap.close()
        try await body(tap)
    }

    private let members = Mutex<(MembershipFigures, ClusterStatus)?>(nil)

    /// Makes it one of several.
    func share(_ figures: MembershipFigures, _ status: ClusterStatus) {
        self.members.withLock { $0 = (figures, status) }
    }

    func membership() async -> MembershipFigures? { self.members.withLock { $0?.0 } }

    func cluster() async throws -> ClusterStatus? {
        if let refusal = self.refusal.withLock({ $0 }) { throw refusal }
        return self.members.withLock { $0?.1 }
    }

    func retention() async -> RetentionStatus { self.status.withLock { $0 } }
}
