// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PostgresClient
import Reactor

/// How `penstock doctor` looks at a database; it changes nothing there.
struct PostgresExamination: Sendable {
    let connection: PostgresConnection
    let address: PostgresAddress

    static let patience = Duration.seconds(10)

    /// Connects, looks, and ends the connection.
    static func run(
        _ address: PostgresAddress,
        on reactor: Reactor,
        _ body: (PostgresExamination) async -> [Diagnosis]
    ) async -> [Diagnosis] {
        do throws(PostgresError) {
            let connection = try await PostgresConnection.open(address, on: reactor, within: Self.patience)
            let examination = PostgresExamination(connection: connection, address: address)
            let found = await examination.server() + body(examination)
            await connection.close()
            return found
        } catch {
            return [.error("connection", PostgresAdvice.text(error, address))]
        }
    }

    /// What holds for all uses.
    private func server() async -> [Diagnosis] {
        let version = self.connection.serverVersion
        let text = "postgres \(self.address): version \(version / 10_000).\(version % 10_000)"
        var found: [Diagnosis] =
            version >= 120_000
            ? [.ok("connection", text)]
            : [.error("connection", "\(text); 12 is the oldest that is known to work")]
        if !self.connection.isEncrypted, self.address["host"].map({ !Self.isNear($0) }) ?? false {
            found.append(
                .warning("encryption", "the connection is not encrypted; add sslmode=verify-full to \"url\"")
            )
        }
        return found
    }

    private static func isNear(_ host: String) -> Bool {
        host.hasPrefix("/") || host.hasPrefix("127.") || host == "localhost" || host == "::1"
    }

    /// The answer to a question, or what went wrong with it.
    func ask(
        _ check: String,
        _ query: PostgresQuery,
        _ judge: (PostgresResult) -> Diagnosis
    ) async -> Diagnosis {
        do throws(PostgresError) {
            return judge(try await self.connection.run(query, within: Self.patience))
        } catch {
            return .error(check, PostgresAdvice.text(error, self.address))
        }
    }

    /// Whether it takes writes and LISTEN; a pooler matters to those who listen.
    private func primary(listens: Bool) async -> Diagnosis {
        await self.ask("server", PostgresQuery("SELECT pg_is_in_recovery(), pg_backend_pid()")) { rows in
            guard rows.boolean(0, 0) == false else {
                let what = listens ? "nothing can listen" : "nothing can be written"
                return .error("server", PostgresAdvice.standby(self.address, where: what))
            }
            guard rows.integer(0, 1) == Int64(self.connection.announcedBackend) else {
                return listens
                    ? .warning(
                        "server",
                        "a pooler stands before it; notifications need one in session mode, which run finds out"
                    ) : .ok("server", "the primary, behind a pooler")
            }
            return .ok("server", "the primary, without a pooler before it")
        }
    }

    /// What notifications need.
    func notifications(_ configuration: NotifyConfiguration) async -> [Diagnosis] {
        var found = [await self.primary(listens: true)]
        found.append(
            await self.ask("queue", PostgresQuery("SELECT (100 * pg_notification_queue_usage())::int")) {
                rows in
                let percent = rows.integer(0, 0) ?? 0
                let text = "the server's queue of notifications is full to \(percent) %"
                return percent < 50
                    ? .ok("queue", text)
                    : .warning("queue", "\(text): a session listens within a long transaction")
            }
        )
        guard let catchUp = configuration.catchUp else { return found }
        let query = PostgresQuery(
            "SELECT * FROM (\(catchUp.sql)) AS page LIMIT 0",
            [.integer(Int64(catchUp.start))]
        )
        found.append(
            await self.ask("catch_up", query) { _ in
                .ok("catch_up", "the query can be run, and gives a number and a payload")
            }
        )
        return found
    }

    /// What an outbox table needs.
    func outbox(_ configuration: OutboxConfiguration) async -> [Diagnosis] {
        let table = configuration.table
        let columns = await self.ask("table", OutboxStatements.columns(of: table)) { rows in
            OutboxTableColumns(rows).problem(of: configuration).map { .error("table", $0) }
                ?? .ok("table", "\(table) has the columns that are named")
        }
        let server = await self.primary(listens: configuration.channel != nil)
        guard columns.grade == .ok else { return [server, columns] }
        let end = configuration.end == .delete ? "DELETE" : "UPDATE"
        let privileges = await self.ask(
            "permissions",
            PostgresQuery(
                "SELECT has_table_privilege($1, 'SELECT'), has_table_privilege($1, 'UPDATE'), has_table_privilege($1, '\(end)')",
                [.text(table.quoted)]
            )
        ) { rows in
            let names = ["SELECT", "UPDATE", end]
            let missing = Set(names.indices.filter { rows.boolean(0, $0) != true }.map { names[$0] }).sorted()
            return missing.isEmpty
                ? .ok("permissions", "\(Set(names).sorted().joined(separator: ", ")) on \(table)")
                : .error("permissions", "GRANT \(missing.joined(separator: ", ")) ON \(table) is missing")
        }
        return [server, columns, privileges]
    }

    /// What a table for documents needs.
    func documents(_ table: PostgresTable) async -> [Diagnosis] {
        let columns = await self.ask("table", OutboxStatements.columns(of: table)) { rows in
            let there = OutboxTableColumns(rows).types
            guard !there.isEmpty else {
                return .error(
                    "table",
                    "there is no table \(table); make it with penstock postgres init-destination \(table)"
                )
            }
            let missing = ["id", "trigger", "at", "document"].filter { there[$0] == nil }
            return missing.isEmpty
                ? .ok("table", "\(table) has the columns that are needed")
                : .error("table", "\(table) has no column \(missing.joined(separator: ", "))")
        }
        let server = await self.primary(listens: false)
        guard columns.grade == .ok else { return [server, columns] }
        let privileges = PostgresQuery(
            "SELECT has_table_privilege($1, 'INSERT') AND has_table_privilege($1, 'UPDATE') AND has_table_privilege($1, 'SELECT')",
            [.text(table.quoted)]
        )
        return [
            server, columns,
            await self.ask("permissions", privileges) { rows in
                rows.boolean(0, 0) == true
                    ? .ok("permissions", "SELECT, INSERT and UPDATE on \(table)")
                    : .error("permissions", "GRANT SELECT, INSERT, UPDATE ON \(table) is missing")
            },
        ]
    }
}
