// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

/// Records that are leased and settled one by one.
@Suite struct LeaseTests {
    private static func fixture(
        size: Int = 3,
        concurrency: Int = 2,
        ordering: Ordering = .none,
        filter: (any RecordFilter)? = nil,
        _ change: (inout TriggerPolicy) -> Void = { _ in }
    ) -> EngineFixture {
        var policy = TriggerPolicy.testing(size: size, concurrency: concurrency)
        policy.ordering = ordering
        policy.lease = LeasePolicy(length: .seconds(30), longest: .seconds(3600))
        change(&policy)
        return EngineFixture(policy, filter: filter)
    }

    /// What the oldest call settles: the kind and the offsets of each of its parts.
    private static func call(_ world: EngineFixture) -> [(kind: Settlement.Kind, offsets: [UInt64])] {
        world.settlements.first?.settlements.map { ($0.kind, EngineFixture.offsets($0.runs)) } ?? []
    }

    // MARK: - Verdicts

    @Test("What succeeded is acknowledged, and no position is committed")
    func success() {
        let world = Self.fixture()
        world.lease([5, 3, 9])
        world.answer(.succeeded)
        #expect(Self.call(world).map(\.kind) == [.acknowledge])
        #expect(Self.call(world).map(\.offsets) == [[5, 3, 9]])
        #expect(world.counters.succeeded == 3)
        #expect(!world.isSettled)
        world.settled()
        #expect(world.isSettled)
        #expect(world.commits.isEmpty)
        #expect(world.counters.commits == 1)
        #expect(world.counters.isConserved)
    }

    @Test("A failed batch goes back with backoff, and comes again with its attempts counted")
    func failure() {
        let world = Self.fixture { $0.retry.retries = 1 }
        world.lease([1, 2])
        world.answer(.failed(EngineFixture.failure))
        let release = Settlement.Kind.release(after: .milliseconds(200), isFailure: true)
        #expect(Self.call(world).map(\.kind) == [release])
        #expect(world.counters.released == 2)
        world.settled()
        world.lease([2])
        #expect(world.invocations.first?.attempt == 2)
        world.answer(.failed(EngineFixture.failure))
        #expect(world.givenUp == [2])
        #expect(world.tickets.first?.attemptCount == 2)
        #expect(world.tickets.first?.attempts.count == 2)
        #expect(world.settlements.isEmpty, "the letter is not durable yet")
        world.letterWritten()
        #expect(Self.call(world).map(\.kind) == [.acknowledge])
        #expect(Self.call(world).map(\.offsets) == [[2]])
        #expect(world.counters.deadLettered == 1)
        #expect(world.counters.isConserved)
    }

    @Test("A record that a batch has twice has failed once, whatever it is told of both")
    func twiceInABatch() {
        let world = Self.fixture { $0.retry.retries = 1 }
        world.lease([1, 1])
        world.answer(.failed(EngineFixture.failure))
        #expect(world.givenUp.isEmpty)
        #expect(world.counters.released == 2)
        world.settled()
        world.lease([1, 1])
        #expect(world.invocations.first?.attempt == 2)
        world.answer(.partial([.failed, .failed], EngineFixture.failure))
        #expect(world.givenUp == [1, 1])
        #expect(world.tickets.first?.attemptCount == 2)
    }

    @Test("Of two hundred groups hardly two wait for each other")
    func groupsApart() {
        let world = Self.fixture(size: 1, concurrency: 1000, ordering: .key(RecordKey()))
        world.lease((0..<200).map(UInt64.init), keys: (0..<200).map { "group-\($0)" })
        // Two keys may be in one lane; with 64 lanes 136 would wait.
        #expect(world.invocations.count >= 185)
    }

    @Test("The waits grow with a record's own attempts, which a success forgets")
    func backoff() {
        let world = Self.fixture(size: 1)
        for attempt in 1...3 {
            world.lease([7])
            world.answer(.failed(EngineFixture.failure))
            let wait = Duration.milliseconds(100 << attempt)
            #expect(Self.call(world).map(\.kind) == [.release(after: wait, isFailure: true)])
            world.settled()
        }
        world.lease([7])
        #expect(world.invocations.first?.attempt == 4)
        world.answer(.succeeded)
        world.settled()
        world.lease([7])
        #expect(world.invocations.first?.attempt == 1)
    }

    @Test("Attempts that upstream counts are taken over")
    func countedUpstream() {
        let world = Self.fixture { $0.retry.retries = 4 }
        world.lease([1, 2], attempts: [4, 3])
        #expect(world.invocations.first?.attempt == 5)
        world.answer(.failed(EngineFixture.failure))
        #expect(world.givenUp == [1])
        #expect(Self.call(world).map(\.offsets) == [[2]])
    }

