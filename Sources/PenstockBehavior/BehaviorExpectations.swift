// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore

/// What must come of a case; what is left out is not looked at.
package struct BehaviorExpectations: ConfigurationTable {
    static let invocations = Field<Located<[Located<ExpectedInvocation>]>?>(
        "invocations",
        "The invocations in order, each as its records, or `final` for the call at the end of a tumbling window; `at 1s` says "
            + "when it begins, `after 1s` how long after the one before it has ended; `...` at the end lets more follow.",
        Kind.list(of: ExpectedInvocation.kind.located, count: 0...10_000, acceptsSingle: true).located.map {
            $0
        },
        absence: .value(nil, shown: nil)
    )
    static let deadLetters = Field<Located<[Located<ExpectedLetters>]>?>(
        "dead_letters",
        "The records that are given up, each with its reason if wanted: `7`, `7 RetryAttemptsExhausted`.",
        Kind.list(of: ExpectedLetters.kind.located, count: 0...10_000, acceptsSingle: true).located.map {
            $0
        },
        absence: .value(nil, shown: nil)
    )
    static let checkpoints = Field<Located<[Named<Located<ExpectedPosition>>]>?>(
        "checkpoints",
        "By partition, the position up to which all is settled and kept, or `none`.",
        Kind.map(of: ExpectedPosition.kind.located, names: .any, count: 1...10_000).located.map { $0 },
        absence: .value(nil, shown: nil)
    )
    static let succeeded = Self.records("succeeded", "The records that the function dealt with, or `[]`.")
    static let filtered = Self.records("filtered", "The records that no filter matched, or `[]`.")
    static let unsettled = Self.records(
        "unsettled",
        "The records that are still on their way at the time of `until`, or `[]`."
    )
    static let duration = Field<Located<Duration>?>(
        "duration",
        "When the last record was settled, from the start of the case.",
        Kind.duration(in: .zero ... .seconds(365 * 86_400)).located.map { $0 },
        absence: .value(nil, shown: nil)
    )
    package static let table = FieldTable(
        "expect",
        "What must come of a case; what is left out is not looked at.",
        [invocations, deadLetters, checkpoints, succeeded, filtered, unsettled, duration]
    )

    let invocations: Located<[Located<ExpectedInvocation>]>?
    let deadLetters: Located<[Located<ExpectedLetters>]>?
    let checkpoints: Located<[Named<Located<ExpectedPosition>>]>?
    let succeeded: Located<RecordNumbers>?
    let filtered: Located<RecordNumbers>?
    let unsettled: Located<RecordNumbers>?
    let duration: Located<Duration>?
    private let place: Place

    package init(_ reader: inout ConfigurationReader) {
        self.place = reader.place
        self.invocations = reader[Self.invocations]
        self.deadLetters = reader[Self.deadLetters]
        self.checkpoints = reader[Self.checkpoints]
        self.succeeded = reader[Self.succeeded]
        self.filtered = reader[Self.filtered]
        self.unsettled = reader[Self.unsettled]
        self.duration = reader[Self.duration]
        if !Self.table.fields.contains(where: { reader.has($0) }) {
            reader.record(
                Finding(
                    .missingKey,
                    at: reader.place,
                    path: reader.path,
                    "\"expect\" expects nothing",
                    suggestion: "give one of \(Self.table.fields.map(\.name).joined(separator: ", "))"
                )
            )
        }
        let early = self.invocations?.value.dropLast().first { $0.value.records == nil }
        if let early {
            reader.record(
                Finding(
                    .badValue,
                    at: early.place,
                    path: reader.path.key(Self.invocations.name),
                    "\"...\" can only be the last of the invocations"
                )
            )
        }
    }

    private static func records(_ name: String, _ documentation: String) -> Field<Located<RecordNumbers>?> {
        let list = Kind.list(of: Kind<RecordNumbers>.records, count: 0...10_000, acceptsSingle: true)
        let union = list.map { sets in
            sets.reduce(into: RecordNumbers()) { $0.numbers.formUnion($1.numbers) }
        }
        return Field(name, documentation, union.located.map { $0 }, absence: .value(nil, shown: nil))
    }

    /// The largest record that is named; 0 when none is.
    var lastRecord: Located<Int> {
        let invocations = self.invocations?.value.map { ($0.value.records?.last ?? 0, $0.place) } ?? []
        let letters = self.deadLetters?.value.map { ($0.value.records.last, $0.place) } ?? []
        let sets = [self.succeeded, self.filtered, self.unsettled].compactMap(\.self).map {
            ($0.value.last, $0.place)
        }
        let last = (invocations + letters + sets).max { $0.0 < $1.0 }
        return last.map { Located(value: $0.0, place: $0.1) } ?? Located(value: 0, place: self.place)
    }
}

