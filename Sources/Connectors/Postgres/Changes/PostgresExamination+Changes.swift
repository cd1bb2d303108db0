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
            Self.slot(facts, settings),
            await self.room(facts),
            await self.lag(configuration),
            await self.identities(configuration),
        ].compactMap(\.self)
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
    private func room(_ facts: SlotFacts) async -> Diagnosis {
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
            return .ok("room", "\(slots) slots and \(senders) sessions that replicate are free")
        }
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

    /// Which tables cannot tell the old row.
    private func identities(_ configuration: ChangesConfiguration) async -> Diagnosis {
        let query = PostgresQuery(
            """
            SELECT t.schemaname || '.' || t.tablename FROM pg_publication_tables t
            JOIN pg_class c ON c.oid = to_regclass(quote_ident(t.schemaname) || '.' || quote_ident(t.tablename))
            WHERE t.pubname = $1 AND (c.relreplident = 'n' OR c.relreplident = 'd' AND NOT EXISTS (
              SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))
            ORDER BY 1 LIMIT 20
            """,
            [.text(configuration.publication)]
        )
        return await self.ask("identity", query) { rows in
            let names = (0..<rows.rows).compactMap { rows.text($0, 0) }
            guard !names.isEmpty else {
                return .ok("identity", "all published tables can tell which row changed")
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
                address.replicating,
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
