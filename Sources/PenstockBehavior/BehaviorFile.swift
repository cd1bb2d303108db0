// SPDX-License-Identifier: Apache-2.0

import Foundation
package import PenstockConfiguration
import PenstockCore

/// A file of behaviour tests: cases of what the triggers of a configuration do with records.
package struct BehaviorFile: ConfigurationTable {
    static let config = Field.string(
        "config",
        "The configuration under test, relative to this file.",
        default: "connectors.yaml"
    )
    static let environment = Field.properties(
        "environment",
        "Values for the `${NAME}` of the configuration; they win over the environment."
    )
    static let cases = Field<[BehaviorCase]>.list(
        "cases",
        "What is tested, each by itself.",
        of: .table(),
        count: 1...1000
    )
    package static let table = FieldTable(
        "the test file",
        "Tests of what a configuration does with records, for `penstock test`.",
        [config, environment, cases]
    )

    /// The configuration, relative to the file.
    package let config: String
    /// What its placeholders stand for.
    package let environment: [String: String]
    /// The cases, in the order of the file.
    package let cases: [BehaviorCase]

    package init(_ reader: inout ConfigurationReader) {
        self.config = reader[Self.config]
        self.environment = reader[Self.environment]
        self.cases = reader[Self.cases]
        var names: Set<String> = []
        for example in self.cases where !names.insert(example.name.value).inserted {
            reader.record(
                Finding(
                    .conflict,
                    at: example.name.place,
                    path: .root.key("cases"),
                    "two cases are called \"\(example.name.value)\"",
                    suggestion: "give each its own name"
                )
            )
        }
    }
}

/// One case: records, what the function answers, and what is expected.
package struct BehaviorCase: ConfigurationTable {
    static let name = Field("name", "A sentence that says what is expected.", Kind<String>.string.located)
    static let trigger = Field.reference(
        "trigger",
        "The trigger under test; may be left out when the configuration has only one.",
        to: "triggers"
    ).optional
    static let records = Field<[BehaviorRecords]>.list(
        "records",
        "What the source delivers; records are numbered from 1 in the order of this list.",
        of: .table(),
        count: 1...1000
    )
    static let answers = Field<[BehaviorAnswer]>.list(
        "answers",
        "What the function answers: at each invocation the first that applies, and success when none does.",
        of: .table()
    )
    static let until = Field.duration(
        "until",
        "Looks at what has happened by then, for triggers that never come to an end; until all is settled when left out.",
        in: .milliseconds(1) ... .seconds(365 * 86_400)
    ).optional
    static let expect = Field<BehaviorExpectations>("expect", "What must come of it.", .table())
    package static let table = FieldTable(
        "case",
        "Records, what the function answers, and what is expected.",
        [name, trigger, records, answers, until, expect]
    )

    /// Its name, with the place of the case.
    package let name: Located<String>
    /// The trigger; nil for the only one.
    package let trigger: Reference?
    /// The records.
    package let records: [BehaviorRecords]
    /// What the function answers.
    package let answers: [BehaviorAnswer]
    /// When to look; nil for the end.
    package let until: Duration?
    /// What is expected.
    package let expect: BehaviorExpectations
    /// Where it stands.
    package let place: Place
    /// The way to it.
    let path: ConfigurationPath

    package init(_ reader: inout ConfigurationReader) {
        self.place = reader.place
        self.path = reader.path
        self.name = reader[Self.name]
        self.trigger = reader[Self.trigger]
        self.records = reader[Self.records]
        self.answers = reader[Self.answers]
        self.until = reader[Self.until]
        self.expect = reader[Self.expect]
        let count = self.count
        reader.require(
            count <= RecordNumbers.limit,
            at: Self.records,
            code: .outOfRange,
            "are \(count) together, and can be \(RecordNumbers.limit)"
        )
        let named = self.answers.compactMap(\.lastRecord) + [self.expect.lastRecord]
        let beyond = named.first { $0.value > count }
        guard let beyond, count > 0 else { return }
        reader.record(
            Finding(
                .outOfRange,
                at: beyond.place,
                path: reader.path,
                "there is no record \(beyond.value): the case has \(count == 1 ? "one" : "\(count)")"
            )
        )
    }

    /// How many records there are.
    var count: Int { self.records.reduce(0) { $0 + $1.count } }
}

/// Records that are alike.
package struct BehaviorRecords: ConfigurationTable {
    static let count = Field.integer("count", "How many.", default: 1, in: 1...RecordNumbers.limit)
    static let partition = Field.string(
        "partition",
        "The partition's name as the source has it, such as `orders-0`; the first topic's partition 0 when left out."
    ).optional
    static let position = Field<Position?>(
        "position",
        "The position of the first of them; one after the record before it in its partition when left out, beginning with 1.",
        .parsed("a whole number", placeholder: nil) { text in
            guard let position = Position(text) else {
                throw MalformedNumbers(description: "\"\(text.prefix(40))\" is none")
            }
            return position
        },
        absence: .value(nil, shown: nil)
    )
    static let key = Field.string("key", "The key; none when left out.").optional
    static let value = Field<ConfigurationNode?>(
        "value",
        "The body: a text as it is, anything else as JSON; none when left out.",
        Kind<ConfigurationNode>.node.map { $0 },
        absence: .value(nil, shown: nil)
    )
    static let base64 = Field<[UInt8]?>(
        "base64",
        "The body in base64, instead of `value`.",
        .parsed("a text in base64", placeholder: nil) { text in
            guard let data = Data(base64Encoded: text) else {
                throw MalformedNumbers(description: "it is not, or not padded")
            }
            return [UInt8](data)
        },
        absence: .value(nil, shown: nil)
    )
    static let headers = Field.properties("headers", "Headers by name.")
    static let at = Field.duration(
        "at",
        "When they arrive, from the start of the case.",
        default: .zero
    )
    static let age = Field.duration(
        "age",
        "How old they are when they arrive, by their own time.",
        default: .zero
    )
    package static let table = FieldTable(
        "records",
        "Records that are alike.",
        [count, partition, position, key, value, base64, headers, at, age]
    )

    let count: Int
    let partition: String?
    let position: Position?
    let key: [UInt8]?
    let body: [UInt8]?
    let headers: [(name: String, value: String)]
    let at: Duration
    let age: Duration
    let place: Place

    package init(_ reader: inout ConfigurationReader) {
        self.place = reader.place
        self.count = reader[Self.count]
        self.partition = reader[Self.partition]
        self.position = reader[Self.position]
        self.key = reader[Self.key].map { Array($0.utf8) }
        let value = reader[Self.value].flatMap { Self.bytes($0.json) }
        let base64 = reader[Self.base64]
        self.body = base64 ?? value
        self.headers = reader[Self.headers].sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
        self.at = reader[Self.at]
        self.age = reader[Self.age]
        reader.require(
            !reader.has(Self.value) || !reader.has(Self.base64),
            at: Self.base64,
            "and \"value\" both give the body",
            suggestion: "keep one of them"
        )
    }

    private static func bytes(_ value: JSONValue) -> [UInt8]? {
        switch value {
        case .null: nil
        case .string(let text): Array(text.utf8)
        case .boolean, .integer, .number, .array, .object: Array(value.text.utf8)
        }
    }
}
