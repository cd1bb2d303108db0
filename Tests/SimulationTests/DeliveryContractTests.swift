// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockCore
import PenstockTesting
import Synchronization
import Testing

/// Whole pipelines in a world of faults on a virtual clock.
///
/// Each seed is one run, repeatable to the last step.
@Suite(.timeLimit(.minutes(15)))
struct DeliveryContractTests {
    @Test("In ten thousand worlds of faults no record is lost, order holds and the counters conserve")
    func contractHolds() async {
        let seeds = SeedQueue(count: 10_000)
        await withTaskGroup { group in
            for _ in 0..<ProcessInfo.processInfo.activeProcessorCount {
                group.addTask { await Self.run(seeds) }
            }
        }
        let findings = seeds.findings
        #expect(findings.isEmpty, "\(findings.prefix(20).joined(separator: "\n"))")
    }

    /// Runs seeds until none is left, on a thread of its own, because a run blocks its thread; behind all other tests,
    /// because those wait for programs that have to keep their times.
    private static func run(_ seeds: SeedQueue) async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                // For this thread alone, on Linux; one that keeps its priority runs the same seeds.
                _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
                while let seed = seeds.take() {
                    let report = SimulatedRun(seed: seed).execute()
                    if let violation = report.violations.first {
                        seeds.note("seed \(seed): \(violation)")
                    } else if !report.isComplete {
                        seeds.note("seed \(seed) came to no end: \(report.summary)")
                    }
                }
                continuation.resume()
            }
        }
    }

    @Test("A fresh seed in each run finds what the fixed ones do not")
    func freshSeed() {
        let seed = UInt64.random(in: 1_000...UInt64.max / 2)
        let report = SimulatedRun(seed: seed).execute()
        #expect(report.violations.isEmpty, "seed \(seed): \(report.violations.prefix(5))")
        #expect(report.isComplete, "seed \(seed): \(report.summary)")
    }

    /// Seeds that broke the contract once; each bug has a test of its own, too, because they are other worlds when the
    /// simulation draws other numbers.
    @Test("Worlds that once broke the contract do not any more", arguments: [1193] as [UInt64])
    func regressions(seed: UInt64) {
        let report = SimulatedRun(seed: seed).execute()
        #expect(report.violations.isEmpty)
        #expect(report.isComplete, "\(report.summary)")
    }

    @Test("Without faults nothing is invoked twice", arguments: 0..<20, SimulatedRun.Family.allCases)
    func noDuplicates(seed: Int, family: SimulatedRun.Family) {
        let report = SimulatedRun(seed: UInt64(seed), plan: FaultPlan(), family: family).execute()
        #expect(report.violations.isEmpty)
        #expect(report.duplicates == 0)
        #expect(report.isComplete)
    }

    @Test(
        "A record that fails for ever holds up its partition, or its key, and nothing else",
        arguments: SimulatedWorld.Order.allCases
    )
    func neighboursGoOn(order: SimulatedWorld.Order) {
        let counts: [String: UInt64] = ["orders-0": 3000, "orders-1": 3000, "orders-2": 3000]
        let run = SimulatedRun(
            seed: 5,
            plan: FaultPlan(),
            family: .cursor,
            order: order,
            recordCounts: counts,
            hasEnds: false
        ) { policy in
            policy.retry.retries = nil
            policy.retry.bisect = true
            policy.retry.maxAge = nil
            policy.bodyBytesMax = 10_000
            policy.intakeRecords = 200
        }
        run.world.spoil("orders-0", 3)
        let hasGoneOn = run.execute(for: .seconds(500)) {
            run.world.isComplete("orders-1") && run.world.isComplete("orders-2")
        }
        #expect(hasGoneOn)
        #expect(!run.world.isComplete("orders-0"))
        if order != .partition { #expect(run.world.successes("orders-0") > 150, "other keys go on") }
        #expect(run.world.violations.isEmpty)
    }

    @Test(
        "Windows go on with their state after crashes and rebalances, at the end of a partition, too; each record counts once",
        arguments: [false, true]
    )
    func windowsGoOn(hasEnds: Bool) {
        var resumed = 0
        for seed in 0..<40 as Range<UInt64> {
            var plan = FaultPlan()
            plan.crash = 0.02
            plan.rebalance = 0.05
            plan.lost = 0.01
            plan.failure = 0.05
            plan.commitRefused = 0.05
            let run = SimulatedRun(
                seed: seed,
                plan: plan,
                family: .cursor,
                order: .partition,
                recordCounts: ["orders-0": 300, "orders-1": 300, "orders-2": 5],
                hasEnds: hasEnds
            ) { policy in
                policy.tumbling = TumblingPolicy(length: .seconds(2), grace: .zero, stateBytesMax: 200)
                policy.bodyBytesMax = 20_000
                policy.batchSize = 10
                policy.retry.maxAge = nil
            }
            let report = run.execute()
            #expect(report.violations.isEmpty, "seed \(seed): \(report.violations.prefix(5))")
            #expect(report.isComplete, "seed \(seed): \(report.summary)")
            resumed += run.world.windowsResumed
        }
        #expect(resumed > 10, "or the simulation shows nothing of it")
    }

    @Test("The same seed gives the same run")
    func isDeterministic() {
        let first = SimulatedRun(seed: 7).execute()
        let second = SimulatedRun(seed: 7).execute()
        #expect(first.summary == second.summary)
    }
}

/// The seeds that are still to run, and what those that ran broke.
private final class SeedQueue: Sendable {
    private struct State {
        var next: UInt64 = 0
        var findings: [String] = []
    }

    private let state = Mutex(State())
    private let count: UInt64

    init(count: UInt64) { self.count = count }

    var findings: [String] { self.state.withLock { $0.findings } }

    func take() -> UInt64? {
        self.state.withLock { state in
            guard state.next < self.count else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }

    func note(_ finding: String) { self.state.withLock { $0.findings.append(finding) } }
}
