// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// What a trigger counts beside its records.
package struct TriggerFigures: Sendable, Equatable {
    /// Durations of invocations, in seconds.
    package var durations = Histogram(bounds: Self.seconds)
    /// Records of invocations.
    package var batchSizes = Histogram(bounds: Self.records)
    /// How old the first record of an invocation was when that began, in seconds.
    package var ages = Histogram(bounds: Self.seconds)
    /// Invocations of records that had failed before.
    package var retries: UInt64 = 0
    /// Changes of the partitions owned: assigned, asked back, or lost.
    package var rebalances: UInt64 = 0
    /// Times that records were missing upstream.
    package var gaps: UInt64 = 0
    /// Results that the destination took.
    package var results: UInt64 = 0
    /// Those of them that were too large for it, and came without their payload.
    package var shortenedResults: UInt64 = 0

    private static let seconds: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900,
    ]
    private static let records: [Double] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]

    /// All zero.
    package init() {}

    /// An invocation of a batch begins.
    mutating func begin(_ batch: Batch, at: Timestamp) {
        self.retries += batch.attempt > 1 ? 1 : 0
        guard let run = batch.runs.first else { return }
        self.batchSizes.observe(Double(batch.count))
        let first = run.admitted.block.entries[run.first].timestamp
        if first.milliseconds > 0 { self.ages.observe(max(.zero, at - first)) }
    }

    /// Adds the figures of an earlier run of the same trigger.
    package mutating func add(_ other: TriggerFigures) {
        self.durations.add(other.durations)
        self.batchSizes.add(other.batchSizes)
        self.ages.add(other.ages)
        self.retries += other.retries
        self.rebalances += other.rebalances
        self.gaps += other.gaps
        self.results += other.results
        self.shortenedResults += other.shortenedResults
    }
}

/// Observations in buckets, as Prometheus counts them.
package struct Histogram: Sendable, Equatable {
    /// Upper bounds of the buckets, ascending.
    package let bounds: [Double]

    /// Observations in each bucket; the last one has no upper bound.
    package private(set) var counts: [UInt64]

    /// Sum of all observations.
    package private(set) var sum = 0.0

    /// A histogram without observations.
    package init(bounds: [Double]) {
        self.bounds = bounds
        self.counts = Array(repeating: 0, count: bounds.count + 1)
    }

    /// Number of observations.
    package var count: UInt64 { self.counts.reduce(0, +) }

    /// Adds an observation.
    package mutating func observe(_ value: Double) {
        self.counts[self.bounds.firstIndex { value <= $0 } ?? self.bounds.count] += 1
        self.sum += value
    }

    /// Adds an observation in seconds.
    package mutating func observe(_ duration: Duration) {
        self.observe(duration.inSeconds)
    }

    /// Adds the observations of another histogram with the same bounds.
    package mutating func add(_ other: Histogram) {
        for index in self.counts.indices { self.counts[index] += other.counts[index] }
        self.sum += other.sum
    }
}
