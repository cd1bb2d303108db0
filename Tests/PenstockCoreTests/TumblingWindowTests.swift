// SPDX-License-Identifier: Apache-2.0

import PenstockTesting
import Reactor
import Testing

@testable import PenstockCore

/// Tumbling windows of ten seconds; the fixture's clock starts at an edge of them.
@Suite struct TumblingWindowTests {
    private static func policy(
        size: Int = 100,
        _ change: (inout TriggerPolicy) -> Void = { _ in }
    ) -> TriggerPolicy {
        var policy = TriggerPolicy.testing(size: size)
        policy.tumbling = TumblingPolicy(length: .seconds(10))
        change(&policy)
        return policy
    }

    private static func state(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test("Windows are aligned to their length, before the epoch, too")
    func aligned() {
        for (time, start) in [(0, 0), (9_999, 0), (10_000, 10_000), (-1, -10_000), (-10_000, -10_000)]
            as [(Int64, Int64)]
        {
            let span = WindowSpan(holding: Timestamp(milliseconds: time), length: .seconds(10))
            #expect(span.start.milliseconds == start && span.end.milliseconds == start + 10_000)
        }
    }

    @Test("A state goes from batch to batch of a window, and ends with a final call without records")
    func stateIsPassed() throws {
        let world = EngineFixture(Self.policy(size: 2))
        world.arrive(4)
        let first = try #require(world.invocations.first?.window)
        #expect(first.open.state == Self.state("{}") && !first.isFinal)
        #expect(first.open.span.start == VirtualLoop.epoch)
        world.answer(.succeeded, state: "{\"n\":2}")
        #expect(world.invoked == [2, 3])
        #expect(world.invocations[0].window?.open.state == Self.state("{\"n\":2}"))
        world.answer(.succeeded, state: "{\"n\":4}")
        #expect(world.invocations.isEmpty && world.deadline == .start + .seconds(1), "the commit")
        world.pass(.seconds(11))
        #expect(world.invocations.isEmpty, "records of the window may still be on their way")
        world.pass(.seconds(1))
        let last = try #require(world.invocations.first)
        #expect(last.runs.isEmpty && last.window?.isFinal == true && last.window?.open.isEndingEarly == false)
        #expect(last.window?.open.state == Self.state("{\"n\":4}"))
        world.answer(.succeeded)
        world.pass(.seconds(60))
        #expect(world.invocations.isEmpty && world.counters.succeeded == 4 && world.counters.isConserved)
    }

    @Test("Upstream hears nothing of a window's records before its final call has succeeded")
    func commits() {
        let world = EngineFixture(Self.policy(size: 2))
        world.arrive(2)
        world.answer(.succeeded, state: "{}")
        world.pass(.seconds(5))
        #expect(world.commits.isEmpty)
        world.pass(.seconds(7))
        world.answer(.succeeded)
        #expect(world.commits.map { $0.map(\.position) } == [[Position(1)]], "and then at once")
        world.engine.commitEnded(world.commits[0], accepted: world.commits[0], now: world.now)
        world.arrive(2)
        world.answer(.succeeded, state: "{}")
        world.pass(.seconds(2))
        #expect(world.commits.count < 2 || world.commits[1].map(\.position) == [Position(1)])
    }

    @Test("A record of the next window waits for the final call of the one before")
    func edge() {
        let world = EngineFixture(Self.policy())
        world.arrive(2)
        world.answer(.succeeded, state: "{\"n\":2}")
        world.pass(.seconds(10))
        // One late record, then two of the next window, in one block.
        world.arrive(1, age: .seconds(3))
        #expect(world.invoked == [2], "a late record counts in the window that is open")
        world.arrive(2)
        world.answer(.succeeded, state: "{\"n\":3}")
        #expect(world.invocations.first?.window?.isFinal == true)
        world.answer(.failed(EngineFixture.failure))
        #expect(world.invocations.isEmpty && world.blocked.map(\.partition) == ["orders-0"])
        world.pass(.milliseconds(200))
        #expect(world.invocations.first?.attempt == 2, "the final call is tried again, before what follows")
        world.answer(.succeeded)
        #expect(world.invoked == [3, 4] && world.blocked.isEmpty)
        #expect(world.invocations.first?.window?.open.span.start == VirtualLoop.epoch.advanced(seconds: 10))
        world.arrive(1, age: .seconds(8))
        world.answer(.succeeded, state: "{}")
        #expect(world.invocations.first?.window?.open.span.start == VirtualLoop.epoch.advanced(seconds: 10))
    }

    @Test("Records in hand are cut at the edge of a window")
    func cut() {
        let world = EngineFixture(Self.policy())
        world.pass(.seconds(10))
        world.engine.isPaused = true
        world.arrive(2, age: .seconds(5))
        world.arrive(2)
        world.engine.isPaused = false
        world.pass(.zero)
        #expect(world.invoked == [0, 1])
        world.answer(.succeeded, state: "{}")
        #expect(world.invocations.first?.window?.isFinal == true)
        world.answer(.succeeded)
        #expect(world.invoked == [2, 3])
    }

    @Test("Windows keep no memory of the batches that they had")
    func memory() {
        let world = EngineFixture(Self.policy(size: 2))
        for _ in 0..<50 {
            world.arrive(2)
            world.answer(.succeeded, state: "{}")
            world.pass(.seconds(20))
            #expect(world.invocations.first?.window?.isFinal == true)
            world.answer(.succeeded)
        }
        #expect(world.engine.spareSlices.count == 1)
    }

    @Test("A record from the future ends no window")
    func future() {
        let world = EngineFixture(Self.policy())
        world.arrive(1, age: .seconds(-3600))
        #expect(world.invocations.first?.window?.open.span.start == VirtualLoop.epoch)
    }

    @Test("A state that is too large ends its window early, and another one of the same time follows")
    func early() {
        let world = EngineFixture(Self.policy(size: 2) { $0.tumbling?.stateBytesMax = 10 })
        world.arrive(4)
        world.answer(.succeeded, state: "{\"text\":\"long\"}")
        let final = world.invocations.first?.window
        #expect(final?.isFinal == true && final?.open.isEndingEarly == true)
        #expect(final?.open.state == Self.state("{\"text\":\"long\"}"), "nothing of it is lost")
        world.answer(.succeeded)
        #expect(world.invoked == [2, 3])
        #expect(world.invocations.first?.window?.open.state == Self.state("{}"))
        #expect(world.invocations.first?.window?.open.span.start == VirtualLoop.epoch)
    }

    @Test("A connection that comes back gives records of the window their time to arrive")
    func reconnected() {
        let world = EngineFixture(Self.policy(size: 2))
        world.arrive(2)
        world.answer(.succeeded, state: "{}")
        world.engine.isSourceConnected = false
        world.engine.isSourceConnected = true
        world.pass(.seconds(11))
        world.engine.isSourceConnected = false
        world.engine.isSourceConnected = true
        world.pass(.seconds(1))
        #expect(world.invocations.isEmpty, "two seconds from the end of the cut, not of the window")
        world.pass(.seconds(2))
        #expect(world.invocations.first?.window?.isFinal == true)
    }

    @Test("A failed batch is tried again with the state that it had, in halves, too")
    func retries() {
        let world = EngineFixture(
            Self.policy(size: 4) {
                $0.retry.bisect = true
                $0.retry.retries = 0
            }
        )
        world.arrive(4)
        world.answer(.failed(EngineFixture.failure))
        #expect(world.invoked == [0, 1] && world.invocations[0].window?.open.state == Self.state("{}"))
        world.answer(.succeeded, state: "{\"n\":2}")
        #expect(
            world.invoked == [2, 3] && world.invocations[0].window?.open.state == Self.state("{\"n\":2}")
        )
        world.answer(.failed(EngineFixture.failure))
        world.answer(.failed(EngineFixture.failure))
        #expect(world.givenUp == [2])
        world.letterWritten()
        #expect(world.invoked == [3] && world.invocations[0].window?.open.state == Self.state("{\"n\":2}"))
        world.answer(.succeeded, state: "{\"n\":3}")
        world.pass(.seconds(12))
        #expect(world.invocations.first?.window?.open.state == Self.state("{\"n\":3}"))
    }

