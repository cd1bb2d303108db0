// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockCore

/// One entry of `triggers:`.
package struct TriggerPlan: Sendable {
    /// Where records come from.
    package var source: SourcePlan
    /// The name of the function.
    package var function: Reference
    /// Batches.
    package var batch: BatchConfiguration
    /// Invocations side by side; nil for as many as the function can.
    package var concurrency: Int?
    /// What to do about failures.
    package var failure: FailureConfiguration
    /// Where records go that are given up.
    package var onFailure: FailureDestination

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
    }

    /// The engine's policy.
    package func policy(function: FunctionPlan) -> TriggerPolicy {
        TriggerPolicy(
            batchSize: self.batch.size,
            batchWindow: self.batch.window,
            concurrency: self.concurrency ?? function.concurrency,
            retry: RetryPolicy(
                retries: self.failure.retries.limit,
                backoff: self.failure.backoff.backoff,
                maxAge: self.failure.maxAge,
                bisect: self.failure.bisect
            )
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
        let batch = Field<BatchConfiguration>.table("batch", "How many records are invoked together.")
        let ordering = Field.choice(
            "ordering",
            "What is invoked in order: the records of one `partition`, one batch in flight.",
            of: Ordering.self,
            default: .partition
        )
        let concurrency = Field.integer(
            "concurrency",
            "Invocations side by side at most; as many as the function can when left out.",
            in: 1...10_000
        ).optional
        let failure = Field<FailureConfiguration>.table("failure", "What to do when an invocation fails.")
        let onFailure: Field<FailureDestination>

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
        }

        var all: [any AnyField] {
            [
                self.source, self.function, self.batch, self.ordering, self.concurrency, self.failure,
                self.onFailure,
            ]
        }
    }

    init(_ reader: inout ConfigurationReader, registry: Registry) {
        let fields = Fields(registry)
        self.source = reader[fields.source]
        self.function = reader[fields.function]
        self.batch = reader[fields.batch]
        _ = reader[fields.ordering]
        self.concurrency = reader[fields.concurrency]
        self.failure = reader[fields.failure]
        self.onFailure = reader[fields.onFailure]
    }
}

/// `batch:` of a trigger (esm-spec section 2).
package struct BatchConfiguration: ConfigurationTable {
    static let size = Field.integer(
        "size",
        "Records of an invocation at most; the body never exceeds 6 MiB whatever this says.",
        default: 100,
        in: 1...10_000
    )
    static let window = Field.duration(
        "window",
        "How long to wait for a full batch, from the arrival of its first record.",
        default: .milliseconds(500),
        in: .zero ... .seconds(300)
    )
    package static let table = FieldTable("batch", "How many records are invoked together.", [size, window])

    let size: Int
    let window: Duration

    package init(_ reader: inout ConfigurationReader) {
        self.size = reader[Self.size]
        self.window = reader[Self.window]
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
        "Look at `batchItemFailures` in the function's answer (AWS: ReportBatchItemFailures).",
        default: false
    )
    package static let table = FieldTable(
        "failure",
        "What to do when an invocation fails.",
        [retries, backoff, maxAge, bisect, reportItemFailures]
    )

    let retries: RetryLimit
    let backoff: BackoffConfiguration
    let maxAge: Duration?
    let bisect: Bool
    let reportItemFailures: Bool

    package init(_ reader: inout ConfigurationReader) {
        self.retries = reader[Self.retries]
        self.backoff = reader[Self.backoff]
        self.maxAge = reader[Self.maxAge]
        self.bisect = reader[Self.bisect]
        self.reportItemFailures = reader[Self.reportItemFailures]
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
