// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
import PostgresClient

/// `notify:` of a Postgres source.
package struct NotifyConfiguration: ConfigurationTable {
    static let channelsField = Field.strings(
        "channels",
        "The channels to listen on, as LISTEN has them in quotes; at most 63 bytes each.",
        count: 1...100
    )
    static let bufferField = Field.integer(
        "buffer",
        "Notifications that may wait in memory for the store; what comes beyond is dropped, counted, and told as a gap.",
        default: 10_000,
        in: 1...1_000_000
    )
    static let pingField = Field.duration(
        "ping",
        "After how much silence the server is asked whether it is still there.",
        default: .seconds(15),
        in: .seconds(1) ... .seconds(3600)
    )
    static let catchUpField = Field<CatchUpConfiguration?>(
        "catch_up",
        "A query that finds what notifications tell of: with it they are only a doorbell, and nothing is missed.",
        Kind<CatchUpConfiguration>.table().map { $0 },
        absence: .value(nil, shown: nil)
    )
    package static let table = FieldTable(
        "notify",
        "What NOTIFY sends to channels of a database, each notification a record.",
        PostgresFields.all + [channelsField, bufferField, pingField, catchUpField]
    )

    let address: PostgresAddress?
    let channels: [String]
    let buffer: Int
    let ping: Duration
    let catchUp: CatchUpConfiguration?

    package init(_ reader: inout ConfigurationReader) {
        self.address = PostgresFields.address(&reader)
        self.channels = reader[Self.channelsField]
        self.buffer = reader[Self.bufferField]
        self.ping = reader[Self.pingField]
        self.catchUp = reader[Self.catchUpField]
        for channel in self.channels where !PostgresName.isValid(channel) {
            reader.require(
                false,
                at: Self.channelsField,
                code: .badValue,
                "holds \"\(channel.prefix(80))\", which is no name of a channel: 1 to 63 bytes"
            )
        }
        reader.require(
            Set(self.channels).count == self.channels.count,
            at: Self.channelsField,
            "holds a channel twice",
            suggestion: "keep one of them"
        )
    }
}

/// `catch_up:`.
package struct CatchUpConfiguration: ConfigurationTable {
    static let queryField = Field.string(
        "query",
        "A SELECT whose first column is a whole number that grows, and whose second is the payload; `$last` in it stands for the number up to which all was read: SELECT id, to_jsonb(o) FROM orders o WHERE id > $last."
    )
    static let startField = Field.integer(
        "start",
        "What `$last` is at the first start.",
        default: 0,
        in: .min ... .max
    )
    static let intervalField = Field.duration(
        "interval",
        "How often it runs without a notification.",
        default: .seconds(60),
        in: .seconds(1) ... .seconds(86_400)
    )
    static let overlapField = Field.duration(
        "overlap",
        "How long a row may become visible after one with a greater number: longer than the transactions that write take. Rows are looked for again for so long.",
        default: .seconds(30),
        in: .zero ... .seconds(3600)
    )
    package static let table = FieldTable(
        "catch_up",
        "A query that finds the rows that notifications tell of.",
        [queryField, startField, intervalField, overlapField]
    )

    /// The word that stands for the last number.
    static let lastWord = "$last"
    /// Rows of one page.
    static let page = 500
    /// Bytes of the payloads of one page, unless one row alone has more.
    static let pageBytes = 16 << 20

    let start: Int64
    let interval: Duration
    let overlap: Duration
    /// The query with its page, with `$1` for the last number: number, payload, and how many rows the page has, of which those
    /// beyond its bytes are left out.
    let sql: String

    package init(_ reader: inout ConfigurationReader) {
        let query = reader[Self.queryField]
        self.start = Int64(reader[Self.startField])
        self.interval = reader[Self.intervalField]
        self.overlap = reader[Self.overlapField]
        // The names are what the server's errors tell of a query that has one column.
        self.sql = """
            SELECT number, payload, total FROM (
                SELECT number, payload, count(*) OVER () AS total, sum(octet_length(payload::text)) OVER (
                    ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS before FROM (
                    SELECT penstock_number AS number, penstock_payload AS payload
                    FROM (\(query.replacing(Self.lastWord, with: "$1"))
                    ) AS "catch_up.query"(penstock_number, penstock_payload)
                    ORDER BY penstock_number LIMIT \(Self.page)
                ) AS page
            ) AS sized WHERE coalesce(before, 0) < \(Self.pageBytes) ORDER BY number
            """
        guard reader.has(Self.queryField) else { return }
        reader.require(
            query.contains(Self.lastWord),
            at: Self.queryField,
            code: .badValue,
            "must have \(Self.lastWord) in its condition",
            suggestion: "write WHERE id > \(Self.lastWord)"
        )
        reader.require(
            !query.contains(";"),
            at: Self.queryField,
            code: .badValue,
            "must be one statement without a semicolon"
        )
    }
}
