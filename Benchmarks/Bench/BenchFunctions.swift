// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Synchronization

/// A function that answers success at once.
struct NullFunction: Function {
    /// Whether the event is written before it is dropped.
    var encodes: Bool
    var concurrency: Int

    var name: String { self.encodes ? "encode" : "discard" }
    var timeout: Duration { .seconds(30) }

    func format(for source: any EventFormat, trigger: String) -> any EventFormat {
        self.encodes ? source : UnwrittenFormat(source: source)
    }

    func invoke(_ invocation: Invocation) async -> InvocationResult { .responded([]) }

    func shutdown() async {}
}

/// The sizes of the source's own events, so that the ledger and the batches are the real ones, and no event.
private struct UnwrittenFormat: EventFormat {
    let source: any EventFormat

    var contentType: String { self.source.contentType }
    func sizes(of block: RecordBlock) -> RecordSizes { self.source.sizes(of: block) }
    var envelope: Int { self.source.envelope }
    func overhead(of partition: Partition) -> Int { self.source.overhead(of: partition) }
    func encode(_ batch: Batch, into writer: inout EventWriter) {}
    func index(of item: ItemIdentifier, in batch: Batch) -> Int? { self.source.index(of: item, in: batch) }
}

/// A source that notes when the first record came and when the last one was settled.
final class ClockedSource: Source {
    /// What was seen so far.
    struct Progress: Sendable {
        var records = 0
        var bytes = 0
        var first: Reading?
        var last: Reading?
        var isConnected = false
    }

    private let source: any Source
    private let expected: Int
    private let intake: Int
    private let whenConnected: @Sendable () -> Void
    private let state = Mutex(Progress())

    /// Watches `source`; done when `expected` records were received and the budget is `intake` again, which it is
    /// when nothing received is unsettled.
    init(
        _ source: any Source,
        expected: Int,
        intake: Int,
        whenConnected: @escaping @Sendable () -> Void
    ) {
        self.source = source
        self.expected = expected
        self.intake = intake
        self.whenConnected = whenConnected
    }

    var progress: Progress { self.state.withLock { $0 } }

    var format: any EventFormat { self.source.format }

    func start(checkpoints: [String: Position]) async throws(SourceError) {
        try await self.source.start(checkpoints: checkpoints)
    }

    func run() async { await self.source.run() }

    func grant(_ budget: ReceiveBudget) {
        self.state.withLock { state in
            if state.records >= self.expected, budget.records == self.intake, state.last == nil {
                state.last = .now
            }
        }
        self.source.grant(budget)
    }

    func receive() async throws(SourceError) -> [SourceEvent] {
        let events = try await self.source.receive()
        let isNew = self.state.withLock { state in
            guard !state.isConnected else { return false }
            state.isConnected = events.contains {
                if case .status(.connected) = $0 { true } else { false }
            }
            return state.isConnected
        }
        if isNew { self.whenConnected() }
        self.state.withLock { state in
            for case .records(let block) in events {
                if state.first == nil { state.first = .now }
                state.records += block.count
                state.bytes += block.byteCount
            }
        }
        return events
    }

    func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition] {
        try await self.source.commit(positions)
    }

    func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {
        self.source.finishRevocation(id, positions: positions)
    }

    func lag() -> [PartitionLag] { self.source.lag() }

    func stop() async { await self.source.stop() }
}