    @Test(
        "A state covers what stands before the first failed record; the others count when they are dealt with"
    )
    func partial() {
        let world = EngineFixture(Self.policy(size: 3) { $0.retry.retries = 1 })
        world.arrive(3)
        for attempt in 1...2 {
            let verdicts: [Verdict] =
                attempt == 1 ? [.succeeded, .failed, .succeeded] : [.failed, .succeeded]
            world.answer(.partial(verdicts, EngineFixture.failure), state: "{\"at\":\(attempt)}")
            world.pass(.milliseconds(200))
            if attempt == 1 {
                #expect(world.invoked == [1, 2])
                #expect(world.invocations[0].window?.open.state == Self.state("{\"at\":1}"))
            }
        }
        #expect(world.givenUp == [1], "what follows it is not in the state, and is not settled either")
        world.letterWritten()
        #expect(world.invoked == [2] && world.invocations[0].window?.open.state == Self.state("{\"at\":1}"))
    }

    @Test("Throttling keeps the final call, and a partition that leaves takes its window with it")
    func leaving() throws {
        let world = EngineFixture(Self.policy())
        world.arrive(2)
        world.answer(.succeeded, state: "{}")
        world.pass(.seconds(12))
        world.answer(.throttled(retryAfter: .seconds(1), EngineFixture.failure))
        #expect(world.invocations.isEmpty)
        world.pass(.seconds(1))
        #expect(world.invocations.first?.window?.isFinal == true && world.invocations.first?.attempt == 1)
        let partition = try #require(world.partitions["orders-0"])
        world.engine.revoking(RevocationKey(1), [partition.id], now: world.now)
        world.collect()
        #expect(world.revoked.isEmpty, "the final call is under way")
        world.answer(.failed(EngineFixture.failure))
        #expect(world.revoked.map { $0.1 } == [[]], "nothing may be told upstream")
        #expect(world.isDrained && world.counters.isConserved)
    }

