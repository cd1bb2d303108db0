// SPDX-License-Identifier: Apache-2.0

import DequeModule
package import PenstockCore
package import Reactor

/// Room for a number of invocations side by side; whoever finds none waits in order of calls.
///
/// Belongs to one function, whose actor is pinned to the loop: all calls come from there, and cost no memory unless
/// somebody waits.
package final class InvocationRoom: @unchecked Sendable {
    // @unchecked: touched on the loop only.

    /// Who waits; told whether there is room.
    private struct Waiter {
        var id: UInt64
        var timer: TimerID
        var continuation: CheckedContinuation<Bool, Never>
    }

    private let size: Int
    private let loop: any EventLoop
    private var running = 0

    /// Whether nobody gets room any more.
    package private(set) var isClosed = false

    private var waiting: Deque<Waiter> = []
    private var lastWaiter: UInt64 = 0

    /// Room for `size` invocations, for calls on `loop`.
    package init(size: Int, loop: any EventLoop) {
        self.size = size
        self.loop = loop
    }

    /// Takes room, and waits for it if there is none; ``leave()`` gives it back.
    ///
    /// Returns false when there was none until `deadline`, or the task was cancelled, or the room was closed.
    package func enter(until deadline: Instant, isolation: isolated any Actor = #isolation) async -> Bool {
        if self.take() { return true }
        guard await self.wait(until: deadline, isolation: isolation) else { return false }
        // It may have been closed since the room was handed over.
        if self.isClosed { self.leave() }
        return !self.isClosed
    }

    /// Hands the room to the next in line.
    package func leave() {
        guard let next = self.waiting.popFirst() else {
            self.running -= 1
            return
        }
        self.tell(next, hasRoom: true)
    }

    /// Tells all who wait, and all who come, that there will be none.
    ///
    /// Who has room keeps it. Idempotent.
    package func close() {
        self.isClosed = true
        while let waiter = self.waiting.popFirst() { self.tell(waiter, hasRoom: false) }
    }

    private func take() -> Bool {
        guard self.running < self.size, !self.isClosed else { return false }
        self.running += 1
        return true
    }

    private func wait(until deadline: Instant, isolation: isolated any Actor) async -> Bool {
        self.lastWaiter += 1
        let id = self.lastWaiter
        return await withTaskCancellationHandler {
            // To name the actor is what keeps the closure on the loop.
            _ = isolation
            return await withCheckedContinuation { continuation in
                // Looked at again here: the call may have waited for the loop.
                if self.take() { return continuation.resume(returning: true) }
                if self.isClosed { return continuation.resume(returning: false) }
                let timer = self.loop.schedule(at: deadline) { [weak self] in self?.giveUp(id) }
                self.waiting.append(Waiter(id: id, timer: timer, continuation: continuation))
            }
        } onCancel: {
            self.loop.submit { [weak self] in self?.giveUp(id) }
        }
    }

    private func giveUp(_ id: UInt64) {
        guard let index = self.waiting.firstIndex(where: { $0.id == id }) else { return }
        self.tell(self.waiting.remove(at: index), hasRoom: false)
    }

    private func tell(_ waiter: Waiter, hasRoom: Bool) {
        self.loop.cancel(waiter.timer)
        waiter.continuation.resume(returning: hasRoom)
    }
}
