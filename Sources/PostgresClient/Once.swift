// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A continuation that is resumed once, with what a cancellation does until then.
final class Once<Value: Sendable>: Sendable {
    private struct State {
        var continuation: CheckedContinuation<Result<Value, PostgresError>, Never>?
        var cancel: (@Sendable () -> Void)?
        var isCancelled = false
        var isEnded = false
    }

    private let state = Mutex(State())

    /// Keeps who waits; before anything can end it.
    func wait(_ continuation: CheckedContinuation<Result<Value, PostgresError>, Never>) {
        self.state.withLock { $0.continuation = continuation }
    }

    /// What is to be done when the task is cancelled; at once when that has happened.
    func onCancel(_ cancel: @escaping @Sendable () -> Void) {
        let isDue = self.state.withLock { state in
            guard !state.isEnded else { return false }
            state.cancel = cancel
            return state.isCancelled
        }
        if isDue { cancel() }
    }

    /// The task was cancelled.
    ///
    /// Any thread.
    func cancel() {
        let cancel = self.state.withLock { state in
            state.isCancelled = true
            return state.cancel
        }
        cancel?()
    }

    /// Resumes who waits; false when that has happened.
    func end(_ result: Result<Value, PostgresError>) -> Bool {
        let waiter = self.state.withLock { state in
            state.isEnded = true
            state.cancel = nil
            return state.continuation.take()
        }
        waiter?.resume(returning: result)
        return waiter != nil
    }
}
