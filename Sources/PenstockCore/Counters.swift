// SPDX-License-Identifier: Apache-2.0

/// What became of a trigger's records.
///
/// At every moment (contract rule 11) `received = filtered + succeeded + deadLettered +
/// cancelled + released + inFlight`.
package struct Counters: Sendable, Equatable {
    /// Records received; a redelivery counts again.
    package var received: UInt64 = 0
    /// Records that matched no filter.
    package var filtered: UInt64 = 0
    /// Records that a function dealt with.
    package var succeeded: UInt64 = 0
    /// Records given up and kept.
    package var deadLettered: UInt64 = 0
    /// Records settled because nobody wanted them any more: a later fire of their schedule took their place.
    package var cancelled: UInt64 = 0
    /// Records given back to the source unsettled: revoked, or left at a stop.
    package var released: UInt64 = 0
    /// Records received and not settled.
    package var inFlight: UInt64 = 0

    /// Invocations begun.
    package var invocations: UInt64 = 0
    /// Invocations in which at least one record failed.
    package var failures: UInt64 = 0
    /// Invocations that found no room.
    package var throttles: UInt64 = 0
    /// Batches split in two.
    package var bisects: UInt64 = 0
    /// Commits, or settlements of leased records, accepted upstream.
    package var commits: UInt64 = 0
    /// Commits that upstream or the store refused, and settlements that upstream refused, at least in part.
    package var commitFailures: UInt64 = 0
    /// Deliveries whose lease was lost before they were settled.
    package var leasesLost: UInt64 = 0
    /// Writes that the dead-letter destination refused.
    package var deadLetterFailures: UInt64 = 0
    /// Writes that the destination of results refused.
    package var resultFailures: UInt64 = 0

    /// All zero.
    package init() {}

    /// Whether the sum holds.
    package var isConserved: Bool {
        self.received == self.filtered + self.succeeded + self.deadLettered + self.cancelled + self.released
            + self.inFlight
    }
}

extension Counters {
    /// Adds the counts of another engine: of the same trigger before it was started again.
    package mutating func add(_ other: Counters) {
        let fields: [WritableKeyPath<Counters, UInt64>] = [
            \.received, \.filtered, \.succeeded, \.deadLettered, \.cancelled, \.released, \.inFlight,
            \.invocations, \.failures,
            \.throttles, \.bisects, \.commits, \.commitFailures, \.deadLetterFailures,
            \.leasesLost, \.resultFailures,
        ]
        for field in fields { self[keyPath: field] += other[keyPath: field] }
    }
}
