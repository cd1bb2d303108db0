// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime
import PostgresClient

/// Postgres: notifications as a source.
package enum PostgresConnector: Connector {
    package static let kind = "postgres"

    /// The one partition of notifications.
    static let notifyPartition = "notify"

    package static var source: Alternative<SourcePlan>? {
        .key(
            Self.kind,
            "Reads from a Postgres database.",
            .oneOf([
                .key("notify", NotifyConfiguration.table.summary, .table(NotifyConfiguration.self)) {
                    Self.plan($0)
                }
            ])
        ) { $0 }
    }

    package static var destination: Alternative<DestinationPlan>? { nil }

    private static func plan(_ configuration: NotifyConfiguration) -> SourcePlan {
        let format = PostgresEventFormat(kind: .notify)
        let partition = Partition(id: PartitionID(1), name: Self.notifyPartition)
        let channels = configuration.channels.joined(separator: ", ")
        let database = configuration.address.map { "\($0)" } ?? ""
        return SourcePlan(
            kind: Self.kind,
            summary: "postgres notifications \(channels) of \(database)",
            capabilities: SourceCapabilities(
                settlement: .journaled,
                order: .partition,
                canSeek: false,
                prunesOnAcknowledge: true
            ),
            format: format,
            fields: format.fields,
            partition: { id, name in Partition(id: id, name: name) },
            sample: RecordSample(partition: configuration.channels.first ?? Self.notifyPartition),
            make: { trigger, context throws(SourceError) in
                guard let journal = context.journal else {
                    throw SourceError(
                        .rejected,
                        "notifications need a store for their journal, and there is none here"
                    )
                }
                guard let address = configuration.address else {
                    throw SourceError(.rejected, "no database is configured")
                }
                let feed: any JournalFeed =
                    configuration.catchUp.map { CatchUpFeed(configuration, $0, address, on: context.reactor) }
                    ?? NotifyFeed(configuration, address, on: context.reactor)
                return JournalSource(
                    journal: trigger,
                    partition: partition,
                    format: format,
                    store: journal,
                    feed: feed,
                    loop: context.reactor
                )
            }
        )
    }
}
