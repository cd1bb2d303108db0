// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting

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
    var commits: [[PartitionPosition]] = []
    var revoked: [(RevocationKey, [PartitionPosition])] = []

    init(_ policy: TriggerPolicy, partitions names: [String] = ["orders-0"]) {
        self.engine = TriggerEngine(policy: policy, format: LineFormat(), seed: 1)
        self.now = TriggerEngine.Moment(instant: .start, wall: VirtualLoop.epoch)
        for (index, name) in names.enumerated() {
            self.partitions[name] = Partition(id: PartitionID(UInt32(index + 1)), name: name)
        }
        self.engine.assigned(names.compactMap { self.partitions[$0] })
    }

    /// The next `count` records of a partition arrive.
    func arrive(_ count: Int, of name: String = "orders-0", age: Duration = .zero) {
        guard let partition = self.partitions[name] else { return }
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: count)
        let index = builder.add(partition)
        for _ in 0..<count {
            unsafe builder.append(
                position: Position(self.nextOffset[name, default: 0]),
                timestamp: Timestamp(milliseconds: self.now.wall.milliseconds - age.wholeMilliseconds),
                tag: 0,
                partitionIndex: index,
                payload: RecordPayload(key: nil, body: nil)
            )
            self.nextOffset[name, default: 0] += 1
        }
        self.engine.received(builder.finish(), now: self.now)
        self.collect()
    }

    func pass(_ duration: Duration) {
        self.now.instant = self.now.instant + duration
        self.now.wall = Timestamp(milliseconds: self.now.wall.milliseconds + duration.wholeMilliseconds)
        self.engine.wake(now: self.now)
        self.collect()
    }

    /// The oldest invocation ends.
    func answer(_ verdict: BatchVerdict) {
        let batch = self.invocations.removeFirst()
        let report = InvocationReport(id: "request", at: self.now.wall, duration: .milliseconds(5))
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

    func collect() {
        for action in self.engine.takeActions() {
            switch action {
            case .invoke(let batch): self.invocations.append(batch)
            case .deadLetter(let ticket): self.tickets.append(ticket)
            case .commit(let positions): self.commits.append(positions)
            case .revoked(let key, let positions): self.revoked.append((key, positions))
            }
        }
    }

    /// The offsets of the oldest invocation.
    var invoked: [UInt64] { self.invocations.first.map { Self.offsets($0.runs) } ?? [] }

    /// The offsets of the oldest dead letters.
    var givenUp: [UInt64] { self.tickets.first.map { Self.offsets($0.runs) } ?? [] }

    static func offsets(_ runs: [Run]) -> [UInt64] {
        runs.flatMap { run in run.range.compactMap { run.admitted.block.entries[$0].position.offset } }
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
    var deadline: Instant? { self.engine.nextDeadline() }
    var uncommitted: [PartitionPosition] { self.engine.uncommitted() }
    var refusedPartitions: [String] { self.engine.blockedPartitions.filter(\.isRefused).map(\.partition) }
}
