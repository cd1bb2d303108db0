// SPDX-License-Identifier: Apache-2.0

import CurlClient
import PenstockCore
import Reactor
import Synchronization

/// The credentials of one chain, for all clients of the process that look there.
///
/// They are kept until they end, and fetched anew ahead of that as long as they are used: by the pool's task
/// (``CredentialPool/run()``), or without one by a call. Pinned to the reactor.
actor CredentialRefresher {
    private typealias Answer = Result<AWSCredentials, AWSError>

    private struct Members {
        var last: UInt64 = 0
        var all: Set<UInt64> = []
    }

    private struct Fetched {
        var answer: Answer
        var memory: CredentialChain.Memory
    }

    private struct Waiter {
        var member: UInt64
        var continuation: CheckedContinuation<Void, Never>
    }

    private nonisolated let reactor: Reactor
    private nonisolated let chain: CredentialChain
    private nonisolated let pool: CredentialPool
    private nonisolated let members = Mutex(Members())
    private var memory = CredentialChain.Memory()
    private var renewal: CredentialRenewal
    private var waiters: [UInt64: Waiter] = [:]
    private var lastWaiter: UInt64 = 0
    private var timer: TimerID?

    /// Stands for the pool's task, which goes when there is no member.
    private static let task: UInt64 = 0

    /// Nothing is fetched before the first call of ``credentials(for:)``.
    init(
        _ chain: CredentialChain,
        in pool: CredentialPool,
        _ times: CredentialRenewal.Times,
        reactor: Reactor
    ) {
        self.chain = chain
        self.pool = pool
        self.renewal = CredentialRenewal(times)
        self.reactor = reactor
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    // MARK: - Members

    /// Counts a client in; its number.
    ///
    /// Any thread.
    nonisolated func enter() -> UInt64 {
        self.members.withLock { members in
            members.last += 1
            members.all.insert(members.last)
            return members.last
        }
    }

    /// Counts a client out: what waits for its calls ends now.
    ///
    /// Idempotent.
    func leave(_ member: UInt64) {
        let isLast = self.members.withLock { members in
            members.all.remove(member)
            return members.all.isEmpty
        }
        self.wake { $0 == member || isLast }
    }

    private nonisolated func hasLeft(_ member: UInt64) -> Bool {
        self.members.withLock { members in
            member == Self.task ? members.all.isEmpty : !members.all.contains(member)
        }
    }

    // MARK: - Credentials

    /// The wall clock, by the token service's where the two differ.
    private var now: Timestamp {
        let now = self.reactor.wallNow
        guard self.memory.skew != .zero else { return now }
        return Timestamp(milliseconds: now.milliseconds + self.memory.skew.wholeMilliseconds)
    }

    /// Credentials that hold for half a minute at least, for a call of a member.
    ///
    /// - Throws: ``AWSError`` that says which source failed and how, or that there is none; of the kind `noCredentials`, or
    ///   `unreachable` when the member has left or the task is cancelled.
    func credentials(for member: UInt64) async throws(AWSError) -> AWSCredentials {
        while true {
            switch self.renewal.ask(at: self.now) {
            case .use(let current): return current
            case .renew(let current):
                guard let answer = await self.fetch(for: member) else { throw Self.cancelled }
                return (try? answer.get()) ?? current
            case .fetch:
                guard let answer = await self.fetch(for: member) else { throw Self.cancelled }
                return try answer.get()
            case .wait:
                await self.wait(member)
                guard !Task.isCancelled, !self.hasLeft(member) else { throw Self.cancelled }
                if !self.renewal.isFetching, let last = self.renewal.last { return try last.get() }
            }
        }
    }

    /// Forgets credentials that a service called expired: they are fetched again, from files as they are then.
    func invalidate(_ credentials: AWSCredentials) {
        if self.renewal.current == credentials { self.renewal.forget() }
    }

    /// Looks whether there are others than these, of which a service knows nothing: fetched since, or in files that others
    /// have written since.
    func hasOthers(than credentials: AWSCredentials) -> Bool {
        self.lookAtFiles()
        return self.renewal.current != credentials
    }

    /// Forgets what is there when the shared files say something else than when it was fetched.
    func lookAtFiles() {
        guard let known = self.memory.shared, self.chain.environment.shared != known else { return }
        self.renewal.forget()
    }

    /// Fetches credentials when they are due and in use.
    func renew() async {
        guard self.renewal.isDue() else { return }
        _ = await self.fetch(for: Self.task)
    }

    // MARK: - Fetching

    /// Fetches for all who wait; the renewal has said so.
    ///
    /// Nil when the member has left meanwhile, or the task was cancelled.
    private func fetch(for member: UInt64) async -> Answer? {
        let (chain, memory, reactor) = (self.chain, self.memory, self.reactor)
        let found = await withTaskGroup(of: Fetched?.self) { group in
            group.addTask(executorPreference: reactor) {
                var memory = memory
                do throws(AWSError) {
                    let found = try await chain.resolve(&memory, on: reactor)
                    return Fetched(answer: .success(found), memory: memory)
                } catch {
                    return Fetched(answer: .failure(error), memory: memory)
                }
            }
            group.addTask(executorPreference: reactor) {
                await self.wait(member)
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        var answer: Answer?
        if let found, !Task.isCancelled {
            answer = found.answer
            self.memory = found.memory
            self.remind(after: self.renewal.fetched(found.answer, at: self.now))
        } else {
            self.renewal.abandoned()
        }
        self.wake { _ in true }
        return answer
    }

    /// Tells the pool's task when it is time to look again.
    private func remind(after delay: Duration?) {
        if let timer = self.timer.take() { self.reactor.cancel(timer) }
        guard let delay else { return }
        self.timer = self.reactor.schedule(at: self.reactor.now + delay) { [weak self] in
            guard let self else { return }
            self.pool.isDue(self)
        }
    }

    /// Waits until the fetch that is under way has ended, the member has left, or the task is cancelled.
    private func wait(_ member: UInt64) async {
        self.lastWaiter += 1
        let number = self.lastWaiter
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Looked at again here: the call may have waited for the executor.
                if !self.renewal.isFetching || self.hasLeft(member) || Task.isCancelled {
                    continuation.resume()
                } else {
                    self.waiters[number] = Waiter(member: member, continuation: continuation)
                }
            }
        } onCancel: {
            self.reactor.submit { [weak self] in
                self?.assumeIsolated { $0.waiters.removeValue(forKey: number)?.continuation.resume() }
            }
        }
    }

    private func wake(_ isMeant: (_ member: UInt64) -> Bool) {
        for (number, waiter) in self.waiters where isMeant(waiter.member) {
            self.waiters[number] = nil
            waiter.continuation.resume()
        }
    }

    private static let cancelled = AWSError(
        .unreachable,
        code: "Client.Closed",
        message: "the call was cancelled before it had credentials"
    )
}
