// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockCore
package import PenstockFilters
package import PenstockStore

/// One entry of `triggers:`.
package struct TriggerPlan: Sendable {
    /// Where records come from.
    package var source: SourcePlan
    /// The name of the function.
    package var function: Reference
    /// Which records the function gets; nil for all.
    package var filter: EventFilterPlan?
    /// What becomes of the others.
    package var filtered: FilteredDisposition
    /// Batches.
    package var batch: BatchConfiguration
    /// In what order records are invoked.
    package var ordering: Ordering
    /// What makes a key, with `ordering: key`.
    package var orderingKey: any OrderingKey
    /// How long tumbling windows are; nil for none.
    package var tumblingWindow: Duration?
    /// Invocations side by side; nil for as many as the function can.
    package var concurrency: Int?
    /// What to do about failures.
    package var failure: FailureConfiguration
    /// Where records go that are given up.
    package var onFailure: FailureDestination
    /// Where results of invocations go; nil for nowhere.
    package var onSuccess: ResultPlan?

    /// Where records go that are given up.
    package enum FailureDestination: Sendable {
        /// The embedded store.
        case deadLetters
        /// Somewhere else.
        case destination(DestinationPlan)
    }

    /// In what order a trigger's records are invoked.
    package enum Ordering: String, Sendable, CaseIterable {
        /// Records of one partition in order, one batch in flight.
        case partition
        /// Records of one partition with the same key in order, other keys beside them.
        case key
        /// Any record beside any other.
        case none

        /// A partition's order is its groups' where upstream orders these, and no order where it keeps none.
        fileprivate func policy(
            _ capabilities: SourceCapabilities,
            key: any OrderingKey
        ) -> PenstockCore.Ordering {
            switch (self, capabilities.order) {
            case (.partition, .partition): .partition
            case (.key, _), (.partition, .group): .key(key)
            case (.none, _), (.partition, .none): .none
            }
        }
    }

    /// Whether answers say what came of single records.
    package var itemReports: ItemReports { self.failure.itemReports }

    /// Which records wait for others.
    package var order: PenstockCore.Ordering {
        self.ordering.policy(self.source.capabilities, key: self.orderingKey)
    }

    /// The engine's policy.
    package func policy(function: FunctionPlan) -> TriggerPolicy {
        var policy = TriggerPolicy(
            batchSize: self.source.capabilities.takesSingleRecords ? 1 : self.batch.size,
            batchWindow: self.batch.window,
            concurrency: self.concurrency ?? function.concurrency,
            ordering: self.order,
            retry: RetryPolicy(
                retries: self.failure.retries.limit,
                backoff: self.failure.backoff.backoff,
                maxAge: self.failure.maxAge,
                bisect: self.failure.bisect
            ),
            filtered: self.filtered
        )
        policy.bodyBytesMax = function.requestBytes
        policy.blockedAfter = self.failure.blockedAfter
        policy.windowStart = self.source.capabilities.windowStart
        policy.lease = self.source.capabilities.lease
        policy.tumbling = self.tumblingWindow.map { TumblingPolicy(length: $0) }
        return policy
    }
}

extension PipelineParts {
    /// What the plan says of a trigger, between these ends.
    package init(
        name: String,
        plan: TriggerPlan,
        policy: TriggerPolicy,
        source: any Source,
        function: any Function,
        destination: any Destination,
        results: (any ResultDestination)? = nil,
        store: any CheckpointStore,
        seed: UInt64
    ) {
        self.init(
            name: name,
            source: source,
            function: function,
            destination: destination,
            results: results,
            store: store,
            policy: policy,
            filter: plan.filter,
            itemReports: plan.itemReports,
            seed: seed
        )
    }
}

extension TriggerPlan {
    static func table(_ registry: Registry) -> FieldTable {
        FieldTable("trigger", "One source wired to one function.", Fields(registry).all)
    }

