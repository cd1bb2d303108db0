// SPDX-License-Identifier: Apache-2.0

/// One try at a record: when, how long, and what came of it.
package struct Attempt: Sendable, Equatable {
    /// When the invocation began.
    package var at: Timestamp

    /// How long it took.
    package var duration: Duration

    /// What failed.
    package var failure: Failure

    /// The version of the function that ran, in AWS Lambda's words; nil where none is known, and in what a store gives
    /// back, which does not keep it.
    package var executedVersion: String?

    /// A failed invocation.
    package init(at: Timestamp, duration: Duration, failure: Failure, executedVersion: String? = nil) {
        self.at = at
        self.duration = duration
        self.failure = failure
        self.executedVersion = executedVersion
    }
}

/// Why an invocation, or one record of it, failed.
///
/// Texts come from the function; they hold no payload of ours.
package struct Failure: Error, Sendable, Equatable {
    /// The kind of error in the function's own words, such as `ValueError` or `Sandbox.Timedout`.
    package var type: String

    /// What the function said, cut to ``messageMax`` bytes.
    package var message: String

    /// Longest message that is kept, in bytes of UTF-8.
    package static let messageMax = 4096

    /// A failure with the message cut to the longest that is kept.
    package init(type: String, message: String) {
        self.type = type
        if message.utf8.count <= Self.messageMax {
            self.message = message
        } else {
            self.message = String(decoding: message.utf8.prefix(Self.messageMax), as: UTF8.self)
        }
    }
}

/// Why a record was given up.
///
/// The raw values are AWS's words in failure documents (esm-spec 3.2, 3.3).
package enum DeadLetterReason: String, Sendable, CaseIterable {
    /// All attempts failed.
    case retriesExhausted = "RetryAttemptsExhausted"

    /// The record grew older than the policy allows.
    case ageExceeded = "RecordAgeExceeded"

    /// The record alone is larger than an invocation may be.
    case payloadTooLarge = "MaximumPayloadSizeExceeded"

    /// The function refused the record for good.
    case rejected = "Rejected"

    /// No filter matched, and the trigger keeps such records.
    case filtered = "Filtered"
}

/// A record given up, kept whole with its history.
package struct DeadLetter: Sendable, Equatable {
    /// The trigger that gave it up.
    package var trigger: String

    /// The function it was meant for.
    package var function: String

    /// That function's ARN; nil where none is known, and in a letter that a store gives back, which does not keep it.
    package var functionARN: String?

    /// The upstream's name of the partition, `orders-3`.
    package var partition: String

    /// Where it stood there.
    package var position: Position

    /// The record's own time.
    package var timestamp: Timestamp

    /// The source's tag on the record (see ``RecordEntry/tag``).
    package var tag: UInt8

    /// The key; nil for a null key.
    package var key: [UInt8]?

    /// The body; nil for a record without one.
    package var body: [UInt8]?

    /// The headers, in order, duplicates kept.
    package var attributes: [Attribute]

    /// Why it was given up.
    package var reason: DeadLetterReason

    /// When it was given up.
    package var at: Timestamp

    /// The attempts made, oldest first, at most ``attemptsMax`` (the first and the latest ones).
    package var attempts: [Attempt]

    /// How many attempts were made in all; more than `attempts` holds when that was cut.
    package var attemptCount: Int

    /// The request id of the last invocation that held it; empty when it was never invoked.
    package var invocation: String

    /// What tells it from all others: the same whenever the record is given up again.
    package var identity: String { "\(self.trigger)\n\(self.partition)\n\(self.position)" }

    /// A header: name, and value bytes or nil for a null value.
    package struct Attribute: Sendable, Equatable {
        /// The header's name.
        package var name: String

        /// The header's value; nil for a null value.
        package var value: [UInt8]?

        /// A header.
        package init(name: String, value: [UInt8]?) {
            self.name = name
            self.value = value
        }
    }

    /// Most attempts whose details are kept.
    package static let attemptsMax = 32

    /// A letter without key, body and attributes, which the caller sets: how a store reads it back.
    package init(partition: String, position: Position, timestamp: Timestamp, verdict: DeadLetterVerdict) {
        self.trigger = verdict.trigger
        self.function = verdict.function
        self.functionARN = verdict.functionARN
        self.partition = partition
        self.position = position
        self.timestamp = timestamp
        self.tag = 0
        self.attributes = []
        self.reason = verdict.reason
        self.at = verdict.at
        self.attempts = verdict.attempts
        self.attemptCount = verdict.attemptCount
        self.invocation = verdict.invocation
    }

    /// The record at `index` of `block` with its history.
    package init(block: RecordBlock, index: Int, verdict: DeadLetterVerdict) {
        let entry = block.entries[index]
        self.trigger = verdict.trigger
        self.function = verdict.function
        self.functionARN = verdict.functionARN
        self.partition = block.partition(at: index).name
        self.position = entry.position
        self.timestamp = entry.timestamp
        self.tag = entry.tag
        self.key = unsafe block.key(at: index).map { unsafe [UInt8]($0) }
        self.body = unsafe block.body(at: index).map { unsafe [UInt8]($0) }
        var attributes: [Attribute] = []
        unsafe block.forEachAttribute(at: index) { name, value in
            let bytes = unsafe value.map { unsafe [UInt8]($0) }
            unsafe attributes.append(Attribute(name: String(decoding: name, as: UTF8.self), value: bytes))
        }
        self.attributes = attributes
        self.reason = verdict.reason
        self.at = verdict.at
        self.attempts = verdict.attempts
        self.attemptCount = verdict.attemptCount
        self.invocation = verdict.invocation
    }
}

/// What all dead letters of one batch have in common.
package struct DeadLetterVerdict: Sendable {
    /// The trigger that gave the records up.
    package var trigger: String

    /// The function they were meant for.
    package var function: String

    /// That function's ARN; nil where none is known.
    package var functionARN: String?

    /// Why they were given up.
    package var reason: DeadLetterReason

    /// When they were given up.
    package var at: Timestamp

    /// The attempts made, oldest first.
    package var attempts: [Attempt]

    /// How many attempts were made in all.
    package var attemptCount: Int

    /// The request id of the last invocation; empty when there was none.
    package var invocation: String

    /// The common part of a batch's dead letters.
    package init(
        trigger: String,
        function: String,
        functionARN: String? = nil,
        reason: DeadLetterReason,
        at: Timestamp,
        attempts: [Attempt],
        attemptCount: Int,
        invocation: String
    ) {
        self.trigger = trigger
        self.function = function
        self.functionARN = functionARN
        self.reason = reason
        self.at = at
        self.attempts = attempts
        self.attemptCount = attemptCount
        self.invocation = invocation
    }
}
