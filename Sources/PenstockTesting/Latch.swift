// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Synchronization

/// A door that opens once, for threads and for tasks: how tests wait without sleeping.
package final class Latch: Sendable {
    private struct State {
        var isOpen = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let group = DispatchGroup()

    /// A closed door.
    package init() {
        self.group.enter()
    }

    deinit {
        // A group must not be freed while it is entered.
        self.open()
    }

    /// Lets everybody through, now and later.
    ///
    /// Any thread; idempotent.
    package func open() {
        let (wasOpen, waiters) = self.state.withLock { state in
            defer { state = State(isOpen: true) }
            return (state.isOpen, state.waiters)
        }
        guard !wasOpen else { return }
        self.group.leave()
        for waiter in waiters { waiter.resume() }
    }

    /// Whether it is open.
    package var isOpen: Bool { self.state.withLock { $0.isOpen } }

    /// Waits as a thread; never on an event loop.
    package func block() {
        self.group.wait()
    }

    /// Waits as a task.
    package func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = self.state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
}
