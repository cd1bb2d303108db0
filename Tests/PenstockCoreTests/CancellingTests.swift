// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

/// Records that nobody wants any more.
@Suite(.timeLimit(.minutes(1)))
struct CancellingTests {
    @Test("What was cancelled is settled, counted by itself, and not tried again")
    func cancelled() {
        let world = EngineFixture(.testing(size: 1))
        world.arrive(2)
        world.answer(.cancelled(EngineFixture.failure))
        #expect(world.invoked == [1])
        #expect(world.tickets.isEmpty)
        world.answer(.succeeded)
        #expect(world.counters.cancelled == 1 && world.counters.succeeded == 1)
        #expect(world.counters.failures == 0 && world.counters.isConserved)
        #expect(world.uncommitted.map(\.position) == [Position(1)])
    }

    @Test("What waits for its next attempt is tried at once when it is urgent, and only then")
    func hurried() {
        var policy = TriggerPolicy.testing(size: 1)
        policy.retry.backoff = Backoff(initial: .seconds(60), factor: 1, max: .seconds(60), jitter: .none)
        let world = EngineFixture(policy)
        world.arrive(2)
        world.answer(.failed(EngineFixture.failure))
        #expect(world.invocations.isEmpty)
        world.hurry { $0 == Position(1) }
        #expect(world.invocations.isEmpty, "another record is urgent")
        world.hurry { $0 == Position(0) }
        #expect(world.invoked == [0])
        world.hurry { $0 == Position(0) }
        #expect(world.invocations.count == 1, "it is under way")
        world.answer(.cancelled(EngineFixture.failure))
        #expect(world.invoked == [1])
        world.answer(.succeeded)
        world.pass(.seconds(120))
        #expect(world.invocations.isEmpty && world.isDrained && world.counters.isConserved)
    }

    @Test("A leased record that was cancelled is acknowledged")
    func leased() {
        var policy = TriggerPolicy.testing(size: 1)
        policy.lease = LeasePolicy(length: .seconds(30))
        let world = EngineFixture(policy)
        world.lease([7])
        world.answer(.cancelled(EngineFixture.failure))
        #expect(world.settlements.first?.settlements.map(\.kind) == [.acknowledge])
        world.settled()
        #expect(world.counters.cancelled == 1 && world.counters.isConserved && world.isSettled)
    }
}
