// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
package import PenstockConfiguration
import PenstockCore

/// What stands under `sqs:` of a source.
package struct SQSSourceConfiguration: ConfigurationTable {
    /// What becomes of a message on which the function failed.
    enum Release: String, CaseIterable, Sendable {
        /// It comes again after the trigger's backoff.
        case backoff
        /// It comes again when its visibility ends, as with AWS.
        case visibility
        /// It comes again at once.
        case now
    }

    static let queueField = Field<SQSQueueName?>(
        "queue",
        "The queue's URL, ARN or name; one that ends in .fifo keeps order in message groups.",
        .parsed(SQSQueueName.form, placeholder: nil) { text in
            guard let name = SQSQueueName(text) else { throw Malformed(text: text) }
            return name
        }
    )
    static let visibilityField = Field.duration(
        "visibility",
        "How long received messages are kept from others; made longer in time while they are in hand. By default the function's timeout, the batch window and 30s.",
        in: .seconds(2) ... .seconds(SQSClient.visibilityMax)
    ).optional
    static let releaseField = Field.choice(
        "release",
        "When a message comes again on which the function failed: after the trigger's `backoff`, when its `visibility` ends, as with AWS, or `now`.",
        default: Release.backoff
    )
    static let eventField = Field.choice(
        "event",
        "What the function gets: the Lambda event of `sqs`; the bodies alone in a list (`raw`); the events of `sns` or `s3` that the bodies hold.",
        default: SQSEventForm.sqs
    )
    static let pollersField = Field.integer(
        "pollers",
        "Receives side by side at most, under a backlog; an idle queue has one.",
        default: 10,
        in: 1...100
    )

    /// The fields under `sqs:`.
    package static let table = FieldTable(
        "sqs",
        "Reads a queue of Amazon SQS, or of anything with its API.",
        [Self.queueField] + AWSFields.all + [
            Self.visibilityField, Self.releaseField, Self.eventField, Self.pollersField,
        ]
    )

    /// Why a queue could not be read.
    private struct Malformed: Error, CustomStringConvertible {
        let text: String
        var description: String {
            "\"\(self.text.prefix(160))\" is none; write orders, arn:aws:sqs:eu-west-1:123456789012:orders, or "
                + "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
        }
    }

    let queue: SQSQueueName
    let visibility: Duration?
    let release: Release
    let event: SQSEventForm
    let pollers: Int
    let options: AWSOptions

    /// Calls that settle and extend side by side, besides receives.
    static let settlers = 16

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let queue = reader[Self.queueField]
        self.queue = queue ?? SQSQueueName(bare: "queue")
        self.visibility = reader[Self.visibilityField]
        self.release = reader[Self.releaseField]
        self.event = reader[Self.eventField]
        self.pollers = reader[Self.pollersField]
        var options = AWSOptions(
            &reader,
            region: self.queue.region,
            connections: self.pollers + Self.settlers
        )
        options.endpoint = options.endpoint ?? self.queue.endpoint
        self.options = options
        let whole = self.visibility.map { $0.wholeNanoseconds % 1_000_000_000 == 0 } ?? true
        reader.require(
            whole,
            at: Self.visibilityField,
            "must be whole seconds: SQS counts in them",
            suggestion: "round it up"
        )
    }
}
