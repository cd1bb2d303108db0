// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// What a Kafka source reads, and how: the `kafka` entry of a trigger's source.
package struct KafkaSourceConfiguration: Sendable {
    /// Brokers to ask first, `host:port`.
    package var brokers: [String]

    /// Topics by name, or patterns that begin with `^`.
    package var topics: [String]

    /// The consumer group whose offsets are used.
    package var group: String

    /// Where partitions begin that the group has no offset for.
    package var start = KafkaStart.earliest

    /// How to log in.
    package var security = KafkaSecurity()

    /// How the group shares partitions.
    package var assignment = KafkaAssignment.cooperativeSticky

    /// How long the group waits for a member that is silent before it gives its partitions away.
    package var sessionTimeout = Duration.seconds(45)

    /// How long partitions that are asked back may drain; never so long that the session would end.
    package var drainTimeout = Duration.seconds(30)

    /// `eventSource` of the event: `SelfManagedKafka`, `aws:kafka` or `aws:SelfManagedKafka` (esm-spec 3.3).
    package var eventSource = "SelfManagedKafka"

    /// `eventSourceArn` of the event; left out when nil.
    package var eventSourceARN: String?

    /// More librdkafka properties, by their own names.
    package var properties: [String: String] = [:]

    /// A source with defaults for all but what to read.
    package init(
        brokers: [String],
        topics: [String],
        group: String,
        security: KafkaSecurity = KafkaSecurity()
    ) {
        self.brokers = brokers
        self.topics = topics
        self.group = group
        self.security = security
    }

    /// How long a revocation waits for its partitions to drain.
    var drainWithin: Duration {
        let margin = max(.milliseconds(300), self.sessionTimeout / 5)
        return max(.zero, min(self.drainTimeout, self.sessionTimeout - margin))
    }
}

/// Where partitions begin that the group has no offset for.
package enum KafkaStart: Sendable, Equatable {
    /// At the first record that is still there.
    case earliest
    /// Behind the last record there is when the partition is first seen.
    case latest
    /// At the first record that is not older.
    case timestamp(Timestamp)
}

/// How a group shares partitions among its members; the names are librdkafka's.
package enum KafkaAssignment: String, Sendable, CaseIterable {
    /// Partitions move one by one; the others go on.
    case cooperativeSticky = "cooperative-sticky"
    /// All partitions are given back and dealt anew, in ranges of each topic.
    case range
    /// All partitions are given back and dealt anew, one by one.
    case roundRobin = "roundrobin"
}
