// SPDX-License-Identifier: Apache-2.0

package import Logging
package import PenstockCore
package import PenstockFilters
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
    /// Where results go; nil for nowhere.
    package var results: (any ResultDestination)?
    /// Where checkpoints are kept.
    package var store: any CheckpointStore
    /// What the configuration says.
    package var policy: TriggerPolicy
    /// Which records the function gets; nil for all.
    package var filter: EventFilterPlan?
    /// Whether answers say what came of single records.
    package var itemReports: ItemReports
    /// Whether this process may still invoke: false from when its lease has run out.
    package var mayInvoke: @Sendable () -> Bool = { true }
    /// Makes the engine's waits differ between triggers, and a simulation repeatable.
    package var seed: UInt64

    /// The parts of a trigger.
    package init(
        name: String,
        source: any Source,
        function: any Function,
        destination: any Destination,
        results: (any ResultDestination)? = nil,
        store: any CheckpointStore,
        policy: TriggerPolicy,
        filter: EventFilterPlan? = nil,
        itemReports: ItemReports = .ignored,
        seed: UInt64 = 0
    ) {
        self.name = name
        self.source = source
        self.function = function
        self.destination = destination
        self.results = results
        self.store = store
        self.policy = policy
        self.filter = filter
        self.itemReports = itemReports
        self.seed = seed
    }
}

