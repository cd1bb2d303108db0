// SPDX-License-Identifier: Apache-2.0

import DequeModule
package import PenstockCore
package import Reactor

/// Room for a number of invocations side by side; whoever finds none waits in order of calls.
///
/// Belongs to one function. All calls come from its loop, and change no thread.
package actor InvocationRoom {
    /// Who waits; told whether there is room.
    private struct Waiter {
        var id: UInt64
        var timer: TimerID
        var continuation: CheckedContinuation<Bool, Never>
    }

    private let size: Int
    private nonisolated let loop: any EventLoop
    private var running = 0
    private var waiting: Deque<Waiter> = []
    private var lastWaiter: UInt64 = 0

    /// Room for `size` invocations, for calls on `loop`.
    package init(size: Int, loop: any EventLoop) {
        self.size = size
        self.loop = loop
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.loop.asUnownedSerialExecutor()
    }

    /// Takes room, and waits for it if there is none; ``leave()`` gives it back.
    ///
    /// Returns false when there was none until `deadline`, or the task was cancelled, or the room was closed.
    package nonisolated func enter(until deadline: Instant) async -> Bool {
        if self.takeAtOnce() { return true }
        return await self.wait(until: deadline)
    }

    /// Hands the room to the next in line.
    package nonisolated func leave() {
        self.assumeIsolated { $0.handOn() }
    }

    /// Tells all who wait that there will be none.
    package nonisolated func close() {
        self.assumeIsolated { room in
            for waiter in room.waiting { room.tell(waiter, hasRoom: false) }
            room.waiting.removeAll()
        }
    }

    private nonisolated func takeAtOnce() -> Bool { self.assumeIsolated { $0.take() } }

    private func take() -> Bool {
        guard self.running < self.size else { return false }
        self.running += 1
        return true
    }

    private func wait(until deadline: Instant) async -> Bool {
        self.lastWaiter += 1
        let id = self.lastWaiter
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Looked at again here: the call may have waited for the executor.
                if self.take() { return continuation.resume(returning: true) }
                let timer = self.loop.schedule(at: deadline) { [weak self] in
                    self?.assumeIsolated { $0.giveUp(id) }
                }
                self.waiting.append(Waiter(id: id, timer: timer, continuation: continuation))
            }
        } onCancel: {
            self.loop.submit { [weak self] in self?.assumeIsolated { $0.giveUp(id) } }
        }
    }

    private func handOn() {
        guard let next = self.waiting.popFirst() else {
            self.running -= 1
            return
        }
        self.tell(next, hasRoom: true)
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
