// SPDX-License-Identifier: Apache-2.0

package import Logging
import PenstockConfiguration
import PenstockCore
package import Reactor

/// The life of one trigger: runs its pipeline, and starts another when it fails, with backoff. A trigger's failure
/// never stops its neighbours.
package actor TriggerRunner {
    private nonisolated let loop: any EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.loop.asUnownedSerialExecutor()
    }

    /// The trigger's name.
    package nonisolated let name: String

    /// Those who look at its records.
    nonisolated let taps = TapBoard()

    private let sourceKind: String
    private let function: String
    private let logger: Logger
    private let makeParts: @Sendable () throws -> PipelineParts
    private let lease: TriggerLease?

    private var pipeline: Pipeline?
    private var isPaused: Bool
    private var isStopping = false
    private var hasEnded = false
    private var restarts = 0
    private var lastError: String?
    private var random: SplitMix64
    private var past = TriggerHistory()
    /// What pipelines that have ended did; empty while one runs, which has it.
    private var log = InvocationLog()
    private var backoff: LoopPause?
    private var isWaitingForLease = false
    /// Between the end of a pipeline that was moved to other positions and the start of the next one.
    private var isMoving = false
    /// While a pipeline drains and is moved.
    private var isSeeking = false
    private var endWaiters: [CheckedContinuation<Void, Never>] = []

    private static let waits = Backoff(initial: .seconds(1), factor: 2, max: .seconds(60), jitter: .full)

    /// A runner; `makeParts` is called for each start, because a source runs once.
    ///
    /// With a lease, its pipelines run only while this process holds it.
    package init(
        name: String,
        sourceKind: String,
        function: String,
        isPaused: Bool,
        loop: any EventLoop,
        logger: Logger,
        lease: TriggerLease? = nil,
        makeParts: @escaping @Sendable () throws -> PipelineParts
    ) {
        self.name = name
        self.sourceKind = sourceKind
        self.function = function
        self.isPaused = isPaused
        self.loop = loop
        self.logger = logger
        self.lease = lease
        self.makeParts = makeParts
        self.random = SplitMix64(seed: UInt64(bitPattern: Int64(loop.now.nanoseconds)))
    }

    /// Runs until ``stop(within:)`` or until the task is cancelled.
    package func run() async {
        while !self.isStopping, !Task.isCancelled {
            if let lease = self.lease, await !self.obtain(lease) { break }
            let started = self.loop.now
            var leaseEnd: TriggerLease.End?
            do {
                let pipeline = Pipeline(
                    try self.makeParts(),
                    loop: self.loop,
                    logger: self.logger,
                    taps: self.taps,
                    log: self.log
                )
                self.log = InvocationLog()
                self.pipeline = pipeline
                self.isMoving = false
                await pipeline.setPaused(self.isPaused)
                if let lease = self.lease {
                    leaseEnd = try await self.run(pipeline, under: lease)
                } else {
                    try await pipeline.run()
                }
                self.isMoving = await pipeline.isMoving
                if !self.isStopping, !self.isMoving { self.lastError = "the source ended by itself" }
            } catch {
                self.lastError = "\(error)"
                self.logger.error("the trigger failed; it is started again", metadata: ["error": "\(error)"])
            }
            await self.retirePipeline()
            guard !self.isStopping, !Task.isCancelled else { break }
            if leaseEnd != nil || self.isMoving {
                self.lastError = nil
                self.restarts = 0
                continue
            }
            // A run of a minute or more was a good one: begin with short waits again.
            if self.loop.now - started > .seconds(60) { self.restarts = 0 }
            self.restarts += 1
            // Another member may fare better; this one wants the lease again after the wait.
            self.lease?.group.want([])
            await self.waitForRestart()
        }
        self.lease?.group.close()
        self.hasEnded = true
        self.taps.close()
        for waiter in self.endWaiters { waiter.resume() }
        self.endWaiters = []
    }

    /// False at ``stop(within:)``.
    private func obtain(_ lease: TriggerLease) async -> Bool {
        self.isWaitingForLease = true
        defer { self.isWaitingForLease = false }
        guard !self.isStopping else { return false }
        return await lease.obtain() && !self.isStopping
    }

    /// Runs a pipeline for as long as the lease is held; returns why it was not any more, nil when the pipeline ended by
    /// itself or was stopped.
    ///
    /// - Throws: what the pipeline throws.
    private func run(_ pipeline: Pipeline, under lease: TriggerLease) async throws -> TriggerLease.End? {
        let (loop, logger) = (self.loop, self.logger)
        return try await withThrowingTaskGroup(of: TriggerLease.End?.self) { group in
            group.addTask(executorPreference: loop) {
                try await pipeline.run()
                return nil
            }
            group.addTask(executorPreference: loop) {
                guard let end = await lease.end() else { return nil }
                switch end {
                case .lost:
                    logger.warning(
                        "the lease was lost; another member goes on",
                        metadata: ["lease": "\(lease.name)"]
                    )
                    await pipeline.stop(within: .zero)
                case .asked:
                    logger.info(
                        "another member wants the lease; draining",
                        metadata: ["lease": "\(lease.name)"]
                    )
                    await withDiscardingTaskGroup { group in
                        group.addTask(executorPreference: loop) {
                            guard await lease.isLost() else { return }
                            logger.warning(
                                "the lease was lost while draining; giving up",
                                metadata: ["lease": "\(lease.name)"]
                            )
                            await pipeline.hurry()
                        }
                        await pipeline.stop(within: lease.drainTimeout)
                        group.cancelAll()
                    }
                }
                return end
            }
            defer { group.cancelAll() }
            // The pipeline's end is what counts; the watch ends before it only by ending it.
            guard let end = try await group.next() ?? nil else { return nil }
            defer { lease.group.giveBack([lease.name]) }
            try await group.waitForAll()
            return end
        }
    }

    /// Ends early at ``stop(within:)``.
    private func waitForRestart() async {
        let delay = Self.waits.delay(attempt: self.restarts, using: &self.random)
        let pause = LoopPause()
        self.backoff = pause
        await pause.wait(until: self.loop.now + delay, on: self.loop)
        self.backoff = nil
    }

    private func retirePipeline() async {
        guard let pipeline = self.pipeline.take() else { return }
        self.past.add(await pipeline.status)
        self.log = await pipeline.log
        self.log.abandon()
    }

    /// Drains and ends, see ``Pipeline/stop(within:)``; returns when ``run()`` has.
    package func stop(within limit: Duration) async {
        self.isStopping = true
        self.backoff?.end()
        if self.isWaitingForLease { self.lease?.group.close() }
        await self.pipeline?.stop(within: limit)
        guard !self.hasEnded else { return }
        await withCheckedContinuation { waiter in
            // It may have ended since: the call may wait for the executor before it runs this.
            if self.hasEnded { waiter.resume() } else { self.endWaiters.append(waiter) }
        }
    }

    /// Goes on counting where an earlier runner of the same trigger has ended.
    func inherit(from runner: TriggerRunner) async {
        self.past = await runner.past
        self.log = await runner.log
    }

    /// Stops or goes on invoking.
    package func setPaused(_ isPaused: Bool) async {
        self.isPaused = isPaused
        await self.pipeline?.setPaused(isPaused)
    }

    /// Reads partitions from other positions on: drains, moves, and starts the trigger again; returns when the new positions
    /// are durable, here and upstream.
    ///
    /// It stays paused when it is. As a trial, it tells what would be done.
    package func seek(
        _ order: SeekOrder,
        isTrial: Bool,
        within limit: Duration
    ) async throws(SeekError) -> SeekReport {
        guard let pipeline = self.pipeline, !self.isStopping else { throw self.absence }
        // Refused before anything is drained.
        let moves = try await pipeline.moves(for: order)
        guard !isTrial else { return SeekReport(moves: moves) }
        guard !self.isStopping, !self.isSeeking else { throw .busy(self.name) }
        self.isSeeking = true
        defer { self.isSeeking = false }
        return try await pipeline.seek(order, within: limit)
    }

    /// Why nothing can be asked of the source.
    private var absence: SeekError {
        let (state, detail) = self.state(nil)
        guard state == .standby else {
            let reason = detail.map { " (\($0))" } ?? ""
            return SeekError(
                .notRunning,
                "trigger \"\(self.name)\" is \(state.rawValue)\(reason); it can seek when it runs"
            )
        }
        return SeekError(
            .standby,
            "trigger \"\(self.name)\" \(detail ?? "is another member's"); ask that one (`penstock members` tells where its "
                + "admin API is)"
        )
    }

    /// What is known here of one record; without a partition, of the one in the only partition owned.
    func trace(_ partition: String?, _ position: Position) async -> LiveTrace {
        if let pipeline = self.pipeline { return await pipeline.trace(partition, position) }
        var trace = LiveTrace()
        trace.add(self.log, partition, position)
        return trace
    }

    /// The source that runs when it is one that takes orders; nil for others, and between two starts.
    var firing: (any FiringSource)? { self.pipeline?.parts.source as? any FiringSource }

    /// What the trigger is doing now.
    package func snapshot() async -> TriggerSnapshot {
        let status = await self.pipeline?.status
        var history = self.past
        if let status { history.add(status) }
        let (state, detail) = self.state(status)
        return TriggerSnapshot(
            name: self.name,
            function: self.function,
            sourceKind: self.sourceKind,
            state: state,
            detail: detail,
            counters: history.counters,
            invocationsInFlight: status?.invocationsInFlight ?? 0,
            partitions: status?.partitions ?? [],
            blocked: status?.blocked ?? [],
            lag: status?.lag ?? [],
            gaps: history.gaps,
            lastFailure: status?.lastFailure,
            ages: status?.ages ?? [:],
            blockedLanes: status?.blockedLanes ?? 0,
            figures: history.figures,
            lastProgress: history.lastProgress,
            restarts: self.restarts
        )
    }

    private func state(_ status: PipelineStatus?) -> (TriggerSnapshot.State, String?) {
        if self.hasEnded { return (.stopped, self.isStopping ? nil : self.lastError) }
        if self.isStopping { return (.stopping, nil) }
        if self.isWaitingForLease {
            let owner = self.lease.flatMap { $0.group.owner(of: $0.name) }
            return (.standby, owner.map { "runs on \($0)" } ?? "waits for its lease")
        }
        guard let status else {
            return self.isMoving ? (.starting, "goes on from another position") : (.failed, self.lastError)
        }
        if self.isSeeking { return (.stopping, "drains, to go on from another position") }
        if let problem = status.problem { return (.blocked, problem) }
        if self.isPaused { return (.paused, nil) }
        return (status.hasPartitions ? .running : .starting, status.remark)
    }
}

extension TriggerSnapshot.BlockedPartition {
    /// What an operator reads about it.
    package var remark: String {
        let reason =
            self.isRefused
            ? "its dead letters or results are refused"
            : "\(self.attempts) attempts at its first record failed"
        return "\(self.name) has not advanced since \(self.since.configurationText): \(reason)"
    }
}

/// What earlier pipelines of a trigger have done.
private struct TriggerHistory: Sendable {
    var counters = Counters()
    var figures = TriggerFigures()
    var gaps: [TriggerSnapshot.Gap] = []
    var lastProgress: Timestamp?

    mutating func add(_ status: PipelineStatus) {
        self.counters.add(status.counters)
        self.figures.add(status.figures)
        self.gaps = Array((status.gaps + self.gaps).prefix(TriggerSnapshot.gapsMax))
        self.lastProgress = status.lastProgress ?? self.lastProgress
    }
}
