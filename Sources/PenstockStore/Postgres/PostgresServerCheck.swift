// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient
package import Reactor

/// Looks at a server before a store is opened there; changes nothing.
package struct PostgresServerCheck: Sendable {
    /// How it is.
    package enum Grade: Sendable {
        /// As it should be.
        case ok
        /// It works, and may surprise.
        case warning
        /// No store can be opened.
        case error
    }

    /// What was found of one property.
    package struct Finding: Sendable {
        /// How it is.
        package var grade: Grade
        /// What was looked at.
        package var check: String
        /// What was found, and unless that is well, what to do.
        package var detail: String
    }

    /// The oldest version that is known to work.
    static let versionMin = 120_000

    private static let patience = Duration.seconds(10)

    /// What can be said of a server and its database.
    private struct Facts {
        var version: Int
        var isStandby: Bool
        var isPooled: Bool
        var encoding: String
        var hasFsync: Bool
        var synchronousCommit: String
        var isEncrypted: Bool
    }

    /// Throws when no store can be opened there.
    static func requireSuitable(_ location: PostgresLocation, on reactor: Reactor) async throws(StoreError) {
        let connection = try await Self.connect(location, reactor)
        do throws(StoreError) {
            let facts = try await Self.facts(of: connection, location)
            try await Self.require(facts, connection, location, reactor)
            await connection.close()
        } catch {
            await connection.close()
            throw error
        }
    }

    private static func connect(
        _ location: PostgresLocation,
        _ reactor: Reactor
    ) async throws(StoreError) -> PostgresConnection {
        do throws(PostgresError) {
            return try await PostgresConnection.open(location.address, on: reactor, within: Self.patience)
        } catch {
            throw StoreError(error, location, opening: true)
        }
    }

    private static func ask(
        _ query: PostgresQuery,
        _ connection: PostgresConnection,
        _ location: PostgresLocation
    ) async throws(StoreError) -> PostgresResult {
        do throws(PostgresError) {
            return try await connection.run(query, within: Self.patience)
        } catch {
            throw StoreError(error, location, opening: true)
        }
    }

    private static func facts(
        of connection: PostgresConnection,
        _ location: PostgresLocation
    ) async throws(StoreError) -> Facts {
        let query = PostgresQuery(
            """
            SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('server_encoding'),
                current_setting('fsync') = 'on', current_setting('synchronous_commit')
            """
        )
        let rows = try await Self.ask(query, connection, location)
        return Facts(
            version: connection.serverVersion,
            isStandby: rows.boolean(0, 1) ?? false,
            isPooled: rows.integer(0, 0) != Int64(connection.announcedBackend),
            encoding: rows.text(0, 2) ?? "",
            hasFsync: rows.boolean(0, 3) ?? false,
            synchronousCommit: rows.text(0, 4) ?? "",
            isEncrypted: connection.isEncrypted
        )
    }

    private static func require(
        _ facts: Facts,
        _ connection: PostgresConnection,
        _ location: PostgresLocation,
        _ reactor: Reactor
    ) async throws(StoreError) {
        guard facts.version >= Self.versionMin else {
            throw StoreError(
                .cannotOpen,
                "\(location): the server's version is \(facts.version / 10_000), and 12 the oldest that will do"
            )
        }
        guard !facts.isStandby else { throw .standby(location) }
        guard facts.encoding == "UTF8" else {
            throw StoreError(
                .cannotOpen,
                "\(location): the database's encoding is \(facts.encoding), which cannot hold all names; "
                    + "name a database of the encoding UTF8 in \"state\", or make it"
            )
        }
        guard facts.isPooled else { return }
        try await Self.requireOwnSession(connection, location, reactor)
    }

    /// A pooler must leave a session alone: settings, and what a session left under way, are those of a session.
    private static func requireOwnSession(
        _ connection: PostgresConnection,
        _ location: PostgresLocation,
        _ reactor: Reactor
    ) async throws(StoreError) {
        let process = PostgresQuery("SELECT pg_backend_pid()")
        let before = try await Self.ask(process, connection, location).integer(0, 0)
        let other = try await Self.connect(location, reactor)
        let isShared: Bool
        do throws(StoreError) {
            // A transaction that lasts has a session of the server for itself, and in transaction mode that may be ours.
            let begin = PostgresQuery(script: "BEGIN READ ONLY; SELECT pg_backend_pid()")
            let theirs = try await Self.ask(begin, other, location).integer(0, 0)
            let after = try await Self.ask(process, connection, location).integer(0, 0)
            isShared = theirs == before || after != before
            _ = try await Self.ask(PostgresQuery("ROLLBACK"), other, location)
            await other.close()
        } catch {
            await other.close()
            throw error
        }
        guard isShared else { return }
        throw StoreError(
            .cannotOpen,
            "\(location): a pooler stands before the server that gives each transaction another session, such as PgBouncer in "
                + "transaction mode; connect \"state\" to the server itself, or to a pool in session mode"
        )
    }

    // MARK: - For doctor

    /// What an operator is told of a location.
    package static func examine(_ location: PostgresLocation, on reactor: Reactor) async -> [Finding] {
        do throws(StoreError) {
            let connection = try await Self.connect(location, reactor)
            do throws(StoreError) {
                let facts = try await Self.facts(of: connection, location)
                try await Self.require(facts, connection, location, reactor)
                let found = Self.findings(facts, location) + [try await Self.schema(connection, location)]
                await connection.close()
                return found
            } catch {
                await connection.close()
                throw error
            }
        } catch {
            return [Finding(grade: .error, check: "store", detail: error.detail)]
        }
    }

    private static func findings(_ facts: Facts, _ location: PostgresLocation) -> [Finding] {
        var found = [
            Finding(
                grade: .ok,
                check: "store",
                detail:
                    "\(location): version \(facts.version / 10_000).\(facts.version % 10_000), the primary"
            )
        ]
        if !facts.hasFsync {
            found.append(
                Finding(
                    grade: .warning,
                    check: "durability",
                    detail:
                        "fsync is off: what was written may be gone after a crash of the machine; set fsync = on"
                )
            )
        } else {
            let own = facts.synchronousCommit == "remote_apply" ? "remote_apply" : "on"
            found.append(
                Finding(
                    grade: .ok,
                    check: "durability",
                    detail: "fsync is on, and Penstock writes with synchronous_commit = \(own)"
                )
            )
        }
        if !facts.isEncrypted, location.isElsewhere {
            found.append(
                Finding(
                    grade: .warning,
                    check: "encryption",
                    detail: "the connection is not encrypted; add sslmode=verify-full to \"state\""
                )
            )
        }
        return found
    }

    /// Whether the schema is there and may be written, or can be made.
    private static func schema(
        _ connection: PostgresConnection,
        _ location: PostgresLocation
    ) async throws(StoreError) -> Finding {
        let name = PostgresName.literal(location.schema)
        let query = PostgresQuery(
            """
            SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = \(name)),
                has_database_privilege(current_database(), 'CREATE'),
                (SELECT bool_and(has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE'))
                    FROM pg_namespace WHERE nspname = \(name)),
                (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname = 'migrations'
                    AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = \(name))),
                (SELECT bool_and(has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
                    FROM pg_class WHERE relkind = 'r'
                    AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = \(name))),
                (SELECT bool_and(has_sequence_privilege(oid, 'USAGE')) FROM pg_class WHERE relkind = 'S'
                    AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = \(name)))
            """
        )
        let rows = try await Self.ask(query, connection, location)
        func finding(_ grade: Grade, _ detail: String) -> Finding {
            Finding(grade: grade, check: "schema", detail: "schema \(location.schema): \(detail)")
        }
        if rows.boolean(0, 0) != true {
            return rows.boolean(0, 1) == true
                ? finding(.ok, "is not there yet; the first start makes it")
                : finding(
                    .error,
                    "is not there, and this user may not make it; GRANT CREATE ON DATABASE, or make it for the user"
                )
        }
        if rows.integer(0, 3) == 0 {
            return rows.boolean(0, 2) == true
                ? finding(.ok, "holds no store yet; the first start makes it")
                : finding(
                    .error,
                    "this user may make nothing in it; GRANT USAGE, CREATE ON SCHEMA is missing"
                )
        }
        guard rows.boolean(0, 4) == true else {
            return finding(.error, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA is missing")
        }
        // Ids of letters and entries, and the epochs of leases.
        guard rows.boolean(0, 5) != false else {
            return finding(.error, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA is missing")
        }
        let names = try await Self.ask(PostgresMigrations.names(location), connection, location)
        let known = PostgresMigrations.all.map(\.name)
        let there = (0..<names.rows).compactMap { names.text($0, 0) }
        if there.contains(where: { !known.contains($0) }) {
            return finding(
                .error,
                "was written by a newer Penstock; run that version, or give another schema"
            )
        }
        let missing = known.filter { !there.contains($0) }
        return missing.isEmpty
            ? finding(.ok, "the store is there, and may be written")
            : finding(.ok, "the store is there; the next start adds \(missing.joined(separator: ", "))")
    }
}
