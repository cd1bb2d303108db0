// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization
import Testing

/// The source of the simulations: what they prove holds for real sources only as far as it behaves like one.
@Suite(.timeLimit(.minutes(5)))
struct SimulatedSourceConformanceTests {
    @Test("The simulated source keeps the contract", arguments: SourceConformance.checks, [1, 2, 3])
    func conforms(check: SourceConformance.Check, seed: UInt64) throws {
        try SimulatedUpstream.run(check, seed: seed) { $0 }
    }

    @Test(
        "A source that breaks a promise is found by the check of that promise",
        arguments: BrokenSource.Fault.allCases
    )
    func finds(fault: BrokenSource.Fault) throws {
        let check = try #require(SourceConformance.checks.first { $0.description.hasPrefix(fault.rawValue) })
        #expect(throws: SourceConformance.Violation.self) {
            try SimulatedUpstream.run(check, seed: 1) { BrokenSource($0, fault) }
        }
    }
}

/// Runs a check of sources on a virtual loop.
private enum SimulatedUpstream {
    static func run(
        _ check: SourceConformance.Check,
        seed: UInt64,
        _ wrap: @escaping @Sendable (SimulatedSource) -> any Source
    ) throws {
        let loop = VirtualLoop()
        let names = ["orders-0", "orders-1"]
        let world = SimulatedWorld(
            loop: loop,
            seed: seed,
            plan: FaultPlan(),
            recordCounts: Dictionary(uniqueKeysWithValues: names.map { ($0, UInt64(check.records)) })
        )
        world.makeAlike()
        let latest = Mutex<SimulatedSource?>(nil)
        var upstream = SourceConformance.Upstream(loop: loop, partitions: names) {
            let source = SimulatedSource(world: world, process: world.startProcess())
            latest.withLock { $0 = source }
            return wrap(source)
        }
        upstream.tellsLag = false
        upstream.takeBack = {
            latest.withLock { $0 }?.askBack()
            return {}
        }
        let outcome = Mutex<Result<Void, any Error>?>(nil)
        let run = upstream
        Task(executorPreference: loop) {
            do {
                try await check.run(run)
                outcome.withLock { $0 = .success(()) }
            } catch {
                outcome.withLock { $0 = .failure(error) }
            }
        }
        try #require(loop.run { outcome.withLock { $0 != nil } }, "\(check) did not end")
        try outcome.withLock { $0 }?.get()
    }
}

/// A source that does all but one thing as it should.
final class BrokenSource: Source {
    /// What it does wrong; the raw value is how the check begins that must find it.
    enum Fault: String, CaseIterable {
        /// It reads before it may.
        case eager = "Nothing is handed out before the first grant"
        /// It hands out each block twice.
        case repeating = "Records of a partition come in order"
        /// It takes a grant for more records than it is.
        case greedy = "A grant bounds the records"
        /// It looks at records alone.
        case heavy = "A grant bounds the bytes"
        /// It adds grants up.
        case hoarding = "A grant replaces"
        /// It does not look at what is held.
        case deaf = "A partition that is held"
        /// It acknowledges nothing.
        case forgetful = "The next source begins behind"
        /// It acknowledges what it hands out.
        case hasty = "Nothing is acknowledged but by a commit"
        /// It acknowledges by name what it does not own.
        case trusting = "A commit of partitions that are not owned"
        /// It says that upstream accepted what it does not own.
        case boastful = "A commit of partitions that are not owned changes nothing"
        /// A position that was committed before is taken for the latest one.
        case stubborn = "A later commit holds"
        /// It goes on after it was stopped.
        case undead = "A stop ends the receive"
        /// It acknowledges all that it handed out of partitions that it gives up.
        case generous = "An answer without positions"
    }

    private struct State {
        var granted = ReceiveBudget.none
        var last: [PartitionID: PartitionPosition] = [:]
        var hasCommitted = false
    }

    private let source: SimulatedSource
    private let fault: Fault
    private let state = Mutex(State())

    init(_ source: SimulatedSource, _ fault: Fault) {
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
            let before = self.state.withLock { state in
                defer { state.granted = budget }
                return state.granted.records
            }
            budget.records += before
        case .deaf: budget.held = []
        default: break
        }
        self.source.grant(budget)
    }

    func receive() async throws(SourceError) -> [SourceEvent] {
        let events = try await self.source.receive()
        if self.fault == .undead, events.isEmpty, !Task.isCancelled { return [.status(.connected)] }
        for case .records(let block) in events { self.note(block) }
        if self.fault == .hasty { _ = try await self.source.commit(self.latest) }
        guard self.fault == .repeating else { return events }
        return events.flatMap { if case .records = $0 { [$0, $0] } else { [$0] } }
    }

    private var latest: [PartitionPosition] { self.state.withLock { Array($0.last.values) } }

    private func note(_ block: RecordBlock) {
        self.state.withLock { state in
            for (index, entry) in block.entries.enumerated() {
                let partition = block.partition(at: index)
                state.last[partition.id] = PartitionPosition(
                    partition: partition.id,
                    name: partition.name,
                    position: entry.position
                )
            }
        }
    }

    func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition] {
        switch self.fault {
        case .forgetful: return positions
        case .stubborn:
            let isFirst = self.state.withLock { state in
                defer { state.hasCommitted = true }
                return !state.hasCommitted
            }
            return isFirst ? try await self.source.commit(positions) : positions
        case .trusting:
            let own = self.latest
            _ = try await self.source.commit(
                positions.compactMap { position in
                    var position = position
                    guard let mine = own.first(where: { $0.name == position.name }) else { return nil }
                    position.partition = mine.partition
                    return position
                }
            )
            return []
        case .boastful:
            _ = try await self.source.commit(positions)
            return positions
        default: return try await self.source.commit(positions)
        }
    }

    func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {
        self.source.finishRevocation(id, positions: self.fault == .generous ? self.latest : positions)
    }

    func lag() -> [PartitionLag] { self.source.lag() }
    func stop() async { await self.source.stop() }
}
