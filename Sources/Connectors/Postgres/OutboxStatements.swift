// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// The statements of an outbox table.
///
/// A row is *unfinished* until it is settled, and *free* when nobody has leased it and its time has come. Each receipt adds
/// one to `attempts`, which fences: a statement about an earlier receipt finds no row.
struct OutboxStatements: Sendable {
    private let table: PostgresTable
    private let columns: OutboxColumns
    private let end: OutboxEnd
    /// The type of the key, as SQL writes it.
    let idType: String

    init(_ configuration: OutboxConfiguration, idType: String) {
        self.table = configuration.table
        self.columns = configuration.columns
        self.end = configuration.end
        self.idType = idType
    }

    private func column(_ name: String, of alias: String) -> String {
        "\(alias).\(PostgresName.quoted(name))"
    }

    private func id(_ alias: String) -> String { self.column(self.columns.id, of: alias) }

    private func isUnfinished(_ alias: String) -> String {
        self.columns.doneAt.map { "\(self.column($0, of: alias)) IS NULL" } ?? "true"
    }

    private func isFree(_ alias: String) -> String {
        let locked = self.column(self.columns.lockedUntil, of: alias)
        var condition = "(\(locked) IS NULL OR \(locked) <= now())"
        if let available = self.columns.availableAt.map({ self.column($0, of: alias) }) {
            condition += " AND (\(available) IS NULL OR \(available) <= now())"
        }
        return condition
    }

    /// Whether rows are kept in order by groups.
    var hasGroups: Bool { self.columns.group != nil }

    // MARK: - Receiving

    /// The columns of ``OutboxReceive/rows``.
    enum Column {
        static let id = 0
        static let payload = 1
        static let attempts = 2
        static let group = 3
        static let headers = 4
        static let milliseconds = 5
        /// How often the function failed on it.
        static let failures = 6
    }

    /// Leases the oldest free rows, and gives them in order: a script, of whose results ``OutboxReceive`` reads.
    ///
    /// Of a group only what is free from its oldest unfinished row on: the receipts of a table with groups come one after
    /// the other, by a lock of their transactions, because two that do not see each other could overtake. They look at the
    /// oldest `depth` unfinished rows, before which no row of a group can be.
    ///
    /// Nothing of size is sent before the commit: whoever stands still then, and does not take what is sent, would keep the lock,
    /// and the rows, from all others. Which rows were leased, the session keeps for itself meanwhile, in settings of ours. A script
    /// that fails leaves its transaction open: run ``rollback``.
    func receive(limit: Int, depth: Int, lease: Duration) -> String {
        let rows =
            self.columns.group.map { self.groupedRows($0, limit: limit, depth: depth) }
            ?? self.freeRows(limit: limit)
        let lock = self.columns.group.map { _ in "SELECT pg_advisory_xact_lock(\(self.lockKey));\n" } ?? ""
        let attempts = self.column(self.columns.attempts, of: "t")
        return """
            BEGIN ISOLATION LEVEL READ COMMITTED;
            SELECT \(Self.plainPlan);
            \(lock)WITH \(rows), \(self.chosen), lease AS MATERIALIZED (
            SELECT clock_timestamp() + interval '\(lease.wholeMilliseconds) milliseconds' AS until
            ), leased AS (
            UPDATE \(self.table.quoted) t
            SET \(PostgresName.quoted(self.columns.lockedUntil)) = lease.until,
                \(PostgresName.quoted(self.columns.attempts)) = coalesce(\(attempts), 0) + 1
            FROM chosen CROSS JOIN lease WHERE \(self.id("t")) = chosen.id
            RETURNING \(self.id("t")) AS id, \(self.column(self.columns.lockedUntil, of: "t")) AS until
            ), kept AS MATERIALIZED (
            SELECT set_config('\(Self.idsSetting)', (
                    SELECT coalesce(array_agg(id), '{}')::text FROM leased
                ), false) IS NOT NULL
                AND set_config('\(Self.untilSetting)', (
                    SELECT coalesce(array_agg((extract(epoch FROM until) * 1000000)::bigint), '{}')::text
                    FROM (SELECT DISTINCT until FROM leased) leases
                ), false) IS NOT NULL AS is_kept
            )
            SELECT looked.count, cut.is_cut, kept.is_kept FROM looked CROSS JOIN cut CROSS JOIN kept;
            COMMIT;
            SELECT \(Self.plainPlan), \(Self.sending);
            \(self.leasedRows)
            """
    }

