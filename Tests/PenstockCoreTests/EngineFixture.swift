// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Reactor

/// Drives a ``TriggerEngine`` by hand: what it asked for so far, and short words for what happens.
final class EngineFixture {
    var engine: TriggerEngine
    var now: TriggerEngine.Moment
    var partitions: [String: Partition] = [:]
    private var nextOffset: [String: UInt64] = [:]

    /// Invocations asked for and not answered, oldest first.
    var invocations: [Batch] = []
    /// Dead letters asked for and not answered, oldest first.
    var tickets: [DeadLetterTicket] = []
    /// Results asked for and not answered, oldest first.
    var results: [ResultTicket] = []
    var commits: [[PartitionPosition]] = []
    /// Settlements and extensions asked for and not answered, oldest first.
    var settlements: [(id: SettlementID, settlements: [Settlement])] = []
    var extensions: [LeaseTicket] = []
    var revoked: [(RevocationKey, [PartitionPosition])] = []

    init(
        _ policy: TriggerPolicy,
        partitions names: [String] = ["orders-0"],
        filter: (any RecordFilter)? = nil,
        kept: KeptWindow? = nil
    ) {
        self.engine = TriggerEngine(policy: policy, format: LineFormat(), filter: filter, seed: 1)
        self.now = TriggerEngine.Moment(instant: .start, wall: VirtualLoop.epoch)
        for (index, name) in names.enumerated() {
            self.partitions[name] = Partition(id: PartitionID(UInt32(index + 1)), name: name, kept: kept)
        }
        if let kept { for name in names { self.nextOffset[name] = (kept.position.offset ?? 0) + 1 } }
        self.engine.assigned(names.compactMap { self.partitions[$0] }, now: self.now)
    }

    /// The next `count` records of a partition arrive, without keys.
    func arrive(_ count: Int, of name: String = "orders-0", age: Duration = .zero) {
        self.arrive(keys: Array(repeating: nil, count: count), of: name, age: age)
    }

