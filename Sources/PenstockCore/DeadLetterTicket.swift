// SPDX-License-Identifier: Apache-2.0

/// Names dead letters on their way to the destination.
package struct DeadLetterTicketID: Hashable, Sendable {
    /// Unique within the engine.
    package var rawValue: UInt64
}

/// Records to be given up: the shell makes them durable and reports back.
package struct DeadLetterTicket: Sendable {
    /// Names the ticket in the report.
    package var id: DeadLetterTicketID

    /// The records, all of one partition, in order.
    package var runs: [Run]

    /// Why.
    package var reason: DeadLetterReason

    /// The attempts made.
    package var attempts: [Attempt]

    /// How many attempts were made in all.
    package var attemptCount: Int

    /// The request id of the last invocation; empty when there was none.
    package var invocation: String

    /// Which of the records the destination has already, by their places; their letters are not sent again.
    package var delivered: Set<Int> = []

    /// How many records.
    package var count: Int { self.runs.reduce(0) { $0 + $1.count } }

    /// Bytes of the records' events.
    var bytes: Int { self.runs.reduce(0) { $0 + $1.bytes } }
}
