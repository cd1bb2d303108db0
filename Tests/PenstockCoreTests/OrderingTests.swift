// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

@Suite struct OrderingTests {
    private static func policy(
        size: Int = 10,
        concurrency: Int = 4,
        _ ordering: Ordering = .key(RecordKey())
    ) -> TriggerPolicy {
        var policy = TriggerPolicy.testing(size: size, concurrency: concurrency)
        policy.ordering = ordering
        return policy
    }

    /// All offsets of each invocation under way.
    private static func invoked(_ world: EngineFixture) -> [[UInt64]] {
        world.invocations.map { EngineFixture.offsets($0.runs) }
    }

    // MARK: - By key

    @Test("Two keys of one partition are invoked side by side, one key one batch at a time")
    func keysSideBySide() {
        let world = EngineFixture(Self.policy(size: 1))
        world.arrive(keys: ["a", "a", "b", "a", "b"])
        #expect(Set(Self.invoked(world)) == [[0], [2]])
        world.answer(.succeeded)
        world.answer(.succeeded)
        #expect(Set(Self.invoked(world)) == [[1], [4]])
        world.answer(.succeeded)
        world.answer(.succeeded)
        #expect(Self.invoked(world) == [[3]])
    }

    @Test("A batch takes records of several keys, each in its order")
    func severalKeysInOneBatch() {
        let world = EngineFixture(Self.policy(size: 6))
        world.arrive(keys: ["a", "b", "a", "c", "b", "a"])
        #expect(world.invocations.count == 1)
        let order = world.invoked
        #expect(Set(order) == Set(0...5))
        for key in [[0, 2, 5], [1, 4], [3]] as [[UInt64]] {
            #expect(order.filter { key.contains($0) } == key)
        }
    }

    @Test("In a batch the records of one partition stand side by side")
    func partitionsAreGathered() {
        let world = EngineFixture(Self.policy(size: 8), partitions: ["p-0", "p-1"])
        world.engine.isPaused = true
        for _ in 0..<2 {
            world.arrive(keys: ["a", "b"], of: "p-0")
            world.arrive(keys: ["a", "b"], of: "p-1")
        }
        world.engine.isPaused = false
        world.pass(.zero)
        let names = world.invocations[0].runs.map(\.partition.name)
        #expect(names == names.sorted() || names == names.sorted(by: >))
        #expect(world.invocations[0].count == 8)
    }

    @Test("Records without a key wait for nobody")
    func noKey() {
        let world = EngineFixture(Self.policy(size: 1, concurrency: 3))
        world.arrive(3)
        #expect(world.invocations.count == 3)
        #expect(Set(Self.invoked(world)) == [[0], [1], [2]])
    }

    @Test("The position moves only when all keys before it are settled")
    func watermarkOverLanes() {
        let world = EngineFixture(Self.policy(size: 1))
        world.arrive(keys: ["a", "b", "b"])
        if world.invoked == [0] { world.invocations.swapAt(0, 1) }
        // `b` is done with its first record, then with its second, while `a` is still in flight.
        world.answer(.succeeded)
        world.invocations.swapAt(0, 1)
        world.answer(.succeeded)
        world.pass(.seconds(1))
        #expect(world.commits.isEmpty)
        world.answer(.succeeded)
        #expect(world.uncommitted.map(\.position) == [Position(2)])
    }

    @Test("A failing key waits, its neighbours go on, and nothing of the key overtakes its retry")
    func failingKeyIsParked() {
        let world = EngineFixture(Self.policy(size: 1, concurrency: 2))
        world.arrive(keys: ["bad", "bad", "good", "good", "good"])
        var invoked: [UInt64] = []
        while let batch = world.invocations.first {
            let offset = EngineFixture.offsets(batch.runs)[0]
            invoked.append(offset)
            world.answer(offset == 0 ? .failed(EngineFixture.failure) : .succeeded)
        }
        #expect(Set(invoked) == [0, 2, 3, 4])
        world.pass(.milliseconds(200))
        #expect(world.invoked == [0])
        #expect(world.invocations.first?.attempt == 2)
        world.answer(.succeeded)
        #expect(world.invoked == [1])
    }

