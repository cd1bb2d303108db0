// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PostgresClient
import Reactor

extension PostgresExamination {
    /// What logical replication needs.
    func changes(_ configuration: ChangesConfiguration) async -> [Diagnosis] {
        let settings = configuration.settings
        let version = self.connection.serverVersion
        let facts: SlotFacts
        do throws(PostgresError) {
            let rows = try await self.connection.run(
                SlotFacts.question(settings, version: version),
                within: Self.patience
            )
            let tables = try await self.connection.run(
                SlotFacts.tablesQuestion(settings),
                within: Self.patience
            )
            guard let found = SlotFacts(rows, tables, settings, version: version) else { return [] }
            facts = found
        } catch {
            return [.error("slot", PostgresAdvice.text(error, self.address))]
        }
        return [
            Self.level(facts),
            Self.slot(facts, settings),
            await self.publication(facts, settings),
            await self.creation(facts, settings),
            await self.room(facts, configuration),
            await self.snapshot(configuration),
            await self.lag(configuration),
            await self.identities(facts, settings),
            await self.lists(settings),
        ].compactMap(\.self)
    }

    /// Whether the server writes what can be read.
    private static func level(_ facts: SlotFacts) -> Diagnosis? {
        facts.walLevel == "logical" ? .ok("wal_level", "logical") : nil
    }

    /// Which tables are published, and which of their changes.
    private func publication(_ facts: SlotFacts, _ settings: SlotSettings) async -> Diagnosis? {
        guard facts.hasPublication else { return nil }
        let missing = facts.tables.filter { !$0.exists }.map { "\($0.name)" }
        guard missing.isEmpty else {
            return .error(
                "publication",
                "there is no table \(missing.joined(separator: ", ")); make it, or change \"tables\""
            )
        }
        let query = PostgresQuery(
            """
            SELECT (SELECT count(*) FROM pg_publication_tables t WHERE t.pubname = p.pubname),
              pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication p WHERE pubname = $1
            """,
            [.text(settings.publication)]
        )
        return await self.ask("publication", query) { rows in
            let count = rows.integer(0, 0) ?? 0
            let kinds = ["insert", "update", "delete", "truncate"]
            let left = kinds.indices.filter { rows.boolean(0, $0 + 1) == false }.map { kinds[$0] }
            let text = "\(settings.publication) has \(count) table\(count == 1 ? "" : "s")"
            if count == 0 {
                return .warning("publication", "\(text): nothing comes; ALTER PUBLICATION … ADD TABLE")
            }
            return left.isEmpty
                ? .ok("publication", "\(text), and all of their changes")
                : .warning(
                    "publication",
                    "\(text), without \(left.joined(separator: ", ")): these never come; ALTER PUBLICATION … SET (publish = …)"
                )
        }
    }

    /// Whether the user may make what is missing.
    private func creation(_ facts: SlotFacts, _ settings: SlotSettings) async -> Diagnosis? {
        let unpublished = facts.tables.filter { $0.exists && !$0.isPublished }.map(\.name)
        guard settings.isCreated, !facts.hasPublication || !unpublished.isEmpty else { return nil }
        let names = settings.tables.isEmpty ? [] : unpublished
        let query = PostgresQuery(
            """
            SELECT r.rolsuper, has_database_privilege(current_database(), 'CREATE'),
              (SELECT string_agg(t.name, ', ') FROM unnest($1::text[]) AS t (name)
                JOIN pg_class c ON c.oid = to_regclass(t.name) WHERE NOT pg_has_role(c.relowner, 'USAGE')),
              (SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = $2)
            FROM pg_roles r WHERE rolname = current_user
            """,
            [.array(names.map(\.quoted)), .text(settings.publication)]
        )
        return await self.ask("permissions", query) { rows in
            let what = "the publication \(settings.publication)"
            if rows.boolean(0, 0) == true { return .ok("permissions", "a superuser, who may make \(what)") }
            let way = "; or make \(what) as another user, and leave \"create\" out"
            if facts.hasPublication {
                guard rows.boolean(0, 3) == true else {
                    return .error("permissions", "only the owner of \(what) may add tables to it\(way)")
                }
            } else if settings.tables.isEmpty {
                return .error("permissions", "only a superuser may publish all tables; name \"tables\"\(way)")
            } else if rows.boolean(0, 1) != true {
                return .error("permissions", "GRANT CREATE ON DATABASE \(facts.database) is missing\(way)")
            }
            guard let others = rows.text(0, 2) else {
                return .ok("permissions", "the user may make \(what)")
            }
            return .error("permissions", "only the owner of \(others) may publish it\(way)")
        }
    }

