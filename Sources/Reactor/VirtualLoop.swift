// SPDX-License-Identifier: Apache-2.0

import DequeModule
package import PenstockCore
import Synchronization

/// An event loop on a virtual clock: when nothing is left to run, time jumps to the next timer.
///
/// For simulations and for tests of a configuration. The caller's own thread runs it by ``run(for:until:)``, so the same
/// seed gives the same order of everything. Jobs and timers come from code that runs on the loop; nothing else may enqueue.
@safe
package final class VirtualLoop: EventLoop, Sendable {
    private struct State {
        var jobs = Deque<UnownedJob>()
        var actions = Deque<@Sendable () -> Void>()
        var timers = TimerQueue()
        var now = Instant.start
    }

    private let state = Mutex(State())

    /// The wall clock at the loop's origin: 2026-01-01T00:00:00Z.
    package static let epoch = Timestamp(milliseconds: 1_767_225_600_000)

    /// A loop at its origin.
    package init() {}

    package var now: Instant { self.state.withLock { $0.now } }

    package var wallNow: Timestamp {
        Timestamp(milliseconds: Self.epoch.milliseconds + self.now.nanoseconds / 1_000_000)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.state.withLock { $0.jobs.append(job) }
    }

    package func checkIsolated() {}

    package func isIsolatingCurrentContext() -> Bool? { true }

    package func schedule(at deadline: Instant, _ action: @escaping @Sendable () -> Void) -> TimerID {
        self.state.withLock { $0.timers.add(at: deadline, action) }
    }

    package func cancel(_ timer: TimerID) {
        self.state.withLock { $0.timers.cancel(timer) }
    }

    package func submit(_ action: @escaping @Sendable () -> Void) {
        self.state.withLock { $0.actions.append(action) }
    }

    /// Waits for a time on the virtual clock.
    ///
    /// On the loop.
    package func sleep(for duration: Duration) async {
        let deadline = self.now + duration
        await withCheckedContinuation { continuation in
            _ = self.schedule(at: deadline) { continuation.resume() }
        }
    }

    /// Runs jobs and timers until `condition` holds (true), or nothing is left to do or `limit` of virtual time has
    /// passed (false).
    package func run(for limit: Duration = .seconds(100_000), until condition: () -> Bool) -> Bool {
        let end = self.now + limit
        while !condition() {
            guard self.step(before: end) else { return condition() }
        }
        return true
    }

    /// Runs one job, action or timer; false when there is none.
    private func step(before end: Instant) -> Bool {
        enum Next {
            case job(UnownedJob)
            case action(@Sendable () -> Void)
            case nothing
        }
        let next = self.state.withLock { state -> Next in
            if let job = state.jobs.popFirst() { return .job(job) }
            if let action = state.actions.popFirst() { return .action(action) }
            guard let deadline = state.timers.nextDeadline(), deadline <= end else { return .nothing }
            state.now = max(state.now, deadline)
            return state.timers.popDue(now: state.now).map { .action($0) } ?? .nothing
        }
        switch next {
        case .job(let job):
            unsafe job.runSynchronously(
                isolatedTo: self.asUnownedSerialExecutor(),
                taskExecutor: self.asUnownedTaskExecutor()
            )
        case .action(let action): action()
        case .nothing: return false
        }
        return true
    }
}
