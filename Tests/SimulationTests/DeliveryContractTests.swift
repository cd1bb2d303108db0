// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization
import Testing

/// Whole pipelines in a world of faults on a virtual clock.
///
/// Each seed is one run, repeatable to the last step.
@Suite(.timeLimit(.minutes(5)))
struct DeliveryContractTests {
    @Test(
        "With faults of all kinds no record is lost, order holds and the counters conserve",
        arguments: 0..<150
    )
    func contractHolds(seed: Int) {
        let run = SimulatedRun(seed: UInt64(seed))
        let report = run.execute()
        #expect(report.violations.isEmpty, "seed \(seed): \(report.violations.prefix(5))")
        #expect(report.isComplete, "seed \(seed): \(report.summary)")
    }

    @Test("A fresh seed in each run finds what the fixed ones do not")
    func freshSeed() {
        let seed = UInt64.random(in: 1_000...UInt64.max / 2)
        let report = SimulatedRun(seed: seed).execute()
        #expect(report.violations.isEmpty, "seed \(seed): \(report.violations.prefix(5))")
        #expect(report.isComplete, "seed \(seed): \(report.summary)")
    }

    @Test("Without faults nothing is invoked twice", arguments: 0..<20)
    func noDuplicates(seed: Int) {
        let report = SimulatedRun(seed: UInt64(seed), plan: FaultPlan()).execute()
        #expect(report.violations.isEmpty)
        #expect(report.duplicates == 0)
        #expect(report.isComplete)
    }

    @Test("The same seed gives the same run")
    func isDeterministic() {
        let first = SimulatedRun(seed: 7).execute()
        let second = SimulatedRun(seed: 7).execute()
        #expect(first.summary == second.summary)
    }
}

/// One simulated life: processes are started, crash and are started again until every record is settled.
private final class SimulatedRun: Sendable {
    struct Report {
        var violations: [String]
        var isComplete: Bool
        var duplicates: Int
        var summary: String
    }

    private struct State {
        var pipeline: Pipeline?
        var runningProcesses = 0
        var counters: [Counters] = []
        var hasEnded = false
    }

    private let loop = VirtualLoop()
    private let world: SimulatedWorld
    private let policy: TriggerPolicy
    private let reportsItemFailures: Bool
    private let seed: UInt64
    private let state = Mutex(State())

    init(seed: UInt64, plan: FaultPlan? = nil) {
        var random = SplitMix64(seed: seed)
        let plan = plan ?? FaultPlan.swarm(&random)
        var counts: [String: UInt64] = [:]
        for index in 0..<Int.random(in: 1...6, using: &random) {
            counts["orders-\(index)"] = UInt64.random(in: 0...300, using: &random)
        }
        var policy = TriggerPolicy()
        policy.batchSize = Int.random(in: 1...50, using: &random)
        policy.batchWindow = .milliseconds(Int.random(in: 0...500, using: &random))
        policy.concurrency = Int.random(in: 1...8, using: &random)
        policy.retry.retries = Int.random(in: 0...5, using: &random)
        policy.retry.bisect = Bool.random(using: &random)
        policy.bodyBytesMax = Int.random(in: 100...10_000, using: &random)
        policy.intakeRecords = Int.random(in: 50...500, using: &random)
        self.policy = policy
        self.reportsItemFailures = plan.partial > 0
        self.seed = seed
        self.world = SimulatedWorld(loop: self.loop, seed: seed ^ 0xABCD, plan: plan, recordCounts: counts)
    }

    func execute() -> Report {
        self.startProcess()
        _ = self.loop.run(for: .seconds(300)) { self.world.isComplete || !self.world.violations.isEmpty }
        self.world.calm()
        let isComplete = self.loop.run(for: .seconds(50_000)) {
            self.world.isComplete || !self.world.violations.isEmpty
        }
        self.stopProcess()
        _ = self.loop.run(for: .seconds(10_000)) {
            self.state.withLock { $0.hasEnded && $0.runningProcesses == 0 }
        }
        var violations = self.world.violations
        for counters in self.state.withLock({ $0.counters }) {
            if !counters.isConserved { violations.append("the counters do not conserve: \(counters)") }
            if counters.inFlight != 0 { violations.append("records in flight after the end: \(counters)") }
        }
        let summary =
            "\(self.loop.now) \(self.world.duplicates) \(self.world.crashes) \(self.state.withLock { $0.counters })"
        return Report(
            violations: violations,
            isComplete: isComplete && self.world.isComplete,
            duplicates: self.world.duplicates,
            summary: summary
        )
    }

    private func startProcess() {
        let process = self.world.startProcess()
        let pipeline = Pipeline(
            PipelineParts(
                name: "orders",
                source: SimulatedSource(world: self.world, process: process),
                function: SimulatedFunction(world: self.world, process: process),
                destination: SimulatedDestination(world: self.world, process: process),
                store: SimulatedStore(world: self.world, process: process),
                policy: self.policy,
                reportsItemFailures: self.reportsItemFailures,
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
            try? await pipeline.run()
            let counters = await pipeline.counters
            self.state.withLock { state in
                state.counters.append(counters)
                state.runningProcesses -= 1
            }
        }
        self.scheduleCrash(of: pipeline)
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