/// One run of one trigger: the shell around ``TriggerEngine``.
///
/// It waits, calls and awaits; every decision is the engine's. Pinned to the event loop, as are its tasks, so that a
/// record's way from the source's mailbox to the function's body crosses no thread. A pipeline runs once.
package actor Pipeline {
    /// Where it runs.
    nonisolated let loop: any EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.loop.asUnownedSerialExecutor()
    }

    let parts: PipelineParts
    let format: any EventFormat
    let logger: Logger
    let leaseSource: (any LeaseSource)?
    /// The source, when its records take each other's place.
    let overtaking: (any FiringSource)?
    /// The source, when it wants to know what is done before it is settled.
    let hearing: (any FiringSource)?
    var engine: TriggerEngine

    private var work = JobQueue()
    private var waiting = WaitingTasks()
    /// Nothing is put in; closed at the end.
    private let end = Mailbox<Never>()
    private var buffers = SpareBuffers()
    var timer: (id: TimerID, at: Instant)?
    private var granted: ReceiveAllowance?
    var drainWaiter: CheckedContinuation<Void, Never>?
    var commitWaiter: CheckedContinuation<Void, Never>?
    /// Commits that the engine asked for and that have not ended.
    private(set) var commitsUnderWay = 0
    var saveTurns = SaveTurns()
    var forgotten: [String] = []
    /// Invocations that can be cancelled.
    var cancellable: [BatchID: (batch: Batch, end: LoopPause)] = [:]
    private(set) var hasStarted = false
    /// Whether a seek is made, or was: no position of this run is kept any more.
    var isMoving = false
    var isHurried = false
    var isStopped = false

    // For the status.
    var hasPartitions = false
    var sourceStatus = SourceStatus.connected
    var storeFailure: String?
    var destinationFailure: String?
    var resultFailure: String?
    var functionFailure: String?
    var lastFailure: Attempt?
    var latestGaps: [TriggerSnapshot.Gap] = []
    var figures = TriggerFigures()
    var lastProgress: Timestamp?
    let taps: TapBoard
    /// For taps alone; made when the first one listens.
    var tapFilter: EventFilter?

    // For who asks about one record.
    var log: InvocationLog
    var latestBlocks = LatestBlocks()
    private var settledBefore: UInt64 = 0

    /// A pipeline that does nothing before ``run()``.
    package init(_ parts: PipelineParts, loop: any EventLoop, logger: Logger) {
        self.init(parts, loop: loop, logger: logger, taps: TapBoard(), log: InvocationLog())
    }

    /// The same, shown to those who listen to `taps`; `log` holds what earlier pipelines of the trigger did.
    init(
        _ parts: PipelineParts,
        loop: any EventLoop,
        logger: Logger,
        taps: TapBoard,
        log: InvocationLog
    ) {
        let leaseSource = parts.source as? any LeaseSource
        precondition((leaseSource == nil) == (parts.policy.lease == nil), "the source is of another family")
        self.parts = parts
        self.leaseSource = leaseSource
        let firing = parts.source as? any FiringSource
        self.overtaking = firing.flatMap { $0.overtakes ? $0 : nil }
        self.hearing = firing.flatMap { $0.hearsOfDone ? $0 : nil }
        self.loop = loop
        self.logger = logger
        self.taps = taps
        self.log = log
        self.format = parts.function.format(for: parts.source.format, trigger: parts.name)
        self.engine = TriggerEngine(
            policy: parts.policy,
            format: self.format,
            filter: parts.filter?.make(),
            seed: parts.seed
        )
    }

    // MARK: - Running

    /// Reads, invokes and settles until ``stop(within:)`` or a failure of the source.
    ///
    /// - Throws: the source's or the store's error; everything in flight was drained or released before.
    package func run() async throws {
        do {
            let checkpoints = try await self.parts.store.checkpoints(of: self.parts.name)
            if self.parts.policy.tumbling != nil, let source = self.parts.source as? any WindowSource {
                let windows = try await self.parts.store.windows(of: self.parts.name)
                try await source.start(checkpoints: checkpoints, windows: windows)
            } else {
                try await self.parts.source.start(checkpoints: checkpoints)
            }
            self.hasStarted = true
        } catch {
            await self.parts.source.stop()
            throw error
        }
        // A stop that came while the source connected has found nothing to close.
        if self.isStopped { return await self.parts.source.stop() }
        let (loop, source) = (self.loop, self.parts.source)
        // Ends with the stop of the source, which the group's end brings about.
        async let work: Void = source.run()
        let failure = await withTaskGroup(of: (any Error)?.self) { group in
            group.addTask(executorPreference: loop) { await self.receive() }
            group.addTask(executorPreference: loop) {
                await self.performAll()
                return nil
            }
            // Ends when the task is cancelled, which the others need not notice.
            group.addTask(executorPreference: loop) {
                _ = await self.end.takeAll()
                return nil
            }
            let failure = await group.next() ?? nil
            // Whichever ended first: end the others, too.
            await self.stop(within: .seconds(5))
            await group.waitForAll()
            return failure
        }
        await work
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
                await self.removeCheckpoints()
            } catch {
                return error
            }
        }
        return nil
    }

    private func handle(_ event: SourceEvent) {
        switch event {
        case .records(let block):
            if self.taps.isListening { self.show(block) }
            if self.parts.filter != nil { self.latestBlocks.add(block) }
            self.engine.received(block, now: self.now)
            // The source has used up some of its grant, even when the engine has as much room as before: it may have
            // given the records back at once.
            self.granted = nil
        case .assigned(let partitions):
            self.hasPartitions = true
            self.figures.rebalances += 1
            self.engine.assigned(partitions, now: self.now)
            self.logger.info("partitions assigned", metadata: ["count": "\(partitions.count)"])
        case .revoking(let revocation):
            self.figures.rebalances += 1
            self.engine.revoking(RevocationKey(revocation.id.rawValue), revocation.partitions, now: self.now)
        case .lost(let partitions):
            self.figures.rebalances += 1
            self.engine.lost(partitions, now: self.now)
            self.logger.warning("partitions lost", metadata: ["count": "\(partitions.count)"])
        case .advanced(let positions):
            self.engine.advanced(positions, now: self.now)
        case .readOut(let positions):
            self.engine.readOut(positions, now: self.now)
        case .ended(let partitions):
            self.engine.ended(partitions, now: self.now)
            self.logger.info("partitions ended", metadata: ["count": "\(partitions.count)"])
        case .forgotten(let names): self.forgotten += names
        case .gap(let gap):
            self.figures.gaps += 1
            let told = TriggerSnapshot.Gap(partition: gap.partition, detail: gap.detail, at: self.now.wall)
            self.latestGaps.insert(told, at: 0)
            if self.latestGaps.count > TriggerSnapshot.gapsMax { self.latestGaps.removeLast() }
            self.logger.error(
                "records are missing upstream",
                metadata: ["partition": "\(gap.partition)", "detail": "\(gap.detail)"]
            )
        case .overtaken: self.cancelOvertaken()
        case .status(let status):
            if status != self.sourceStatus { self.logStatus(status) }
            self.sourceStatus = status
            self.engine.isSourceConnected = status.isConnected
        }
    }

    private func logStatus(_ status: SourceStatus) {
        switch status {
        case .connected: self.logger.info("source connected")
        case .warned(let text): self.logger.warning("source needs attention", metadata: ["detail": "\(text)"])
        case .disconnected(let detail):
            self.logger.warning("source disconnected", metadata: ["detail": "\(detail)"])
        }
    }

    /// Carries out the engine's actions side by side.
    ///
    /// A task that has done one waits for the next; a new one is made only when none waits. A cancelled task carries out what
    /// is asked of it, too, until ``endTasks()``: a stop waits for that.
    private func performAll() async {
        let loop = self.loop
        await withDiscardingTaskGroup { group in
            while true {
                let jobs = await withCheckedContinuation { self.work.take($0) }
                if jobs.isEmpty { break }
                for job in jobs {
                    group.addTask(executorPreference: loop) { await self.perform(from: job) }
                }
            }
            group.cancelAll()
        }
    }

    private func perform(from first: PipelineJob) async {
        var next: PipelineJob? = first
        while let job = next {
            await self.perform(job.action, job.turn)
            guard !self.isStopped else { return }
            // Each condition is looked at again where the continuation is: the call may wait for the executor before.
            next = await unsafe withUnsafeContinuation { task in
                unsafe self.isStopped ? task.resume(returning: nil) : self.waiting.add(task)
            }
        }
    }

    /// Hands an action to a task that waits for one, or to a new one.
    private func dispatch(_ action: TriggerEngine.Action) {
        let job: PipelineJob
        switch action {
        case .invoke, .deadLetter, .report, .settle, .extend: job = PipelineJob(action: action)
        case .commit:
            // From now on, for a stop may come before a task begins with it.
            self.commitsUnderWay += 1
            job = PipelineJob(action: action, turn: self.saveTurns.take())
        case .revoked: job = PipelineJob(action: action, turn: self.saveTurns.take())
        }
        if !self.waiting.resumeOne(job) { self.work.put(job) }
    }

    /// Ends the tasks once they are done.
    func endTasks() {
        self.work.close()
        self.waiting.endAll()
        self.end.close()
    }

    private func perform(_ action: TriggerEngine.Action, _ turn: SaveTurns.Turn?) async {
        switch action {
        case .invoke(let batch): await self.invoke(batch)
        case .deadLetter(let ticket): await self.deadLetter(ticket)
        case .report(let ticket): await self.report(ticket)
        case .commit(let positions):
            let accepted = await self.commit(positions, turn ?? self.saveTurns.take())
            self.engine.commitEnded(positions, accepted: accepted, now: self.now)
            self.flush()
            self.commitsUnderWay -= 1
            if self.commitsUnderWay == 0 { self.commitWaiter.take()?.resume() }
        case .settle(let id, let settlements): await self.settle(settlements, as: id)
        case .extend(let ticket): await self.extend(ticket)
        case .revoked(let key, let positions):
            // Durable first: positions that the store did not take are not committed either.
            let isKept = await self.save(positions, turn ?? self.saveTurns.take())
            self.parts.source.finishRevocation(RevocationID(key.rawValue), positions: isKept ? positions : [])
        }
    }

    private func invoke(_ batch: Batch) async {
        let started = self.now
        self.figures.begin(batch, at: started.wall)
        let buffer = self.buffers.take()
        // Its event is part of the result.
        defer { self.buffers.giveBack(buffer) }
        let format = self.format
        buffer.write(batch, as: format)
        let invocation = Invocation(
            of: batch,
            trigger: self.parts.name,
            body: buffer,
            contentType: format.contentType,
            timing: (started, self.parts.function.timeout)
        )
        self.log.begin(batch, id: invocation.id, at: started.wall)
        let answer = await self.call(invocation, of: batch)
        guard self.engine.isInFlight(batch.id) else { return }
        let (judged, state) = ResponseContract.judge(
            answer.result,
            batch: batch,
            format: format,
            itemReports: self.parts.itemReports,
            stateMax: self.parts.policy.windowStateMax
        )
        var verdict = judged
        let ended = self.now
        if self.isOvertaken(batch) {
            verdict = await self.cancelled(verdict, of: batch)
            guard self.engine.isInFlight(batch.id) else { return }
        }
        let duration = ended.instant - started.instant
        self.note(verdict, at: started.wall, duration: duration)
        self.log.end(batch.id, verdict: verdict, duration: duration)
        var report = InvocationReport(id: invocation.id, at: started.wall, duration: duration)
        report.state = state
        report.executedVersion = answer.executedVersion
        if self.parts.results != nil {
            report.record = self.record(of: batch, report, verdict, (buffer, answer.result))
        }
        self.engine.invocationEnded(batch.id, verdict: verdict, report: report, now: ended)
        self.tellDone(batch, verdict)
        self.flush()
    }

    private func note(_ verdict: BatchVerdict, at: Timestamp, duration: Duration) {
        self.figures.durations.observe(duration)
        self.functionFailure = nil
        if case .throttled(nil, let failure) = verdict {
            self.functionFailure = "\(failure.type): \(failure.message)"
        }
        switch verdict {
        case .succeeded: break
        case .cancelled: break
        case .failed(let failure), .partial(_, let failure), .poison(let failure), .throttled(_, let failure):
            self.lastFailure = Attempt(at: at, duration: duration, failure: failure)
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
        while let action = self.engine.nextAction() { self.dispatch(action) }
        self.grant()
        self.arm()
        let counters = self.engine.counters
        let settled = counters.succeeded + counters.deadLettered + counters.filtered + counters.cancelled
        if settled != self.settledBefore {
            self.settledBefore = settled
            self.lastProgress = self.loop.wallNow
        }
        if self.isQuiet { self.drainWaiter.take()?.resume() }
    }

    /// Whether nothing is in flight any more, and all that was decided of leased records is carried out.
    var isQuiet: Bool { self.engine.isDrained && self.engine.isSettled }

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
        if self.parts.policy.tumbling != nil {
            self.engine.partitionsBehind = Set(self.parts.source.lag().filter(\.isBehind).map(\.partition))
        }
        self.engine.wake(now: self.now)
        self.flush()
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