    /// The fields of a trigger; the forms of its source and destination are the registry's.
    private struct Fields {
        let source: Field<SourcePlan>
        let function = Field.reference("function", "The function to invoke.", to: "functions")
        let filters = Field<[EventPattern]>.list(
            "filters",
            "Patterns of the EventBridge language, one of which a record must match; docs/FILTERS.md shows it.",
            of: .language(placeholder: { EventPattern.all }) { node, path, findings in
                EventPattern(node, path: path, findings: &findings)
            },
            count: 0...EventPattern.filtersMax
        )
        let filtered = Field.choice(
            "filtered",
            "What becomes of a record that no filter matches: `acknowledge` settles it, as AWS does; `release` gives it "
                + "back, where the source can; `dead_letter` keeps it.",
            of: FilteredDisposition.self,
            default: .acknowledge
        )
        let batch = Field<BatchConfiguration>.table("batch", "How many records are invoked together.")
        let ordering = Field.choice(
            "ordering",
            "What is invoked in order: records of one `partition`, one batch in flight; records of one `key` in it, other keys beside them; or `none`.",
            of: Ordering.self,
            default: .partition
        )
        let orderingKey = Field<RecordPath>(
            "ordering_key",
            "With `ordering: key`, where a record's key is: `key`, or a place in the record such as `value.customer.id` or `headers.tenant`; its own key when left out.",
            .parsed(
                "a field of the record and names in it, such as value.customer.id",
                pattern: #"^[^.]+(\.[^.]+){0,31}$"#,
                placeholder: .key
            ) { try RecordPath($0) }
        ).optional
        let concurrency = Field.integer(
            "concurrency",
            "Invocations side by side at most; as many as the function can when left out.",
            in: 1...10_000
        ).optional
        let failure = Field<FailureConfiguration>.table("failure", "What to do when an invocation fails.")
        let onFailure: Field<FailureDestination>
        let onSuccess: Field<ResultPlan?>

        init(_ registry: Registry) {
            self.source = .oneOf(
                "source",
                "Where records come from.",
                registry.connectors.compactMap { $0.source }
            )
            let elsewhere = registry.connectors.compactMap {
                $0.destination?.map { FailureDestination.destination($0) }
            }
            let store = Alternative.word(
                "dead_letters",
                "The embedded store.",
                FailureDestination.deadLetters
            )
            self.onFailure = .oneOf(
                "on_failure",
                "Where records go that are given up.",
                [store] + elsewhere,
                default: "dead_letters"
            )
            let results = Field<ResultPlan>.oneOf(
                "on_success",
                "Where the function's answers go, before their records are settled; nowhere when left out.",
                registry.connectors.compactMap { $0.results }
            )
            self.onSuccess = results.optional
        }

        var all: [any AnyField] {
            [
                self.source, self.function, self.filters, self.filtered, self.batch, self.ordering,
                self.orderingKey, TriggerPlan.tumblingWindowField, self.concurrency, self.failure,
                self.onFailure, self.onSuccess,
            ]
        }
    }

