// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Which faults a simulated world has, and how often: probabilities of one decision each.
///
/// `swarm` switches some faults off altogether and gives the others very different weights in each run, which finds
/// more than giving all the same weight.
package struct FaultPlan: Sendable {
    /// The function fails a batch.
    package var failure = 0.0
    /// The function has no room.
    package var throttle = 0.0
    /// The function cannot be reached.
    package var unavailable = 0.0
    /// The function names some records as failed.
    package var partial = 0.0
    /// The function answers with a word for each record: success, retry or drop.
    package var results = 0.0
    /// An invocation does its work, but its answer is lost: it counts as failed.
    package var lostAnswer = 0.0
    /// An invocation takes long.
    package var slow = 0.0
    /// The dead-letter destination refuses.
    package var sinkDown = 0.0
    /// The destination of results refuses.
    package var resultsDown = 0.0
    /// The store refuses a write.
    package var storeFull = 0.0
    /// Upstream refuses a commit.
    package var commitRefused = 0.0
    /// Between two receives, some partitions are taken away and given back.
    package var rebalance = 0.0
    /// Between two receives, partitions are gone without notice.
    package var lost = 0.0
    /// Between two receives, the whole process dies and is started again.
    package var crash = 0.0
    /// A record is bad: the function always fails on it.
    package var badRecord = 0.0
    /// A lease ends upstream long before it was said to.
    package var leaseCut = 0.0
    /// Upstream refuses an extension, whole or in part.
    package var extensionRefused = 0.0
    /// Upstream refuses a settlement, whole or in part.
    package var settlementRefused = 0.0
    /// Upstream carries settlements out, but its answer is lost.
    package var settlementLost = 0.0
    /// A leased record is delivered once more, where upstream keeps no order.
    package var duplicate = 0.0
    /// Leased records arrive when half of their lease, or all of it, is over.
    package var late = 0.0

    /// A world without faults.
    package init() {}

    /// A random choice of faults and weights.
    package static func swarm(_ random: inout SplitMix64) -> FaultPlan {
        var plan = FaultPlan()
        let faults: [WritableKeyPath<FaultPlan, Double>] = [
            \.failure, \.throttle, \.unavailable, \.partial, \.results, \.lostAnswer, \.slow, \.sinkDown,
            \.storeFull,
            \.commitRefused, \.rebalance, \.lost, \.crash, \.badRecord, \.leaseCut, \.extensionRefused,
            \.settlementRefused, \.settlementLost, \.duplicate, \.late, \.resultsDown,
        ]
        for fault in faults where Bool.random(using: &random) {
            plan[keyPath: fault] = [0.005, 0.05, 0.3].randomElement(using: &random) ?? 0.05
        }
        plan.crash = min(plan.crash, 0.02)
        plan.badRecord = min(plan.badRecord, 0.05)
        return plan
    }
}
