// SPDX-License-Identifier: Apache-2.0

import DequeModule
import PenstockCore
import PenstockRuntime

/// Names a process of one function; never used again.
struct ProcessID: Hashable, Sendable {
    var rawValue: Int
}

/// Names a call of one function; never used again.
struct CallID: Hashable, Sendable {
    var rawValue: Int
}

/// Which process serves which call: starts, reuse, waiting, time limits, back-off after failed starts.
///
/// Pure: no clock, no I/O. The caller passes `now`, carries out the actions in order, and calls ``due(now:)``
/// at ``nextDeadline(now:)``.
struct ProcessPool {
    /// What the caller does.
    enum Action: Equatable {
        /// Start a process; then ``started(_:now:)`` is implied, and ``startFailed(_:_:now:)`` says when it
        /// could not be.
        case start(ProcessID)
        /// Write the call's event to the process's open poll.
        case deliver(CallID, to: ProcessID)
        /// The call had its time: fail it and kill the process.
        case timeOut(CallID, ProcessID)
        /// No process became free for the call in time.
        case expire(CallID)
        /// No process can be started for the call.
        case fail(CallID, Failure)
        /// The process did not ask for work in time.
        case initTimedOut(ProcessID)
        /// SIGTERM.
        case terminate(ProcessID)
        /// SIGKILL to the group.
        case kill(ProcessID)
    }

    /// The limits that the pool keeps.
    struct Limits {
        /// Processes at most.
        var concurrency: Int
        /// From hand-over to answer.
        var timeout: Duration
        /// From start to the first poll.
        var initTimeout: Duration
        /// From an answer to the next poll.
        var pollTimeout: Duration { max(self.timeout, self.initTimeout) }
        /// From poll to end, without a call; nil for ever.
        var idleTimeout: Duration?
        /// From SIGTERM to SIGKILL.
        var stopGrace: Duration
    }

    /// Pause after the first failed start; doubles with each further one.
    static let backoffInitial = Duration.milliseconds(100)
    /// Longest pause after failed starts.
    static let backoffMax = Duration.seconds(30)

    /// `starting` can go to `polling` with its first poll, or to `ending`.
    ///
    /// `polling` can go to `busy` with a call, to `between` when its poll's connection is lost, or to
    /// `ending`.
    ///
    /// `busy` can go to `between` with the answer, or to `ending`.
    ///
    /// `between` can go to `polling`, or to `ending` when it does not poll again in time.
    ///
    /// `ending` ends when the process has exited.
    private enum Phase {
        case starting(until: Instant)
        case polling(since: Instant)
        case busy(CallID, until: Instant)
        case between(until: Instant)
        case ending(killAt: Instant?)
    }

    private struct Waiter {
        var call: CallID
        var until: Instant
    }

    private let limits: Limits
    private var phases: [ProcessID: Phase] = [:]
    private var idle: [ProcessID] = []
    private var waiting: Deque<Waiter> = []
    private var lastProcess = 0
    private var failedStarts = 0
    private var lastFailure: Failure?
    private var startsAgainAt = Instant.start
    private var isStopping = false

    /// An empty pool.
    init(_ limits: Limits) {
        self.limits = limits
    }

    /// Processes that have not exited.
    var count: Int { self.phases.count }

    /// Calls that wait for a process.
    var waitingCount: Int { self.waiting.count }

    /// The call that a process works on.
    func call(of process: ProcessID) -> CallID? {
        if case .busy(let call, _) = self.phases[process] { return call }
        return nil
    }

    /// Whether a process never asked for work.
    func isStarting(_ process: ProcessID) -> Bool {
        if case .starting = self.phases[process] { return true }
        return false
    }

    // MARK: - Calls

    /// A call wants a process, and waits for one until `until`.
    mutating func add(_ call: CallID, until: Instant, now: Instant) -> [Action] {
        guard !self.isStopping else { return [.fail(call, .stopping)] }
        if let process = self.idle.popLast() { return [self.deliver(call, to: process, now: now)] }
        self.waiting.append(Waiter(call: call, until: until))
        return self.startOrFail(now: now)
    }

    /// The caller no longer waits for a call: forgets it, or says which process works on it.
    mutating func abandon(_ call: CallID) -> ProcessID? {
        self.waiting.removeAll { $0.call == call }
        return self.phases.first { _, phase in
            if case .busy(call, _) = phase { true } else { false }
        }?.key
    }

    private mutating func deliver(_ call: CallID, to process: ProcessID, now: Instant) -> Action {
        self.phases[process] = .busy(call, until: now + self.limits.timeout)
        return .deliver(call, to: process)
    }

    private mutating func startOrFail(now: Instant) -> [Action] {
        var actions: [Action] = []
        guard !self.isStopping else { return actions }
        if now >= self.startsAgainAt {
            let starting = self.phases.values.count { if case .starting = $0 { true } else { false } }
            let wanted = self.waiting.count - starting
            let room = self.limits.concurrency - self.phases.count
            // After a failed start one process at a time shows whether it works again.
            let most = self.failedStarts > 0 ? max(0, 1 - starting) : room
            for _ in 0..<max(0, min(wanted, room, most)) {
                self.lastProcess += 1
                let process = ProcessID(rawValue: self.lastProcess)
                self.phases[process] = .starting(until: now + self.limits.initTimeout)
                actions.append(.start(process))
            }
        }
        let canServe = self.phases.values.contains { if case .ending = $0 { false } else { true } }
        if !canServe, let lastFailure, now < self.startsAgainAt {
            actions += self.waiting.map { .fail($0.call, lastFailure) }
            self.waiting.removeAll()
        }
        return actions
    }