    @Test("Of a partial failure only the named records go back; a dropped one is a dead letter at once")
    func partialFailure() {
        let world = Self.fixture()
        world.lease([1, 2, 3])
        world.answer(.partial([.failed, .succeeded, .poison], EngineFixture.failure))
        #expect(Self.call(world).map(\.offsets) == [[1], [2]])
        #expect(world.givenUp == [3])
        world.letterWritten()
        #expect(world.counters.succeeded == 1)
        #expect(world.counters.released == 1)
        #expect(world.counters.deadLettered == 1)
        #expect(world.counters.isConserved)
    }

    @Test("Letters of one batch with different histories are written one after the other")
    func lettersInTurn() {
        let world = Self.fixture { $0.retry.retries = 1 }
        world.lease([1, 2, 3], attempts: [1, 5, 5])
        world.answer(.failed(EngineFixture.failure))
        #expect(world.givenUp == [1])
        #expect(world.tickets.count == 1)
        world.letterWritten()
        #expect(world.givenUp == [2, 3])
        #expect(world.tickets.first?.attemptCount == 6)
        world.letterWritten()
        #expect(world.counters.deadLettered == 3)
        #expect(world.counters.inFlight == 0)
    }

    @Test("A failed batch is split without going back; what fails alone does")
    func bisect() {
        let world = Self.fixture(size: 4, concurrency: 1) { $0.retry.bisect = true }
        world.lease([1, 2, 3, 4])
        world.answer(.failed(EngineFixture.failure))
        #expect(world.settlements.isEmpty)
        #expect(world.invoked == [1, 2])
        world.answer(.succeeded)
        #expect(world.invoked == [3, 4])
        world.answer(.failed(EngineFixture.failure))
        #expect(world.invoked == [3])
        world.answer(.failed(EngineFixture.failure))
        #expect(world.invoked == [4])
        world.answer(.succeeded)
        world.settled()
        #expect(world.counters.succeeded == 3)
        #expect(world.counters.released == 1)
        #expect(world.counters.isConserved)
        world.lease([3])
        #expect(world.invocations.first?.attempt == 2, "the splits cost no attempt")
    }

    @Test("A throttled batch stays in hand, costs no attempt, and goes back at a stop")
    func throttled() {
        let world = Self.fixture()
        world.lease([1, 2])
        world.answer(.throttled(retryAfter: .seconds(20), EngineFixture.failure))
        #expect(world.settlements.isEmpty)
        #expect(world.budget == .none, "nothing is received that cannot soon be invoked")
        world.pass(.seconds(15))
        #expect(world.extensions.count == 1)
        world.extended()
        world.pass(.seconds(5))
        #expect(world.invocations.first?.attempt == 1)
        world.answer(.throttled(retryAfter: .seconds(20), EngineFixture.failure))
        world.engine.stop()
        world.collect()
        #expect(Self.call(world).map(\.kind) == [.release(after: .zero, isFailure: false)])
        #expect(world.counters.released == 2)
        #expect(!world.isSettled)
        world.settled()
        #expect(world.isSettled)
    }

    @Test("Records that are too old become dead letters with the history of all their deliveries")
    func expired() {
        let world = Self.fixture(concurrency: 1) { $0.retry.maxAge = .seconds(10) }
        world.lease([1])
        world.answer(.failed(EngineFixture.failure))
        world.settled()
        world.lease([2])
        world.lease([1])
        world.pass(.seconds(11))
        world.answer(.succeeded)
        #expect(world.givenUp == [1])
        #expect(world.tickets.first?.reason == .ageExceeded)
        #expect(world.tickets.first?.attemptCount == 1)
    }

    @Test("Records of one lane that are too old are given up one after the other when their histories differ")
    func expiredInTurn() {
        let world = Self.fixture(ordering: .key(RecordKey())) { $0.retry.maxAge = .seconds(10) }
        world.lease([1, 2], keys: ["a", "a"], attempts: [0, 0])
        world.lease([3, 4], keys: ["a", "a"], attempts: [0, 3])
        world.pass(.seconds(11))
        world.answer(.succeeded)
        world.settled()
        #expect(world.givenUp == [3])
        #expect(world.tickets.count == 1)
        world.letterRefused()
        world.pass(.seconds(4))
        world.letterWritten()
        #expect(world.givenUp == [4])
        #expect(world.tickets.first?.attemptCount == 3)
        world.letterWritten()
        #expect(world.counters.deadLettered == 2)
        #expect(world.counters.inFlight == 0)
    }

    // MARK: - Leases

