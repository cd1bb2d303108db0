// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
import Reactor
import Synchronization

/// A process's source in a ``SimulatedWorld`` whose records are leased.
package final class SimulatedLeaseSource: LeaseSource {
    private struct State {
        var partitions: [String: Partition] = [:]
        var isAssigned = false
        var budget = ReceiveBudget.none
        var waiter: CheckedContinuation<Void, Never>?
        var isClosed = false
    }

    private let world: SimulatedWorld
    private let process: Int
    private let state = Mutex(State())

    /// The source of a process.
    package init(world: SimulatedWorld, process: Int) {
        self.world = world
        self.process = process
    }

    package var format: any EventFormat { LineFormat() }

    package func start(checkpoints: [String: Position]) async throws(SourceError) {
        let names = self.world.state.withLock { $0.recordCounts.keys.sorted() }
        self.state.withLock { state in
            for (index, name) in names.enumerated() {
                state.partitions[name] = Partition(id: PartitionID(UInt32(index + 1)), name: name)
            }
        }
    }

    package func grant(_ budget: ReceiveBudget) {
        self.state.withLock { $0.budget = budget }
        self.wake()
    }

    private func wake() {
        self.state.withLock { $0.waiter.take() }?.resume()
    }

    package func receive() async throws(SourceError) -> [SourceEvent] {
        if let assigned = self.takeAssignment() { return [assigned] }
        while true {
            await self.world.dawdle(.milliseconds(20))
            if Task.isCancelled || self.state.withLock({ $0.isClosed }) { return [] }
            if let block = await self.receiveBlock() { return [.records(block)] }
            await self.waitForRecords()
        }
    }

    private func takeAssignment() -> SourceEvent? {
        self.state.withLock { state in
            guard !state.isAssigned, !state.isClosed else { return nil }
            state.isAssigned = true
            return .assigned(state.partitions.values.sorted { $0.name < $1.name })
        }
    }

    /// Waits until there is room, or a record is visible.
    private func waitForRecords() async {
        let next = self.world.state.withLock { $0.queue?.nextVisible }
        let hasRoom = self.state.withLock { $0.budget.records > 0 }
        if let next, hasRoom {
            let at = max(next, self.world.loop.now + .milliseconds(500))
            _ = self.world.loop.schedule(at: at) { self.wake() }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = self.state.withLock { state in
                    if state.isClosed || Task.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            self.wake()
        }
    }

    /// A few records within the budget, under one lease.
    private func receiveBlock() async -> RecordBlock? {
        let (budget, partitions) = self.state.withLock { ($0.budget, $0.partitions) }
        guard budget.records > 0, budget.bytes > 0, self.world.isAlive(self.process) else { return nil }
        let start = self.world.loop.now
        let deliveries = self.world.receive(min(budget.records, self.world.random(in: 1...10)))
        guard !deliveries.isEmpty else { return nil }
        self.state.withLock { state in
            state.budget.records -= deliveries.count
            // Each has a key and a receipt.
            state.budget.bytes -= deliveries.reduce(0) { $0 + ($1.key == nil ? 0 : 1) + 8 }
        }
        if self.world.happens(\.late) {
            await self.world.loop.sleep(for: .seconds(self.world.random(in: 10...40)))
        }
        var builder = RecordBlockBuilder(byteCapacity: 1024, recordCapacity: deliveries.count)
        var indices: [String: UInt32] = [:]
        for delivery in deliveries {
            guard let partition = partitions[delivery.name] else { continue }
            let index = indices[delivery.name] ?? builder.add(partition)
            indices[delivery.name] = index
            let key = delivery.key.map { [$0] }
            unsafe (key ?? []).withUnsafeBytes { key in
                unsafe withUnsafeBytes(of: delivery.receipt) { receipt in
                    unsafe builder.append(
                        position: Position(delivery.offset),
                        timestamp: delivery.timestamp,
                        tag: 0,
                        partitionIndex: index,
                        payload: RecordPayload(key: delivery.key == nil ? nil : key, body: receipt)
                    )
                }
            }
        }
        return builder.finish(lease: BlockLease(until: start + SimulatedQueue.lease))
    }

    // MARK: - Settling

    /// Each record of a run by itself, with its delivery's receipt.
    private static func deliveries(_ runs: [Run]) -> [(run: Run, receipt: UInt64)] {
        runs.flatMap { run in
            run.range.compactMap { place -> (Run, UInt64)? in
                let record = Run(admitted: run.admitted, range: place..<place + 1)
                let receipt = unsafe record.admitted.block.body(at: record.first)?
                    .loadUnaligned(as: UInt64.self)
                return receipt.map { (record, $0) }
            }
        }
    }

    package func settle(_ settlements: [Settlement]) async throws(SourceError) -> SettlementOutcome {
        let all = settlements.flatMap { settlement in
            Self.deliveries(settlement.runs).map { (settlement.kind, $0.run, $0.receipt) }
        }
        for (kind, _, receipt) in all where self.world.isAlive(self.process) {
            self.world.checkSettlement(kind, of: receipt)
        }
        await self.world.dawdle(.milliseconds(50))
        guard self.world.isAlive(self.process) else {
            throw SourceError(.unreachable, "the simulated process is dead")
        }
        let isLost = self.world.happens(\.settlementLost)
        var outcome = SettlementOutcome()
        for (kind, run, receipt) in all {
            switch self.world.settle(kind, of: receipt, process: self.process, isTold: !isLost) {
            case .done: break
            case .refused: outcome.refused.append(run)
            case .lost: outcome.lost.append(run)
            }
        }
        if isLost { throw SourceError(.unreachable, "the answer of the simulated queue is lost") }
        return outcome
    }

    package func extend(_ ticket: LeaseTicket) async throws(SourceError) -> LeaseExtension {
        let start = self.world.loop.now
        await self.world.dawdle(.milliseconds(50))
        var outcome = LeaseExtension(until: start + ticket.length)
        for (run, receipt) in Self.deliveries(ticket.runs) {
            let what = self.world.extend(receipt, from: start, by: ticket.length, process: self.process)
            switch what {
            case .done: break
            case .refused: outcome.refused.append(run)
            case .lost: outcome.lost.append(run)
            }
        }
        guard !self.world.happens(\.extensionRefused) else {
            throw SourceError(.unreachable, "the answer of the simulated queue is lost")
        }
        return outcome
    }

    package func lag() -> [PartitionLag] { [] }

    package func stop() async {
        self.state.withLock { $0.isClosed = true }
        self.wake()
    }
}
