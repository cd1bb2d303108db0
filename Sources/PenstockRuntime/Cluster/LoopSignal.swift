// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import Reactor
import Synchronization

/// Something to do, raised from any thread, that one task waits for with a deadline.
package final class LoopSignal: Sendable {
    private struct State {
        var isRaised = false
        var pause: LoopPause?
    }

    private let state = Mutex(State())

    /// Nothing is raised.
    package init() {}

    /// Lets the waiter go, now or when it comes.
    ///
    /// Any thread.
    package func raise() {
        self.state.withLock { state in
            state.isRaised = true
            return state.pause.take()
        }?.end()
    }

    /// Waits until it is raised, for the deadline, or for the end of the task, whichever is first.
    ///
    /// It is not raised any more then. One task at a time.
    package func wait(until deadline: Instant, on loop: any EventLoop) async {
        let pause = LoopPause()
        let mustWait = self.state.withLock { state in
            if !state.isRaised { state.pause = pause }
            return !state.isRaised
        }
        if mustWait { await pause.wait(until: deadline, on: loop) }
        self.state.withLock { state in
            state.pause = nil
            state.isRaised = false
        }
    }
}