    /// The next records of a partition arrive, with these keys.
    @discardableResult
    func arrive(keys: [String?], of name: String = "orders-0", age: Duration = .zero) -> RecordBlock {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: keys.count)
        let index = builder.add(self.partitions[name] ?? Partition(id: PartitionID(0), name: name))
        for key in keys {
            let position = Position(self.nextOffset[name, default: 0])
            let timestamp = Timestamp(milliseconds: self.now.wall.milliseconds - age.wholeMilliseconds)
            let bytes = key.map { Array($0.utf8) }
            unsafe (bytes ?? []).withUnsafeBytes { buffer in
                unsafe builder.append(
                    position: position,
                    timestamp: timestamp,
                    tag: 0,
                    partitionIndex: index,
                    payload: RecordPayload(key: bytes == nil ? nil : buffer, body: nil)
                )
            }
            self.nextOffset[name, default: 0] += 1
        }
        let block = builder.finish()
        self.engine.received(block, now: self.now)
        self.collect()
        return block
    }

    /// A partition is read to its end, which is this position.
    func readOut(at offset: UInt64, of name: String = "orders-0") {
        guard let id = self.partitions[name]?.id else { return }
        let end = PartitionPosition(partition: id, name: name, position: Position(offset))
        self.engine.readOut([end], now: self.now)
        self.collect()
    }

    func pass(_ duration: Duration) {
        self.now.instant = self.now.instant + duration
        self.now.wall = Timestamp(milliseconds: self.now.wall.milliseconds + duration.wholeMilliseconds)
        self.engine.wake(now: self.now)
        self.collect()
    }

    /// Records with these offsets arrive under one lease.
    func lease(
        _ offsets: [UInt64],
        keys: [String?] = [],
        for length: Duration? = .seconds(30),
        attempts: [UInt32] = []
    ) {
        guard let partition = self.partitions["orders-0"] else { return }
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: offsets.count)
        let index = builder.add(partition)
        for (place, offset) in offsets.enumerated() {
            let key = place < keys.count ? keys[place].map { Array($0.utf8) } : nil
            unsafe (key ?? []).withUnsafeBytes { buffer in
                unsafe builder.append(
                    position: Position(offset),
                    timestamp: self.now.wall,
                    tag: 0,
                    partitionIndex: index,
                    payload: RecordPayload(key: key == nil ? nil : buffer, body: nil)
                )
            }
        }
        let until = length.map { self.now.instant + $0 }
        let block = builder.finish(lease: BlockLease(until: until, attempts: attempts))
        self.engine.received(block, now: self.now)
        self.collect()
    }

    /// The oldest settlement ends; nil for an outcome that nobody knows.
    func settled(_ outcome: SettlementOutcome? = SettlementOutcome()) {
        let call = self.settlements.removeFirst()
        self.engine.settlementEnded(call.id, outcome, now: self.now)
        self.collect()
    }

    /// The oldest extension ends: the leases hold for `length` from now on, but those of some records.
    func extended(by length: Duration = .seconds(30), refused: [Run] = [], lost: [Run] = []) {
        let ticket = self.extensions.removeFirst()
        let until = self.now.instant + length
        self.engine.extensionEnded(
            ticket.id,
            LeaseExtension(until: until, refused: refused, lost: lost),
            now: self.now
        )
        self.collect()
    }

    /// The oldest extension fails.
    func extensionFailed() {
        let ticket = self.extensions.removeFirst()
        self.engine.extensionEnded(ticket.id, nil, now: self.now)
        self.collect()
    }

    /// What waits and is urgent is tried.
    func hurry(_ isUrgent: (Position) -> Bool) {
        self.engine.hurry(now: self.now, isUrgent)
        self.collect()
    }

    /// Upstream accepts the latest commit.
    func accept() {
        guard let positions = self.commits.last else { return }
        self.engine.commitEnded(positions, accepted: positions, now: self.now)
        self.collect()
    }

    /// The oldest invocation ends.
    func answer(_ verdict: BatchVerdict, isReported: Bool = false, state: String? = nil) {
        let batch = self.invocations.removeFirst()
        var report = InvocationReport(id: "request", at: self.now.wall, duration: .milliseconds(5))
        report.state = state.map { Array($0.utf8) }
        if isReported {
            report.record = InvocationRecord(
                id: "request",
                trigger: "t",
                function: "f",
                attempt: 1,
                at: Timestamp(milliseconds: 0),
                json: []
            )
        }
        self.engine.invocationEnded(batch.id, verdict: verdict, report: report, now: self.now)
        self.collect()
    }

    /// The oldest invocation ends: the function names the records at these places as failed.
    func answer(failedAt indices: Set<Int>, poison: Bool = false) {
        let verdicts = (0..<self.invocations[0].count).map { index -> Verdict in
            indices.contains(index) ? (poison ? .poison : .failed) : .succeeded
        }
        self.answer(.partial(verdicts, Self.failure))
    }

    /// The oldest dead letters are durable.
    func letterWritten() {
        self.engine.deadLettersWritten(self.tickets.removeFirst().id, now: self.now)
        self.collect()
    }

    /// The destination refuses the oldest dead letters.
    func letterRefused() {
        self.engine.deadLettersRefused(self.tickets.removeFirst().id, now: self.now)
        self.collect()
    }

    func collect() {
        while let action = self.engine.nextAction() {
            switch action {
            case .invoke(let batch): self.invocations.append(batch)
            case .deadLetter(let ticket): self.tickets.append(ticket)
            case .report(let ticket): self.results.append(ticket)
            case .commit(let positions): self.commits.append(positions)
            case .settle(let id, let settlements): self.settlements.append((id, settlements))
            case .extend(let ticket): self.extensions.append(ticket)
            case .revoked(let key, let positions): self.revoked.append((key, positions))
            }
        }
    }

    /// The offsets of the oldest invocation.
    var invoked: [UInt64] { self.invocations.first.map { Self.offsets($0.runs) } ?? [] }

    /// The offsets of the oldest dead letters.
    var givenUp: [UInt64] { self.tickets.first.map { Self.offsets($0.runs) } ?? [] }

    static func offsets(_ runs: [Run]) -> [UInt64] {
        runs.flatMap { run in run.indices.compactMap { run.admitted.block.entries[$0].position.offset } }
    }

    static let failure = Failure(type: "Error", message: "simulated")
}

extension TriggerPolicy {
    /// Small batches at once, waits without jitter.
    static func testing(size: Int, window: Duration = .zero, concurrency: Int = 4) -> TriggerPolicy {
        var policy = TriggerPolicy(batchSize: size, batchWindow: window, concurrency: concurrency)
        policy.retry.backoff.jitter = .none
        policy.patience.jitter = .none
        return policy
    }
}

extension EngineFixture {
    // `#expect` captures what it compares, and the engine cannot be copied: ask it here.
    var counters: Counters { self.engine.counters }
    var budget: ReceiveAllowance { self.engine.budget }
    var isDrained: Bool { self.engine.isDrained }
    var isSettled: Bool { self.engine.isSettled }
    var deadline: Instant? { self.engine.nextDeadline() }
    var uncommitted: [PartitionPosition] { self.engine.uncommitted() }
    var blocked: [BlockedPartition] { self.engine.blockedPartitions }
    var refusedPartitions: [String] { self.engine.blockedPartitions.filter(\.isRefused).map(\.partition) }
}
