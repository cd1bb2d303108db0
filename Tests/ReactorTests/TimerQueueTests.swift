// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

@testable import Reactor

@Suite struct TimerQueueTests {
    private func instant(_ seconds: Int64) -> Instant {
        Instant(nanoseconds: seconds * 1_000_000_000)
    }

    @Test("Nothing is due before its deadline") func notEarly() {
        var queue = TimerQueue()
        _ = queue.add(at: self.instant(2)) {}
        #expect(queue.popDue(now: self.instant(1)) == nil)
        #expect(queue.nextDeadline() == self.instant(2))
        #expect(queue.popDue(now: self.instant(2)) != nil)
        #expect(queue.nextDeadline() == nil)
    }

    @Test("A cancelled timer is skipped, and cancelling it again is harmless") func cancelled() {
        var queue = TimerQueue()
        let first = queue.add(at: self.instant(1)) {}
        _ = queue.add(at: self.instant(3)) {}
        queue.cancel(first)
        queue.cancel(first)
        #expect(queue.count == 1)
        #expect(queue.nextDeadline() == self.instant(3))
    }

    @Test("Many far timers that are set and cancelled leave the others alone") func churn() {
        var queue = TimerQueue()
        _ = queue.add(at: self.instant(5)) {}
        for _ in 0..<10_000 { queue.cancel(queue.add(at: self.instant(1000)) {}) }
        #expect(queue.count == 1)
        #expect(queue.nextDeadline() == self.instant(5))
    }
}
