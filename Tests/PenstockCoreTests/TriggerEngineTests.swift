// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

@Suite struct TriggerEngineTests {
    // MARK: - Batches

    @Test("A batch goes out at once when it is full, and the rest waits for its window")
    func batchByCount() {
        let world = EngineFixture(.testing(size: 3, window: .seconds(1)), partitions: ["a-0", "b-0"])
        world.arrive(2, of: "a-0")
        #expect(world.invocations.isEmpty)
        world.arrive(2, of: "b-0")
        #expect(world.invocations.count == 1)
        #expect(world.invoked == [0, 1, 0])
        #expect(world.counters.inFlight == 4)
    }

    @Test("A window opens with the arrival of its first record and ends on time")
    func batchByWindow() {
        let world = EngineFixture(.testing(size: 100, window: .milliseconds(500)))
        world.arrive(1)
        #expect(world.deadline == .start + .milliseconds(500))
        world.pass(.milliseconds(400))
        world.arrive(1)
        #expect(world.invocations.isEmpty)
        world.pass(.milliseconds(100))
        #expect(world.invoked == [0, 1])
    }

    @Test("A batch never exceeds the body's limit, and a record that fits none is given up alone")
    func batchByBytes() {
        var policy = TriggerPolicy.testing(size: 100)
        // `orders-0@7` and its newline are 11 bytes.
        policy.bodyBytesMax = 33
        let world = EngineFixture(policy)
        world.arrive(5)
        #expect(world.invoked == [0, 1, 2])
        policy.bodyBytesMax = 32
        let tight = EngineFixture(policy)
        tight.arrive(5)
        #expect(tight.invoked == [0, 1])
        policy.bodyBytesMax = 8
        let narrow = EngineFixture(policy)
        narrow.arrive(1)
        #expect(narrow.invocations.isEmpty)
        #expect(narrow.givenUp == [0])
        #expect(narrow.tickets.first?.reason == .payloadTooLarge)
    }

    @Test("Records of a partition are invoked one batch at a time, other partitions go on beside it")
    func orderByPartition() {
        let world = EngineFixture(.testing(size: 2), partitions: ["a-0", "b-0"])
        world.arrive(4, of: "a-0")
        #expect(world.invocations.count == 1)
        world.arrive(2, of: "b-0")
        #expect(world.invocations.count == 2)
        world.answer(.succeeded)
        #expect(world.invocations.count == 2)
        #expect(EngineFixture.offsets(world.invocations[1].runs) == [2, 3])
    }

    @Test("No more invocations are under way than the concurrency allows")
    func concurrency() {
        let names = (0..<5).map { "p-\($0)" }
        let world = EngineFixture(.testing(size: 1, concurrency: 2), partitions: names)
        for name in names { world.arrive(1, of: name) }
        #expect(world.invocations.count == 2)
        world.answer(.succeeded)
        #expect(world.invocations.count == 2)
    }

    // MARK: - Failures

    @Test(
        "A failed batch is tried again after its backoff, before newer records, and given up after its retries"
    )
    func retries() {
        var policy = TriggerPolicy.testing(size: 2)
        policy.retry.retries = 2
        let world = EngineFixture(policy)
        world.arrive(4)
        for (attempt, wait) in [(1, 200), (2, 400)] {
            #expect(world.invoked == [0, 1])
            #expect(world.invocations.first?.attempt == attempt)
            world.answer(.failed(EngineFixture.failure))
            #expect(world.invocations.isEmpty)
            world.pass(.milliseconds(wait - 1))
            #expect(world.invocations.isEmpty)
            world.pass(.milliseconds(1))
        }
        world.answer(.failed(EngineFixture.failure))
        #expect(world.givenUp == [0, 1])
        #expect(world.tickets.first?.attemptCount == 3)
        #expect(world.tickets.first?.attempts.count == 3)
        #expect(world.invocations.isEmpty, "the partition waits until the letters are durable")
        world.letterWritten()
        #expect(world.invoked == [2, 3])
        #expect(world.counters.deadLettered == 2)
        #expect(world.counters.isConserved)
    }

