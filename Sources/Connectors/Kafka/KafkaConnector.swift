// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime

/// Kafka: topics as a source, a topic as a destination of dead letters and of results.
package enum KafkaConnector: Connector {
    package static let kind = "kafka"

    package static var source: Alternative<SourcePlan>? {
        .key(Self.kind, KafkaSourceConfiguration.table.summary, .table(KafkaSourceConfiguration.self)) {
            configuration in
            let format = KafkaEventFormat(configuration)
            var plan = SourcePlan(
                kind: Self.kind,
                summary:
                    "kafka \(configuration.topics.joined(separator: ", ")) as group \(configuration.group)",
                capabilities: SourceCapabilities(
                    settlement: .cursor,
                    canSeek: true,
                    prunesOnAcknowledge: false
                ),
                exclusive: configuration.topics.map { topic in
                    let brokers = configuration.brokers.sorted().joined(separator: ", ")
                    return "topic \(topic) of \(brokers) as group \(configuration.group)"
                },
                reads: { configuration.reads($0) },
                format: format,
                fields: KafkaEventFormat.fields,
                partition: { id, name in format.partition(id, name: name) },
                batchInfo: FailureBatchInfo(name: "KafkaBatchInfo") {
                    format.batchInfo(of: $0, payloadSize: $1, as: $2)
                },
                sample: RecordSample(partition: "\(configuration.topics.first ?? "topic")-0", tag: 1),
                make: { _, context in KafkaSource(configuration, logger: context.logger) }
            )
            plan.capabilities.sharing = .upstream
            plan.examine = { _, _, context in
                await KafkaExamination(configuration, logger: context.logger).run()
            }
            return plan
        }
    }

    package static var destination: Alternative<DestinationPlan>? {
        .key(
            Self.kind,
            KafkaDestinationConfiguration.table.summary,
            .table(KafkaDestinationConfiguration.self)
        ) { configuration in
            var plan = DestinationPlan(
                kind: Self.kind,
                summary: "kafka topic \(configuration.topic)",
                outlet: configuration.outlet,
                make: { context, source async throws(DestinationError) in
                    try await KafkaDestination(
                        configuration,
                        document: configuration.format == .document
                            ? FailureDocument(source, as: .record) : nil,
                        logger: context.logger
                    )
                }
            )
            plan.examine = { await KafkaExamination(configuration, logger: $0.logger).run() }
            return plan
        }
    }
}

extension KafkaConnector {
    package static var results: Alternative<ResultPlan>? {
        .key(Self.kind, KafkaResultConfiguration.table.summary, .table(KafkaResultConfiguration.self)) {
            configuration in
            var plan = ResultPlan(
                summary: "kafka topic \(configuration.destination.topic)",
                outlet: configuration.destination.outlet,
                make: { context async throws(DestinationError) in
                    try await KafkaResultDestination(configuration.destination, logger: context.logger)
                }
            )
            plan.examine = { await KafkaExamination(configuration.destination, logger: $0.logger).run() }
            return plan
        }
    }
}

extension KafkaDestinationConfiguration {
    fileprivate var outlet: Outlet {
        Outlet(kind: KafkaConnector.kind, hosts: Set(self.brokers), name: self.topic)
    }
}

extension KafkaSourceConfiguration {
    /// Whether one of its topics, or patterns of topics, is that of an outlet of the same brokers.
    fileprivate func reads(_ outlet: Outlet) -> Bool {
        outlet.kind == KafkaConnector.kind && !outlet.hosts.isDisjoint(with: self.brokers)
            && self.reads(topic: outlet.name)
    }

    /// Whether a topic is one of its topics, or matches one of its patterns.
    func reads(topic name: String) -> Bool {
        self.topics.contains { topic in
            guard topic.hasPrefix("^") else { return topic == name }
            // It was read as one already.
            return (try? Regex(topic).firstMatch(in: name)) != nil
        }
    }
}

extension KafkaEventFormat {
    /// The partition of that name, `orders-3`, as its records' events need it.
    ///
    /// Topic names may contain hyphens.
    func partition(_ id: PartitionID, name: String) -> Partition {
        Partition(id: id, name: name, eventPrefix: self.prefix(for: Self.name(of: name)))
    }

    private static func name(of name: String) -> KafkaPartitionName {
        let hyphen = name.lastIndex(of: "-") ?? name.endIndex
        let number = Int32(name[hyphen...].dropFirst()) ?? 0
        return KafkaPartitionName(topic: String(name[..<hyphen]), partition: number)
    }

    /// What filters can look at (esm-spec 5.3).
    ///
    /// The members of a record in the event, key and value decoded, headers as an object of texts. AWS knows `value`
    /// alone.
    static let fields = RecordFields([
        RecordFields.Field("topic", .partitionText { Self.name(of: $0.name).topic }),
        RecordFields.Field("partition", .partitionNumber { Int64(Self.name(of: $0.name).partition) }),
        RecordFields.Field("offset", .position),
        RecordFields.Field("timestamp", .timestamp),
        RecordFields.Field("timestampType", .tag { Self.timestampTypeName($0) }),
        RecordFields.Field("key", .key(.unmet)),
        RecordFields.Field("value", .body(.ignored)),
        RecordFields.Field("headers", .attributes),
    ])
}
