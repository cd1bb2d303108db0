// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import PenstockCore
import PenstockTesting
import Synchronization
import Testing

/// Whole pipelines in a world of faults on a virtual clock.
///
/// Each seed is one run, repeatable to the last step.
@Suite(.timeLimit(.minutes(5)))
struct DeliveryContractTests {
    /// Runs of the first seeds, on threads of their own: a run blocks its thread, and others need Swift's pool.
    @Test("In ten thousand worlds of faults no record is lost, order holds and the counters conserve")
    func contractHolds() async {
        let findings = await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: Self.run(seeds: 10_000)) }
        }
        #expect(findings.isEmpty, "\(findings.prefix(20).joined(separator: "\n"))")
    }

    /// What was broken, with its seed.
    private static func run(seeds: Int) -> [String] {
        let findings = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: seeds) { seed in
            let report = SimulatedRun(seed: UInt64(seed)).execute()
            if let violation = report.violations.first {
                findings.withLock { $0.append("seed \(seed): \(violation)") }
            } else if !report.isComplete {
                findings.withLock { $0.append("seed \(seed) came to no end: \(report.summary)") }
            }
        }
        return findings.withLock { $0 }
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
            recordCounts: counts
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

    @Test("The same seed gives the same run")
    func isDeterministic() {
        let first = SimulatedRun(seed: 7).execute()
        let second = SimulatedRun(seed: 7).execute()
        #expect(first.summary == second.summary)
    }
}
