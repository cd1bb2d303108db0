// SPDX-License-Identifier: Apache-2.0

import HeapModule
package import PenstockCore

/// Timers of one loop, earliest first.
///
/// Pure: the caller passes `now`.
///
/// A heap, which perf.md section 8 measured equal to a timer wheel. Cancelled timers leave the heap when they come up.
package struct TimerQueue {
    private struct Entry: Comparable {
        var deadline: Instant
        var id: UInt64

        static func < (lhs: Self, rhs: Self) -> Bool {
            (lhs.deadline, lhs.id) < (rhs.deadline, rhs.id)
        }
    }

    private var heap = Heap<Entry>()
    private var actions: [UInt64: @Sendable () -> Void] = [:]
    private var lastID: UInt64 = 0

    /// A queue without timers.
    package init() {}

    /// Timers that will still fire.
    package var count: Int { self.actions.count }

    /// Adds a timer.
    package mutating func add(at deadline: Instant, _ action: @escaping @Sendable () -> Void) -> TimerID {
        self.lastID += 1
        self.actions[self.lastID] = action
        self.heap.insert(Entry(deadline: deadline, id: self.lastID))
        return TimerID(self.lastID)
    }

    /// Forgets a timer; harmless when it fired or was cancelled.
    package mutating func cancel(_ timer: TimerID) {
        self.actions[timer.rawValue] = nil
        // A loop that sets and cancels far timers must not grow without bound.
        if self.heap.count > 1024, self.heap.count > 4 * self.actions.count {
            let live = self.heap.unordered.filter { self.actions[$0.id] != nil }
            self.heap = Heap(live)
        }
    }

    /// When the next timer is due; nil when there is none.
    package mutating func nextDeadline() -> Instant? {
        while let first = self.heap.min {
            if self.actions[first.id] != nil { return first.deadline }
            self.heap.removeMin()
        }
        return nil
    }

    /// Takes the next timer that is due at `now`.
    package mutating func popDue(now: Instant) -> (@Sendable () -> Void)? {
        while let first = self.heap.min, first.deadline <= now {
            self.heap.removeMin()
            if let action = self.actions.removeValue(forKey: first.id) { return action }
        }
        return nil
    }
}