    // MARK: - Processes

    /// A process asks for work.
    mutating func polled(_ process: ProcessID, now: Instant) -> [Action] {
        switch self.phases[process] {
        case .starting:
            self.failedStarts = 0
            self.lastFailure = nil
            self.startsAgainAt = now
        case .between: break
        case .polling, .busy, .ending, nil: return []
        }
        if let waiter = self.waiting.popFirst() {
            return [self.deliver(waiter.call, to: process, now: now)]
        }
        self.phases[process] = .polling(since: now)
        self.idle.append(process)
        return []
    }

    /// The poll's connection is gone.
    ///
    /// The process may poll again, or is about to be found dead.
    mutating func pollLost(_ process: ProcessID, now: Instant) {
        guard case .polling = self.phases[process] else { return }
        self.idle.removeAll { $0 == process }
        self.phases[process] = .between(until: now + self.limits.pollTimeout)
    }

    /// An event could not be handed over, because the poll's connection was dead: the call goes first in line
    /// again.
    mutating func deliveryFailed(_ process: ProcessID, until: Instant, now: Instant) -> [Action] {
        guard case .busy(let call, _) = self.phases[process] else { return [] }
        self.phases[process] = .between(until: now + self.limits.pollTimeout)
        if let other = self.idle.popLast() { return [self.deliver(call, to: other, now: now)] }
        self.waiting.prepend(Waiter(call: call, until: until))
        return self.startOrFail(now: now)
    }

    /// A process answered its call.
    mutating func answered(_ process: ProcessID, now: Instant) {
        guard case .busy = self.phases[process] else { return }
        self.phases[process] = .between(until: now + self.limits.pollTimeout)
    }

    /// A process could not be started, or failed before its first poll.
    ///
    /// It counts until ``exited(_:now:)``.
    mutating func startFailed(_ process: ProcessID, _ failure: Failure, now: Instant) -> [Action] {
        guard case .starting = self.phases[process] else { return [] }
        self.phases[process] = .ending(killAt: nil)
        self.failedStarts += 1
        self.lastFailure = failure
        let doublings = min(self.failedStarts - 1, 16)
        self.startsAgainAt = now + min(Self.backoffInitial * (1 << doublings), Self.backoffMax)
        return self.startOrFail(now: now)
    }

    /// A process must not be used any more; the caller kills it.
    mutating func condemn(_ process: ProcessID) {
        guard self.phases[process] != nil else { return }
        self.idle.removeAll { $0 == process }
        self.phases[process] = .ending(killAt: nil)
    }

    /// A process is gone.
    ///
    /// What it was about (its call, its failed start) was settled before.
    mutating func exited(_ process: ProcessID, now: Instant) -> [Action] {
        self.idle.removeAll { $0 == process }
        self.phases[process] = nil
        return self.startOrFail(now: now)
    }

    // MARK: - Time

    /// When ``due(now:)`` is to be called next; nil when nothing waits.
    func nextDeadline(now: Instant) -> Instant? {
        var next: Instant?
        func consider(_ deadline: Instant?) {
            if let deadline { next = min(next ?? deadline, deadline) }
        }
        for phase in self.phases.values { consider(self.deadline(of: phase)) }
        for waiter in self.waiting { consider(waiter.until) }
        if !self.waiting.isEmpty, self.startsAgainAt > now { consider(self.startsAgainAt) }
        return next
    }

    private func deadline(of phase: Phase) -> Instant? {
        switch phase {
        case .starting(let until), .busy(_, let until), .between(let until): until
        case .polling(let since): self.limits.idleTimeout.map { since + $0 }
        case .ending(let killAt): killAt
        }
    }

    /// What is due at `now`.
    mutating func due(now: Instant) -> [Action] {
        var actions: [Action] = []
        for waiter in self.waiting where waiter.until <= now { actions.append(.expire(waiter.call)) }
        self.waiting.removeAll { $0.until <= now }
        let late = self.phases.filter { _, phase in self.deadline(of: phase).map { $0 <= now } ?? false }
        for (process, phase) in late.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            switch phase {
            case .starting: actions.append(.initTimedOut(process))
            case .busy(let call, _):
                self.condemn(process)
                actions.append(.timeOut(call, process))
            case .polling:
                self.condemn(process)
                self.phases[process] = .ending(killAt: now + self.limits.stopGrace)
                actions.append(.terminate(process))
            case .between, .ending:
                self.condemn(process)
                actions.append(.kill(process))
            }
        }
        return actions + self.startOrFail(now: now)
    }

    // MARK: - Stop

    /// Begins nothing from now on: calls that wait fail, and so do those that come.
    ///
    /// What processes work on goes on.
    mutating func stopAdmitting() -> [Action] {
        self.isStopping = true
        defer { self.waiting.removeAll() }
        return self.waiting.map { .fail($0.call, .stopping) }
    }

    /// Ends all processes.
    ///
    /// Calls that still wait fail.
    mutating func stop(now: Instant) -> [Action] {
        var actions = self.stopAdmitting()
        self.idle.removeAll()
        for (process, phase) in self.phases {
            if case .ending = phase { continue }
            self.phases[process] = .ending(killAt: now + self.limits.stopGrace)
            actions.append(.terminate(process))
        }
        return actions
    }
}
