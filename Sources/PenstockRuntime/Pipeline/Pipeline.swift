// SPDX-License-Identifier: Apache-2.0

package import Logging
package import PenstockCore
package import PenstockStore
package import Reactor

/// What a pipeline connects.
package struct PipelineParts: Sendable {
    /// The trigger's name.
    package var name: String
    /// Where records come from.
    package var source: any Source
    /// What they are given to.
    package var function: any Function
    /// Where records go that are given up.
    package var destination: any Destination
    /// Where checkpoints are kept.
    package var store: any StateStore
    /// What the configuration says.
    package var policy: TriggerPolicy
    /// Whether `batchItemFailures` in answers is looked at.
    package var reportsItemFailures: Bool
    /// Makes the engine's waits differ between triggers, and a simulation repeatable.
    package var seed: UInt64

    /// The parts of a trigger.
    package init(
        name: String,
        source: any Source,
        function: any Function,
        destination: any Destination,
        store: any StateStore,
        policy: TriggerPolicy,
        reportsItemFailures: Bool = false,
        seed: UInt64 = 0
    ) {
        self.name = name
        self.source = source
        self.function = function
        self.destination = destination
        self.store = store
        self.policy = policy
        self.reportsItemFailures = reportsItemFailures
        self.seed = seed
    }
}

