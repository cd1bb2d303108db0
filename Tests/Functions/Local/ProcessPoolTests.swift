// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Testing

@testable import LocalFunction

@Suite struct ProcessPoolTests {
    private let failure = Failure(type: "T", message: "m")

    private func pool(concurrency: Int = 2, idle: Duration? = nil) -> ProcessPool {
        ProcessPool(
            .init(
                concurrency: concurrency,
                timeout: .seconds(3),
                initTimeout: .seconds(10),
                idleTimeout: idle,
                stopGrace: .milliseconds(500)
            )
        )
    }

    private func at(_ seconds: Int64) -> Instant { .start + .seconds(seconds) }
    private func call(_ number: Int) -> CallID { CallID(rawValue: number) }
    private func process(_ number: Int) -> ProcessID { ProcessID(rawValue: number) }

    @Test("Calls start processes up to the limit, and further calls wait in order") func startsOnDemand() {
        var pool = self.pool()
        #expect(pool.add(self.call(1), until: self.at(9), now: .start) == [.start(self.process(1))])
        #expect(pool.add(self.call(2), until: self.at(9), now: .start) == [.start(self.process(2))])
        #expect(pool.add(self.call(3), until: self.at(9), now: .start) == [])
        #expect(pool.polled(self.process(2), now: .start) == [.deliver(self.call(1), to: self.process(2))])
        pool.answered(self.process(2), now: .start)
        #expect(pool.polled(self.process(2), now: .start) == [.deliver(self.call(2), to: self.process(2))])
        #expect(pool.polled(self.process(1), now: .start) == [.deliver(self.call(3), to: self.process(1))])
    }

    @Test("The process that idles for the shortest time is used first") func lastInFirstOut() {
        var pool = self.pool()
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.add(self.call(2), until: self.at(9), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        _ = pool.polled(self.process(2), now: .start)
        pool.answered(self.process(1), now: .start)
        pool.answered(self.process(2), now: .start)
        _ = pool.polled(self.process(2), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        let actions = pool.add(self.call(3), until: self.at(9), now: .start)
        #expect(actions == [.deliver(self.call(3), to: self.process(1))])
    }

    @Test("A call over its time is timed out once, and its process serves nobody any more") func timesOut() {
        var pool = self.pool(concurrency: 1)
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        #expect(pool.nextDeadline(now: .start) == self.at(3))
        #expect(pool.due(now: self.at(2)) == [])
        #expect(pool.due(now: self.at(3)) == [.timeOut(self.call(1), self.process(1))])
        #expect(pool.due(now: self.at(4)) == [])
        #expect(pool.polled(self.process(1), now: self.at(4)) == [])
        #expect(pool.add(self.call(2), until: self.at(9), now: self.at(4)) == [])
        #expect(pool.exited(self.process(1), now: self.at(5)) == [.start(self.process(2))])
    }

    @Test("A call that waited to its end expires") func expires() {
        var pool = self.pool(concurrency: 1)
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.add(self.call(2), until: self.at(2), now: .start)
        #expect(pool.nextDeadline(now: .start) == self.at(2))
        #expect(pool.due(now: self.at(2)) == [.expire(self.call(2))])
        #expect(pool.waitingCount == 1)
    }

    @Test("Failed starts fail who waits, and the pause between starts doubles up to its limit")
    func backsOff() {
        var pool = self.pool(concurrency: 1)
        var now = Instant.start
        var pauses: [Duration] = []
        for number in 1...12 {
            let process = self.process(number)
            #expect(pool.add(self.call(number), until: now + .seconds(60), now: now) == [.start(process)])
            #expect(
                pool.startFailed(process, self.failure, now: now) == [.fail(self.call(number), self.failure)]
            )
            #expect(pool.exited(process, now: now) == [])
            let refused = pool.add(self.call(100 + number), until: now + .seconds(60), now: now)
            #expect(refused == [.fail(self.call(100 + number), self.failure)])
            let pause = min(.milliseconds(100) * (1 << (number - 1)), .seconds(30))
            pauses.append(pause)
            let before = now + (pause - .nanoseconds(1))
            let early = pool.add(self.call(200 + number), until: now + .seconds(60), now: before)
            #expect(early == [.fail(self.call(200 + number), self.failure)])
            now = now + pause
        }
        #expect(pauses.last == .seconds(30))
    }

    @Test("A first poll ends the back-off") func recovers() {
        var pool = self.pool(concurrency: 2)
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.startFailed(self.process(1), self.failure, now: .start)
        _ = pool.exited(self.process(1), now: .start)
        // After a failure one process at a time shows whether it works again.
        #expect(pool.add(self.call(2), until: self.at(9), now: self.at(1)) == [.start(self.process(2))])
        #expect(pool.add(self.call(3), until: self.at(9), now: self.at(1)) == [])
        #expect(
            pool.polled(self.process(2), now: self.at(1)).first == .deliver(self.call(2), to: self.process(2))
        )
        #expect(pool.due(now: self.at(1)) == [.start(self.process(3))])
    }

