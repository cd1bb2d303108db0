// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockFilters
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization

/// One simulated life: processes are started, crash and are started again until every record is settled.
final class SimulatedRun: Sendable {
    /// How the source's records are settled, and in what order it delivers them.
    enum Family: CaseIterable {
        /// By a watermark, as Kafka's.
        case cursor
        /// One by one, in no order, as those of a standard queue.
        case queue
        /// One by one, each key in order, as those of a FIFO queue or an outbox table.
        case groups
        /// By a watermark, after they were kept in a journal, as those of schedules.
        case journal

        var leases: Bool { self == .queue || self == .groups }
    }

    struct Report {
        var violations: [String]
        var isComplete: Bool
        var duplicates: Int
        /// Deliveries of leased records.
        var receives: Int
        var summary: String
    }

    private struct State {
        var pipeline: Pipeline?
        var runningProcesses = 0
        var counters: [Counters] = []
        var hasEnded = false
    }

    private let loop = VirtualLoop()
    let world: SimulatedWorld
    private let family: Family
    private let policy: TriggerPolicy
    private let itemReports: ItemReports
    private let keepsResults: Bool
    private let seed: UInt64
    private let state = Mutex(State())

    init(
        seed: UInt64,
        plan: FaultPlan? = nil,
        family: Family? = nil,
        order: SimulatedWorld.Order? = nil,
        recordCounts: [String: UInt64]? = nil,
        hasEnds: Bool? = nil,
        _ change: (inout TriggerPolicy) -> Void = { _ in }
    ) {
        var random = SplitMix64(seed: seed)
        let plan = plan ?? FaultPlan.swarm(&random)
        var counts: [String: UInt64] = [:]
        for index in 0..<Int.random(in: 1...6, using: &random) {
            // Mostly small worlds: they show as much, and many more of them can be run.
            let largest: UInt64 = Int.random(in: 0..<20, using: &random) == 0 ? 200 : 20
            counts["orders-\(index)"] = UInt64.random(in: 0...largest, using: &random)
        }
        var policy = TriggerPolicy()
        policy.batchSize = Int.random(in: 1...50, using: &random)
        policy.batchWindow = .milliseconds(Int.random(in: 0...500, using: &random))
        policy.concurrency = Int.random(in: 1...8, using: &random)
        policy.retry.retries = Int.random(in: 0...5, using: &random)
        policy.retry.bisect = Bool.random(using: &random)
        policy.retry.maxAge = [nil, nil, .seconds(5), .seconds(60)].randomElement(using: &random) ?? nil
        policy.windowStart = Bool.random(using: &random) ? .firstRecord : .lastInvocation
        policy.bodyBytesMax = Int.random(in: 100...10_000, using: &random)
        policy.intakeRecords = Int.random(in: 50...500, using: &random)
        // Drawn apart, so that the other numbers stay what they are.
        var familyRandom = SplitMix64(seed: seed ^ 0x6A6F_7572)
        let drawn = [Family.cursor, .queue, .groups].randomElement(using: &random) ?? .cursor
        let isJournal = drawn == .cursor && Int.random(in: 0..<3, using: &familyRandom) == 0
        let family = family ?? (isJournal ? .journal : drawn)
        if family == .journal {
            // Positions of a journal begin with 1.
            counts = [SimulatedJournal.partition: max(2, counts[SimulatedJournal.partition] ?? 0)]
        }
        var order = order ?? SimulatedWorld.Order.allCases.randomElement(using: &random) ?? .partition
        if family.leases {
            order = family == .groups ? .key : .none
            let longest: Duration? = Bool.random(using: &random) ? .seconds(120) : nil
            policy.lease = LeasePolicy(length: .seconds(30), longest: longest)
        }
        switch order {
        case .partition: policy.ordering = .partition
        case .key where family == .groups: policy.ordering = .key(RecordKey())
        case .key where family == .journal: policy.ordering = .key(Self.pathKey)
        case .key: policy.ordering = .key(Bool.random(using: &random) ? RecordKey() : Self.pathKey)
        case .none: policy.ordering = .none
        }
        // Drawn apart, so that the other numbers stay what they are.
        var windowRandom = SplitMix64(seed: seed ^ 0x7769_6E64)
        if family == .cursor, case .partition = policy.ordering, Bool.random(using: &windowRandom) {
            policy.tumbling = TumblingPolicy(
                length: .milliseconds(Int.random(in: 200...20_000, using: &windowRandom)),
                grace: .milliseconds(Int.random(in: 0...2000, using: &windowRandom)),
                stateBytesMax: Int.random(in: 20...2000, using: &windowRandom)
            )
            policy.bodyBytesMax += 10_000
        }
        change(&policy)
        self.family = family
        self.policy = policy
        self.keepsResults = Bool.random(using: &random)
        self.itemReports = plan.partial + plan.results > 0 ? .accepted : .ignored
        self.seed = seed
        self.world = SimulatedWorld(
            loop: self.loop,
            seed: seed ^ 0xABCD,
            plan: plan,
            recordCounts: recordCounts ?? counts,
            order: order,
            keepsResults: self.keepsResults,
            leases: family.leases
        )
        if policy.tumbling != nil { self.world.countWindows() }
        // Drawn apart, too.
        var endRandom = SplitMix64(seed: seed ^ 0x656E_6473)
        if family == .cursor, hasEnds ?? (Int.random(in: 0..<3, using: &endRandom) == 0) {
            self.world.endPartitions()
        }
    }

