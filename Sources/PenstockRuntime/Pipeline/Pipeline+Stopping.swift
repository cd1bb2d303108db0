// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import Reactor

extension Pipeline {
    /// Stops in two phases: takes nothing new and lets invocations finish for up to `limit`, then gives up on
    /// them; commits what is settled, and closes the source.
    ///
    /// What was not invoked is released. Idempotent.
    package func stop(within limit: Duration) async {
        await self.stop(within: limit) {}
    }

    /// The same, with something to be done at rest: when all is drained and committed, and the source still connected.
    ///
    /// Nothing is done when it is being stopped already.
    func stop(within limit: Duration, atRest: () async -> Void) async {
        guard !self.isStopped, !self.engine.isStopping else { return }
        self.engine.stop()
        self.flush()
        await self.drain(within: self.isHurried ? .zero : limit)
        if !self.engine.isDrained {
            self.logger.warning(
                "invocations did not end in time",
                metadata: ["count": "\(self.engine.invocationsInFlight)"]
            )
            self.engine.abandon()
            self.flush()
        }
        await self.drain(within: .seconds(5))
        if self.commitsUnderWay > 0 {
            await withCheckedContinuation { waiter in
                if self.commitsUnderWay > 0 { self.commitWaiter = waiter } else { waiter.resume() }
            }
        }
        let positions = self.engine.uncommitted()
        if !positions.isEmpty, let accepted = await self.commit(positions, self.saveTurns.take()) {
            self.engine.commitEnded(positions, accepted: accepted, now: self.now)
        }
        await atRest()
        self.isStopped = true
        if let timer = self.timer.take() { self.loop.cancel(timer.id) }
        await self.parts.source.stop()
        self.endTasks()
    }

    /// Lets a stop that drains give up on what is in flight at once.
    package func hurry() {
        self.isHurried = true
        self.drainWaiter.take()?.resume()
    }

    /// Waits until nothing is in flight, for so long at most; not at all when everything is to end at once.
    private func drain(within limit: Duration) async {
        guard !self.isQuiet else { return }
        let loop = self.loop
        let deadline = loop.now + limit
        let id = loop.schedule(at: deadline) { [weak self] in
            self?.assumeIsolated { $0.drainWaiter.take()?.resume() }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                if self.isQuiet || loop.now >= deadline || Task.isCancelled {
                    waiter.resume()
                } else {
                    self.drainWaiter = waiter
                }
            }
        } onCancel: {
            loop.submit { [weak self] in self?.assumeIsolated { $0.drainWaiter.take()?.resume() } }
        }
        loop.cancel(id)
    }
}
