// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization
import Testing

/// The leasing source of the simulations: what they prove holds for real sources only as far as it behaves like one.
@Suite(.timeLimit(.minutes(5)))
struct SimulatedLeaseConformanceTests {
    private typealias Check = LeaseSourceConformance.Check

    private static func run(
        _ check: Check,
        seed: UInt64,
        keepsOrder: Bool,
        _ wrap: @escaping @Sendable (SimulatedLeaseSource) -> any LeaseSource
    ) throws {
        let loop = VirtualLoop()
        let world = SimulatedWorld(
            loop: loop,
            seed: seed,
            plan: FaultPlan(),
            recordCounts: ["orders": UInt64(check.records)],
            leases: true
        )
        world.setKeys(check.groups ?? check.records, order: keepsOrder ? .key : .none)
        let upstream = LeaseSourceConformance.Upstream(
            loop: loop,
            records: check.records,
            lease: .seconds(30),
            makeSource: { wrap(SimulatedLeaseSource(world: world, process: world.startProcess())) },
            number: { block, index in block.entries[index].position.offset.map { Int($0) } }
        )
        let outcome = Mutex<Result<Void, any Error>?>(nil)
        Task(executorPreference: loop) {
            do {
                try await check.run(upstream)
                outcome.withLock { $0 = .success(()) }
            } catch {
                outcome.withLock { $0 = .failure(error) }
            }
        }
        try #require(loop.run { outcome.withLock { $0 != nil } }, "\(check) did not end")
        try outcome.withLock { $0 }?.get()
    }

    @Test(
        "The simulated queue's source keeps the contract, with and without groups",
        arguments: LeaseSourceConformance.checks,
        [1, 2, 3]
    )
    func conforms(check: LeaseSourceConformance.Check, seed: UInt64) throws {
        for keepsOrder in [true, false] where keepsOrder || !check.needsGroups {
            try Self.run(check, seed: seed, keepsOrder: keepsOrder) { $0 }
        }
    }

    @Test(
        "A leasing source that breaks a promise is found by the check of that promise",
        arguments: BrokenLeaseSource.Fault.allCases
    )
    func finds(fault: BrokenLeaseSource.Fault) throws {
        let check = try #require(Self.check(fault))
        #expect(throws: SourceConformance.Violation.self) {
            try Self.run(check, seed: 1, keepsOrder: !fault.isWithoutOrder) { BrokenLeaseSource($0, fault) }
        }
    }

    private static func check(_ fault: BrokenLeaseSource.Fault) -> Check? {
        LeaseSourceConformance.checks.first { $0.description.hasPrefix(fault.rawValue) }
    }
}

/// A leasing source that does all but one thing as it should.
final class BrokenLeaseSource: LeaseSource {
    /// What it does wrong; the raw value is how the check begins that must find it.
    enum Fault: String, CaseIterable {
        /// It reads before it may.
        case eager = "Nothing is handed out before the first grant"
        /// It hands out each block twice.
        case repeating = "Each record comes once"
        /// It takes a grant for more records than it is.
        case greedy = "A grant bounds the records"
        /// It looks at records alone.
        case heavy = "A grant bounds the bytes"
        /// It adds grants up.
        case hoarding = "A grant replaces"
        /// It acknowledges what it handed out when it is stopped.
        case tidy = "Nothing is settled by a stop"
        /// It acknowledges nothing.
        case forgetful = "What was acknowledged"
        /// It gives back at once what may come later.
        case hasty = "A released record"
        /// It says that leases are longer, and asks nobody.
        case optimistic = "A longer lease"
        /// It settles the latest delivery of a record, whichever is meant.
        case confused = "What an earlier delivery"
        /// It says that what is gone is still there.
        case stubborn = "A settlement that is repeated"
        /// Its upstream has no order.
        case disorderly = "Records of a group"
        /// Its upstream does not wait for what was released.
        case impatient = "What was released"
        /// It goes on after it was stopped.
        case undead = "A stop ends the receive"

        var isWithoutOrder: Bool { self == .disorderly || self == .impatient }
    }

    private struct State {
        var granted = 0
        /// The latest delivery of each record.
        var latest: [UInt64: Run] = [:]
    }

    private let source: SimulatedLeaseSource
    private let fault: Fault
    private let state = Mutex(State())

    init(_ source: SimulatedLeaseSource, _ fault: Fault) {
        self.source = source
        self.fault = fault
    }

    var format: any EventFormat { self.source.format }

    func start(checkpoints: [String: Position]) async throws(SourceError) {
        try await self.source.start(checkpoints: checkpoints)
        if self.fault == .eager { self.source.grant(ReceiveBudget(records: 3, bytes: 1000)) }
    }

    func grant(_ budget: ReceiveBudget) {
        var budget = budget
        switch self.fault {
        case .greedy: budget.records *= 2
        case .heavy: budget.bytes = 1 << 20
        case .hoarding:
            budget.records += self.state.withLock { state in
                defer { state.granted = budget.records }
                return state.granted
            }
        default: break
        }
        self.source.grant(budget)
    }

    func receive() async throws(SourceError) -> [SourceEvent] {
        let events = try await self.source.receive()
        if self.fault == .undead, events.isEmpty, !Task.isCancelled { return [.status(.connected)] }
        for case .records(let block) in events { self.note(block) }
        guard self.fault == .repeating else { return events }
        return events.flatMap { if case .records = $0 { [$0, $0] } else { [$0] } }
    }

    private func note(_ block: RecordBlock) {
        let sizes = Array(repeating: 0, count: block.count + 1)
        let admitted = AdmittedBlock(block: block, firstDelivery: 0, receivedAt: .start, sizes: sizes)
        self.state.withLock { state in
            for (index, entry) in block.entries.enumerated() {
                guard let offset = entry.position.offset else { continue }
                state.latest[offset] = Run(admitted: admitted, range: index..<index + 1)
            }
        }
    }

    func settle(_ settlements: [Settlement]) async throws(SourceError) -> SettlementOutcome {
        var settlements = settlements
        switch self.fault {
        case .forgetful: settlements.removeAll { $0.kind == .acknowledge }
        case .hasty:
            settlements = settlements.map { settlement in
                guard case .release(_, let isFailure) = settlement.kind else { return settlement }
                return Settlement(kind: .release(after: .zero, isFailure: isFailure), runs: settlement.runs)
            }
        case .confused:
            settlements = settlements.map { Settlement(kind: $0.kind, runs: $0.runs.map(self.latest)) }
        default: break
        }
        let outcome = try await self.source.settle(settlements)
        guard self.fault == .stubborn else { return outcome }
        return SettlementOutcome(refused: outcome.refused + outcome.lost)
    }

    private func latest(_ run: Run) -> Run {
        let offset = run.admitted.block.entries[run.first].position.offset
        return self.state.withLock { state in offset.flatMap { state.latest[$0] } } ?? run
    }

    func extend(_ ticket: LeaseTicket) async throws(SourceError) -> LeaseExtension {
        let outcome = try await self.source.extend(ticket)
        guard self.fault == .optimistic else { return outcome }
        return LeaseExtension(until: outcome.until)
    }

    func lag() -> [PartitionLag] { self.source.lag() }

    func stop() async {
        if self.fault == .tidy {
            let runs = self.state.withLock { Array($0.latest.values) }
            _ = try? await self.source.settle([Settlement(kind: .acknowledge, runs: runs)])
        }
        await self.source.stop()
    }
}
