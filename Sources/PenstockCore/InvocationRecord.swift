// SPDX-License-Identifier: Apache-2.0

/// What is kept of an invocation that succeeded, for all or for some of its records: AWS's word for what goes to an
/// `OnSuccess` destination.
package struct InvocationRecord: Sendable {
    /// The request id.
    package var id: String

    /// The trigger.
    package var trigger: String

    /// The function that was invoked.
    package var function: String

    /// That function's ARN; nil where none is known.
    package var functionARN: String?

    /// Which attempt at the batch it was, from 1.
    package var attempt: Int

    /// When it was written.
    package var at: Timestamp

    /// The document: one line of JSON.
    package var json: [UInt8]

    /// Where the parts are in the document that can be left out; nil when it is not known.
    package var parts: Parts?

    /// The parts of a document that grow with the event, with the answer and with the batch, in their order.
    package struct Parts: Sendable, Equatable {
        /// The bytes of the event's members, from their comma on.
        package var request: Range<Int>

        /// How many bytes the event has.
        package var eventBytes: Int

        /// The bytes of the answer's members, from their comma on.
        package var payload: Range<Int>

        /// How many bytes the function answered.
        package var answerBytes: Int

        /// The bytes of the list of records, with its brackets.
        package var batch: Range<Int>

        /// Where they are.
        package init(
            request: Range<Int>,
            eventBytes: Int,
            payload: Range<Int>,
            answerBytes: Int,
            batch: Range<Int>
        ) {
            self.request = request
            self.eventBytes = eventBytes
            self.payload = payload
            self.answerBytes = answerBytes
            self.batch = batch
        }
    }

    /// What tells it from all others: the same whenever it is sent again, and another one for each invocation, also of the
    /// same records.
    ///
    /// A destination that takes what it knows only once must not lose the result of a retry.
    package var identity: String {
        "\(self.trigger)\n\(self.id)\n\(self.attempt)\n\(self.at.milliseconds)"
    }

    /// A record of an invocation.
    package init(id: String, trigger: String, function: String, attempt: Int, at: Timestamp, json: [UInt8]) {
        self.id = id
        self.trigger = trigger
        self.function = function
        self.attempt = attempt
        self.at = at
        self.json = json
    }
}

/// Names a result on its way to the destination.
package struct ResultTicketID: Hashable, Sendable {
    /// Unique within the engine.
    package var rawValue: UInt64
}

/// A result to be kept: the shell makes it durable and reports back.
package struct ResultTicket: Sendable {
    /// Names the ticket in the report.
    package var id: ResultTicketID

    /// The result.
    package var record: InvocationRecord
}