    @Test("What is kept of a window is enough to go on with it elsewhere")
    func goesOn() throws {
        var policy = Self.policy(size: 2)
        policy.commitInterval = .milliseconds(100)
        let world = EngineFixture(policy)
        world.arrive(2)
        world.answer(.succeeded, state: "{\"n\":2}")
        world.pass(.seconds(12))
        world.answer(.succeeded)
        world.engine.commitEnded(world.commits[0], accepted: world.commits[0], now: world.now)
        world.arrive(2)
        world.answer(.succeeded, state: "{\"n\":4}")
        world.pass(.seconds(1))
        let kept = try #require(world.commits.last?.first?.window)
        #expect(world.commits.last?.first?.position == Position(1) && kept.closed == Position(1))
        #expect(kept.position == Position(3) && kept.open?.state == Self.state("{\"n\":4}"))
        let next = EngineFixture(policy, kept: kept)
        next.now.wall = world.now.wall
        next.arrive(2)
        #expect(next.invoked == [4, 5])
        #expect(next.invocations.first?.window?.open.state == Self.state("{\"n\":4}"))
        let idle = EngineFixture(policy, kept: kept)
        #expect(idle.deadline == .start + .seconds(22))
        idle.pass(.seconds(22))
        #expect(idle.invocations.first?.window?.isFinal == true, "without another record, too")
        idle.answer(.succeeded)
        #expect(idle.commits.map { $0.map(\.position) } == [[Position(3)]])
        #expect(idle.commits.last?.first?.window?.open == nil)
        idle.arrive(1, age: .seconds(9))
        let span = idle.invocations.first?.window?.open.span
        #expect(span?.start == kept.open?.span.end, "the window that is over is not opened again")
    }