    /// The rows that the session's last receipt was of, unless somebody else has one by now: that has another time.
    private var leasedRows: String {
        let time = self.columns.createdAt.map {
            // An infinite time has no number.
            let column = self.column($0, of: "t")
            return "CASE WHEN isfinite(\(column)) THEN (extract(epoch FROM \(column)) * 1000)::bigint END"
        }
        return """
            SELECT \(self.id("t")), \(self.column(self.columns.payload, of: "t")),
                \(self.column(self.columns.attempts, of: "t")),
                \(self.columns.group.map { self.column($0, of: "t") } ?? "NULL")::text,
                \(self.columns.headers.map { self.column($0, of: "t") } ?? "NULL")::text, \(time ?? "NULL"),
                \(self.columns.failures.map { self.column($0, of: "t") } ?? "NULL")
            FROM \(self.table.quoted) t
            WHERE \(self.id("t")) = ANY (current_setting('\(Self.idsSetting)')::\(self.idType)[])
                AND \(self.column(self.columns.lockedUntil, of: "t")) = ANY (ARRAY (
                    SELECT timestamptz 'epoch' + microseconds * interval '1 microsecond'
                    FROM unnest(current_setting('\(Self.untilSetting)')::bigint[]) AS leases (microseconds)))
            ORDER BY \(self.id("t"))
            """
    }

    /// Ends a session whose rows nobody takes for as long as a statement may last.
    ///
    /// Its transaction keeps the server from cleaning up. Since version 12, and not by unix sockets.
    private static let sending = """
        CASE WHEN current_setting('server_version_num')::int >= 120000
            THEN set_config('tcp_user_timeout', '30000', true) END
        """

    /// Ends the transaction of a receive that failed.
    static let rollback = PostgresQuery(script: "ROLLBACK")

    /// The session's last receipt: the keys, and until when they are leased, in microseconds, whatever its form of times is.
    private static let idsSetting = "penstock.received_ids"
    private static let untilSetting = "penstock.received_until"

    /// Keeps the transaction to indexes, row by row: a queue grows and shrinks faster than the server counts its rows, and
    /// by what it believes then it would read all of the table for a few rows.
    private static let plainPlan = ["seqscan", "bitmapscan", "hashjoin", "mergejoin"].map {
        "set_config('enable_\($0)', 'off', true)"
    }.joined(separator: ", ")

    /// Bytes of payloads that a receive brings at most, unless one row alone has more.
    private static let receiveBytes = 16 << 20

    /// The bytes of a row's payload.
    private func size(_ alias: String) -> String {
        "octet_length(\(self.column(self.columns.payload, of: alias))::text)"
    }

    /// The first of the `candidates` as `chosen`, as many as fit, and whether that leaves any.
    private var chosen: String {
        """
        chosen AS MATERIALIZED (
        SELECT id FROM (
            SELECT id, sum(size) OVER (
                ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS before FROM candidates
        ) sized WHERE coalesce(before, 0) < \(Self.receiveBytes)
        ), cut AS (
        SELECT (SELECT count(*) FROM candidates) > (SELECT count(*) FROM chosen) AS is_cut
        )
        """
    }

    /// The oldest free rows as `candidates`.
    private func freeRows(limit: Int) -> String {
        """
        candidates AS MATERIALIZED (
        SELECT \(self.id("o")) AS id, \(self.size("o")) AS size FROM \(self.table.quoted) o
        WHERE \(self.isUnfinished("o")) AND \(self.isFree("o"))
        ORDER BY \(self.id("o")) LIMIT \(limit) FOR UPDATE OF o SKIP LOCKED
        ), looked AS (
        SELECT count(*) FROM candidates
        )
        """
    }

    /// The rows that may be taken of the oldest unfinished ones, as `candidates`.
    ///
    /// Of each group those before the first that is not free. What somebody else has locked, or has taken since the statement
    /// began, ends its group, too. Rows without a group are locked as they are found: to number them, and to look them up
    /// again, would cost as much as all the rest.
    private func groupedRows(_ group: String, limit: Int, depth: Int) -> String {
        let own = self.column(group, of: "o")
        return """
            oldest AS MATERIALIZED (
            SELECT \(self.id("o")) AS id, \(own)::text AS grp, \(self.isFree("o")) AS is_free
            FROM \(self.table.quoted) o WHERE \(self.isUnfinished("o"))
            ORDER BY \(self.id("o")) LIMIT \(depth)
            ), looked AS (
            SELECT count(*) FROM oldest
            ), lone AS MATERIALIZED (
            SELECT \(self.id("o")) AS id, \(self.size("o")) AS size FROM \(self.table.quoted) o
            WHERE \(self.isUnfinished("o")) AND \(self.isFree("o")) AND \(own) IS NULL
                AND \(self.id("o")) <= (SELECT id FROM oldest ORDER BY id DESC LIMIT 1)
            ORDER BY \(self.id("o")) LIMIT \(limit) FOR UPDATE OF o SKIP LOCKED
            ), wanted AS MATERIALIZED (
            SELECT id, grp, place FROM (
                SELECT id, grp, bool_and(is_free) OVER in_order AS is_next, row_number() OVER in_order AS place
                FROM oldest WHERE grp IS NOT NULL WINDOW in_order AS (PARTITION BY grp ORDER BY id)
            ) ordered WHERE is_next ORDER BY id LIMIT \(limit)
            ), locked AS MATERIALIZED (
            SELECT wanted.id, wanted.grp, wanted.place, \(self.size("o")) AS size
            FROM wanted JOIN \(self.table.quoted) o ON \(self.id("o")) = wanted.id
            WHERE \(self.isUnfinished("o")) AND \(self.isFree("o"))
            FOR UPDATE OF o SKIP LOCKED
            ), candidates AS MATERIALIZED (
            SELECT id, size FROM lone
            UNION ALL
            SELECT id, size FROM (
                SELECT id, size, place, row_number() OVER (PARTITION BY grp ORDER BY id) AS own_place FROM locked
            ) placed WHERE place = own_place
            ORDER BY id LIMIT \(limit)
            )
            """
    }

