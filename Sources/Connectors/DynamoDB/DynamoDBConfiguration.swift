// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
package import PenstockConfiguration
import PenstockCore

/// What stands under `dynamodb:` of a source.
package struct DynamoDBSourceConfiguration: ConfigurationTable {
    /// Where a stream begins that has no checkpoint.
    enum Start: String, CaseIterable, Sendable {
        /// With the oldest changes that it has.
        case earliest
        /// With what comes from now on.
        case latest
    }

    static let tableField = Field<String?>(
        "table",
        "The table whose stream is read; when the table gets another stream, that one follows.",
        .parsed("a table's name", placeholder: nil) { text in
            guard Self.isTable(text) else { throw Malformed.table(text) }
            return text
        },
        absence: .value(nil, shown: nil)
    )
    static let streamField = Field<StreamName?>(
        "stream",
        "One stream by its ARN, instead of `table`.",
        .parsed(StreamName.form, placeholder: nil) { text in
            guard let name = StreamName(text) else { throw Malformed.stream(text) }
            return name
        },
        absence: .value(nil, shown: nil)
    )
    static let startField = Field.choice(
        "start",
        "Where a stream without checkpoints begins: `earliest`, with the oldest of its 24 hours, or `latest`.",
        default: Start.earliest
    )
    static let pollersField = Field.integer(
        "pollers",
        "Reads of shards side by side at most.",
        default: 10,
        in: 1...256
    )

    /// The fields under `dynamodb:`.
    package static let table = FieldTable(
        "dynamodb",
        "Reads the stream of changes of a DynamoDB table.",
        [Self.tableField, Self.streamField] + AWSFields.all + [Self.startField, Self.pollersField]
    )

    /// Why a name could not be read.
    private enum Malformed: Error, CustomStringConvertible {
        case table(String)
        case stream(String)

        var description: String {
            switch self {
            case .table(let text):
                "\"\(text.prefix(160))\" is none: 3 to 255 letters, digits, dots, hyphens and underscores"
            case .stream(let text):
                "\"\(text.prefix(160))\" is none; write arn:aws:dynamodb:eu-west-1:123456789012:table/orders/"
                    + "stream/2026-03-14T08:00:00.123, or set \"table\" instead"
            }
        }
    }

    /// What is read.
    enum Origin: Sendable {
        /// The stream that a table has.
        case table(String)
        /// One stream.
        case stream(StreamName)
    }

    /// Whether a table is named, whose streams follow each other.
    var isTable: Bool {
        if case .table = self.origin { true } else { false }
    }

    let origin: Origin
    let start: Start
    let pollers: Int
    private(set) var options: AWSOptions

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let table = reader[Self.tableField]
        let stream = reader[Self.streamField]
        self.start = reader[Self.startField]
        self.pollers = reader[Self.pollersField]
        // One for the list of shards.
        self.options = AWSOptions(&reader, region: stream?.region, connections: self.pollers + 1)
        reader.require(
            table == nil || stream == nil,
            at: Self.streamField,
            "and \"table\" exclude each other"
        )
        reader.require(
            table != nil || stream != nil,
            at: Self.tableField,
            "is missing",
            suggestion: "set table: NAME, or stream: ARN"
        )
        self.origin = stream.map { .stream($0) } ?? .table(table ?? "table")
    }

    /// The same with credentials that others look for, too.
    func sharing(_ pool: CredentialPool) -> Self {
        var copy = self
        copy.options = self.options.sharing(pool)
        return copy
    }

    /// For people: `table orders`, or the stream's ARN.
    var summary: String {
        switch self.origin {
        case .table(let name): "table \(name)"
        case .stream(let stream): "stream \(stream.arn)"
        }
    }

    /// AWS: "Naming rules" of DynamoDB.
    private static func isTable(_ text: String) -> Bool {
        (3...255).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                    UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}