    /// Whether the slot could be read now.
    private static func slot(_ facts: SlotFacts, _ settings: SlotSettings) -> Diagnosis {
        switch facts.next(settings) {
        case .read: .ok("slot", "\(settings.slot) can be read, with the publication \(settings.publication)")
        case .run(let sql): .warning("slot", "at the first start this is run: \(sql)")
        case .wait(_, let text): .warning("slot", text)
        case .problem(let text), .lost(let text): .error("slot", text)
        }
    }

    /// Whether the server has room for a slot and a session that reads it.
    private func room(_ facts: SlotFacts, _ configuration: ChangesConfiguration) async -> Diagnosis {
        let sql = """
            SELECT current_setting('max_replication_slots')::bigint - (SELECT count(*) FROM pg_replication_slots),
              current_setting('max_wal_senders')::bigint - (SELECT count(*) FROM pg_stat_replication)
            """
        return await self.ask("room", PostgresQuery(sql)) { rows in
            let (slots, senders) = (rows.integer(0, 0) ?? 0, rows.integer(0, 1) ?? 0)
            if facts.slot == nil, slots <= 0 {
                return .error("room", "all of the server's slots are taken; raise max_replication_slots")
            }
            if facts.slot?.owner == nil, senders <= 0 {
                return .error(
                    "room",
                    "all of the server's sessions that replicate are taken; raise max_wal_senders"
                )
            }
            // The snapshot has its own while it begins, and the slot may have to be made, and read, before.
            let slotsWanted = (facts.slot == nil ? 1 : 0) + 1
            let sendersWanted = (facts.slot?.owner == nil ? 1 : 0) + 1
            if !configuration.snapshot.isEmpty, slots < slotsWanted || senders < sendersWanted {
                return .warning(
                    "room",
                    "\(slots) slots and \(senders) sessions that replicate are free, and a snapshot that is still to be read needs "
                        + "one of each besides those of the slot: raise max_replication_slots or max_wal_senders"
                )
            }
            return .ok("room", "\(slots) slots and \(senders) sessions that replicate are free")
        }
    }

    /// Whether the tables of the snapshot can be read, and read on after a crash.
    private func snapshot(_ configuration: ChangesConfiguration) async -> Diagnosis? {
        guard !configuration.snapshot.isEmpty else { return nil }
        let query = PostgresQuery(
            """
            SELECT c.oid IS NOT NULL, coalesce(has_table_privilege(c.oid, 'SELECT'), false),
              coalesce(row_security_active(c.oid), false)
            FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (schema, name, n)
            LEFT JOIN pg_class c ON c.oid = to_regclass(quote_ident(u.schema) || '.' || quote_ident(u.name))
            ORDER BY u.n
            """,
            [
                .array(configuration.snapshot.map(\.schema)), .array(configuration.snapshot.map(\.name)),
            ]
        )
        let access = await self.ask("snapshot", query) { rows in
            func names(_ column: Int, _ value: Bool) -> String {
                configuration.snapshot.enumerated().filter { rows.boolean($0.offset, column) == value }
                    .map { "\($0.element)" }.joined(separator: ", ")
            }
            guard rows.rows == configuration.snapshot.count else {
                return .error("snapshot", "the server did not answer what was asked")
            }
            let (missing, forbidden, hidden) = (names(0, false), names(1, false), names(2, true))
            if !missing.isEmpty { return .warning("snapshot", "there is no table \(missing) yet") }
            if !forbidden.isEmpty {
                return .error("snapshot", "the user may not read \(forbidden); GRANT SELECT ON it")
            }
            if !hidden.isEmpty {
                return .error(
                    "snapshot",
                    "policies hide rows of \(hidden) from the user; let it read all, by ALTER ROLE … BYPASSRLS"
                )
            }
            return .ok("snapshot", "all rows of \(configuration.snapshot.count) tables can be read")
        }
        guard access.grade == .ok else { return access }
        return await self.keys(configuration) ?? access
    }

    /// Which tables a snapshot that is broken off begins again; nil for none.
    private func keys(_ configuration: ChangesConfiguration) async -> Diagnosis? {
        var found: [String] = []
        for table in configuration.snapshot {
            let question = SnapshotTable.question(
                table,
                publication: configuration.publication,
                version: self.connection.serverVersion
            )
            do throws(PostgresError) {
                let rows = try await self.connection.run(question, within: Self.patience)
                if let text = SnapshotTable.hindrance(rows) { found.append("\(table) \(text)") }
            } catch {
                return .error("snapshot", PostgresAdvice.text(error, self.address))
            }
        }
        guard !found.isEmpty else { return nil }
        let text = found.joined(separator: ". ")
        return .warning(
            "snapshot",
            "\(text). A snapshot that is broken off reads such a table from its beginning again"
        )
    }