    /// A number that stands for the table; two tables with the same one only wait for each other.
    private var lockKey: Int64 {
        let hash = "penstock \(self.table)".utf8.reduce(0xCBF2_9CE4_8422_2325) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        return Int64(bitPattern: hash)
    }

    // MARK: - Settling

    /// A receipt of a row.
    struct Receipt: Sendable, Hashable {
        var id: String
        var attempts: Int64
    }

    /// For how long a row is kept from everybody, and why.
    struct Hold: Sendable, Hashable {
        var milliseconds: Int64 = 0
        /// Whether the function failed on it.
        var isFailure = false
    }

    /// Joins receipts with their rows.
    private var match: String {
        """
        WHERE \(self.id("t")) = receipt.id::\(self.idType) AND \(self.column(self.columns.attempts, of: "t")) = receipt.attempts
            AND \(self.isUnfinished("t"))
        RETURNING receipt.id, receipt.attempts::text
        """
    }

    /// The receipts as a table of the columns `id` and `attempts`, with more of them.
    private func list(
        _ receipts: [Receipt],
        _ more: (name: String, type: String, values: [String])...
    ) -> String {
        let columns =
            [
                (name: "id", type: "text", values: receipts.map(\.id)),
                (name: "attempts", type: "bigint", values: receipts.map { String($0.attempts) }),
            ] + more
        let arrays = columns.map { column in
            "\(PostgresName.literal(PostgresValue.arrayText(column.values)))::\(column.type)[]"
        }
        let names = columns.map(\.name).joined(separator: ", ")
        return "unnest(\(arrays.joined(separator: ", "))) AS receipt(\(names))"
    }

    /// A script, because what keeps its transaction to indexes is a statement of its own.
    private func plainly(_ sql: String) -> PostgresQuery {
        PostgresQuery(script: "SELECT \(Self.plainPlan);\n\(sql)")
    }

    /// Settles rows for good; gives the keys of those that were still ours.
    func acknowledge(_ receipts: [Receipt]) -> PostgresQuery {
        let list = self.list(receipts)
        let sql: String
        if self.end == .mark, let doneAt = self.columns.doneAt {
            sql = """
                UPDATE \(self.table.quoted) t SET \(PostgresName.quoted(doneAt)) = clock_timestamp(),
                    \(PostgresName.quoted(self.columns.lockedUntil)) = NULL
                FROM \(list) \(self.match)
                """
        } else {
            sql = "DELETE FROM \(self.table.quoted) t USING \(list) \(self.match)"
        }
        return self.plainly(sql)
    }

    /// Keeps rows from everybody from now on: a longer lease, or a wait before they come again.
    func hold(_ receipts: [Receipt], _ holds: [Hold]) -> PostgresQuery {
        let failures = self.columns.failures.map { name in
            ", \(PostgresName.quoted(name)) = coalesce(\(self.column(name, of: "t")), 0) + receipt.failures"
        }
        let list = self.list(
            receipts,
            ("milliseconds", "bigint", holds.map { String($0.milliseconds) }),
            ("failures", "int", holds.map { $0.isFailure ? "1" : "0" })
        )
        return self.plainly(
            """
            UPDATE \(self.table.quoted) t SET \(PostgresName.quoted(self.columns.lockedUntil)) =
                clock_timestamp() + receipt.milliseconds * interval '1 millisecond'\(failures ?? "")
            FROM \(list) \(self.match)
            """
        )
    }

    // MARK: - Looking

    /// The names and types of the table's columns; `$1` is its name.
    static func columns(of table: PostgresTable) -> PostgresQuery {
        PostgresQuery(
            """
            SELECT attname, format_type(atttypid, atttypmod), current_database() FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
            """,
            [.text(table.quoted)]
        )
    }

    /// How many rows are unfinished, counted up to a bound.
    var backlog: PostgresQuery {
        PostgresQuery(
            """
            SELECT count(*) FROM (
                SELECT FROM \(self.table.quoted) o WHERE \(self.isUnfinished("o")) LIMIT \(Self.backlogMax)
            ) unfinished
            """
        )
    }

    /// Where counting ends.
    static let backlogMax = 100_000
}
