// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore

/// What the function answers, and to which invocations.
package struct BehaviorAnswer: ConfigurationTable {
    /// An answer.
    enum Answer: Sendable {
        /// It returns `{}`.
        case succeed
        /// It returns this.
        case respond([UInt8])
        /// It returns `batchItemFailures` with these records.
        case failItems(RecordNumbers)
        /// It throws, or its process dies.
        case fail(Failure)
        /// It does not answer in time.
        case timeout
        /// It has no room.
        case throttle(Duration?)
        /// It cannot be reached.
        case unavailable
        /// It refuses the records for good.
        case reject
    }

    static let holds = Field<Located<RecordNumbers>?>(
        "holds",
        "Applies to batches that hold one of these records, such as `7` or `1-5 7`; to all when left out.",
        Kind<RecordNumbers>.records.located.map { $0 },
        absence: .value(nil, shown: nil)
    )
    static let invocation = Field<RecordNumbers?>(
        "invocation",
        "Applies to these invocations, counted from 1, such as `1-3`; to all when left out.",
        Kind<RecordNumbers>.invocations.map { $0 },
        absence: .value(nil, shown: nil)
    )
    static let times = Field.integer("times", "Applies so often; always when left out.", in: 1...1_000_000)
        .optional
    static let answer = Field<Located<Answer>>(
        "answer",
        "What the function does.",
        Kind<Answer>.oneOf([
            .word("succeed", "It returns `{}`.", .succeed),
            .word(
                "throw",
                "It throws an `Error`.",
                .fail(Failure(type: "Error", message: "thrown by the test"))
            ),
            .word(
                "fail",
                "It ends without an answer, as when its process dies.",
                .fail(Failure(type: "Runtime.ExitError", message: "the function ended without an answer"))
            ),
            .word("timeout", "It does not answer within its timeout.", .timeout),
            .word("throttle", "It has no room, and does not say for how long.", .throttle(nil)),
            .word("unavailable", "It cannot be reached or started.", .unavailable),
            .word("reject", "It refuses the records for good, as an HTTP endpoint does by 400.", .reject),
            .key("throw", "It throws this, such as `ValueError: no total`.", .string) {
                .fail(Self.failure($0))
            },
            .key("throttle", "It has no room for so long.", .duration(in: .zero ... .seconds(86_400))) {
                .throttle($0)
            },
            .key("fail_items", "It returns `batchItemFailures` with these records.", .records) {
                .failItems($0)
            },
            .key("respond", "It returns this.", .node) { .respond(Array($0.json.text.utf8)) },
        ]).located
    )
    static let delay = Field.duration("delay", "How long it takes.", default: .zero)
    package static let table = FieldTable(
        "answer",
        "What the function answers, and to which invocations.",
        [holds, invocation, times, answer, delay]
    )

    let holds: Located<RecordNumbers>?
    let invocation: RecordNumbers?
    let times: Int?
    let answer: Located<Answer>
    let delay: Duration

    package init(_ reader: inout ConfigurationReader) {
        self.holds = reader[Self.holds]
        self.invocation = reader[Self.invocation]
        self.times = reader[Self.times]
        self.answer = reader[Self.answer]
        self.delay = reader[Self.delay]
    }

    /// Whether it applies to the invocation of that number, when it has applied so often already.
    func applies(to records: RecordNumbers, invocation number: Int, applied: Int) -> Bool {
        if let times, applied >= times { return false }
        if let invocation, !invocation.numbers.contains(number) { return false }
        if let holds, holds.value.numbers.isDisjoint(records.numbers) { return false }
        // Records that are not there cannot fail.
        if case .failItems(let items) = self.answer.value {
            return !items.numbers.isDisjoint(records.numbers)
        }
        return true
    }

    /// The largest record that it names.
    var lastRecord: Located<Int>? {
        var last = self.holds.map { Located(value: $0.value.last, place: $0.place) }
        if case .failItems(let items) = self.answer.value, items.last > last?.value ?? 0 {
            last = Located(value: items.last, place: self.answer.place)
        }
        return last
    }

    /// `ValueError: no total` as type and message; a text without a type is the message of an `Error`.
    private static func failure(_ text: String) -> Failure {
        guard let colon = text.firstRange(of: ": "), !text[..<colon.lowerBound].contains(" ") else {
            return text.contains(" ")
                ? Failure(type: "Error", message: text) : Failure(type: text, message: "thrown by the test")
        }
        return Failure(
            type: String(text[..<colon.lowerBound]),
            message: String(text[colon.upperBound...])
        )
    }
}

extension Kind where Value == RecordNumbers {
    static var records: Self { .numbers("records such as 7 or 1-5 7") }
    static var invocations: Self { .numbers("numbers of invocations such as 1 or 1-3") }

    private static func numbers(_ form: String) -> Self {
        .parsed(form, pattern: "^[0-9]+(-[0-9]+)?([ ,]+[0-9]+(-[0-9]+)?)*$", placeholder: RecordNumbers()) {
            try RecordNumbers($0)
        }
    }
}
