// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime
import PenstockSchedules

/// Schedules: cron expressions and intervals as a source.
package enum ScheduleConnector: Connector {
    package static let kind = "schedule"

    /// The one partition of a schedule.
    static let partitionName = "schedule"

    private static let seekAdvice =
        "a schedule's times are no records that wait somewhere; `penstock schedule backfill` lets times of the past fire"

    package static var source: Alternative<SourcePlan>? {
        .key(Self.kind, ScheduleConfiguration.table.summary, .table(ScheduleConfiguration.self)) {
            configuration in
            if let set = configuration.set { return Self.plan(of: set, configuration, batchSize: 1) }
            var capabilities = SourceCapabilities(
                settlement: .journaled,
                order: configuration.policy.overlap == .allow ? .none : .partition,
                canSeek: false,
                prunesOnAcknowledge: true
            )
            capabilities.takesSingleRecords = true
            capabilities.needsOrder = configuration.policy.overlap != .allow
            let expression = configuration.expression
            var plan = SourcePlan(
                kind: Self.kind,
                summary: "schedule \(expression.text) in \(configuration.zone.name): \(expression.words)",
                capabilities: capabilities,
                format: ScheduleEventFormat(),
                fields: ScheduleEventFormat.fields,
                partition: { id, name in Partition(id: id, name: name) },
                sample: RecordSample(partition: Self.partitionName),
                make: { trigger, context throws(SourceError) in
                    try context.journalSource(
                        of: trigger,
                        partition: Self.partitionName,
                        format: ScheduleEventFormat(),
                        feed: ScheduleFeed(configuration, trigger: trigger),
                        need: "a schedule needs a store for its journal"
                    )
                }
            )
            plan.seekAdvice = Self.seekAdvice
            plan.schedule = ScheduleFacts(
                expression: expression.text,
                words: expression.words,
                zone: configuration.zone.name
            )
            plan.feed = { ScheduleFeed(configuration, trigger: $0) }
            plan.filesHash = configuration.filesHash
            return plan
        }
    }

    /// The plan of many schedules.
    ///
    /// Those of one name are in order, and others beside them.
    private static func plan(
        of set: ScheduleSet,
        _ configuration: ScheduleConfiguration,
        batchSize: Int
    ) -> SourcePlan {
        var capabilities = SourceCapabilities(
            settlement: .journaled,
            order: configuration.policy.overlap == .allow ? .none : .group,
            canSeek: false,
            prunesOnAcknowledge: true
        )
        capabilities.batchesOnRequest = true
        capabilities.takesSingleRecords = configuration.policy.overlap == .cancelOther
        capabilities.needsOrder = configuration.policy.overlap != .allow
        let isList = batchSize > 1
        let summary = "\(set.count) schedule\(set.count == 1 ? "" : "s")"
        var plan = SourcePlan(
            kind: Self.kind,
            summary: summary,
            capabilities: capabilities,
            format: ScheduleEventFormat(isList: isList),
            fields: ScheduleEventFormat.fields,
            partition: { id, name in Partition(id: id, name: name) },
            sample: RecordSample(partition: Self.partitionName),
            make: { trigger, context throws(SourceError) in
                try context.journalSource(
                    of: trigger,
                    partition: Self.partitionName,
                    format: ScheduleEventFormat(isList: isList, trigger: trigger),
                    feed: ScheduleSetFeed(set, configuration, trigger: trigger),
                    need: "schedules need a store for their journal"
                )
            }
        )
        plan.seekAdvice = Self.seekAdvice
        plan.orderingKey = ScheduleNameKey()
        plan.filesHash = configuration.filesHash
        plan.schedule = ScheduleFacts(
            expression: "",
            words: summary,
            zone: configuration.zone.name
        )
        plan.feed = { ScheduleSetFeed(set, configuration, trigger: $0) }
        plan.scheduleMembers = ScheduleMembers(
            count: set.count,
            name: { set.name($0) },
            facts: { number in
                let schedule = set.schedule(number)
                return ScheduleFacts(
                    expression: schedule.expression.text,
                    words: schedule.expression.words,
                    zone: schedule.zone.name
                )
            }
        )
        plan.fit = { Self.plan(of: set, configuration, batchSize: $0.batchSize) }
        return plan
    }

    package static var destination: Alternative<DestinationPlan>? { nil }
}

extension ScheduleEventFormat {
    /// What filters can look at: the event, and the scheduled time.
    static let fields = RecordFields([
        RecordFields.Field("event", .body(.unmet)), RecordFields.Field("timestamp", .timestamp),
    ])
}
