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

    /// More librdkafka properties, by their own names.
    package var properties: [String: String] = [:]

    /// A destination with defaults for all but where to.
    package init(brokers: [String], topic: String) {
        self.brokers = brokers
        self.topic = topic
    }
}
