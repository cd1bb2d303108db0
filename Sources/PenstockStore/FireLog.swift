// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// One time of a schedule, and what became of it: a line of the fire log.
package struct ScheduleFire: Sendable, Equatable {
    /// What became of a time.
    package enum Outcome: String, Sendable, CaseIterable {
        /// It fired, and its record is not settled yet.
        case waiting
        /// It fired, and its record is settled.
        case settled
        /// It fired, and a dead letter of it was kept.
        case deadLetter = "dead_letter"
        /// It fired, and a later one took its place before it was settled.
        case cancelled
        /// It was left out because earlier ones waited.
        case skipped
        /// It passed while nothing ran.
        case missed

        /// Whether it fired.
        package var hasFired: Bool { self != .skipped && self != .missed }
    }

    /// Names it in its schedule; the key of its entry in the journal.
    package var key: String

    /// The time at which it was to fire.
    package var scheduled: Timestamp

    /// When it fired, or was given up.
    package var at: Timestamp

    /// What became of it.
    package var outcome: Outcome

    /// When its record was settled; nil while it is not, and for what never fired.
    package var settled: Timestamp?

    /// Whether an operator let it fire; false when its time came.
    package var isOrdered: Bool

    /// A time with its outcome.
    package init(
        key: String,
        scheduled: Timestamp,
        at: Timestamp,
        outcome: Outcome,
        settled: Timestamp? = nil,
        isOrdered: Bool = false
    ) {
        self.key = key
        self.scheduled = scheduled
        self.at = at
        self.outcome = outcome
        self.settled = settled
        self.isOrdered = isOrdered
    }

    /// So many of each schedule are kept, the latest to be decided, besides those that wait.
    package static let keptMax = 10_000
}

/// A fire with its place in the log.
package struct StoredFire: Sendable, Equatable {
    /// Grows from one decided time to the next of the same schedule.
    package var number: UInt64

    /// The time and its outcome.
    package var fire: ScheduleFire

    /// A fire at a place.
    package init(number: UInt64, fire: ScheduleFire) {
        self.number = number
        self.fire = fire
    }
}

/// What the fire log has of a schedule.
package struct FireCount: Sendable, Equatable {
    /// The latest scheduled time that fired.
    package var last: Timestamp?

    /// How many are logged, by outcome.
    package var outcomes: [ScheduleFire.Outcome: Int]

    /// A count.
    package init(last: Timestamp? = nil, outcomes: [ScheduleFire.Outcome: Int] = [:]) {
        self.last = last
        self.outcomes = outcomes
    }
}