    init(_ reader: inout ConfigurationReader, registry: Registry) {
        let fields = Fields(registry)
        self.source = reader[fields.source]
        self.function = reader[fields.function]
        let patterns = reader[fields.filters]
        self.filtered = reader[fields.filtered]
        self.filter = Self.filter(patterns, of: self.source, &reader)
        reader.require(
            self.filtered != .release || self.source.capabilities.lease != nil,
            at: fields.filtered,
            "cannot be release: \(self.source.kind) cannot give single records back",
            suggestion: "use acknowledge or dead_letter"
        )
        reader.require(
            self.filtered != .release || self.source.capabilities.order != .group,
            at: fields.filtered,
            "cannot be release: a record that goes back holds up its message group",
            suggestion: "use acknowledge or dead_letter"
        )
        reader.advise(
            !patterns.isEmpty || !reader.has(fields.filtered),
            at: fields.filtered,
            "does nothing without filters",
            suggestion: "add filters, or remove it"
        )
        let batch = reader[fields.batch]
        let isSingle = self.source.capabilities.batchesOnRequest && !reader.has(fields.batch)
        self.batch = isSingle ? .single : batch
        reader.require(
            !self.source.capabilities.takesSingleRecords || !reader.has(fields.batch) || self.batch.size == 1,
            at: fields.batch,
            "must have size 1: each record of \(self.source.kind) is an invocation of its own",
            suggestion: "remove it"
        )
        self.ordering = reader[fields.ordering]
        reader.require(
            self.ordering != .key || self.source.capabilities.order != .none,
            at: fields.ordering,
            "cannot be key: \(self.source.kind) delivers in no order",
            suggestion: "use none"
        )
        reader.require(
            self.ordering == .partition || !self.source.capabilities.needsOrder,
            at: fields.ordering,
            "must be partition: what this \(self.source.kind) does about overlap needs its records one after the other",
            suggestion: "remove it; with \"overlap: allow\" they are invoked side by side"
        )
        self.orderingKey = Self.key(at: fields.orderingKey, self.ordering, of: self.source, &reader)
        self.tumblingWindow = reader[Self.tumblingWindowField]
        self.concurrency = reader[fields.concurrency]
        self.failure = reader[fields.failure]
        if let longest = self.source.capabilities.lease?.longestDelay {
            reader.require(
                self.failure.backoff.backoff.max <= longest,
                at: fields.failure,
                "backoff.max must not be longer than \(longest.configurationText) with \(self.source.kind)"
            )
        }
        self.onFailure = reader[fields.onFailure]
        defer { self.checkWindow(hasFilters: !patterns.isEmpty, &reader) }
        self.onSuccess = reader[fields.onSuccess]
        let letters = if case .destination(let plan) = self.onFailure { plan.outlet } else { Outlet?.none }
        reader.advise(
            !(letters.map(self.source.reads) ?? false),
            at: fields.onFailure,
            "writes to \(letters?.name ?? ""), which this trigger reads: what fails comes back for ever",
            suggestion: "name another one"
        )
        let results = self.onSuccess?.outlet
        reader.advise(
            !(results.map(self.source.reads) ?? false),
            at: fields.onSuccess,
            "writes to \(results?.name ?? ""), which this trigger reads: each result is invoked with as a record",
            suggestion: "name another one"
        )
    }
}

extension TriggerPlan {
    /// The filters, checked against what the source's records have; nil without any.
    private static func filter(
        _ patterns: [EventPattern],
        of source: SourcePlan,
        _ reader: inout ConfigurationReader
    ) -> EventFilterPlan? {
        guard !patterns.isEmpty else { return nil }
        var findings: [Finding] = []
        let plan = EventFilterPlan(patterns, fields: source.fields, source: source.kind, findings: &findings)
        for finding in findings { reader.record(finding) }
        return plan
    }
}

extension TriggerPlan {
    /// What makes a key, checked against what the source's records have.
    private static func key(
        at field: Field<RecordPath?>,
        _ ordering: Ordering,
        of source: SourcePlan,
        _ reader: inout ConfigurationReader
    ) -> any OrderingKey {
        guard let path = reader[field] else { return source.orderingKey }
        reader.require(
            ordering == .key,
            at: field,
            "needs \"ordering: key\"",
            suggestion: "set ordering: key, or remove it"
        )
        reader.require(
            source.capabilities.order == .partition,
            at: field,
            "cannot be used with \(source.kind), which has no partitions in order"
        )
        do {
            return try path.key(in: source.fields)
        } catch {
            reader.require(false, at: field, code: .badValue, "\(error)")
            return RecordKey()
        }
    }
}

