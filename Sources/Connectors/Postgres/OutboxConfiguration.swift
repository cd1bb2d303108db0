// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
import PostgresClient

/// What becomes of a row that is settled.
enum OutboxEnd: String, CaseIterable, Sendable {
    /// It is deleted.
    case delete
    /// It stays, with the time in its column `done_at`.
    case mark
}

/// `outbox:` of a Postgres source.
package struct OutboxConfiguration: ConfigurationTable {
    static let tableField = Field<PostgresTable>(
        "table",
        "The table: `outbox`, or `schema.outbox`; `penstock postgres init-outbox` makes one.",
        .parsed("a table's name", placeholder: PostgresTable(schema: "public", name: "outbox")) { text in
            guard let table = PostgresTable(text) else { throw Malformed(text: text) }
            return table
        },
        absence: .value(PostgresTable(schema: "public", name: "outbox"), shown: .string("public.outbox"))
    )
    static let columnsField = Field<OutboxColumns?>(
        "columns",
        "The names of its columns, when the table is not as `init-outbox` makes it.",
        Kind<OutboxColumns>.table().map { $0 },
        absence: .value(nil, shown: nil)
    )
    static let leaseField = Field.duration(
        "lease",
        "How long received rows are kept from others; made longer in time while they are in hand. By default the function's timeout, the batch window and 30s.",
        in: .seconds(2) ... .seconds(43_200)
    ).optional
    static let endField = Field.choice(
        "on_success",
        "What becomes of a row that is settled: `delete`, or `mark`, which needs the column `done_at`.",
        default: OutboxEnd.delete
    )
    static let pollField = Field.duration(
        "poll",
        "How often the table is asked when nothing was notified.",
        default: .seconds(5),
        in: .milliseconds(100) ... .seconds(3600)
    )
    static let channelField = Field.string(
        "channel",
        "The channel on which the table's trigger notifies; by default that of `init-outbox`."
    ).optional
    static let doorbellField = Field.boolean(
        "doorbell",
        "Whether to listen on `channel`, on a connection of its own; without it rows are found by `poll` alone.",
        default: true
    )
    package static let table = FieldTable(
        "outbox",
        "A table as a queue: each row is a record, leased while it is in hand.",
        PostgresFields.all + [
            tableField, columnsField, leaseField, endField, pollField, channelField, doorbellField,
        ]
    )

    struct Malformed: Error, CustomStringConvertible {
        let text: String
        var description: String {
            "\"\(self.text.prefix(160))\" is none; write outbox or schema.outbox, each name at most 63 bytes"
        }
    }

    let address: PostgresAddress?
    let table: PostgresTable
    let columns: OutboxColumns
    let lease: Duration?
    let end: OutboxEnd
    let poll: Duration
    /// Nil for no doorbell.
    let channel: String?

    package init(_ reader: inout ConfigurationReader) {
        self.address = PostgresFields.address(&reader)
        self.table = reader[Self.tableField]
        self.columns = reader[Self.columnsField] ?? .standard
        self.lease = reader[Self.leaseField]
        self.end = reader[Self.endField]
        self.poll = reader[Self.pollField]
        let channel = reader[Self.channelField]
        self.channel = reader[Self.doorbellField] ? channel ?? OutboxSchema.channel(self.table) : nil
        reader.require(
            channel.map { PostgresName.isValid($0) } ?? true,
            at: Self.channelField,
            code: .badValue,
            "must have 1 to 63 bytes"
        )
        reader.require(
            self.end == .delete || self.columns.doneAt != nil,
            at: Self.endField,
            "needs a column for the time",
            suggestion: "name it by columns.done_at"
        )
    }
}

/// `columns:`; the optional ones are used when they are named.
package struct OutboxColumns: ConfigurationTable, Equatable {
    static let idField = Field.string("id", "The primary key, by which rows are in order.", default: "id")
    static let payloadField = Field.string("payload", "What the record holds.", default: "payload")
    static let lockedUntilField = Field.string(
        "locked_until",
        "A timestamptz that may be NULL: until when nobody may receive the row.",
        default: "locked_until"
    )
    static let attemptsField = Field.string(
        "attempts",
        "A whole number that is not NULL: how often the row was received.",
        default: "attempts"
    )
    static let groupField = Field.string(
        "group",
        "What rows have in common that are to be kept in order; NULL for none."
    ).optional
    static let headersField = Field.string("headers", "A JSON object that goes along with the payload.")
        .optional
    static let createdAtField = Field.string("created_at", "A timestamptz: the record's own time.").optional
    static let availableAtField = Field.string(
        "available_at",
        "A timestamptz: before it the row is not received."
    ).optional
    static let doneAtField = Field.string(
        "done_at",
        "A timestamptz that is NULL until the row is settled; for `on_success: mark`."
    ).optional
    static let failuresField = Field.string(
        "failures",
        "A whole number that is not NULL: how often the function failed on the row; without it that is counted in memory."
    ).optional
    package static let table = FieldTable(
        "columns",
        "The columns of the table.",
        [
            idField, payloadField, lockedUntilField, attemptsField, groupField, headersField, createdAtField,
            availableAtField, doneAtField, failuresField,
        ]
    )

    var id = "id"
    var payload = "payload"
    var lockedUntil = "locked_until"
    var attempts = "attempts"
    var group: String?
    var headers: String?
    var createdAt: String?
    var availableAt: String?
    var doneAt: String?
    var failures: String?

    /// Those of `init-outbox`.
    static let standard: OutboxColumns = {
        var columns = OutboxColumns()
        columns.group = "group_key"
        columns.headers = "headers"
        columns.createdAt = "created_at"
        columns.availableAt = "available_at"
        columns.doneAt = "done_at"
        columns.failures = "failures"
        return columns
    }()

    private init() {}

    package init(_ reader: inout ConfigurationReader) {
        self.id = reader[Self.idField]
        self.payload = reader[Self.payloadField]
        self.lockedUntil = reader[Self.lockedUntilField]
        self.attempts = reader[Self.attemptsField]
        self.group = reader[Self.groupField]
        self.headers = reader[Self.headersField]
        self.createdAt = reader[Self.createdAtField]
        self.availableAt = reader[Self.availableAtField]
        self.doneAt = reader[Self.doneAtField]
        self.failures = reader[Self.failuresField]
    }

    /// All that are named, for a look at the table.
    var all: [String] {
        [self.id, self.payload, self.lockedUntil, self.attempts]
            + [self.group, self.headers, self.createdAt, self.availableAt, self.doneAt, self.failures]
            .compactMap(
                \.self
            )
    }
}