    @Test("Leases are extended at half of their time, and the next time at half again")
    func extends() {
        let world = Self.fixture()
        world.lease([1, 2])
        world.pass(.seconds(14))
        #expect(world.extensions.isEmpty)
        world.pass(.seconds(1))
        #expect(world.extensions.map(\.length) == [.seconds(30)])
        world.extended()
        world.pass(.seconds(14))
        #expect(world.extensions.isEmpty)
        world.pass(.seconds(1))
        #expect(world.extensions.count == 1)
        world.answer(.succeeded)
        world.extended()
        world.settled()
        #expect(world.deadline == nil)
    }

    @Test("A refused extension is tried again, until the lease has ended; then the delivery is void")
    func refusedExtension() {
        let world = Self.fixture()
        world.lease([1, 2])
        world.pass(.seconds(15))
        let record = world.extensions[0].runs
        world.extended(refused: record)
        world.pass(.milliseconds(7500))
        #expect(world.extensions.count == 1)
        world.extensionFailed()
        world.pass(.milliseconds(7500))
        #expect(world.counters.leasesLost == 2)
        #expect(world.counters.released == 2)
        #expect(world.counters.isConserved)
        world.answer(.succeeded)
        #expect(world.settlements.isEmpty, "a late result acknowledges nothing")
        #expect(world.counters.succeeded == 0)
        #expect(world.counters.isConserved)
    }

    @Test("No lease is extended beyond its longest time")
    func longest() {
        let world = Self.fixture { $0.lease = LeasePolicy(length: .seconds(30), longest: .seconds(40)) }
        world.lease([1])
        world.pass(.seconds(15))
        #expect(world.extensions.map(\.length) == [.seconds(25)])
        world.extended(by: .seconds(25))
        world.pass(.seconds(24))
        #expect(world.extensions.isEmpty)
        world.pass(.seconds(1))
        #expect(world.counters.leasesLost == 1)
    }

    @Test("A record that upstream lost is void, its neighbours are not")
    func lostOne() {
        let world = Self.fixture()
        world.lease([1, 2, 3])
        world.pass(.seconds(15))
        let runs = world.extensions[0].runs
        world.extended(lost: [Run(admitted: runs[0].admitted, range: 1..<2)])
        world.answer(.succeeded)
        #expect(Self.call(world).map(\.offsets) == [[1, 3]])
        #expect(world.counters.succeeded == 2)
        #expect(world.counters.released == 1)
        #expect(world.counters.isConserved)
    }

    @Test("A block that comes after the end of its lease is void at once")
    func lateBlock() {
        let world = Self.fixture()
        world.lease([1, 2], for: .zero)
        #expect(world.invocations.isEmpty)
        #expect(world.counters.leasesLost == 2)
        #expect(world.counters.isConserved)
    }

    @Test(
        "Records of which nobody knows whether they were settled are settled again, but not after their lease"
    )
    func settlesAgain() {
        let world = Self.fixture(size: 1)
        world.lease([1])
        world.answer(.succeeded)
        world.settled(nil)
        #expect(world.counters.commitFailures == 1)
        world.pass(.seconds(1))
        #expect(Self.call(world).map(\.offsets) == [[1]])
        world.settled(nil)
        world.pass(.seconds(40))
        #expect(world.settlements.isEmpty)
        #expect(world.isSettled)
        #expect(world.counters.succeeded == 1)
    }

    @Test("Of a settlement only what was refused is tried again")
    func partlySettled() {
        let world = Self.fixture()
        world.lease([1, 2, 3])
        world.answer(.succeeded)
        let run = world.settlements[0].settlements[0].runs[0]
        world.settled(
            SettlementOutcome(
                refused: [Run(admitted: run.admitted, range: 1..<2)],
                lost: [Run(admitted: run.admitted, range: 0..<1)]
            )
        )
        #expect(world.counters.leasesLost == 1)
        world.pass(.seconds(1))
        #expect(Self.call(world).map(\.offsets) == [[2]])
        world.settled()
        #expect(world.isSettled)
    }

    @Test("A release waits for an extension that is under way")
    func releaseAfterExtension() {
        let world = Self.fixture()
        world.lease([1])
        world.pass(.seconds(15))
        world.answer(.failed(EngineFixture.failure))
        #expect(world.settlements.isEmpty)
        world.extended()
        #expect(Self.call(world).map(\.offsets) == [[1]])
    }

    @Test("A lease that does not end is not extended")
    func endless() {
        let world = Self.fixture()
        world.lease([1], for: nil)
        #expect(world.deadline == nil)
        world.answer(.succeeded)
        #expect(Self.call(world).map(\.offsets) == [[1]])
    }

    @Test("When the destination refuses, the record stays leased until its letter is kept")
    func refusedLetter() {
        let world = Self.fixture { $0.retry.retries = 0 }
        world.lease([1])
        world.answer(.failed(EngineFixture.failure))
        world.letterRefused()
        world.pass(.seconds(15))
        #expect(world.extensions.count == 1)
        world.extended()
        #expect(world.tickets.count == 1)
        world.letterWritten()
        #expect(Self.call(world).map(\.offsets) == [[1]])
    }