    @Test("What follows a failed record of its key is tried again, what other keys did is settled")
    func partialFailureByKey() {
        let world = EngineFixture(Self.policy(size: 6))
        world.arrive(keys: ["a", "b", "a", "b", "a", "b"])
        let order = world.invoked
        guard let bad = order.firstIndex(of: 2) else { return #expect(Bool(false), "2 was not invoked") }
        world.answer(failedAt: [bad])
        #expect(world.counters.succeeded == 4)
        world.pass(.milliseconds(200))
        #expect(world.invoked == [2, 4])
        world.answer(.succeeded)
        #expect(world.counters.inFlight == 0)
        #expect(world.counters.isConserved)
    }

    @Test("A refused record is given up at once; of its key the rest is tried again")
    func poisonByKey() {
        let world = EngineFixture(Self.policy(size: 4))
        world.arrive(keys: ["a", "a", "b", "b"])
        guard let bad = world.invoked.firstIndex(of: 0) else {
            return #expect(Bool(false), "0 was not invoked")
        }
        world.answer(failedAt: [bad], poison: true)
        #expect(world.givenUp == [0])
        #expect(world.counters.succeeded == 2)
        world.letterWritten()
        #expect(world.invoked == [1])
    }

    @Test("The letter of a refused record tells all its attempts, whatever else failed behind it")
    func historyOfTheFront() throws {
        // Another key that shares the lane of "front": a retry brings both together.
        var companion: (world: EngineFixture, key: String)?
        for number in 0..<1000 where companion == nil {
            let world = EngineFixture(Self.policy(size: 2))
            world.arrive(keys: ["front", "key-\(number)"])
            world.answer(.failed(EngineFixture.failure))
            world.pass(.milliseconds(200))
            if world.invoked == [0, 1] { companion = (world, "key-\(number)") }
        }
        let world = try #require(companion).world
        world.answer(.partial([.poison, .failed], EngineFixture.failure))
        #expect(world.givenUp == [0])
        #expect(world.tickets.first?.attempts.count == 2)
        #expect(world.tickets.first?.attemptCount == 2)
        world.letterWritten()
        #expect(world.invoked == [1])
        #expect(world.invocations.first?.attempt == 1, "it stood behind another record")
    }

    @Test("With bisect the cut is made at the reported record, which goes on alone")
    func cutAtTheReportedRecord() {
        var policy = TriggerPolicy.testing(size: 5)
        policy.retry.bisect = true
        policy.retry.retries = 1
        let world = EngineFixture(policy)
        world.arrive(5)
        world.answer(failedAt: [2])
        #expect(world.counters.succeeded == 2)
        #expect(world.invoked == [2])
        #expect(world.invocations.first?.attempt == 1, "a split costs no attempt")
        world.answer(failedAt: [0])
        world.pass(.milliseconds(200))
        #expect(world.invoked == [2])
        world.answer(failedAt: [0])
        #expect(world.givenUp == [2])
        world.letterWritten()
        #expect(world.invoked == [3, 4])
    }

    @Test("Records that were split off and throttled stay before those split off behind them")
    func throttledAfterSplit() {
        var policy = TriggerPolicy.testing(size: 8)
        policy.retry.bisect = true
        let world = EngineFixture(policy)
        world.arrive(8)
        world.answer(.failed(EngineFixture.failure))
        #expect(world.invoked == [0, 1, 2, 3])
        world.answer(failedAt: [1])
        world.answer(.succeeded)
        #expect(world.invoked == [2, 3])
        world.answer(.throttled(retryAfter: .seconds(1), EngineFixture.failure))
        world.pass(.seconds(1))
        #expect(world.invoked == [2, 3], "before 4 to 7")
        world.answer(.succeeded)
        #expect(world.invoked == [4, 5, 6, 7])
    }

    @Test("A revocation waits for all lanes of its partition")
    func revocationOverLanes() {
        let world = EngineFixture(Self.policy(size: 1), partitions: ["p-0"])
        world.arrive(keys: ["a", "b", "c", "a"])
        let count = world.invocations.count
        world.engine.revoking(RevocationKey(3), [PartitionID(1)], now: world.now)
        world.collect()
        for _ in 0..<count {
            #expect(world.revoked.isEmpty)
            world.answer(.succeeded)
        }
        #expect(world.revoked.count == 1)
        #expect(world.counters.isConserved)
        #expect(world.counters.inFlight == 0)
    }

    @Test("A key keeps its lane: its records never run side by side, whatever else arrives")
    func keysNeverOverlap() {
        let world = EngineFixture(Self.policy(size: 3, concurrency: 8))
        var random = SplitMix64(seed: 11)
        let keys = (0..<40).map { "key-\($0)" }
        var keyOf: [UInt64: String] = [:]
        var next: UInt64 = 0
        var last: [String: UInt64] = [:]
        for _ in 0..<300 {
            let arriving = (0..<Int.random(in: 0...9, using: &random)).map { _ in
                keys.randomElement(using: &random) ?? ""
            }
            for key in arriving {
                keyOf[next] = key
                next += 1
            }
            world.arrive(keys: arriving)
            var running: Set<String> = []
            for batch in Self.invoked(world) {
                let own = Set(batch.compactMap { keyOf[$0] })
                #expect(running.isDisjoint(with: own))
                running.formUnion(own)
            }
            guard let batch = world.invocations.first else { continue }
            for offset in EngineFixture.offsets(batch.runs) {
                let key = keyOf[offset] ?? ""
                #expect(last[key].map { $0 < offset } ?? true)
                last[key] = offset
            }
            world.answer(.succeeded)
        }
    }

    // MARK: - None

    @Test("Without an order, records of one partition run side by side, and a retry holds up nobody")
    func noOrder() {
        let world = EngineFixture(Self.policy(size: 2, concurrency: 2, .none))
        world.arrive(keys: ["a", "a", "a", "a", "a", "a"])
        #expect(Self.invoked(world) == [[0, 1], [2, 3]])
        world.answer(.failed(EngineFixture.failure))
        #expect(Self.invoked(world) == [[2, 3], [4, 5]])
        world.answer(.succeeded)
        world.answer(.succeeded)
        #expect(world.commits.isEmpty)
        world.pass(.milliseconds(200))
        #expect(world.invoked == [0, 1])
        world.answer(.succeeded)
        world.pass(.seconds(1))
        #expect(world.commits.last?.first?.position == Position(5))
    }

    @Test("Without an order only the named records are tried again, each half of a split by itself")
    func partialFailureWithoutOrder() {
        var policy = Self.policy(size: 4, .none)
        policy.retry.bisect = true
        let world = EngineFixture(policy)
        world.arrive(4)
        world.answer(failedAt: [1, 3])
        #expect(world.counters.succeeded == 2)
        #expect(Self.invoked(world) == [[1], [3]])
        world.answer(.succeeded)
        world.answer(.succeeded)
        #expect(world.counters.inFlight == 0)
    }

    @Test("Without an order a throttled batch is tried again, and a record too large is given up alone")
    func throttledAndOversized() {
        var policy = Self.policy(size: 2, .none)
        policy.bodyBytesMax = 22
        let world = EngineFixture(policy, partitions: ["orders-0", "a-partition-with-a-very-long-name"])
        world.arrive(2)
        world.arrive(1, of: "a-partition-with-a-very-long-name")
        #expect(world.tickets.first?.reason == .payloadTooLarge)
        world.letterWritten()
        world.answer(.throttled(retryAfter: .seconds(1), EngineFixture.failure))
        world.pass(.seconds(1))
        #expect(world.invoked == [0, 1])
        world.answer(.succeeded)
        #expect(world.counters.inFlight == 0)
        #expect(world.counters.isConserved)
    }

    // MARK: - Parked records

    @Test("Parked records have room of their own: the others still get the whole intake")
    func parkedRoom() {
        var policy = Self.policy(size: 10, .partition)
        policy.intakeRecords = 80
        let world = EngineFixture(policy, partitions: ["a-0", "b-0"])
        world.arrive(60, of: "a-0")
        world.answer(.failed(EngineFixture.failure))
        #expect(world.budget.held == [PartitionID(1)])
        #expect(world.budget.records == 80)
        world.arrive(80, of: "b-0")
        #expect(world.budget.records == 0)
    }

    @Test("A partition says since when it does not advance, until it does")
    func blockedSince() {
        let world = EngineFixture(Self.policy(size: 1, .partition))
        world.arrive(2)
        let start = world.now.wall
        for _ in 0..<3 {
            world.answer(.failed(EngineFixture.failure))
            world.pass(.seconds(30))
        }
        #expect(world.blocked.map(\.since) == [start])
        world.answer(.succeeded)
        #expect(world.blocked.isEmpty)
    }
}
