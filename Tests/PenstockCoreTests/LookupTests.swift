// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

/// Where the engine finds one record, from its receipt to its settlement.
@Suite struct LookupTests {
    private static func policy(retries: Int? = 1, bisect: Bool = false) -> TriggerPolicy {
        var policy = TriggerPolicy.testing(size: 4, concurrency: 1)
        policy.retry.retries = retries
        policy.retry.bisect = bisect
        return policy
    }

    private static func offset(_ held: HeldRecord?) -> UInt64? {
        held.flatMap { $0.block.entries[$0.index].position.offset }
    }

    @Test("In flight, waiting, retrying, given up and settled, with attempts and what it waits for")
    func life() {
        let world = EngineFixture(Self.policy())
        world.arrive(6)
        let inFlight = world.lookup(2)
        #expect(inFlight.held?.state == .inFlight(BatchID(1)) && Self.offset(inFlight.held) == 2)
        #expect(inFlight.positions == PartitionPositions(received: Position(0)...Position(5)))
        let waiting = world.lookup(5).held
        #expect(waiting?.state == .waiting && waiting?.obstacle == .others && Self.offset(waiting) == 5)

        world.answer(.failed(EngineFixture.failure))
        let retrying = world.lookup(2).held
        guard case .retrying(let until?) = retrying?.state else { return #expect(Bool(false), "it waits") }
        #expect(until > world.now.instant && retrying?.attempts == 1)
        #expect(retrying?.history.map(\.failure) == [EngineFixture.failure])
        #expect(retrying?.blockedSince != nil)

        world.pass(.seconds(60))
        world.answer(.failed(EngineFixture.failure))
        let dead = world.lookup(3).held
        #expect(dead?.state == .deadLettering(.retriesExhausted, isRefused: false) && dead?.attempts == 2)
        world.letterRefused()
        #expect(world.lookup(3).held?.state == .deadLettering(.retriesExhausted, isRefused: true))
        world.pass(.seconds(60))
        world.letterWritten()
        #expect(world.lookup(3).held == nil)
        #expect(world.lookup(3).positions?.settled == Position(3))
        #expect(world.lookup(4).held?.state == .inFlight(BatchID(3)))
        #expect(world.lookup(6).held == nil, "it was never received")
    }

    @Test(
        "What keeps a record from being invoked is told: a pause, the store, no room, other invocations, the window"
    )
    func obstacles() {
        let world = EngineFixture(Self.policy(), partitions: ["orders-0", "orders-1"])
        world.engine.isPaused = true
        world.arrive(1)
        #expect(world.lookup(0).held?.obstacle == .pause)
        world.engine.isPaused = false
        world.pass(.zero)
        world.arrive(1, of: "orders-1")
        #expect(world.lookup(0, of: "orders-1").held?.obstacle == .concurrency)
        world.answer(.throttled(retryAfter: .seconds(5), EngineFixture.failure))
        #expect(world.lookup(0).held?.obstacle == .throttling(until: world.now.instant + .seconds(5)))

        let slow = EngineFixture(.testing(size: 4, window: .seconds(2)))
        slow.arrive(1)
        #expect(slow.lookup(0).held?.obstacle == .window(until: slow.now.instant + .seconds(2)))
    }

    @Test("The halves of a split batch, a batch by key, and a record that waits for its result are found")
    func places() {
        let halves = EngineFixture(Self.policy(bisect: true))
        halves.arrive(4)
        halves.answer(.failed(EngineFixture.failure))
        #expect(halves.lookup(0).held?.state == .inFlight(BatchID(2)))
        let second = halves.lookup(3).held
        #expect(second?.state == .retrying(until: nil) && second?.obstacle == .others)

        var policy = Self.policy()
        policy.ordering = .key(RecordKey())
        let keys = EngineFixture(policy)
        keys.arrive(keys: ["a", "b", "a", "c", "b", "a"])
        for offset: UInt64 in 0..<6 { #expect(Self.offset(keys.lookup(offset).held) == offset) }

        let results = EngineFixture(Self.policy())
        results.arrive(2)
        results.answer(.succeeded, isReported: true)
        #expect(results.lookup(1).held?.state == .reporting(isRefused: false))
        results.engine.resultRefused(results.results.removeFirst().id, now: results.now)
        #expect(results.lookup(1).held?.state == .reporting(isRefused: true))
    }

    @Test("A record that no filter matched, and is kept, says so")
    func filtered() {
        var policy = Self.policy()
        policy.filtered = .deadLetter
        let world = EngineFixture(policy, filter: PositionFilter { $0 != 1 })
        world.engine.isPaused = true
        world.arrive(3)
        #expect(world.lookup(1).held?.isFiltered == true && world.lookup(2).held?.isFiltered == false)
    }

    @Test("Of a partition that is not owned, or not any more, nothing is known")
    func notOwned() {
        let world = EngineFixture(Self.policy())
        world.arrive(1)
        #expect(world.lookup(0, of: "orders-9").positions == nil)
        world.engine.lost([PartitionID(1)], now: world.now)
        world.answer(.succeeded)
        #expect(world.lookup(0).positions == nil && world.lookup(0).held == nil)
    }

    @Test("A leased record is found whatever the order of positions, and its attempts when it was given back")
    func leased() {
        var policy = Self.policy()
        policy.lease = LeasePolicy(length: .seconds(30))
        policy.ordering = .none
        let world = EngineFixture(policy)
        world.lease([9, 3, 7])
        #expect(Self.offset(world.lookup(3).held) == 3)
        world.answer(failedAt: [1])
        let past = world.lookup(3)
        #expect(past.held == nil && past.returned?.attempts == 1)
        #expect(past.returned?.history.map(\.failure) == [EngineFixture.failure])
        #expect(world.lookup(9).returned == nil)
        world.lease([3])
        #expect(world.lookup(3).held?.attempts == 1)
    }
}

extension EngineFixture {
    fileprivate func lookup(_ offset: UInt64, of partition: String = "orders-0") -> RecordLookup {
        self.engine.lookup(partition, Position(offset))
    }
}