    @Test("Record 7 is found by halving, at no cost of attempts, and only it is given up")
    func bisect() {
        var policy = TriggerPolicy.testing(size: 10)
        policy.retry.bisect = true
        policy.retry.retries = 0
        let world = EngineFixture(policy)
        world.arrive(10)
        var batches: [ClosedRange<UInt64>] = []
        while !world.invocations.isEmpty || !world.tickets.isEmpty {
            if !world.tickets.isEmpty {
                #expect(world.givenUp == [7])
                world.letterWritten()
                continue
            }
            let offsets = world.invoked
            batches.append(offsets[0]...offsets[offsets.count - 1])
            world.answer(offsets.contains(7) ? .failed(EngineFixture.failure) : .succeeded)
        }
        #expect(batches == [0...9, 0...4, 5...9, 5...6, 7...9, 7...7, 8...9])
        #expect(world.counters.succeeded == 9)
        #expect(world.counters.deadLettered == 1)
        world.pass(.seconds(1))
        #expect(world.commits.last?.first?.position == Position(9))
    }

    @Test("When the function names a record, what came before is settled and the rest is tried again")
    func partialFailure() {
        var policy = TriggerPolicy.testing(size: 5)
        policy.retry.retries = 1
        let world = EngineFixture(policy)
        world.arrive(5)
        world.answer(failedAt: [2])
        #expect(world.counters.succeeded == 2)
        world.pass(.milliseconds(200))
        #expect(world.invoked == [2, 3, 4])
        #expect(world.invocations.first?.attempt == 2)
        world.answer(failedAt: [0])
        #expect(world.givenUp == [2], "only the record that was named is given up")
        #expect(world.counters.succeeded == 4)
        world.letterWritten()
        #expect(world.counters.isConserved)
        #expect(world.counters.inFlight == 0)
    }

    @Test("Attempts belong to the record in front: progress starts a new count")
    func partialProgress() {
        var policy = TriggerPolicy.testing(size: 4)
        policy.retry.retries = 1
        let world = EngineFixture(policy)
        world.arrive(4)
        world.answer(failedAt: [1])
        world.pass(.milliseconds(200))
        world.answer(failedAt: [1])
        world.pass(.milliseconds(200))
        #expect(world.invoked == [2, 3])
        #expect(world.invocations.first?.attempt == 2)
        #expect(world.tickets.isEmpty)
    }

    @Test("A poison record is given up at once, the records behind it go on")
    func poison() {
        let world = EngineFixture(.testing(size: 3))
        world.arrive(3)
        world.answer(failedAt: [1], poison: true)
        #expect(world.givenUp == [1])
        #expect(world.tickets.first?.reason == .rejected)
        world.letterWritten()
        #expect(world.invoked == [2])
        world.answer(.succeeded)
        #expect(world.counters.succeeded == 2)
        #expect(world.counters.inFlight == 0)
    }

    @Test("A failure splits a batch by partition: the good one is not held up")
    func failureByPartition() {
        let world = EngineFixture(.testing(size: 4, window: .seconds(1)), partitions: ["a-0", "b-0"])
        world.arrive(2, of: "a-0")
        world.arrive(2, of: "b-0")
        #expect(world.invoked == [0, 1, 0, 1])
        world.answer(.failed(EngineFixture.failure))
        world.pass(.milliseconds(200))
        #expect(world.invocations.count == 2)
        #expect(world.invocations.allSatisfy { Set($0.runs.map(\.partition.name)).count == 1 })
    }

    @Test("Throttling costs no attempt, holds the trigger, and halves its concurrency")
    func throttling() {
        let names = (0..<4).map { "p-\($0)" }
        var policy = TriggerPolicy.testing(size: 1, concurrency: 4)
        policy.retry.retries = 0
        let world = EngineFixture(policy, partitions: names)
        for name in names { world.arrive(1, of: name) }
        #expect(world.invocations.count == 4)
        for _ in 0..<4 { world.answer(.throttled(retryAfter: .seconds(2), EngineFixture.failure)) }
        #expect(world.tickets.isEmpty)
        world.pass(.milliseconds(1900))
        #expect(world.invocations.isEmpty)
        world.pass(.milliseconds(100))
        #expect(world.invocations.count == 1)
        #expect(world.invocations.first?.attempt == 1)
        world.answer(.succeeded)
        #expect(world.invocations.count == 2)
    }

    @Test("Records that grew too old are cut off before the next attempt")
    func maxAge() {
        let retry = RetryPolicy(maxAge: .seconds(60))
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        #expect(retry.isExpired(Timestamp(milliseconds: 1), now: now))
        for time in [0, -1] as [Int64] {
            #expect(!retry.isExpired(Timestamp(milliseconds: time), now: now), "it tells no time")
        }
        var policy = TriggerPolicy.testing(size: 10)
        policy.retry.maxAge = .seconds(60)
        let world = EngineFixture(policy)
        world.arrive(2, age: .seconds(61))
        #expect(world.givenUp == [0, 1])
        #expect(world.tickets.first?.reason == .ageExceeded)
        world.arrive(1)
        world.letterWritten()
        #expect(world.invoked == [2])
    }