    // MARK: - Order

    @Test("What follows a failed record of its group goes back with it; other groups go on")
    func group() {
        let world = Self.fixture(size: 3, concurrency: 1, ordering: .key(RecordKey()))
        world.lease([1, 2, 3, 4, 5], keys: ["a", "b", "a", "a", "b"])
        let offsets = world.invoked
        #expect(Set(offsets).isSuperset(of: [1]))
        let verdicts = offsets.map { $0 == 1 ? Verdict.failed : .succeeded }
        world.answer(.partial(verdicts, EngineFixture.failure))
        while !world.invocations.isEmpty { world.answer(.succeeded) }
        let released = world.settlements.flatMap(\.settlements).filter { $0.kind != .acknowledge }
        #expect(Set(released.flatMap { EngineFixture.offsets($0.runs) }) == [1, 3, 4])
        let waits = Set(
            released.map { kind -> Duration in
                if case .release(let after, _) = kind.kind { after } else { .zero }
            }
        )
        #expect(waits == [.milliseconds(200)])
        #expect(world.counters.succeeded == 2)
        #expect(world.counters.isConserved)
        #expect(world.counters.inFlight == 0)
    }

    @Test("What waits behind a record whose lease is lost goes back, so that it comes after it")
    func lostInGroup() {
        let world = Self.fixture(size: 1, concurrency: 1, ordering: .key(RecordKey()))
        world.lease([1], keys: ["a"], for: .seconds(10))
        world.lease([2, 3], keys: ["a", "b"])
        world.pass(.seconds(5))
        world.extensionFailed()
        world.pass(.milliseconds(2500))
        world.extensionFailed()
        world.pass(.milliseconds(2500))
        #expect(world.counters.leasesLost == 1)
        #expect(Self.call(world).map(\.offsets) == [[2]])
        world.answer(.succeeded)
        #expect(world.invoked == [3])
        #expect(world.counters.isConserved)
    }

    // MARK: - Intake

    @Test("No more is asked for than the invocations can take and one batch beyond it")
    func budget() {
        let world = Self.fixture(size: 10, concurrency: 3)
        #expect(world.budget.records == 40)
        world.lease(Array(0..<25))
        #expect(world.budget.records == 15)
        world.lease(Array(25..<40))
        #expect(world.budget == .none)
        world.answer(.succeeded)
        #expect(world.budget.records == 10, "what is being settled takes no invocation's place")
    }

    @Test("What is being settled is held in memory: much of it stops the intake until it is settled")
    func settlingBytes() {
        // Events of some ten bytes.
        let world = Self.fixture(size: 10, concurrency: 3) { $0.intakeBytes = 150 }
        for round: UInt64 in 0..<3 {
            #expect(world.budget.records > 0 && world.budget.bytes > 0)
            world.lease(Array(10 * round..<10 * (round + 1)))
            world.answer(.succeeded)
        }
        #expect(world.budget == .none)
        while !world.settlements.isEmpty { world.settled() }
        #expect(world.budget.records == 40 && world.budget.bytes == 150)
    }

    @Test("A paused trigger keeps nothing from others")
    func paused() {
        let world = Self.fixture(size: 2, concurrency: 1)
        world.lease([1, 2, 3])
        world.engine.isPaused = true
        world.pass(.zero)
        #expect(Self.call(world).map(\.offsets) == [[3]])
        #expect(world.budget == .none)
    }

    @Test("A stop gives back what waits, and what is abandoned is left to its lease")
    func stop() {
        let world = Self.fixture(size: 2, concurrency: 1)
        world.lease([1, 2, 3])
        world.engine.stop()
        world.collect()
        #expect(Self.call(world).map(\.offsets) == [[3]])
        world.engine.abandon()
        world.collect()
        #expect(world.settlements.count == 1)
        #expect(world.counters.released == 3)
        #expect(world.counters.inFlight == 0)
        world.lease([4])
        #expect(world.counters.released == 4, "what arrives after the stop goes back, too")
    }

    @Test("Records that no filter matches go back after a moment, where the policy says so")
    func filtered() {
        let world = Self.fixture(filter: PositionFilter { $0 % 2 == 1 }) { $0.filtered = .release }
        world.lease([1, 2, 3])
        #expect(world.invoked == [1, 3])
        let release = Settlement.Kind.release(after: .milliseconds(200), isFailure: false)
        #expect(Self.call(world).map(\.kind) == [release])
        #expect(Self.call(world).map(\.offsets) == [[2]])
        #expect(world.counters.released == 1)
        #expect(world.counters.isConserved)
    }
}
