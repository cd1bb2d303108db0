// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockFilters
import PenstockRuntime
import Reactor
import Synchronization

/// The source of a trigger under test: hands out the records of the case when they arrive, within the budget.
final class BehaviorSource: Source {
    private struct State {
        /// By arrival, then by number.
        var waiting: [BehaviorWorld.Record]
        var budget = ReceiveBudget.none
    }

    private let world: BehaviorWorld
    private let plan: SourcePlan
    private let filter: EventFilterPlan?
    private let partitions: [String: Partition]
    private let mailbox = Mailbox<SourceEvent>()
    private let state: Mutex<State>

    /// `filter` tells which records a filter that settles at once passes over.
    init(_ world: BehaviorWorld, plan: SourcePlan, filter: EventFilterPlan?) {
        self.world = world
        self.plan = plan
        self.filter = filter
        let names = Set(world.records.map(\.partition)).sorted()
        let partitions = names.enumerated().map { ($1, plan.partition(PartitionID(UInt32($0 + 1)), $1)) }
        self.partitions = Dictionary(partitions, uniquingKeysWith: { first, _ in first })
        let order = world.records.sorted { ($0.like.at, $0.number) < ($1.like.at, $1.number) }
        self.state = Mutex(State(waiting: order))
    }

    var format: any EventFormat { self.plan.format }

    func start(checkpoints: [String: Position]) async throws(SourceError) {
        self.mailbox.put(.assigned(self.partitions.values.sorted { $0.id.rawValue < $1.id.rawValue }))
        for arrival in Set(self.world.records.map(\.like.at)) where arrival > .zero {
            _ = self.world.loop.schedule(at: .start + arrival) { self.deliver() }
        }
    }

    func grant(_ budget: ReceiveBudget) {
        self.state.withLock { $0.budget = budget }
        self.deliver()
    }

    /// Hands out what has arrived and fits the budget; records of held partitions wait.
    private func deliver() {
        let now = self.world.loop.now
        let records = self.state.withLock { state in
            var taken: [BehaviorWorld.Record] = []
            state.waiting.removeAll { record in
                guard .start + record.like.at <= now, state.budget.records > 0, state.budget.bytes > 0 else {
                    return false
                }
                if let partition = self.partitions[record.partition], state.budget.held.contains(partition.id)
                {
                    return false
                }
                state.budget.records -= 1
                state.budget.bytes -= (record.like.body?.count ?? 0) + (record.like.key?.count ?? 0)
                taken.append(record)
                return true
            }
            return taken
        }
        guard !records.isEmpty else { return }
        let block = self.block(records)
        if let passing = self.filter?.make().select(block) {
            let passes = RangeSet(passing)
            self.world.filtered(records.indices.filter { !passes.contains($0) }.map { records[$0].number })
        }
        self.mailbox.put(.records(block))
    }

    private func block(_ records: [BehaviorWorld.Record]) -> RecordBlock {
        var builder = RecordBlockBuilder(byteCapacity: 1024, recordCapacity: records.count)
        var indices: [String: UInt32] = [:]
        for record in records {
            guard let partition = self.partitions[record.partition] else { continue }
            let index = indices[record.partition] ?? builder.add(partition)
            indices[record.partition] = index
            let arrival = VirtualLoop.epoch.milliseconds + record.like.at.wholeMilliseconds
            let timestamp = Timestamp(milliseconds: arrival - record.like.age.wholeMilliseconds)
            unsafe Self.withBytes(record.like.key) { key in
                unsafe Self.withBytes(record.like.body) { body in
                    unsafe builder.append(
                        position: record.position,
                        timestamp: timestamp,
                        tag: self.world.tag,
                        partitionIndex: index,
                        payload: RecordPayload(key: key, body: body)
                    )
                }
            }
            for header in record.like.headers {
                let (name, value) = (Array(header.name.utf8), Array(header.value.utf8))
                unsafe name.withUnsafeBytes { name in
                    unsafe value.withUnsafeBytes { unsafe builder.appendAttribute(name: name, value: $0) }
                }
            }
        }
        return builder.finish()
    }

    /// The bytes, or nil for none; an empty array is not none.
    private static func withBytes(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
        guard let bytes else { return body(nil) }
        unsafe bytes.withUnsafeBytes { unsafe body($0) }
    }

    func receive() async throws(SourceError) -> [SourceEvent] {
        await self.mailbox.takeAll()
    }

    func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition] {
        positions
    }

    func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {}

    func lag() -> [PartitionLag] { [] }

    func stop() async {
        self.mailbox.close()
    }
}
