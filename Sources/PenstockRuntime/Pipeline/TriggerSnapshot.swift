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

    /// A partition that does not advance.
    package struct BlockedPartition: Sendable, Equatable {
        /// The upstream's name of the partition.
        package var name: String
        /// Attempts made at its first record.
        package var attempts: Int
        /// Whether the dead-letter destination refused.
        package var isRefused: Bool
    }

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
    /// The last failure of an invocation.
    package var lastFailure: Attempt?
    /// Durations of invocations.
    package var durations: Histogram
    /// When a record was settled last; nil when none was.
    package var lastProgress: Timestamp?
    /// How often it was started again after a failure.
    package var restarts: Int

    /// Records behind, over all partitions where that is known.
    package var lagRecords: Int64? {
        let known = self.lag.compactMap(\.records)
        return known.isEmpty ? nil : known.reduce(0, +)
    }
}

/// Durations in buckets, as Prometheus counts them.
package struct Histogram: Sendable, Equatable {
    /// Upper bounds of the buckets in seconds.
    package static let bounds: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900,
    ]

    /// Observations in each bucket; the last one has no upper bound.
    package private(set) var counts = [UInt64](repeating: 0, count: Self.bounds.count + 1)

    /// Sum of all observations in seconds.
    package private(set) var sum = 0.0

    /// A histogram without observations.
    package init() {}

    /// Number of observations.
    package var count: UInt64 { self.counts.reduce(0, +) }

    /// Adds an observation.
    package mutating func observe(_ duration: Duration) {
        let seconds = duration.inSeconds
        self.counts[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
        self.sum += seconds
    }

    /// Adds the observations of another histogram.
    package mutating func add(_ other: Histogram) {
        for index in self.counts.indices { self.counts[index] += other.counts[index] }
        self.sum += other.sum
    }
}