    /// Which tables are published without a part of what tells their rows apart; nil for none.
    private func lists(_ settings: SlotSettings) async -> Diagnosis? {
        guard self.connection.serverVersion >= 150_000 else { return nil }
        let query = PostgresQuery(
            """
            SELECT n.nspname || '.' || c.relname FROM pg_publication p
            JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prattrs IS NOT NULL
            JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE p.pubname = $1 AND (p.pubupdate OR p.pubdelete) AND (c.relreplident = 'f' OR EXISTS (
              SELECT FROM pg_index i, unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k (place)
              WHERE i.indrelid = c.oid AND NOT k.place = ANY (r.prattrs::int2[])
                AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)))
            ORDER BY 1 LIMIT 20
            """,
            [.text(settings.publication)]
        )
        guard let rows = try? await self.connection.run(query, within: Self.patience), rows.rows > 0 else {
            return nil
        }
        let names = (0..<rows.rows).compactMap { rows.text($0, 0) }.joined(separator: ", ")
        return .warning(
            "columns",
            "\(names): the list of columns in the publication \(settings.publication) lacks some of the replica identity, and the "
                + "server refuses UPDATE and DELETE; add them by ALTER PUBLICATION … SET TABLE"
        )
    }

    /// How much of the log is kept for the slot, and whether that has a limit.
    private func lag(_ configuration: ChangesConfiguration) async -> Diagnosis? {
        let isKnown = self.connection.serverVersion >= 130_000
        let limit = isKnown ? "current_setting('max_slot_wal_keep_size')" : "'-1'"
        let query = PostgresQuery(
            """
            SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, \(isKnown ? "wal_status" : "NULL"), \(limit)
            FROM pg_replication_slots WHERE slot_name = $1
            """,
            [.text(configuration.slot)]
        )
        guard let rows = try? await self.connection.run(query, within: Self.patience), rows.rows == 1 else {
            return nil
        }
        let (bytes, limited) = (rows.integer(0, 0) ?? 0, rows.text(0, 2) ?? "-1")
        let text = "the slot keeps \(bytes >> 20) MiB of the log; max_slot_wal_keep_size is \(limited)"
        if rows.text(0, 1) == "unreserved" {
            return .error(
                "lag",
                "\(text): it is about to be lost; let the trigger catch up, or raise the setting"
            )
        }
        if bytes >= Int64(configuration.lagAlarm) {
            return .warning("lag", "\(text): see why it is not settled")
        }
        if limited == "-1" {
            return .ok("lag", "\(text), no limit: a reader that stays away fills the disk")
        }
        return .ok("lag", text)
    }

    /// Which tables cannot tell the old row, of those that are published and those that would be.
    private func identities(_ facts: SlotFacts, _ settings: SlotSettings) async -> Diagnosis {
        let added = settings.isCreated ? facts.tables.filter { $0.exists && !$0.isPublished } : []
        let addsAll = settings.isCreated && !facts.hasPublication && settings.tables.isEmpty
        let query = PostgresQuery(
            """
            SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE (c.relreplident = 'n' OR c.relreplident = 'd' AND NOT EXISTS (
              SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))
            AND (c.oid IN (
                SELECT to_regclass(quote_ident(t.schemaname) || '.' || quote_ident(t.tablename))::oid
                FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname
                WHERE p.pubname = $1 AND (p.pubupdate OR p.pubdelete))
              OR c.oid IN (SELECT to_regclass(u.name)::oid FROM unnest($2::text[]) AS u (name))
              OR $3 AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
            ORDER BY 1 LIMIT 20
            """,
            [.text(settings.publication), .array(added.map(\.name.quoted)), .boolean(addsAll)]
        )
        return await self.ask("identity", query) { rows in
            let names = (0..<rows.rows).compactMap { rows.text($0, 0) }
            guard !names.isEmpty else {
                return .ok("identity", "all tables that are or would be published can tell which row changed")
            }
            return .warning(
                "identity",
                "\(names.joined(separator: ", ")): without a primary key or another replica identity, the server refuses UPDATE and DELETE of them while they are published; add a key, or ALTER TABLE … REPLICA IDENTITY FULL"
            )
        }
    }

    /// Whether the user may open a session that replicates, and nothing that cannot stands between.
    static func replication(_ address: PostgresAddress, on reactor: Reactor) async -> Diagnosis {
        do throws(PostgresError) {
            let connection = try await PostgresConnection.open(
                address.replicating(),
                on: reactor,
                within: Self.patience
            )
            await connection.close()
            return .ok("replication", "the user may open sessions that replicate")
        } catch {
            return .error(
                "replication",
                "\(PostgresAdvice.text(error, address)); needed are ALTER ROLE … REPLICATION and, without a pooler such as "
                    + "PgBouncer between, a session with the server itself"
            )
        }
    }
}
