// SPDX-License-Identifier: Apache-2.0

import PostgresClient

/// What a slot is to be like.
struct SlotSettings: Sendable, Equatable {
    var slot: String
    var publication: String
    /// The tables of which changes are wanted; empty for all that are published.
    var tables: [PostgresTable]
    /// Whether what is missing is made.
    var isCreated: Bool
    /// Whether somebody wants all that is published, beside those who want tables.
    var wantsAll = false
    /// Names those that share the store, this process among them; nil for a store of its own.
    var cluster: String?
}

/// What a server says about a slot and its publication.
struct SlotFacts: Sendable, Equatable {
    struct Slot: Sendable, Equatable {
        var plugin: String
        var database: String
        /// The server process that reads it, and whose it is; nil when nobody reads.
        var owner: Int32?
        /// What it calls itself, and where it is.
        var ownerName: String
        var ownerHost = ""
        var confirmed: LogSequenceNumber
        /// `reserved`, `extended`, `unreserved` or `lost`; nil before version 13.
        var walStatus: String?
    }

    /// A table that is wanted.
    struct Table: Sendable, Equatable {
        var name: PostgresTable
        var exists: Bool
        var isPublished: Bool
    }

    var version: Int
    var walLevel: String
    var isStandby: Bool
    var database: String
    var slot: Slot?
    var hasPublication: Bool
    /// Where its log ends.
    var end: LogSequenceNumber
    var tables: [Table]

    /// The questions, for a server of this version.
    static func question(_ settings: SlotSettings, version: Int) -> PostgresQuery {
        PostgresQuery(
            """
            SELECT current_setting('wal_level'), pg_is_in_recovery(), current_database(), s.plugin, s.database, s.active_pid,
              coalesce(a.application_name, ''),
              s.confirmed_flush_lsn::text, \(version >= 130_000 ? "s.wal_status" : "NULL"), p.oid IS NOT NULL,
              s.slot_name IS NOT NULL, CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn()::text END,
              coalesce(host(a.client_addr), '')
            FROM (SELECT 1) AS one
            LEFT JOIN pg_replication_slots s ON s.slot_name = $1
            LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
            LEFT JOIN pg_publication p ON p.pubname = $2
            """,
            [.text(settings.slot), .text(settings.publication)]
        )
    }

    static func tablesQuestion(_ settings: SlotSettings) -> PostgresQuery {
        PostgresQuery(
            """
            SELECT w.relation IS NOT NULL, EXISTS (
                SELECT FROM pg_publication_tables t
                WHERE t.pubname = $1 AND t.schemaname = w.schema AND t.tablename = w.name
              ) OR EXISTS (
                SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                WHERE p.pubname = $1 AND r.prrelid = w.relation
              )
            FROM (
              SELECT n, schema, name, to_regclass(quote_ident(schema) || '.' || quote_ident(name))::oid AS relation
              FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS u (schema, name, n)
            ) AS w ORDER BY w.n
            """,
            [
                .text(settings.publication), .array(settings.tables.map(\.schema)),
                .array(settings.tables.map(\.name)),
            ]
        )
    }

    /// Reads the answers; nil when the server has not answered what was asked.
    init?(_ rows: PostgresResult, _ tables: PostgresResult, _ settings: SlotSettings, version: Int) {
        guard rows.rows == 1, tables.rows == settings.tables.count else { return nil }
        self.version = version
        self.walLevel = rows.text(0, 0) ?? ""
        self.isStandby = rows.boolean(0, 1) ?? false
        self.database = rows.text(0, 2) ?? ""
        if rows.boolean(0, 10) == true {
            self.slot = Slot(
                plugin: rows.text(0, 3) ?? "",
                database: rows.text(0, 4) ?? "",
                owner: rows.integer(0, 5).map { Int32(truncatingIfNeeded: $0) },
                ownerName: rows.text(0, 6) ?? "",
                ownerHost: rows.text(0, 12) ?? "",
                confirmed: rows.text(0, 7).flatMap { LogSequenceNumber($0) } ?? .none,
                walStatus: rows.text(0, 8)
            )
        }
        self.hasPublication = rows.boolean(0, 9) ?? false
        self.end = rows.text(0, 11).flatMap { LogSequenceNumber($0) } ?? .none
        self.tables = settings.tables.enumerated().map { row, name in
            Table(
                name: name,
                exists: tables.boolean(row, 0) ?? false,
                isPublished: tables.boolean(row, 1) ?? false
            )
        }
    }

    /// Facts as they are known.
    init(
        version: Int,
        walLevel: String,
        isStandby: Bool,
        database: String,
        slot: Slot?,
        hasPublication: Bool,
        end: LogSequenceNumber,
        tables: [Table]
    ) {
        self.end = end
        self.version = version
        self.walLevel = walLevel
        self.isStandby = isStandby
        self.database = database
        self.slot = slot
        self.hasPublication = hasPublication
        self.tables = tables
    }
}