    @Test("A dead letter that is refused keeps its record unsettled and its partition waiting")
    func deadLetterRefused() {
        var policy = TriggerPolicy.testing(size: 1)
        policy.retry.retries = 0
        let world = EngineFixture(policy)
        world.arrive(2)
        world.answer(.failed(EngineFixture.failure))
        let ticket = world.tickets.removeFirst()
        world.engine.deadLettersRefused(ticket.id, now: world.now)
        world.collect()
        #expect(world.tickets.isEmpty)
        #expect(world.invocations.isEmpty)
        #expect(world.refusedPartitions == ["orders-0"])
        world.pass(.seconds(30))
        #expect(world.givenUp == [0], "the write is tried again, the function is not")
        #expect(world.tickets.last?.delivered == [])
        let again = world.tickets.removeFirst()
        world.engine.deadLettersRefused(again.id, delivered: [0], now: world.now)
        world.pass(.seconds(30))
        #expect(world.tickets.last?.delivered == [0], "what the destination has is not sent again")
        world.letterWritten()
        #expect(world.invoked == [1])
    }

    // MARK: - Commits and ownership

    @Test("The watermark is committed on a timer, one commit at a time, and again when it was refused")
    func commits() {
        let world = EngineFixture(.testing(size: 1))
        world.arrive(1)
        world.answer(.succeeded)
        #expect(world.commits.isEmpty)
        world.pass(.seconds(1))
        #expect(world.commits.count == 1)
        world.arrive(1)
        world.answer(.succeeded)
        world.pass(.seconds(5))
        #expect(world.commits.count == 1, "one is under way")
        world.engine.commitEnded(world.commits[0], accepted: nil, now: world.now)
        world.collect()
        world.pass(.seconds(1))
        #expect(world.commits.count == 2)
        #expect(world.commits[1].first?.position == Position(1))
    }

    @Test("What upstream left out of a commit is not counted as committed, and comes again while it is owned")
    func leftOut() {
        let world = EngineFixture(.testing(size: 1, concurrency: 2), partitions: ["a-0", "b-0"])
        world.arrive(1, of: "a-0")
        world.answer(.succeeded)
        world.arrive(1, of: "b-0")
        world.answer(.succeeded)
        world.pass(.seconds(1))
        let all = world.commits[0]
        #expect(all.count == 2)
        world.engine.commitEnded(all, accepted: [], now: world.now)
        world.collect()
        #expect(world.counters.commits == 0 && world.counters.commitFailures == 0)
        world.pass(.seconds(1))
        #expect(world.commits.count == 2 && Set(world.commits[1]) == Set(all))
        world.engine.commitEnded(all, accepted: [all[0]], now: world.now)
        // The source said so later than it knew.
        world.engine.lost([all[1].partition], now: world.now)
        world.collect()
        #expect(world.counters.commits == 1)
        world.pass(.seconds(5))
        #expect(world.commits.count == 2)
    }

    @Test("A revocation releases what waits, lets the invocation end, and reports what was settled")
    func revocation() {
        let world = EngineFixture(.testing(size: 2), partitions: ["a-0", "b-0"])
        world.arrive(5, of: "a-0")
        world.engine.revoking(RevocationKey(9), [PartitionID(1)], now: world.now)
        world.collect()
        #expect(world.revoked.isEmpty)
        #expect(world.counters.released == 3)
        world.answer(.succeeded)
        #expect(world.revoked.first?.0 == RevocationKey(9))
        #expect(world.revoked.first?.1.first?.position == Position(1))
        world.arrive(1, of: "a-0")
        #expect(world.invocations.isEmpty, "what arrives late belongs to somebody else")
        #expect(world.counters.isConserved)
        #expect(world.counters.inFlight == 0)
    }

    @Test("A result that comes after its partition was lost changes nothing but the counters")
    func fencing() {
        let world = EngineFixture(.testing(size: 2))
        world.arrive(2)
        world.engine.lost([PartitionID(1)], now: world.now)
        world.answer(.succeeded)
        world.pass(.seconds(5))
        #expect(world.commits.isEmpty)
        #expect(world.counters.succeeded == 0)
        #expect(world.counters.released == 2)
        #expect(world.counters.isConserved)
    }