    /// The same keys as the records' own, in their bodies.
    private static var pathKey: any OrderingKey {
        try! RecordPath("value.customer.id").key(
            in: RecordFields([RecordFields.Field("value", .body(.ignored))])
        )
    }

    /// Runs until `condition` holds, without looking at anything else, and stops; returns whether it did.
    func execute(for limit: Duration, until condition: () -> Bool) -> Bool {
        self.startProcess()
        let holds = self.loop.run(for: limit, until: condition)
        self.stopProcess()
        _ = self.loop.run(for: .seconds(10_000)) {
            self.state.withLock { $0.hasEnded && $0.runningProcesses == 0 }
        }
        return holds
    }

    /// What the processes that have ended counted.
    var counters: [Counters] { self.state.withLock { $0.counters } }

    func execute() -> Report {
        self.startProcess()
        _ = self.loop.run(for: .seconds(100)) { self.world.isComplete || !self.world.violations.isEmpty }
        self.world.calm()
        let isComplete = self.loop.run(for: .seconds(50_000)) {
            self.world.isComplete || !self.world.violations.isEmpty
        }
        self.stopProcess()
        _ = self.loop.run(for: .seconds(10_000)) {
            self.state.withLock { $0.hasEnded && $0.runningProcesses == 0 }
        }
        var violations = self.world.violations
        for counters in self.counters {
            if !counters.isConserved { violations.append("the counters do not conserve: \(counters)") }
            if counters.inFlight != 0 { violations.append("records in flight after the end: \(counters)") }
        }
        let summary =
            "\(self.family) \(self.loop.now) \(self.world.duplicates) \(self.world.crashes) \(self.counters)"
        return Report(
            violations: violations,
            isComplete: isComplete && self.world.isComplete,
            duplicates: self.world.duplicates,
            receives: self.world.receives,
            summary: summary
        )
    }

    private func startProcess() {
        let process = self.world.startProcess()
        let pipeline = Pipeline(
            PipelineParts(
                name: "orders",
                source: self.makeSource(process),
                function: SimulatedFunction(world: self.world, process: process),
                destination: SimulatedDestination(world: self.world, process: process),
                results: self.keepsResults ? SimulatedResults(world: self.world, process: process) : nil,
                store: SimulatedStore(world: self.world, process: process),
                policy: self.policy,
                itemReports: self.itemReports,
                seed: self.seed &+ UInt64(process)
            ),
            loop: self.loop,
            logger: Logger(label: "simulation", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        self.state.withLock { state in
            state.pipeline = pipeline
            state.runningProcesses += 1
        }
        Task(executorPreference: self.loop) {
            let hasFailed: Bool
            do {
                try await pipeline.run()
                hasFailed = false
            } catch {
                hasFailed = true
            }
            let counters = await pipeline.counters
            self.state.withLock { state in
                state.counters.append(counters)
                state.runningProcesses -= 1
            }
            if hasFailed { self.startAgain(after: pipeline) }
        }
        self.scheduleCrash(of: pipeline)
    }

    /// Starts a pipeline after one that failed by itself, as a trigger's runner does.
    private func startAgain(after pipeline: Pipeline) {
        _ = self.loop.schedule(at: self.loop.now + .seconds(1)) { [self] in
            guard self.state.withLock({ $0.pipeline === pipeline && !$0.hasEnded }) else { return }
            self.startProcess()
        }
    }

    private func makeSource(_ process: Int) -> any Source {
        switch self.family {
        case .cursor: SimulatedSource(world: self.world, process: process)
        case .queue, .groups: SimulatedLeaseSource(world: self.world, process: process)
        case .journal:
            JournalSource(
                journal: "orders",
                partition: Partition(id: PartitionID(1), name: SimulatedJournal.partition),
                format: LineFormat(),
                store: SimulatedJournal(world: self.world, process: process),
                feed: SimulatedFeed(world: self.world),
                loop: self.loop
            )
        }
    }

    /// Every now and then, the process dies: what it does from then on has no effect, and another one starts.
    private func scheduleCrash(of pipeline: Pipeline) {
        self.loop.submit { [self] in
            _ = self.loop.schedule(at: self.loop.now + .milliseconds(500)) {
                guard self.state.withLock({ $0.pipeline === pipeline && !$0.hasEnded }) else { return }
                guard self.world.happens(\.crash) else { return self.scheduleCrash(of: pipeline) }
                self.world.crashed()
                Task(executorPreference: self.loop) { await pipeline.stop(within: .milliseconds(1)) }
                self.startProcess()
            }
        }
    }

    private func stopProcess() {
        let pipeline = self.state.withLock { state in
            state.hasEnded = true
            return state.pipeline
        }
        guard let pipeline else { return }
        Task(executorPreference: self.loop) { await pipeline.stop(within: .seconds(100)) }
    }
}
