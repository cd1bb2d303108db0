// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import Reactor
import Synchronization

extension EventLoop {
    /// Waits on the loop's clock; returns early when the task is cancelled.
    ///
    /// Any isolation.
    package func pause(until deadline: Instant) async {
        await LoopPause().wait(until: deadline, on: self)
    }

    /// Waits on the loop's clock; returns early when the task is cancelled.
    ///
    /// Any isolation.
    package func pause(for duration: Duration) async {
        await self.pause(until: self.now + duration)
    }
}

/// A wait on a loop's clock that ends once: by the timer, by cancellation or by ``end()``, whichever comes first.
final class LoopPause: Sendable {
    private enum State {
        case initial
        case waiting(CheckedContinuation<Void, Never>)
        case ended
    }

    private let state = Mutex(State.initial)

    /// Any isolation; once.
    func wait(until deadline: Instant, on loop: any EventLoop) async {
        guard deadline > loop.now else { return }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard self.begin(continuation) else { return continuation.resume() }
                loop.submit { _ = loop.schedule(at: deadline) { self.end() } }
            }
        } onCancel: {
            self.end()
        }
    }

    /// Stores the continuation; false when the wait has ended already.
    private func begin(_ continuation: CheckedContinuation<Void, Never>) -> Bool {
        self.state.withLock { state in
            if case .ended = state { return false }
            state = .waiting(continuation)
            return true
        }
    }

    /// Lets the waiter go, now or when it comes.
    ///
    /// Any thread; idempotent.
    func end() {
        let waiter = self.state.withLock { state -> CheckedContinuation<Void, Never>? in
            defer { state = .ended }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        waiter?.resume()
    }
}