/// An invocation as it is expected.
struct ExpectedInvocation: Sendable {
    /// When it begins.
    enum Moment: Sendable {
        case anytime
        /// From the start of the case.
        case at(Duration)
        /// From the end of the invocation before it.
        case after(Duration)
    }

    /// Its records, none for the final call of a window; nil for any number of further invocations.
    var records: RecordNumbers?
    var moment: Moment

    /// `1-5`, `1-5 at 200ms`, `1-5 after 200ms`, `...`.
    init(_ text: String) throws {
        self.moment = .anytime
        self.records = nil
        if text == "..." { return }
        let words = text.split(separator: " ")
        guard let word = words.firstIndex(where: { $0 == "at" || $0 == "after" }) else {
            self.records = text == "final" ? RecordNumbers() : try RecordNumbers(text)
            return
        }
        guard word == words.count - 2, let duration = Duration(configurationText: String(words[word + 1]))
        else {
            throw MalformedNumbers(description: "one duration such as 500ms or 5s follows \"\(words[word])\"")
        }
        self.moment = words[word] == "at" ? .at(duration) : .after(duration)
        let records = words[..<word].joined(separator: " ")
        self.records = records == "final" ? RecordNumbers() : try RecordNumbers(records)
    }

    private init() {
        self.moment = .anytime
    }

    static let kind = Kind<ExpectedInvocation>.parsed(
        "records such as 1-5, `1-5 at 200ms`, `1-5 after 200ms`, `final` or `...`",
        pattern: "^(\\.\\.\\.|(final|[0-9][0-9 ,-]*)( (at|after) [0-9a-z]+)?)$",
        placeholder: ExpectedInvocation()
    ) { try ExpectedInvocation($0) }
}

/// Records that are expected to be given up.
struct ExpectedLetters: Sendable {
    var records: RecordNumbers
    /// Why; nil for any reason.
    var reason: DeadLetterReason?

    /// `7` or `7 RetryAttemptsExhausted`.
    init(_ text: String) throws {
        let words = text.split(separator: " ")
        guard let last = words.last, last.first?.isLetter == true else {
            self.records = try RecordNumbers(text)
            return
        }
        guard let reason = DeadLetterReason(rawValue: String(last)) else {
            let names = DeadLetterReason.allCases.map(\.rawValue)
            let advice =
                didYouMean(String(last), among: names) ?? "reasons are \(names.joined(separator: ", "))"
            throw MalformedNumbers(description: "\"\(last.prefix(40))\" is no reason; \(advice)")
        }
        self.reason = reason
        self.records = try RecordNumbers(words.dropLast().joined(separator: " "))
    }

    private init() {
        self.records = RecordNumbers()
    }

    static let kind = Kind<ExpectedLetters>.parsed(
        "records such as 7, or with a reason `7 RetryAttemptsExhausted`",
        pattern: "^[0-9][0-9 ,-]*( [A-Za-z]+)?$",
        placeholder: ExpectedLetters()
    ) { try ExpectedLetters($0) }
}

/// A position that a partition is expected to have reached.
struct ExpectedPosition: Sendable {
    /// Nil when nothing of the partition is settled.
    var position: Position?

    static let kind = Kind<ExpectedPosition>.parsed(
        "a position such as 10, or none",
        pattern: "^([0-9]+|none)$",
        placeholder: ExpectedPosition(position: nil)
    ) { text in
        if text == "none" { return ExpectedPosition(position: nil) }
        guard let position = Position(text) else {
            throw MalformedNumbers(description: "\"\(text.prefix(40))\" is neither")
        }
        return ExpectedPosition(position: position)
    }
}
