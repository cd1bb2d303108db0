// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// What one trigger is doing, at one moment.
package struct TriggerSnapshot: Sendable {
    /// The life of a trigger.
    package enum State: String, Sendable, CaseIterable {
        /// Connecting, or waiting for partitions.
        case starting
        /// Reading and invoking.
        case running
        /// Another member of the cluster runs it; ``TriggerSnapshot/detail`` says which.
        case standby
        /// Switched off by an operator.
        case paused
        /// Something outside must heal first; ``TriggerSnapshot/detail`` says what.
        case blocked
        /// Failed; it will be started again.
        case failed
        /// Draining.
        case stopping
        /// Ended.
        case stopped
    }

    /// A partition that does not advance, with all its records or with some keys.
    package struct BlockedPartition: Sendable, Equatable {
        /// The upstream's name of the partition.
        package var name: String
        /// When the record that it waits for failed first.
        package var since: Timestamp
        /// Attempts made at that record.
        package var attempts: Int
        /// Whether the dead-letter destination refused.
        package var isRefused: Bool
        /// Whether it has waited for longer than `failure.blocked_after`.
        package var isOverdue: Bool
    }

    /// Records that were missing upstream.
    package struct Gap: Sendable, Equatable {
        /// The upstream's name of the partition, or of the stream.
        package var partition: String
        /// What happened, in one sentence.
        package var detail: String
        /// When it was found.
        package var at: Timestamp

        /// A gap.
        package init(partition: String, detail: String, at: Timestamp) {
            self.partition = partition
            self.detail = detail
            self.at = at
        }
    }

    /// How many gaps are told at most; ``TriggerFigures/gaps`` counts all.
    package static let gapsMax = 20

    /// The trigger's name.
    package var name: String
    /// The function it invokes.
    package var function: String
    /// The kind of source, such as `kafka`.
    package var sourceKind: String
    /// What it is doing.
    package var state: State
    /// Why, when that is not obvious: what failed and what to do.
    package var detail: String?
    /// What became of its records, since Penstock started.
    package var counters: Counters
    /// Invocations under way.
    package var invocationsInFlight: Int
    /// The partitions owned.
    package var partitions: [String]
    /// Partitions that do not advance.
    package var blocked: [BlockedPartition]
    /// How far behind the partitions are.
    package var lag: [PartitionLag]
    /// The latest gaps since Penstock started, the newest first, ``gapsMax`` at most.
    package var gaps: [Gap]
    /// The last failure of an invocation.
    package var lastFailure: Attempt?
    /// How old the first record of each partition is that was received and is not settled; zero where all are settled.
    package var ages: [String: Duration]
    /// Partitions, or with `ordering: key` groups of keys, that do not advance.
    package var blockedLanes: Int
    /// What was counted beside records, since Penstock started.
    package var figures: TriggerFigures
    /// When a record was settled last; nil when none was.
    package var lastProgress: Timestamp?
    /// How often it was started again after a failure.
    package var restarts: Int

    /// A snapshot of these.
    package init(
        name: String,
        function: String,
        sourceKind: String,
        state: State,
        detail: String?,
        counters: Counters,
        invocationsInFlight: Int,
        partitions: [String],
        blocked: [BlockedPartition],
        lag: [PartitionLag],
        gaps: [Gap],
        lastFailure: Attempt?,
        ages: [String: Duration],
        blockedLanes: Int,
        figures: TriggerFigures,
        lastProgress: Timestamp?,
        restarts: Int
    ) {
        self.name = name
        self.function = function
        self.sourceKind = sourceKind
        self.state = state
        self.detail = detail
        self.counters = counters
        self.invocationsInFlight = invocationsInFlight
        self.partitions = partitions
        self.blocked = blocked
        self.lag = lag
        self.gaps = gaps
        self.lastFailure = lastFailure
        self.ages = ages
        self.blockedLanes = blockedLanes
        self.figures = figures
        self.lastProgress = lastProgress
        self.restarts = restarts
    }

    /// Records behind, over all partitions where that is known.
    package var lagRecords: Int64? {
        let known = self.lag.compactMap(\.records)
        return known.isEmpty ? nil : known.reduce(0, +)
    }
}
