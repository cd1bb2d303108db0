// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime
import PostgresClient

/// Postgres: notifications, tables and changes of rows as sources, tables as destinations of dead letters and of results.
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
                },
                .key("outbox", OutboxConfiguration.table.summary, .table(OutboxConfiguration.self)) {
                    configuration in
                    // Until the trigger says what its function and its batches are like.
                    let terms = TriggerTerms(functionTimeout: .seconds(30), batchWindow: .zero)
                    var plan = Self.plan(configuration, terms)
                    plan.fit = { Self.plan(configuration, $0) }
                    return plan
                },
                .key("changes", ChangesConfiguration.table.summary, .table(ChangesConfiguration.self)) {
                    Self.plan($0)
                },
            ])
        ) { $0 }
    }

    package static var destination: Alternative<DestinationPlan>? {
        .key(
            Self.kind,
            PostgresDestinationConfiguration.table.summary,
            .table(PostgresDestinationConfiguration.self)
        ) { configuration in
            var plan = DestinationPlan(
                kind: Self.kind,
                summary: configuration.summary,
                make: { context, source throws(DestinationError) in
                    let table = try DocumentTable(configuration, on: context.reactor)
                    return PostgresDestination(table, FailureDocument(source))
                }
            )
            plan.examine = { await Self.examine(configuration, $0) }
            return plan
        }
    }

    package static var results: Alternative<ResultPlan>? {
        .key(
            Self.kind,
            "A table: a row for each invocation.",
            .table(PostgresDestinationConfiguration.self)
        ) { configuration in
            var plan = ResultPlan(
                summary: configuration.summary,
                make: { context throws(DestinationError) in
                    PostgresResultDestination(try DocumentTable(configuration, on: context.reactor))
                }
            )
            plan.examine = { await Self.examine(configuration, $0) }
            return plan
        }
    }

    private static func examine(
        _ configuration: PostgresDestinationConfiguration,
        _ context: RuntimeContext
    ) async -> [Diagnosis] {
        guard let address = configuration.address else { return [] }
        return await PostgresExamination.run(address, on: context.reactor) {
            await $0.documents(configuration.table)
        }
    }

    private static func plan(_ configuration: NotifyConfiguration) -> SourcePlan {
        let format = PostgresEventFormat(kind: .notify)
        let channels = configuration.channels.joined(separator: ", ")
        let database = configuration.address.map { "\($0)" } ?? ""
        var plan = SourcePlan(
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
                guard let address = configuration.address else {
                    throw SourceError(.rejected, "no database is configured")
                }
                let feed: any JournalFeed =
                    configuration.catchUp.map { CatchUpFeed(configuration, $0, address, on: context.reactor) }
                    ?? NotifyFeed(configuration, address, on: context.reactor)
                return try context.journalSource(
                    of: trigger,
                    partition: Self.notifyPartition,
                    format: format,
                    feed: feed,
                    need: "notifications need a store for their journal"
                )
            }
        )
        plan.seekAdvice =
            "Postgres keeps no notifications, and what was received is kept only until it is settled; notify again, or send "
            + "dead letters again by `penstock dlq redrive`"
        plan.examine = { _, _, context in
            guard let address = configuration.address else { return [] }
            return await PostgresExamination.run(address, on: context.reactor) {
                await $0.notifications(configuration)
            }
        }
        return plan
    }

    private static func plan(_ configuration: OutboxConfiguration, _ terms: TriggerTerms) -> SourcePlan {
        let format = PostgresEventFormat(kind: .outbox)
        let table = configuration.table
        let database = configuration.address.map { "\($0)" } ?? ""
        let lease = OutboxSettings.lease(configuration, terms)
        var plan = SourcePlan(
            kind: Self.kind,
            summary: "postgres outbox \(table) of \(database)",
            capabilities: SourceCapabilities(
                settlement: .lease(LeasePolicy(length: lease)),
                order: configuration.columns.group == nil ? .none : .group,
                windowStart: .lastInvocation,
                canSeek: false,
                prunesOnAcknowledge: true
            ),
            exclusive: ["table \(table) of \(database)"],
            format: format,
            fields: format.fields,
            partition: { id, name in Partition(id: id, name: name) },
            position: { OutboxRowReader.position(of: $0) },
            sample: RecordSample(partition: "\(table)"),
            make: { _, context throws(SourceError) in
                guard let address = configuration.address else {
                    throw SourceError(.rejected, "no database is configured")
                }
                let settings = OutboxSettings(configuration, address, terms)
                return OutboxSource(settings, format: format, reactor: context.reactor)
            }
        )
        plan.seekAdvice =
            "the rows of an outbox table are leased one by one, and deleted or marked when they are settled; insert them "
            + "again, or send dead letters again by `penstock dlq redrive`"
        plan.examine = { _, _, context in
            guard let address = configuration.address else { return [] }
            return await PostgresExamination.run(address, on: context.reactor) {
                await $0.outbox(configuration)
            }
        }
        return plan
    }
}
