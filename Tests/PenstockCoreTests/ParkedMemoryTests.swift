// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

/// What is kept in memory while single records of many blocks are parked.
@Suite struct ParkedMemoryTests {
    private struct Kept {
        weak var block: RecordBlock?
        var bytes: Int
    }

    private static let intakeBytes = 400_000

    private static func world(_ ordering: Ordering, partitions: [String]) -> EngineFixture {
        var policy = TriggerPolicy.testing(size: 100, concurrency: 8)
        policy.ordering = ordering
        policy.retry.retries = nil
        policy.retry.backoff.initial = .seconds(3600)
        policy.retry.backoff.max = .seconds(3600)
        policy.intakeBytes = Self.intakeBytes
        return EngineFixture(policy, partitions: partitions)
    }

    /// A block of 50 records of a partition arrives, of which the first one fails; returns what it keeps in memory.
    private static func arrive(_ world: EngineFixture, of name: String, fails: Bool) -> Kept {
        let block = world.arrive(keys: ["stuck"] + (1..<50).map { "key-\($0)" }, of: name)
        while let batch = world.invocations.first {
            let offsets = EngineFixture.offsets(batch.runs)
            world.answer(failedAt: fails ? Set(offsets.indices.filter { offsets[$0] % 50 == 0 }) : [])
        }
        return Kept(block: block, bytes: block.byteCount + block.count * MemoryLayout<RecordEntry>.stride)
    }

    @Test(
        "Thousands of blocks with one stuck record each: memory stays bounded, the partition is left alone, others go on",
        arguments: [true, false]
    )
    func bounded(byKey: Bool) {
        let world = Self.world(byKey ? .key(RecordKey()) : .none, partitions: ["bad-0", "good-0"])
        var kept: [Kept] = []
        var largest = 0
        var good = 0
        for _ in 0..<5000 {
            let budget = world.budget
            if budget.records > 0, !budget.held.contains(PartitionID(1)) {
                kept.append(Self.arrive(world, of: "bad-0", fails: true))
            }
            if budget.records > 0, !budget.held.contains(PartitionID(2)) {
                kept.append(Self.arrive(world, of: "good-0", fails: false))
                good += 1
            }
            kept.removeAll { $0.block == nil }
            largest = max(largest, kept.reduce(0) { $0 + $1.bytes })
        }
        #expect(kept.count > 20, "blocks are kept")
        #expect(largest <= 2 * Self.intakeBytes)
        #expect(world.budget.held == [PartitionID(1)])
        #expect(good == 5000, "the other partition is read on")
        #expect(world.counters.isConserved)
    }

    @Test("When the stuck records are settled, their blocks are let go and reading goes on")
    func letGo() {
        let world = Self.world(.none, partitions: ["bad-0"])
        var kept: [Kept] = []
        while !world.budget.held.contains(PartitionID(1)) {
            kept.append(Self.arrive(world, of: "bad-0", fails: true))
        }
        world.pass(.seconds(3600))
        while !world.invocations.isEmpty { world.answer(.succeeded) }
        world.pass(.seconds(2))
        #expect(kept.allSatisfy { $0.block == nil })
        #expect(world.engine.blockBytes == 0)
        #expect(world.budget.held.isEmpty)
        #expect(world.budget.bytes == Self.intakeBytes)
    }

    @Test("A partition that goes takes its blocks along")
    func lost() {
        let world = Self.world(.none, partitions: ["bad-0", "bad-1"])
        for name in ["bad-0", "bad-1"] { _ = Self.arrive(world, of: name, fails: true) }
        #expect(world.engine.blockBytes > 0)
        world.engine.lost([PartitionID(1)], now: world.now)
        world.engine.revoking(RevocationKey(1), [PartitionID(2)], now: world.now)
        world.collect()
        #expect(world.revoked.count == 1)
        #expect(world.engine.blockBytes == 0)
    }
}
