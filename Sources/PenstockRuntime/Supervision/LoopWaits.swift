// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import Reactor
import Synchronization

extension EventLoop {
    /// Waits on the loop's clock; returns early when the task is cancelled.
    ///
    /// Any isolation.
    package func pause(until deadline: Instant) async {
        guard deadline > self.now else { return }
        let wait = LoopWait()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard wait.begin(continuation) else { return continuation.resume() }
                self.submit { _ = self.schedule(at: deadline) { wait.end() } }
            }
        } onCancel: {
            wait.end()
        }
    }

    /// Waits on the loop's clock; returns early when the task is cancelled.
    ///
    /// Any isolation.
    package func pause(for duration: Duration) async {
        await self.pause(until: self.now + duration)
    }
}

/// One continuation that is resumed once, by the timer or by cancellation, whichever comes first.
private final class LoopWait: Sendable {
    private enum State {
        case initial
        case waiting(CheckedContinuation<Void, Never>)
        case ended
    }

    private let state = Mutex(State.initial)

    /// Stores the continuation; false when the wait has ended already.
    func begin(_ continuation: CheckedContinuation<Void, Never>) -> Bool {
        self.state.withLock { state in
            if case .ended = state { return false }
            state = .waiting(continuation)
            return true
        }
    }

    func end() {
        let waiter = self.state.withLock { state -> CheckedContinuation<Void, Never>? in
            defer { state = .ended }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        waiter?.resume()
    }
}
