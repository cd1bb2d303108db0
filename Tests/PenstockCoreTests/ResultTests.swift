// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

/// Invocations whose result is kept before their records are settled.
@Suite struct ResultTests {
    @Test("Nothing is settled before the result is durable, and the partition's next batch waits for it")
    func durableFirst() {
        let world = EngineFixture(.testing(size: 2))
        world.arrive(4)
        world.answer(.succeeded, isReported: true)
        #expect(world.results.count == 1 && world.results[0].record.id == "request")
        #expect(world.counters.succeeded == 0 && world.counters.inFlight == 4)
        #expect(world.invocations.isEmpty && world.uncommitted.isEmpty && !world.isDrained)
        world.resultWritten()
        #expect(world.counters.succeeded == 2)
        #expect(world.uncommitted.map(\.position) == [Position(1)])
        #expect(world.invoked == [2, 3])
    }

    @Test("A refused result blocks its partition alone, is written again, and then all goes on")
    func refused() {
        let world = EngineFixture(.testing(size: 2, concurrency: 1), partitions: ["orders-0", "orders-1"])
        world.arrive(4, of: "orders-0")
        world.answer(.succeeded, isReported: true)
        world.arrive(2, of: "orders-1")
        #expect(world.invoked == [0, 1], "one that waits for its result takes no invocation's place")
        world.resultRefused()
        #expect(world.refusedPartitions == ["orders-0"] && world.counters.resultFailures == 1)
        world.answer(.succeeded)
        #expect(world.counters.succeeded == 2 && world.invocations.isEmpty)
        #expect(world.uncommitted.map(\.name) == ["orders-1"])
        world.pass(.seconds(4))
        #expect(world.results.count == 1, "the same again")
        #expect(world.refusedPartitions == [] && world.blocked.map(\.partition) == ["orders-0"])
        world.resultWritten()
        #expect(world.blocked.isEmpty && world.invoked == [2, 3])
        #expect(world.counters.isConserved)
    }

    @Test("A partial result is judged when it is durable: what failed is tried again then")
    func partial() {
        let world = EngineFixture(.testing(size: 3))
        world.arrive(3)
        world.answer(.partial([.succeeded, .failed, .succeeded], EngineFixture.failure), isReported: true)
        world.pass(.seconds(60))
        #expect(world.invocations.isEmpty && world.counters.succeeded == 0)
        world.resultWritten()
        #expect(world.counters.succeeded == 1)
        world.pass(.seconds(60))
        #expect(world.invoked == [1, 2])
    }

    @Test("The keys of one batch wait for its one result, and settle together")
    func keys() {
        var policy = TriggerPolicy.testing(size: 3)
        policy.ordering = .key(RecordKey())
        let world = EngineFixture(policy)
        world.arrive(keys: ["a", "b", "c"])
        world.answer(.succeeded, isReported: true)
        #expect(world.results.count == 1)
        world.resultRefused()
        world.pass(.seconds(4))
        #expect(world.results.count == 1, "once for all of them")
        world.resultWritten()
        #expect(world.counters.succeeded == 3 && world.isDrained)
    }

    @Test(
        "Partitions that leave take their records along, and the others of the batch still wait for the result"
    )
    func partitionLeaves() throws {
        let world = EngineFixture(.testing(size: 4), partitions: ["orders-0", "orders-1"])
        world.engine.isPaused = true
        world.arrive(2, of: "orders-0")
        world.arrive(2, of: "orders-1")
        world.engine.isPaused = false
        world.pass(.zero)
        #expect(world.invocations.map(\.count) == [4])
        world.answer(.succeeded, isReported: true)
        world.resultRefused()
        let leaving = try #require(world.partitions["orders-0"]?.id)
        world.engine.revoking(RevocationKey(1), [leaving], now: world.now)
        world.collect()
        #expect(world.revoked.count == 1, "a refused result holds nothing up")
        #expect(world.counters.released == 2 && world.counters.inFlight == 2)
        world.pass(.seconds(4))
        world.resultWritten()
        #expect(world.counters.succeeded == 2 && world.counters.released == 2)
        #expect(world.isDrained && world.counters.isConserved)
    }

    @Test(
        "A stop waits for a result under way, and releases the records of one that is refused",
        arguments: [true, false]
    )
    func stop(isTaken: Bool) {
        let world = EngineFixture(.testing(size: 2))
        world.arrive(2)
        world.answer(.succeeded, isReported: true)
        world.engine.stop()
        #expect(!world.isDrained)
        if isTaken { world.resultWritten() } else { world.resultRefused() }
        #expect(world.isDrained && world.counters.isConserved)
        #expect(world.counters.succeeded == (isTaken ? 2 : 0) && world.counters.released == (isTaken ? 0 : 2))
    }

    @Test("Records whose result is still under way when the engine gives up are released, once")
    func abandon() {
        let world = EngineFixture(.testing(size: 2))
        world.arrive(2)
        world.answer(.succeeded, isReported: true)
        world.engine.stop()
        world.engine.abandon()
        #expect(world.counters.released == 2 && world.isDrained)
        world.resultWritten()
        #expect(world.counters.released == 2 && world.counters.succeeded == 0 && world.counters.isConserved)
    }

    @Test("Leased records whose lease is lost while their result is refused wait for it no longer")
    func leaseLost() {
        var policy = TriggerPolicy.testing(size: 2)
        policy.ordering = .none
        policy.lease = LeasePolicy(length: .seconds(30), longest: .seconds(3600))
        let world = EngineFixture(policy)
        world.lease([1, 2])
        world.answer(.succeeded, isReported: true)
        world.resultRefused()
        world.pass(.seconds(29))
        world.resultRefused()
        #expect(!world.isDrained)
        world.pass(.milliseconds(1500))
        #expect(world.isDrained && world.counters.leasesLost == 2 && world.counters.isConserved)
    }

    @Test("A lost partition's result changes nothing any more")
    func lost() throws {
        let world = EngineFixture(.testing(size: 2))
        world.arrive(2)
        world.answer(.succeeded, isReported: true)
        world.engine.lost([try #require(world.partitions["orders-0"]?.id)], now: world.now)
        world.resultWritten()
        #expect(world.counters.released == 2 && world.counters.isConserved && world.isDrained)
    }
}

extension EngineFixture {
    /// The oldest result is durable.
    fileprivate func resultWritten() {
        self.engine.resultWritten(self.results.removeFirst().id, now: self.now)
        self.collect()
    }

    /// The oldest result is refused.
    fileprivate func resultRefused() {
        self.engine.resultRefused(self.results.removeFirst().id, now: self.now)
        self.collect()
    }
}