/// What is to be done next to read a slot.
enum SlotStep: Sendable, Equatable {
    /// Read it from there.
    case read(confirmed: LogSequenceNumber)
    /// Run a statement, and look again.
    case run(String)
    /// Somebody else reads it: wait until that ends.
    case wait(owner: Int32, String)
    /// Nothing goes before somebody does something, which the text says.
    case problem(String)
    /// The server has thrown away what the slot still needed.
    case lost(String)
}

extension SlotFacts {
    /// Decides it.
    ///
    /// Pure. A slot is made once its publication is there: what was written before it cannot be read by it.
    func next(_ settings: SlotSettings) -> SlotStep {
        let (slot, publication) = (settings.slot, PostgresName.quoted(settings.publication))
        guard self.walLevel == "logical" else {
            return .problem(
                "wal_level is \(self.walLevel); ALTER SYSTEM SET wal_level = logical, and restart the server"
            )
        }
        guard !self.isStandby else {
            return .problem("the server is a standby in recovery; connect to the primary")
        }
        let missing = self.tables.filter { !$0.exists }.map { "\($0.name)" }
        // Where some are there, those who want them read on.
        guard missing.isEmpty || missing.count < self.tables.count || settings.wantsAll else {
            return .problem(
                "there is no table \(missing.joined(separator: ", ")); make it, or change \"tables\""
            )
        }
        if let step = self.publicationStep(settings, publication) { return step }
        guard let found = self.slot else {
            let sql = "SELECT pg_create_logical_replication_slot(\(PostgresName.literal(slot)), 'pgoutput')"
            return settings.isCreated
                ? .run(sql)
                : .problem("there is no slot \(slot); run \(sql), or set \"create: true\"")
        }
        guard found.plugin == "pgoutput", found.database == self.database else {
            let what =
                found.plugin.isEmpty
                ? "is a physical one" : "is of the plugin \(found.plugin) in the database \(found.database)"
            return .problem(
                "the slot \(slot) \(what), where pgoutput in \(self.database) is needed; name another one"
            )
        }
        if found.walStatus == "lost" {
            return .lost(
                "the slot \(slot) is lost: the server threw away what was not read yet, as max_slot_wal_keep_size says; "
                    + "changes are missing. Run SELECT pg_drop_replication_slot(\(PostgresName.literal(slot))), make the slot "
                    + "anew, and read the tables again (take them out of \"snapshot\", start once, and name them again)"
            )
        }
        if let owner = found.owner { return found.wait(owner, settings) }
        return .read(confirmed: found.confirmed)
    }

    private func publicationStep(_ settings: SlotSettings, _ publication: String) -> SlotStep? {
        let known = self.tables.filter(\.exists)
        let names = settings.wantsAll ? "" : known.map(\.name.quoted).joined(separator: ", ")
        guard self.hasPublication else {
            // Partitions are published as the table that they are parts of.
            let root = self.version >= 130_000 ? " WITH (publish_via_partition_root = true)" : ""
            let sql =
                "CREATE PUBLICATION \(publication) FOR \(names.isEmpty ? "ALL TABLES" : "TABLE " + names)\(root)"
            return settings.isCreated
                ? .run(sql)
                : .problem(
                    "there is no publication \(settings.publication); run \(sql), or set \"create: true\""
                )
        }
        let missing = known.filter { !$0.isPublished }
        guard !missing.isEmpty else { return nil }
        let added = missing.map(\.name.quoted).joined(separator: ", ")
        let sql = "ALTER PUBLICATION \(publication) ADD TABLE \(added)"
        return settings.isCreated
            ? .run(sql)
            : .problem(
                "the publication \(settings.publication) has no table "
                    + missing.map { "\($0.name)" }.joined(separator: ", ") + "; run \(sql)"
            )
    }
}

extension SlotFacts.Slot {
    /// Whether a Penstock that shares the store reads it.
    func isOwned(by cluster: String) -> Bool {
        let mark = SlotSession.reader(of: cluster)
        return self.ownerName == mark || self.ownerName.hasPrefix(mark + " ")
    }

    /// Who reads it, for those who wait for that to end.
    fileprivate func wait(_ owner: Int32, _ settings: SlotSettings) -> SlotStep {
        let place = self.ownerHost.isEmpty ? "" : " at \(self.ownerHost)"
        let name = self.ownerName.isEmpty ? "" : " (\(self.ownerName)\(place))"
        let isForeign =
            settings.cluster.map { self.ownerName.hasPrefix("penstock") && !self.isOwned(by: $0) } ?? false
        let reader = isForeign ? "another Penstock, which does not share this one's store" : "another session"
        let advice = isForeign ? ". Give each its own slot, or both the same \"state\"" : ""
        return .wait(
            owner: owner,
            "the slot \(settings.slot) is read by \(reader), the server's process \(owner)\(name); this one stands by, and "
                + "takes over when that ends\(advice)"
        )
    }
}