/// `failure:` of a trigger.
package struct FailureConfiguration: ConfigurationTable {
    static let retries = Field<RetryLimit>(
        "retries",
        "Attempts after the first one; `unlimited` lets one bad record block its partition for ever.",
        .parsed("a whole number from 0 to 10000, or \"unlimited\"", placeholder: RetryLimit(limit: 10)) {
            try RetryLimit($0)
        },
        absence: .value(RetryLimit(limit: 10), shown: .integer(10))
    )
    static let backoff = Field<BackoffConfiguration>.table("backoff", "How long to wait between attempts.")
    static let maxAge = Field.duration(
        "max_age",
        "Records older than this, by their own time, are given up; never when left out.",
        in: .seconds(1) ... .seconds(365 * 86_400)
    ).optional
    static let bisect = Field.boolean(
        "bisect",
        "Split a failed batch in two to find the bad record; a split costs no attempt.",
        default: false
    )
    static let reportItemFailures = Field.boolean(
        "report_item_failures",
        "Look at `batchItemFailures` or `recordResults` in the function's answer (AWS: ReportBatchItemFailures).",
        default: false
    )
    static let requireItemFailures = Field.boolean(
        "require_item_failures",
        "Fail the whole batch when the answer has no list of `batchItemFailures`; an empty list means success.",
        default: false
    )
    static let blockedAfter = Field.duration(
        "blocked_after",
        "A partition that has not advanced for longer makes the trigger not ready, and shows in metrics and `triggers show`.",
        default: .seconds(300),
        in: .seconds(1) ... .seconds(365 * 86_400)
    )
    package static let table = FieldTable(
        "failure",
        "What to do when an invocation fails.",
        [retries, backoff, maxAge, bisect, reportItemFailures, requireItemFailures, blockedAfter]
    )

    let retries: RetryLimit
    let backoff: BackoffConfiguration
    let maxAge: Duration?
    let bisect: Bool
    let itemReports: ItemReports
    let blockedAfter: Duration

    package init(_ reader: inout ConfigurationReader) {
        self.retries = reader[Self.retries]
        self.backoff = reader[Self.backoff]
        self.maxAge = reader[Self.maxAge]
        self.bisect = reader[Self.bisect]
        let isRequired = reader[Self.requireItemFailures]
        self.itemReports = isRequired ? .required : reader[Self.reportItemFailures] ? .accepted : .ignored
        self.blockedAfter = reader[Self.blockedAfter]
        reader.require(
            !isRequired || reader[Self.reportItemFailures],
            at: Self.requireItemFailures,
            "needs \"report_item_failures\": answers are not looked at without it",
            suggestion: "set report_item_failures: true"
        )
    }
}

/// A number of retries; nil for unlimited.
struct RetryLimit: Sendable, CustomStringConvertible {
    var limit: Int?

    init(limit: Int?) {
        self.limit = limit
    }

    init(_ text: String) throws {
        if text == "unlimited" {
            self.limit = nil
        } else if let number = Int(text), (0...10_000).contains(number) {
            self.limit = number
        } else {
            throw MalformedText(description: "\"\(text.prefix(40))\" is neither")
        }
    }

    var description: String { self.limit.map(String.init) ?? "unlimited" }
}

/// `failure.backoff:` of a trigger.
package struct BackoffConfiguration: ConfigurationTable {
    static let initial = Field.duration(
        "initial",
        "The first wait.",
        default: .milliseconds(200),
        in: .milliseconds(1) ... .seconds(3600)
    )
    static let factor = Field.number(
        "factor",
        "Each further wait is longer by this.",
        default: 2,
        in: 1...100
    )
    static let max = Field.duration(
        "max",
        "The longest wait.",
        default: .seconds(30),
        in: .milliseconds(1) ... .seconds(86_400)
    )
    static let jitter = Field.choice(
        "jitter",
        "`full` waits anything between zero and the computed wait, `none` waits exactly that.",
        of: Backoff.Jitter.self,
        default: .full
    )
    package static let table = FieldTable(
        "backoff",
        "How long to wait between attempts.",
        [initial, factor, max, jitter]
    )

    let backoff: Backoff

    package init(_ reader: inout ConfigurationReader) {
        self.backoff = Backoff(
            initial: reader[Self.initial],
            factor: reader[Self.factor],
            max: reader[Self.max],
            jitter: reader[Self.jitter]
        )
        reader.require(
            self.backoff.initial <= self.backoff.max,
            at: Self.max,
            "must not be shorter than \"initial\" (\(self.backoff.initial.configurationText))"
        )
    }
}

/// Why a text of a form of its own could not be read.
struct MalformedText: Error, CustomStringConvertible {
    let description: String
}
