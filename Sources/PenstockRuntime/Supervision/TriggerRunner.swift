// SPDX-License-Identifier: Apache-2.0

package import Logging
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

    private let sourceKind: String
    private let function: String
    private let logger: Logger
    private let makeParts: @Sendable () throws -> PipelineParts

    private var pipeline: Pipeline?
    private var isPaused: Bool
    private var isStopping = false
    private var hasEnded = false
    private var restarts = 0
    private var lastError: String?
    private var random: SplitMix64

    // Of earlier pipelines.
    private var pastCounters = Counters()
    private var pastDurations = Histogram()
    private var pastProgress: Timestamp?

    private static let backoff = Backoff(initial: .seconds(1), factor: 2, max: .seconds(60), jitter: .full)

    /// A runner; `makeParts` is called for each start, because a source runs once.
    package init(
        name: String,
        sourceKind: String,
        function: String,
        isPaused: Bool,
        loop: any EventLoop,
        logger: Logger,
        makeParts: @escaping @Sendable () throws -> PipelineParts
    ) {
        self.name = name
        self.sourceKind = sourceKind
        self.function = function
        self.isPaused = isPaused
        self.loop = loop
        self.logger = logger
        self.makeParts = makeParts
        self.random = SplitMix64(seed: UInt64(bitPattern: Int64(loop.now.nanoseconds)))
    }

    /// Runs until ``stop(within:)`` or until the task is cancelled.
    package func run() async {
        while !self.isStopping, !Task.isCancelled {
            let started = self.loop.now
            do {
                let pipeline = Pipeline(try self.makeParts(), loop: self.loop, logger: self.logger)
                self.pipeline = pipeline
                await pipeline.setPaused(self.isPaused)
                try await pipeline.run()
                if !self.isStopping { self.lastError = "the source ended by itself" }
            } catch {
                self.lastError = "\(error)"
                self.logger.error("the trigger failed; it is started again", metadata: ["error": "\(error)"])
            }
            await self.retirePipeline()
            guard !self.isStopping, !Task.isCancelled else { break }
            // A run of a minute or more was a good one: begin with short waits again.
            if self.loop.now - started > .seconds(60) { self.restarts = 0 }
            self.restarts += 1
            await self.loop.pause(for: Self.backoff.delay(attempt: self.restarts, using: &self.random))
        }
        self.hasEnded = true
    }

    private func retirePipeline() async {
        guard let pipeline = self.pipeline.take() else { return }
        let last = await pipeline.status
        self.pastCounters.add(last.counters)
        self.pastDurations.add(last.durations)
        self.pastProgress = last.lastProgress ?? self.pastProgress
    }

    /// Drains and ends; see ``Pipeline/stop(within:)``.
    package func stop(within limit: Duration) async {
        self.isStopping = true
        await self.pipeline?.stop(within: limit)
    }

    /// Stops or goes on invoking.
    package func setPaused(_ isPaused: Bool) async {
        self.isPaused = isPaused
        await self.pipeline?.setPaused(isPaused)
    }

    /// What the trigger is doing now.
    package func snapshot() async -> TriggerSnapshot {
        let status = await self.pipeline?.status
        var counters = self.pastCounters
        var durations = self.pastDurations
        if let status {
            counters.add(status.counters)
            durations.add(status.durations)
        }
        let (state, detail) = self.state(status)
        return TriggerSnapshot(
            name: self.name,
            function: self.function,
            sourceKind: self.sourceKind,
            state: state,
            detail: detail,
            counters: counters,
            invocationsInFlight: status?.invocationsInFlight ?? 0,
            partitions: status?.partitions ?? [],
            blocked: status?.blocked ?? [],
            lag: status?.lag ?? [],
            lastFailure: status?.lastFailure,
            durations: durations,
            lastProgress: status?.lastProgress ?? self.pastProgress,
            restarts: self.restarts
        )
    }

    private func state(_ status: PipelineStatus?) -> (TriggerSnapshot.State, String?) {
        if self.hasEnded { return (.stopped, self.isStopping ? nil : self.lastError) }
        if self.isStopping { return (.stopping, nil) }
        guard let status else { return (.failed, self.lastError) }
        if let problem = status.problem { return (.blocked, problem) }
        if self.isPaused { return (.paused, nil) }
        return (status.hasPartitions ? .running : .starting, status.remark)
    }
}

/// What a pipeline tells about itself.
struct PipelineStatus: Sendable {
    var counters: Counters
    var durations: Histogram
    var invocationsInFlight: Int
    var hasPartitions: Bool
    var partitions: [String]
    var blocked: [TriggerSnapshot.BlockedPartition]
    var lag: [PartitionLag]
    var lastFailure: Attempt?
    var lastProgress: Timestamp?

    /// What outside must heal before the trigger can go on; nil when nothing.
    var problem: String?

    /// What is worth knowing although the trigger goes on.
    var remark: String?
}

extension Pipeline {
    var status: PipelineStatus {
        PipelineStatus(
            counters: self.engine.counters,
            durations: self.durations,
            invocationsInFlight: self.engine.invocationsInFlight,
            hasPartitions: self.hasPartitions,
            partitions: self.engine.partitions,
            blocked: self.engine.blockedPartitions.map {
                TriggerSnapshot.BlockedPartition(
                    name: $0.partition,
                    attempts: $0.attempts,
                    isRefused: $0.isRefused
                )
            },
            lag: self.parts.source.lag(),
            lastFailure: self.lastFailure,
            lastProgress: self.lastProgress,
            problem: self.problem,
            remark: self.lastGap.map { "records are missing upstream: \($0.partition): \($0.detail)" }
        )
    }

    private var problem: String? {
        if let failure = self.storeFailure { return failure }
        if let failure = self.destinationFailure { return failure }
        if case .disconnected(let detail) = self.sourceStatus { return detail }
        return self.functionFailure
    }
}