/// One run of one trigger: the shell around ``TriggerEngine``.
///
/// It waits, calls and awaits; every decision is the engine's. Pinned to the event loop, as are its tasks, so that a
/// record's way from the source's mailbox to the function's body crosses no thread. A pipeline runs once.
package actor Pipeline {
    /// Where it runs.
    private nonisolated let loop: any EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.loop.asUnownedSerialExecutor()
    }

    let parts: PipelineParts
    let format: any EventFormat
    let logger: Logger
    var engine: TriggerEngine

    private let work = Mailbox<TriggerEngine.Action>()
    private var buffers: [EventBuffer] = []
    private var timer: (id: TimerID, at: Instant)?
    private var granted: ReceiveAllowance?
    private var drainWaiter: CheckedContinuation<Void, Never>?
    private var commitWaiter: CheckedContinuation<Void, Never>?
    private var commitsUnderWay = 0
    private var hasStarted = false
    private var isStopped = false

    // For the status.
    var hasPartitions = false
    var sourceStatus = SourceStatus.connected
    var storeFailure: String?
    var destinationFailure: String?
    var functionFailure: String?
    var lastFailure: Attempt?
    var lastGap: SourceGap?
    var durations = Histogram()
    var lastProgress: Timestamp?
    private var settledBefore: UInt64 = 0

    /// A pipeline that does nothing before ``run()``.
    package init(_ parts: PipelineParts, loop: any EventLoop, logger: Logger) {
        self.parts = parts
        self.loop = loop
        self.logger = logger
        self.format = parts.function.format(for: parts.source.format, trigger: parts.name)
        self.engine = TriggerEngine(policy: parts.policy, format: self.format, seed: parts.seed)
    }

    // MARK: - Running

    /// Reads, invokes and settles until ``stop(within:)`` or a failure of the source.
    ///
    /// - Throws: the source's or the store's error; everything in flight was drained or released before.
    package func run() async throws {
        do {
            let checkpoints = try await self.parts.store.checkpoints(of: self.parts.name)
            try await self.parts.source.start(checkpoints: checkpoints)
            self.hasStarted = true
        } catch {
            await self.parts.source.stop()
            throw error
        }
        let loop = self.loop
        let failure = await withTaskGroup(of: (any Error)?.self) { group in
            group.addTask(executorPreference: loop) { await self.receive() }
            group.addTask(executorPreference: loop) { await self.performAll() }
            let failure = await group.next() ?? nil
            // Whichever ended first: end the other one, too.
            await self.stop(within: .seconds(5))
            await group.waitForAll()
            return failure
        }
        if let failure { throw failure }
    }

    /// Takes what the source tells, until it ends.
    private func receive() async -> (any Error)? {
        self.flush()
        while !self.isStopped {
            do {
                let events = try await self.parts.source.receive()
                if events.isEmpty { return nil }
                for event in events { self.handle(event) }
                self.flush()
            } catch {
                return error
            }
        }
        return nil
    }

    private func handle(_ event: SourceEvent) {
        switch event {
        case .records(let block):
            self.engine.received(block, now: self.now)
        case .assigned(let partitions):
            self.hasPartitions = true
            self.engine.assigned(partitions)
            self.logger.info("partitions assigned", metadata: ["count": "\(partitions.count)"])
        case .revoking(let revocation):
            self.engine.revoking(RevocationKey(revocation.id.rawValue), revocation.partitions, now: self.now)
        case .lost(let partitions):
            self.engine.lost(partitions, now: self.now)
            self.logger.warning("partitions lost", metadata: ["count": "\(partitions.count)"])
        case .gap(let gap):
            self.lastGap = gap
            self.logger.error(
                "records are missing upstream",
                metadata: ["partition": "\(gap.partition)", "detail": "\(gap.detail)"]
            )
        case .status(let status):
            if status != self.sourceStatus { self.logStatus(status) }
            self.sourceStatus = status
        }
    }

    private func logStatus(_ status: SourceStatus) {
        switch status {
        case .connected: self.logger.info("source connected")
        case .disconnected(let detail):
            self.logger.warning("source disconnected", metadata: ["detail": "\(detail)"])
        }
    }

    /// Carries out the engine's actions, each in a task of its own.
    private func performAll() async -> (any Error)? {
        let loop = self.loop
        await withDiscardingTaskGroup { group in
            while true {
                let actions = await self.work.takeAll()
                if actions.isEmpty { break }
                for action in actions {
                    group.addTask(executorPreference: loop) { await self.perform(action) }
                }
            }
            group.cancelAll()
        }
        return nil
    }

    private func perform(_ action: TriggerEngine.Action) async {
        switch action {
        case .invoke(let batch): await self.invoke(batch)
        case .deadLetter(let ticket): await self.deadLetter(ticket)
        case .commit(let positions):
            let accepted = await self.commit(positions)
            self.engine.commitEnded(positions, accepted: accepted, now: self.now)
            self.flush()
        case .revoked(let key, let positions):
            // Durable first: positions that the store did not take are not committed either.
            let isKept = await self.save(positions)
            self.parts.source.finishRevocation(RevocationID(key.rawValue), positions: isKept ? positions : [])
        }
    }

    private func invoke(_ batch: Batch) async {
        let started = self.now
        let buffer = self.buffers.popLast() ?? EventBuffer()
        let format = self.format
        buffer.write(batch, as: format)
        let invocation = Invocation(
            of: batch,
            trigger: self.parts.name,
            body: buffer,
            contentType: format.contentType,
            timing: (started, self.parts.function.timeout)
        )
        let result = await self.parts.function.invoke(invocation)
        self.buffers.append(buffer)
        guard self.engine.isInFlight(batch.id) else { return }
        let verdict = ResponseContract.verdict(
            of: result,
            batch: batch,
            format: format,
            reportsItemFailures: self.parts.reportsItemFailures
        )
        let ended = self.now
        let duration = ended.instant - started.instant
        self.note(verdict, at: started.wall, duration: duration)
        let report = InvocationReport(id: invocation.id, at: started.wall, duration: duration)
        self.engine.invocationEnded(batch.id, verdict: verdict, report: report, now: ended)
        self.flush()
    }

    private func note(_ verdict: BatchVerdict, at: Timestamp, duration: Duration) {
        self.durations.observe(duration)
        self.functionFailure = nil
        if case .throttled(nil, let failure) = verdict {
            self.functionFailure = "\(failure.type): \(failure.message)"
        }
        switch verdict {
        case .succeeded: break
        case .failed(let failure), .partial(_, let failure), .poison(let failure), .throttled(_, let failure):
            self.lastFailure = Attempt(at: at, duration: duration, failure: failure)
        }
    }

    private func deadLetter(_ ticket: DeadLetterTicket) async {
        let letters = self.letters(of: ticket)
        do {
            try await self.parts.destination.deliver(letters)
            self.destinationFailure = nil
            self.engine.deadLettersWritten(ticket.id, now: self.now)
            self.logger.notice(
                "records given up",
                metadata: ["count": "\(letters.count)", "reason": "\(ticket.reason.rawValue)"]
            )
        } catch {
            self.destinationFailure = "\(self.parts.destination.name): \(error)"
            self.engine.deadLettersRefused(ticket.id, now: self.now)
            self.logger.error("dead letters refused; their partition waits", metadata: ["error": "\(error)"])
        }
        self.flush()
    }

    private func letters(of ticket: DeadLetterTicket) -> [DeadLetter] {
        let verdict = DeadLetterVerdict(
            trigger: self.parts.name,
            function: self.parts.function.name,
            reason: ticket.reason,
            at: self.loop.wallNow,
            attempts: ticket.attempts,
            attemptCount: ticket.attemptCount,
            invocation: ticket.invocation
        )
        return ticket.runs.flatMap { run in
            run.range.map { DeadLetter(block: run.admitted.block, index: $0, verdict: verdict) }
        }
    }

    /// Keeps the positions durably, then commits them upstream.
    private func commit(_ positions: [PartitionPosition]) async -> Bool {
        self.commitsUnderWay += 1
        defer {
            self.commitsUnderWay -= 1
            if self.commitsUnderWay == 0 { self.commitWaiter.take()?.resume() }
        }
        guard await self.save(positions) else { return false }
        do {
            try await self.parts.source.commit(positions)
            return true
        } catch {
            self.logger.warning("commit refused; it is tried again", metadata: ["error": "\(error)"])
            return false
        }
    }

    private func save(_ positions: [PartitionPosition]) async -> Bool {
        let checkpoints = positions.map {
            Checkpoint(trigger: self.parts.name, partition: $0.name, position: $0.position)
        }
        guard !checkpoints.isEmpty else { return true }
        do {
            try await self.parts.store.save(checkpoints)
            if self.storeFailure != nil { self.logger.info("the store takes writes again") }
            self.storeFailure = nil
            self.engine.isStoreRefusing = false
            return true
        } catch {
            // Nothing new is invoked while nothing can be kept; the commit timer finds out when that has changed.
            self.storeFailure = error.detail
            self.engine.isStoreRefusing = true
            self.logger.error(
                "the store refused a checkpoint; the trigger waits",
                metadata: ["error": "\(error)"]
            )
            return false
        }
    }

    // MARK: - The engine's needs

    var now: TriggerEngine.Moment {
        TriggerEngine.Moment(instant: self.loop.now, wall: self.loop.wallNow)
    }

    /// Hands out the engine's actions, sets its timer and the source's budget.
    ///
    /// After each call of the engine.
    func flush() {
        for action in self.engine.takeActions() { self.work.put(action) }
        self.grant()
        self.arm()
        let counters = self.engine.counters
        let settled = counters.succeeded + counters.deadLettered + counters.filtered
        if settled != self.settledBefore {
            self.settledBefore = settled
            self.lastProgress = self.loop.wallNow
        }
        if self.engine.isDrained { self.drainWaiter.take()?.resume() }
    }

    private func grant() {
        let allowance = self.engine.budget
        guard self.hasStarted, allowance != self.granted else { return }
        self.granted = allowance
        self.parts.source.grant(
            ReceiveBudget(records: allowance.records, bytes: allowance.bytes, held: allowance.held)
        )
    }

    /// Sets the timer for the engine's next deadline; an earlier one is left alone, it does no harm.
    private func arm() {
        guard !self.isStopped, let deadline = self.engine.nextDeadline() else { return }
        if let timer = self.timer {
            guard deadline < timer.at else { return }
            self.loop.cancel(timer.id)
        }
        let id = self.loop.schedule(at: deadline) { [weak self] in
            self?.assumeIsolated { $0.timerFired() }
        }
        self.timer = (id, deadline)
    }

    private func timerFired() {
        self.timer = nil
        guard !self.isStopped else { return }
        self.engine.wake(now: self.now)
        self.flush()
    }

    // MARK: - Stopping

    /// Stops in two phases: takes nothing new and lets invocations finish for up to `limit`, then gives up on
    /// them; commits what is settled, and closes the source.
    ///
    /// What was not invoked is released. Idempotent.
    package func stop(within limit: Duration) async {
        guard !self.isStopped, !self.engine.isStopping else { return }
        self.engine.stop()
        self.flush()
        await self.drain(within: limit)
        if !self.engine.isDrained {
            self.logger.warning(
                "invocations did not end in time",
                metadata: ["count": "\(self.engine.invocationsInFlight)"]
            )
            self.engine.abandon()
        }
        if self.commitsUnderWay > 0 { await withCheckedContinuation { self.commitWaiter = $0 } }
        let positions = self.engine.uncommitted()
        if !positions.isEmpty, await self.commit(positions) {
            self.engine.commitEnded(positions, accepted: true, now: self.now)
        }
        self.isStopped = true
        if let timer = self.timer.take() { self.loop.cancel(timer.id) }
        await self.parts.source.stop()
        self.work.close()
    }

    private func drain(within limit: Duration) async {
        guard !self.engine.isDrained else { return }
        let id = self.loop.schedule(at: self.loop.now + limit) { [weak self] in
            self?.assumeIsolated { $0.drainWaiter.take()?.resume() }
        }
        await withCheckedContinuation { self.drainWaiter = $0 }
        self.loop.cancel(id)
    }

    /// Stops or goes on invoking, while the source stays connected.
    package func setPaused(_ isPaused: Bool) {
        self.engine.isPaused = isPaused
        self.engine.wake(now: self.now)
        self.flush()
    }
}

extension Pipeline {
    /// What became of the records of this run.
    package var counters: Counters { self.engine.counters }
}
