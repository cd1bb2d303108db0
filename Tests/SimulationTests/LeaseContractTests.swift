// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

/// Pipelines with sources that lease their records, each against one kind of trouble.
@Suite(.timeLimit(.minutes(2)))
struct LeaseContractTests {
    static let families: [SimulatedRun.Family] = [.queue, .groups]

    /// A world of 60 records with one kind of fault.
    private static func run(
        seed: Int,
        _ family: SimulatedRun.Family,
        _ fault: WritableKeyPath<FaultPlan, Double>? = nil,
        _ change: (inout TriggerPolicy) -> Void = { _ in }
    ) -> SimulatedRun {
        var plan = FaultPlan()
        if let fault { plan[keyPath: fault] = 0.3 }
        return SimulatedRun(
            seed: UInt64(seed),
            plan: plan,
            family: family,
            recordCounts: ["orders": 40, "returns": 20]
        ) { policy in
            policy.retry.maxAge = nil
            policy.bodyBytesMax = 10_000
            change(&policy)
        }
    }

    @Test("However long a function takes, its leases hold", arguments: 0..<10, Self.families)
    func slow(seed: Int, family: SimulatedRun.Family) {
        let report = Self.run(seed: seed, family, \.slow) { $0.lease?.longest = nil }.execute()
        #expect(report.violations.isEmpty)
        #expect(report.isComplete)
        #expect(report.receives == 60)
        #expect(report.duplicates == 0)
    }

    @Test("A function without room uses up no receive of the source's", arguments: 0..<10, Self.families)
    func throttled(seed: Int, family: SimulatedRun.Family) {
        for fault in [\FaultPlan.throttle, \.unavailable] {
            let report = Self.run(seed: seed, family, fault) { $0.lease?.longest = nil }.execute()
            #expect(report.violations.isEmpty)
            #expect(report.isComplete)
            #expect(report.receives == 60)
        }
    }

    @Test("A record that fails for ever holds up its group, and nothing else", arguments: Self.families)
    func neighboursGoOn(family: SimulatedRun.Family) {
        let run = Self.run(seed: 3, family) { policy in
            policy.retry.retries = nil
            policy.retry.bisect = true
        }
        run.world.spoil("orders", 3)
        let hasGoneOn = run.execute(for: .seconds(2000)) {
            run.world.successes("orders") >= (family == .queue ? 39 : 20)
                && run.world.successes("returns") == 20
        }
        #expect(hasGoneOn)
        #expect(!run.world.isComplete)
        #expect(run.world.violations.isEmpty)
    }

    @Test("A stop gives back at once what was not invoked", arguments: 0..<10, Self.families)
    func stop(seed: Int, family: SimulatedRun.Family) {
        let run = Self.run(seed: seed, family, \.slow) { policy in
            policy.batchSize = 5
            policy.concurrency = 1
        }
        _ = run.execute(for: .seconds(200)) { run.world.leased > 5 }
        #expect(run.world.leased == 0)
        #expect(run.counters.allSatisfy { $0.isConserved && $0.inFlight == 0 })
        #expect(run.world.violations.isEmpty)
    }
}
