// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime

/// Kafka: topics as a source, a topic as a destination of dead letters.
package enum KafkaConnector: Connector {
    package static let kind = "kafka"

    package static var source: Alternative<SourcePlan>? {
        .key(Self.kind, KafkaSourceConfiguration.table.summary, .table(KafkaSourceConfiguration.self)) {
            configuration in
            let format = KafkaEventFormat(configuration)
            return SourcePlan(
                kind: Self.kind,
                summary:
                    "kafka \(configuration.topics.joined(separator: ", ")) as group \(configuration.group)",
                capabilities: SourceCapabilities(
                    settlement: .cursor,
                    canSeek: true,
                    prunesOnAcknowledge: false
                ),
                format: format,
                partition: { id, name in format.partition(id, name: name) },
                make: { _, context in KafkaSource(configuration, logger: context.logger) }
            )
        }
    }

    package static var destination: Alternative<DestinationPlan>? {
        .key(
            Self.kind,
            KafkaDestinationConfiguration.table.summary,
            .table(KafkaDestinationConfiguration.self)
        ) { configuration in
            DestinationPlan(
                kind: Self.kind,
                summary: "kafka topic \(configuration.topic)",
                make: { context async throws(DestinationError) in
                    try await KafkaDestination(configuration, logger: context.logger)
                }
            )
        }
    }
}

extension KafkaEventFormat {
    /// The partition of that name, `orders-3`, as its records' events need it.
    ///
    /// Topic names may contain hyphens.
    func partition(_ id: PartitionID, name: String) -> Partition {
        let hyphen = name.lastIndex(of: "-") ?? name.endIndex
        let number = Int32(name[hyphen...].dropFirst()) ?? 0
        let prefix = self.prefix(for: KafkaPartitionName(topic: String(name[..<hyphen]), partition: number))
        return Partition(id: id, name: name, eventPrefix: prefix)
    }
}
