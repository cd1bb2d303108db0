// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// One thread that runs Swift jobs, timers and callbacks in turn, and is an executor.
///
/// Actors pin themselves to it by `unownedExecutor`; child tasks by `addTask(executorPreference:)`. Calls between
/// actors of the same loop do not change threads. ``Reactor`` is the real one; PenstockTesting has one on a virtual
/// clock. Never block on it.
package protocol EventLoop: SerialExecutor, TaskExecutor {
    /// The loop's monotonic clock. Any thread.
    var now: Instant { get }

    /// The wall clock. Any thread.
    var wallNow: Timestamp { get }

    /// Calls `action` on the loop at `deadline` or soon after it (within about a millisecond). On the loop only.
    func schedule(at deadline: Instant, _ action: @escaping @Sendable () -> Void) -> TimerID

    /// Forgets a timer; harmless when it fired already. On the loop only.
    func cancel(_ timer: TimerID)

    /// Calls `action` on the loop soon. Any thread.
    func submit(_ action: @escaping @Sendable () -> Void)
}

/// Names a timer of one loop.
package struct TimerID: Hashable, Sendable {
    /// Unique within the loop.
    package var rawValue: UInt64

    /// The id with this number.
    package init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }
}