    @Test(
        "A partition that is read to its end closes its window with the final call, and only then has ended"
    )
    func readOut() throws {
        let world = EngineFixture(Self.policy(size: 2) { $0.commitInterval = .milliseconds(100) })
        world.arrive(2)
        world.answer(.succeeded, state: "{}")
        world.pass(.seconds(12))
        world.answer(.succeeded)
        world.accept()
        world.arrive(3)
        world.readOut(at: 100)
        #expect(world.invoked == [2, 3], "what is in hand comes first")
        world.answer(.succeeded, state: "{\"n\":2}")
        world.answer(.failed(EngineFixture.failure))
        #expect(world.invocations.isEmpty, "and is tried again")
        world.pass(.milliseconds(200))
        world.accept()
        world.answer(.succeeded, state: "{\"n\":3}")
        let final = try #require(world.invocations.first?.window)
        #expect(final.isFinal && final.open.state == Self.state("{\"n\":3}"))
        #expect(!final.open.isEndingEarly, "that is said of a state that is too large alone")
        world.pass(.seconds(1))
        let kept = try #require(world.commits.last?.first?.window)
        #expect(world.commits.last?.first?.position == Position(1), "upstream hears of no end")
        #expect(kept.position == Position(100) && kept.open?.state == Self.state("{\"n\":3}"))
        world.accept()
        world.answer(.succeeded)
        #expect(world.commits.last?.map(\.position) == [Position(100)])
        #expect(world.commits.last?.first?.window?.open == nil)

        // Elsewhere, from what was kept before the final call.
        let next = EngineFixture(Self.policy(), kept: kept)
        next.engine.isSourceConnected = false
        next.pass(.seconds(60))
        #expect(next.invocations.isEmpty)
        next.readOut(at: 100)
        #expect(next.invocations.first?.window?.isFinal == true, "nothing is waited for")
        next.answer(.succeeded)
        #expect(next.commits.map { $0.map(\.position) } == [[Position(100)]])
    }

    @Test("A partition without an open window has ended when it is read to its end")
    func readOutBetweenWindows() {
        let world = EngineFixture(Self.policy())
        world.readOut(at: 7)
        world.pass(.seconds(1))
        #expect(world.invocations.isEmpty && world.commits.map { $0.map(\.position) } == [[Position(7)]])
    }

    @Test("A window of which upstream seems to have more waits longer, and not for ever")
    func behind() {
        let world = EngineFixture(Self.policy())
        world.arrive(1)
        world.answer(.succeeded, state: "{}")
        world.engine.partitionsBehind = ["orders-0"]
        for _ in 0..<39 { world.pass(.seconds(1)) }
        #expect(world.invocations.isEmpty)
        world.pass(.seconds(1))
        #expect(world.invocations.first?.window?.isFinal == true)
        world.answer(.succeeded)
        world.arrive(1)
        world.answer(.succeeded, state: "{}")
        world.pass(.seconds(15))
        #expect(world.invocations.isEmpty)
        world.engine.partitionsBehind = []
        world.pass(.seconds(1))
        #expect(world.invocations.first?.window?.isFinal == true)
    }

    @Test("No window ends for want of records while nothing can be received")
    func quiet() {
        let world = EngineFixture(Self.policy())
        world.arrive(1)
        world.answer(.succeeded, state: "{}")
        world.engine.isSourceConnected = false
        world.pass(.seconds(60))
        #expect(world.invocations.isEmpty)
        world.engine.isSourceConnected = true
        world.pass(.seconds(1))
        #expect(world.invocations.isEmpty)
        world.pass(.seconds(2))
        #expect(world.invocations.first?.window?.isFinal == true)
    }
}

extension Timestamp {
    fileprivate func advanced(seconds: Int64) -> Timestamp {
        Timestamp(milliseconds: self.milliseconds + seconds * 1000)
    }
}
