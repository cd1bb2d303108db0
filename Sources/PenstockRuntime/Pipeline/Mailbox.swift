// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Hands elements from any thread to one waiting task, which takes all there are at once.
///
/// Unbounded by itself: its users bound what they put in (credits). Measured at 13 ns an element where `AsyncStream`
/// costs 1.3 µs (perf.md section 10).
package final class Mailbox<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var waiter: CheckedContinuation<[Element], Never>?
        var isClosed = false

        mutating func takeElements() -> [Element] {
            defer { self.elements = [] }
            return self.elements
        }
    }

    private let state = Mutex(State())

    /// An empty mailbox.
    package init() {}

    /// Puts an element in.
    ///
    /// Any thread; never waits. Ignored after ``close()``.
    package func put(_ element: Element) {
        let (waiter, elements) = self.state.withLock {
            state -> (CheckedContinuation<[Element], Never>?, [Element]) in
            guard !state.isClosed else { return (nil, []) }
            state.elements.append(element)
            guard let waiter = state.waiter.take() else { return (nil, []) }
            return (waiter, state.takeElements())
        }
        waiter?.resume(returning: elements)
    }

    /// Takes all elements, waiting for one if there is none.
    ///
    /// Empty when the mailbox was closed or the task cancelled. One task at a time.
    package func takeAll() async -> [Element] {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let elements: [Element]? = self.state.withLock { state in
                    precondition(state.waiter == nil, "two tasks wait for one mailbox")
                    if !state.elements.isEmpty { return state.takeElements() }
                    if state.isClosed || Task.isCancelled { return [] }
                    state.waiter = continuation
                    return nil
                }
                if let elements { continuation.resume(returning: elements) }
            }
        } onCancel: {
            self.state.withLock { $0.waiter.take() }?.resume(returning: [])
        }
    }

    /// Lets the waiter go, and refuses new elements.
    ///
    /// What is inside can still be taken. Idempotent.
    package func close() {
        let waiter = self.state.withLock { state in
            state.isClosed = true
            return state.waiter.take()
        }
        waiter?.resume(returning: [])
    }
}