    @Test("The end of a partition is committed behind its records, and with that it is forgotten")
    func partitionsEnd() {
        let world = EngineFixture(.testing(size: 1))
        world.arrive(2)
        let end = PartitionPosition(partition: PartitionID(1), name: "orders-0", position: Position(1000))
        world.engine.advanced([end], now: world.now)
        world.collect()
        world.answer(.succeeded)
        world.pass(.seconds(5))
        #expect(world.commits.map { $0.map(\.position) } == [[Position(0)]])
        world.engine.commitEnded(world.commits[0], accepted: world.commits[0], now: world.now)
        world.answer(.succeeded)
        world.pass(.seconds(5))
        #expect(world.commits.last == [end])
        world.engine.commitEnded([end], accepted: [end], now: world.now)
        world.engine.ended([PartitionID(1)], now: world.now)
        world.collect()
        #expect(world.uncommitted.isEmpty && world.counters.isConserved)
        #expect(world.counters.succeeded == 2 && world.counters.released == 0)
    }

    @Test(
        "The end of a partition that comes during a stop does not stand behind records that were given back"
    )
    func partitionsEndInAStop() {
        let world = EngineFixture(.testing(size: 2))
        world.arrive(2)
        world.engine.stop()
        world.arrive(2)
        world.readOut(at: 1000)
        world.answer(.succeeded)
        #expect(world.uncommitted.map(\.position) == [Position(1)])
        #expect(world.counters.released == 2 && world.counters.isConserved)
    }

    @Test("A partition that begins with no record is committed where it began")
    func partitionsBegin() {
        let world = EngineFixture(.testing(size: 1))
        let begin = PartitionPosition(partition: PartitionID(1), name: "orders-0", position: Position(1000))
        let foreign = PartitionPosition(partition: PartitionID(7), name: "orders-7", position: Position(1))
        world.engine.advanced([begin, foreign], now: world.now)
        world.pass(.seconds(5))
        #expect(world.commits == [[begin]])
    }

    @Test("Of a partition that came back, only the present ownership's position is committed")
    func ownershipsOfOneName() {
        let world = EngineFixture(.testing(size: 1))
        world.arrive(1)
        world.engine.revoking(RevocationKey(1), [PartitionID(1)], now: world.now)
        world.engine.assigned([Partition(id: PartitionID(2), name: "orders-0")], now: world.now)
        world.answer(.succeeded)
        #expect(world.revoked.map(\.1) == [[]])
        world.pass(.seconds(2))
        #expect(world.commits.isEmpty)
    }

    @Test("A stop releases what was not invoked, and what is in flight is settled")
    func stop() {
        let world = EngineFixture(.testing(size: 2))
        world.arrive(5)
        world.engine.stop()
        world.collect()
        #expect(!world.isDrained)
        #expect(world.budget == ReceiveAllowance.none)
        world.answer(.succeeded)
        #expect(world.isDrained)
        #expect(world.uncommitted.first?.position == Position(1))
        #expect(world.counters.released == 3)
        #expect(world.counters.inFlight == 0)
    }

    @Test("Abandoned invocations are released and counted")
    func abandon() {
        let world = EngineFixture(.testing(size: 2))
        world.arrive(2)
        world.engine.stop()
        world.engine.abandon()
        #expect(world.isDrained)
        #expect(world.counters.released == 2)
        #expect(world.counters.isConserved)
    }

    @Test("While an operator paused the trigger, nothing is invoked and nothing is asked for")
    func pause() {
        let world = EngineFixture(.testing(size: 1))
        world.engine.isPaused = true
        world.arrive(1)
        #expect(world.invocations.isEmpty)
        #expect(world.budget.records == 0)
        world.engine.isPaused = false
        world.pass(.zero)
        #expect(world.invocations.count == 1)
    }

    @Test("The budget is what fits, and a blocked partition that holds much is left alone")
    func budget() {
        var policy = TriggerPolicy.testing(size: 10)
        policy.intakeRecords = 80
        let world = EngineFixture(policy, partitions: ["a-0", "b-0"])
        world.arrive(10, of: "a-0")
        world.arrive(20, of: "a-0")
        #expect(world.budget.records == 50)
        world.answer(.failed(EngineFixture.failure))
        #expect(world.budget.held == [PartitionID(1)])
        #expect(world.budget.records == 80, "what is parked has room of its own")
        world.arrive(80, of: "b-0")
        #expect(world.budget.records == 0)
        #expect(world.budget.held == [PartitionID(1)], "without room it stays held")
        world.engine.isPaused = true
        #expect(world.budget.held == [PartitionID(1)], "and while the trigger is paused")
    }
}