    @Test("A call whose delivery met a dead poll is first in line again") func deadPoll() {
        var pool = self.pool(concurrency: 1)
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.add(self.call(2), until: self.at(9), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        #expect(pool.deliveryFailed(self.process(1), until: self.at(9), now: .start) == [])
        #expect(pool.polled(self.process(1), now: .start) == [.deliver(self.call(1), to: self.process(1))])
    }

    @Test("An idle process whose poll is lost gets no call") func pollLost() {
        var pool = self.pool(concurrency: 1)
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        pool.answered(self.process(1), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        pool.pollLost(self.process(1), now: .start)
        #expect(pool.add(self.call(2), until: self.at(9), now: .start) == [])
        #expect(pool.polled(self.process(1), now: .start) == [.deliver(self.call(2), to: self.process(1))])
    }

    @Test("An idle process is ended after its time: SIGTERM, then SIGKILL") func retires() {
        var pool = self.pool(concurrency: 1, idle: .seconds(60))
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        pool.answered(self.process(1), now: .start)
        _ = pool.polled(self.process(1), now: self.at(1))
        #expect(pool.due(now: self.at(60)) == [])
        #expect(pool.due(now: self.at(61)) == [.terminate(self.process(1))])
        #expect(pool.due(now: self.at(62)) == [.kill(self.process(1))])
        #expect(pool.nextDeadline(now: self.at(62)) == nil)
    }

    @Test("What admits nothing any more fails who waits and who comes, and lets processes finish")
    func admitsNothing() {
        var pool = self.pool(concurrency: 2)
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.add(self.call(2), until: self.at(9), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        #expect(pool.stopAdmitting() == [.fail(self.call(2), .stopping)])
        #expect(pool.stopAdmitting() == [])
        #expect(pool.call(of: self.process(1)) == self.call(1))
        // Neither a process that is ready nor one that could be started serves anybody.
        #expect(pool.polled(self.process(2), now: .start) == [])
        #expect(pool.add(self.call(3), until: self.at(9), now: .start) == [.fail(self.call(3), .stopping)])
        pool.answered(self.process(1), now: self.at(1))
        #expect(pool.polled(self.process(1), now: self.at(1)) == [])
        #expect(pool.exited(self.process(2), now: self.at(1)) == [])
        #expect(pool.stop(now: self.at(2)) == [.terminate(self.process(1))])
    }

    @Test("A stop ends all processes and fails who waits; nothing starts any more") func stops() {
        var pool = self.pool(concurrency: 1)
        _ = pool.add(self.call(1), until: self.at(9), now: .start)
        _ = pool.polled(self.process(1), now: .start)
        _ = pool.add(self.call(2), until: self.at(9), now: .start)
        #expect(pool.stop(now: .start) == [.fail(self.call(2), .stopping), .terminate(self.process(1))])
        #expect(pool.exited(self.process(1), now: .start) == [])
        #expect(pool.count == 0)
        #expect(pool.add(self.call(3), until: self.at(9), now: .start) == [.fail(self.call(3), .stopping)])
    }
}
