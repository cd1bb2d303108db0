// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
import PenstockRuntime
package import PostgresClient
import Reactor

/// `postgres:` of `on_failure` and `on_success`.
package struct PostgresDestinationConfiguration: ConfigurationTable {
    static let tableField = Field<PostgresTable>(
        "table",
        "The table: `letters`, or `schema.letters`; `penstock postgres init-destination` makes one.",
        .parsed("a table's name", placeholder: PostgresTable(schema: "public", name: "table")) { text in
            guard let table = PostgresTable(text) else { throw OutboxConfiguration.Malformed(text: text) }
            return table
        }
    )
    package static let table = FieldTable(
        "postgres",
        "A table: a row for each record that is given up.",
        PostgresFields.all + [tableField]
    )

    let address: PostgresAddress?
    let table: PostgresTable

    package init(_ reader: inout ConfigurationReader) {
        self.address = PostgresFields.address(&reader)
        self.table = reader[Self.tableField]
    }

    /// What it is, for people.
    var summary: String { "postgres table \(self.table)" }
}

/// The SQL that makes a table for dead letters or results: `penstock postgres init-destination`.
///
/// It can be run again: what is there stays.
package struct DocumentSchema: Sendable {
    /// The table.
    package var table: PostgresTable

    /// A table of that name.
    package init(_ table: PostgresTable) {
        self.table = table
    }

    /// The statement.
    package var sql: String {
        """
        CREATE TABLE IF NOT EXISTS \(self.table.quoted) (
            -- Names a record, or an invocation: the same again is the same row.
            id text PRIMARY KEY,
            trigger text NOT NULL,
            at timestamptz NOT NULL,
            -- json, because jsonb refuses some of what JSON may hold, such as \\u0000.
            document json NOT NULL
        );

        """
    }
}

/// Writes documents into a table, by one statement for all that a call brings.
///
/// A document that comes again replaces its row, so that a retry whose first try was carried out doubles nothing.
struct DocumentTable: Sendable {
    /// A row.
    struct Row: Sendable {
        var id: String
        var trigger: String
        var at: Timestamp
        var document: [UInt8]
    }

    let table: PostgresTable
    private let address: PostgresAddress
    private let session: PostgresSession

    private static let timeout = Duration.seconds(30)
    /// Rows, and bytes of documents, of one statement.
    private static let rowsMax = 1000
    private static let bytesMax = 16 << 20

    init(_ configuration: PostgresDestinationConfiguration, on reactor: Reactor) throws(DestinationError) {
        guard let address = configuration.address else {
            throw DestinationError("no database is configured")
        }
        self.table = configuration.table
        self.address = address
        self.session = PostgresSession(address, on: reactor)
    }

    /// Writes rows; those before a failure are durable.
    func write(_ rows: [Row]) async throws(DestinationError) {
        var start = 0
        while start < rows.count {
            var (end, bytes) = (start, 0)
            while end < rows.count, end - start < Self.rowsMax, end == start || bytes < Self.bytesMax {
                bytes += rows[end].document.count
                end += 1
            }
            do throws(PostgresError) {
                try await self.session.run(self.insert(rows[start..<end]), within: Self.timeout)
            } catch {
                let text = PostgresAdvice.text(error, self.address)
                guard Self.isAboutValues(error) else {
                    throw DestinationError(text, delivered: Array(0..<start))
                }
                let refused = try await self.single(rows, start..<end)
                // All went well one by one: what refused them was no value of theirs.
                guard refused.isEmpty else {
                    let delivered = (0..<end).filter { !refused.contains($0) }
                    throw DestinationError(text, delivered: delivered, refused: refused)
                }
            }
            start = end
        }
    }

    /// Writes rows one by one; gives the places of those that the table can never take.
    private func single(_ rows: [Row], _ range: Range<Int>) async throws(DestinationError) -> [Int] {
        var refused: [Int] = []
        for place in range {
            do throws(PostgresError) {
                try await self.session.run(self.insert(rows[place..<place + 1]), within: Self.timeout)
            } catch {
                guard Self.isAboutValues(error) else {
                    let delivered = (0..<place).filter { !refused.contains($0) }
                    throw DestinationError(
                        PostgresAdvice.text(error, self.address),
                        delivered: delivered,
                        refused: refused
                    )
                }
                refused.append(place)
            }
        }
        return refused
    }

    /// Whether a value is what the server refused: not the type's, or too large.
    private static func isAboutValues(_ error: PostgresError) -> Bool {
        error.code == .invalid || error.sqlState.map { $0.hasPrefix("22") || $0.hasPrefix("54") } ?? false
    }

    /// Keeps the rows, all or none; of two with the same id the later one.
    private func insert(_ rows: ArraySlice<Row>) -> PostgresQuery {
        // One statement must not touch a row twice (Postgres: INSERT), and a queue may bring a message twice.
        var places: [String: Int] = [:]
        for (place, row) in zip(rows.indices, rows) { places[row.id] = place }
        let rows = places.values.sorted().map { rows[$0] }
        return PostgresQuery(
            """
            INSERT INTO \(self.table.quoted) AS t (id, trigger, at, document)
            SELECT id, trigger, to_timestamp(at / 1000.0), document
            FROM unnest($1::text[], $2::text[], $3::bigint[], $4::json[]) AS new(id, trigger, at, document)
            ON CONFLICT (id) DO UPDATE SET at = excluded.at, document = excluded.document
            """,
            [
                .array(rows.map(\.id)), .array(rows.map(\.trigger)),
                .array(rows.map { String($0.at.milliseconds) }),
                .array(rows.map { String(decoding: $0.document, as: UTF8.self) }),
            ]
        )
    }

    func close() async { await self.session.close() }
}

/// Dead letters as rows of a table.
struct PostgresDestination: Destination {
    private let table: DocumentTable
    private let document: FailureDocument

    init(_ table: DocumentTable, _ document: FailureDocument) {
        self.table = table
        self.document = document
    }

    var name: String { "postgres table \(self.table.table)" }

    func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        let rows = letters.map { letter in
            DocumentTable.Row(
                id: "\(letter.trigger)/\(letter.partition)/\(letter.position)",
                trigger: letter.trigger,
                at: letter.at,
                document: self.document.json(of: letter)
            )
        }
        try await self.table.write(rows)
    }

    func close() async { await self.table.close() }
}

/// Results as rows of a table.
struct PostgresResultDestination: ResultDestination {
    private let table: DocumentTable

    init(_ table: DocumentTable) {
        self.table = table
    }

    var name: String { "postgres table \(self.table.table)" }

    func deliver(_ record: InvocationRecord) async throws(DestinationError) {
        let row = DocumentTable.Row(
            id: record.id,
            trigger: record.trigger,
            at: record.at,
            document: record.json
        )
        try await self.table.write([row])
    }

    func close() async { await self.table.close() }
}
