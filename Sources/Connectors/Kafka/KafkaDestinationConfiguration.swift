// SPDX-License-Identifier: Apache-2.0

/// Where dead letters go in Kafka: the `kafka` entry of `on_failure`.
package struct KafkaDestinationConfiguration: Sendable {
    /// Brokers to ask first, `host:port`.
    package var brokers: [String]

    /// The topic.
    package var topic: String

    /// How to log in.
    package var security = KafkaSecurity()

    /// How long a letter may take to be accepted, retries included.
    package var timeout = Duration.seconds(30)

    /// What the messages hold.
    package var format = KafkaLetterFormat.record

    /// More librdkafka properties, by their own names.
    package var properties: [String: String] = [:]

    /// A destination with defaults for all but where to.
    package init(brokers: [String], topic: String) {
        self.brokers = brokers
        self.topic = topic
    }
}

/// What a message of a Kafka destination holds.
package enum KafkaLetterFormat: String, Sendable, CaseIterable {
    /// The record's own value.
    case record
    /// AWS's failure document, with the record in it.
    case document
}
