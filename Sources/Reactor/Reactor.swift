// SPDX-License-Identifier: Apache-2.0

import CReactor
import DequeModule
import Glibc
package import PenstockCore
import Synchronization

/// The I/O thread: epoll, timers and Swift jobs in one loop.
///
/// See ``EventLoop``.
///
/// C libraries and sockets register descriptors with it; handlers run on its thread, between jobs. Start it once, and
/// stop it after the last task on it has ended: jobs that are enqueued later never run.
@safe
package final class Reactor: EventLoop, @unchecked Sendable {
    // @unchecked: everything in `owned` is touched on the reactor's thread only (see `isOnLoop`); `inbox` has a lock.

    /// What a descriptor may become ready for; the bits of epoll(7).
    package struct Readiness: OptionSet, Sendable {
        /// The bits.
        package let rawValue: UInt32

        /// Readiness from epoll's bits.
        package init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        /// Bytes, a connection or an end of file can be read.
        package static let readable = Readiness(rawValue: EPOLLIN.rawValue | EPOLLRDHUP.rawValue)
        /// Bytes can be written.
        package static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
        /// The other side is gone, or the descriptor is in error.
        package static let closed = Readiness(
            rawValue: EPOLLHUP.rawValue | EPOLLERR.rawValue | EPOLLRDHUP.rawValue
        )
    }

    /// Names a registration; a descriptor number that is used again gets another.
    package struct Registration: Hashable, Sendable {
        fileprivate var slot: Int
        fileprivate var generation: UInt32
    }

    private struct Slot {
        var descriptor: Int32
        var generation: UInt32
        var handler: (@Sendable (Readiness) -> Void)?
    }

    private struct Owned {
        var slots: [Slot] = []
        var free: [Int] = []
        var timers = TimerQueue()
        var jobs = Deque<UnownedJob>()
        /// What is to be done at the end of the turn, and when that is at the latest.
        var atEnd: [@Sendable () -> Void] = []
        var endsBy: Instant?
        /// A list for the next turn's, without any; kept for its memory.
        var spare: [@Sendable () -> Void] = []
        var stopping = false
        /// Taken from the inbox; kept for their memory, which goes back and forth.
        var arrivedJobs: [UnownedJob] = []
        var arrivedActions: [@Sendable () -> Void] = []
    }

    private struct Inbox {
        var jobs: [UnownedJob] = []
        var actions: [@Sendable () -> Void] = []
        var thread: pthread_t?

        var isEmpty: Bool { self.jobs.isEmpty && self.actions.isEmpty }
    }

    private let epoll: Int32
    private let wakeup: Int32
    private let inbox = Mutex(Inbox())
    private let loopThread = Atomic<UInt>(0)
    private var owned = Owned()

    /// Jobs run in one turn before descriptors and timers are looked at again, so that a busy actor starves nobody.
    private static let jobsPerTurn = 256

    /// Nanoseconds for which jobs can put off what is to be done at the end of the turn.
    private static let turnMax: Int64 = 100_000

    /// Makes the loop and starts its thread, named `name` (at most 15 bytes).
    ///
    /// - Throws: ``ReactorError`` when the system has no descriptors or threads left.
    package init(name: String = "reactor") throws(ReactorError) {
        self.epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard self.epoll >= 0 else { throw ReactorError("epoll_create1", errno) }
        self.wakeup = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard self.wakeup >= 0 else {
            let code = errno
            close(self.epoll)
            throw ReactorError("eventfd", code)
        }
        var event = unsafe epoll_event(events: EPOLLIN.rawValue, data: unsafe epoll_data_t(u64: .max))
        guard unsafe epoll_ctl(self.epoll, EPOLL_CTL_ADD, self.wakeup, &event) == 0 else {
            throw ReactorError("epoll_ctl", errno)
        }
        try self.startThread(name: name)
    }

    deinit {
        close(self.epoll)
        close(self.wakeup)
    }

    private func startThread(name: String) throws(ReactorError) {
        var thread = pthread_t()
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        let result = unsafe pthread_create(
            &thread,
            nil,
            { context in
                guard let context = unsafe context else { return nil }
                let reactor = unsafe Unmanaged<Reactor>.fromOpaque(context).takeRetainedValue()
                reactor.loopThread.store(UInt(pthread_self()), ordering: .releasing)
                reactor.run()
                return nil
            },
            context
        )
        guard result == 0 else {
            unsafe Unmanaged<Reactor>.fromOpaque(context).release()
            throw ReactorError("pthread_create", result)
        }
        _ = unsafe penstock_set_thread_name(thread, String(name.prefix(15)))
        self.inbox.withLock { $0.thread = thread }
    }

    /// Ends the loop and waits for its thread.
    ///
    /// Call once, from another thread, after the last task on it has ended.
    package func stop() {
        self.submit { self.owned.stopping = true }
        guard let thread = self.inbox.withLock({ $0.thread.take() }) else { return }
        _ = pthread_join(thread, nil)
    }

    /// Whether the caller runs on the reactor's thread.
    package var isOnLoop: Bool {
        self.loopThread.load(ordering: .acquiring) == UInt(pthread_self())
    }

    // MARK: - Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if self.isOnLoop {
            self.owned.jobs.append(job)
            return
        }
        let wasEmpty = self.inbox.withLock { inbox in
            defer { inbox.jobs.append(job) }
            return inbox.isEmpty
        }
        if wasEmpty { self.wake() }
    }

    package func checkIsolated() {
        precondition(self.isOnLoop, "not on the reactor's thread")
    }

    package func isIsolatingCurrentContext() -> Bool? {
        self.isOnLoop
    }

    package func submit(_ action: @escaping @Sendable () -> Void) {
        let wasEmpty = self.inbox.withLock { inbox in
            defer { inbox.actions.append(action) }
            return inbox.isEmpty
        }
        if wasEmpty { self.wake() }
    }

    /// Runs an action when the jobs that wait have run, before the loop sleeps; when that takes longer than 100 µs, behind
    /// the job that runs then.
    ///
    /// On the loop only.
    package func atEndOfTurn(_ action: @escaping @Sendable () -> Void) {
        self.checkIsolated()
        if self.owned.endsBy == nil {
            self.owned.endsBy = Instant(nanoseconds: self.now.nanoseconds + Self.turnMax)
        }
        self.owned.atEnd.append(action)
    }

    private func endTurn() {
        guard !self.owned.atEnd.isEmpty else { return }
        var actions = self.owned.spare
        self.owned.spare = []
        swap(&actions, &self.owned.atEnd)
        self.owned.endsBy = nil
        for action in actions { action() }
        actions.removeAll(keepingCapacity: true)
        self.owned.spare = actions
    }

    private func wake() {
        _ = eventfd_write(self.wakeup, 1)
    }

    // MARK: - Clock and timers

    package var now: Instant {
        var time = timespec()
        unsafe clock_gettime(CLOCK_BOOTTIME, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    package var wallNow: Timestamp {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    package func schedule(at deadline: Instant, _ action: @escaping @Sendable () -> Void) -> TimerID {
        self.checkIsolated()
        return self.owned.timers.add(at: deadline, action)
    }

    package func cancel(_ timer: TimerID) {
        self.checkIsolated()
        self.owned.timers.cancel(timer)
    }

    // MARK: - Descriptors

    /// Calls `handler` on the loop whenever `descriptor` is ready for any of `interest` (level-triggered).
    ///
    /// The caller keeps the descriptor open until ``unregister(_:)``. On the loop only.
    ///
    /// - Throws: ``ReactorError`` when epoll refuses the descriptor, such as one for a regular file.
    package func register(
        _ descriptor: Int32,
        for interest: Readiness,
        handler: @escaping @Sendable (Readiness) -> Void
    ) throws(ReactorError) -> Registration {
        self.checkIsolated()
        let slot = self.owned.free.popLast() ?? self.owned.slots.count
        if slot == self.owned.slots.count {
            self.owned.slots.append(Slot(descriptor: -1, generation: 0, handler: nil))
        }
        let generation = self.owned.slots[slot].generation &+ 1
        self.owned.slots[slot] = Slot(descriptor: descriptor, generation: generation, handler: handler)
        let registration = Registration(slot: slot, generation: generation)
        var event = unsafe Self.event(registration, interest)
        guard unsafe epoll_ctl(self.epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
            let code = errno
            self.release(slot)
            throw ReactorError("epoll_ctl", code)
        }
        return registration
    }

    /// Changes what a registration waits for.
    ///
    /// On the loop only.
    package func update(_ registration: Registration, for interest: Readiness) {
        guard let descriptor = self.descriptor(of: registration) else { return }
        var event = unsafe Self.event(registration, interest)
        unsafe epoll_ctl(self.epoll, EPOLL_CTL_MOD, descriptor, &event)
    }

    /// Ends a registration; its handler is not called again, not even for readiness already seen.
    ///
    /// Call it before the descriptor is closed. On the loop only.
    package func unregister(_ registration: Registration) {
        guard let descriptor = self.descriptor(of: registration) else { return }
        epoll_ctl(self.epoll, EPOLL_CTL_DEL, descriptor, nil)
        self.release(registration.slot)
    }

    private func descriptor(of registration: Registration) -> Int32? {
        self.checkIsolated()
        let slot = self.owned.slots[registration.slot]
        return slot.generation == registration.generation && slot.handler != nil ? slot.descriptor : nil
    }

    private func release(_ slot: Int) {
        self.owned.slots[slot].handler = nil
        self.owned.free.append(slot)
    }

    private static func event(_ registration: Registration, _ interest: Readiness) -> epoll_event {
        let token =
            UInt64(registration.generation) << 32 | UInt64(UInt32(truncatingIfNeeded: registration.slot))
        return unsafe epoll_event(events: interest.rawValue, data: epoll_data_t(u64: token))
    }

    // MARK: - The loop

    private func run() {
        let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: 256)
        defer { unsafe events.deallocate() }
        while !self.owned.stopping {
            self.takeInbox()
            self.runJobs()
            self.endTurn()
            let ready = unsafe epoll_wait(
                self.epoll,
                events.baseAddress,
                Int32(events.count),
                self.fireTimers()
            )
            guard ready > 0 else { continue }
            for index in 0..<Int(ready) {
                let event = unsafe events[index]
                unsafe self.dispatch(event)
            }
        }
    }

    private func takeInbox() {
        var jobs = self.owned.arrivedJobs
        var actions = self.owned.arrivedActions
        self.owned.arrivedJobs = []
        self.owned.arrivedActions = []
        let hasArrived = self.inbox.withLock { inbox in
            guard !inbox.isEmpty else { return false }
            swap(&inbox.jobs, &jobs)
            swap(&inbox.actions, &actions)
            return true
        }
        if hasArrived {
            for action in actions { action() }
            for job in jobs { self.owned.jobs.append(job) }
            jobs.removeAll(keepingCapacity: true)
            actions.removeAll(keepingCapacity: true)
        }
        self.owned.arrivedJobs = jobs
        self.owned.arrivedActions = actions
    }

    private func runJobs() {
        guard !self.owned.jobs.isEmpty else { return }
        let serial = unsafe self.asUnownedSerialExecutor()
        let task = unsafe self.asUnownedTaskExecutor()
        for _ in 0..<Self.jobsPerTurn {
            guard let job = self.owned.jobs.popFirst() else { return }
            unsafe job.runSynchronously(isolatedTo: serial, taskExecutor: task)
            if let end = self.owned.endsBy, end <= self.now { self.endTurn() }
        }
    }

    /// Runs the timers that are due; returns the milliseconds until the next one, rounded up: 0 when jobs wait, -1 for
    /// ever.
    private func fireTimers() -> Int32 {
        guard let first = self.owned.timers.nextDeadline() else { return self.hasWork ? 0 : -1 }
        let now = self.now
        var deadline: Instant? = first
        if first <= now {
            while let action = self.owned.timers.popDue(now: now) { action() }
            deadline = self.owned.timers.nextDeadline()
        }
        guard !self.hasWork else { return 0 }
        guard let deadline else { return -1 }
        let wait = (deadline - now).wholeNanoseconds
        return wait <= 0 ? 0 : Int32(clamping: (wait + 999_999) / 1_000_000)
    }

    private var hasWork: Bool {
        !self.owned.jobs.isEmpty || !self.owned.atEnd.isEmpty || self.owned.stopping
    }

    private func dispatch(_ event: epoll_event) {
        let token = unsafe event.data.u64
        guard token != .max else {
            var count: eventfd_t = 0
            _ = unsafe eventfd_read(self.wakeup, &count)
            return
        }
        let slot = self.owned.slots[Int(UInt32(truncatingIfNeeded: token))]
        guard slot.generation == UInt32(token >> 32), let handler = slot.handler else { return }
        unsafe handler(Readiness(rawValue: event.events))
    }
}

/// The system refused what an event loop needs.
package struct ReactorError: Error, Sendable, CustomStringConvertible {
    /// The system call.
    package var call: String

    /// Its `errno`.
    package var code: Int32

    init(_ call: String, _ code: Int32) {
        self.call = call
        self.code = code
    }

    package var description: String {
        "\(self.call) failed: \(unsafe String(cString: strerror(self.code)))"
    }
}
