// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import PenstockAdmin
import PenstockConfiguration
import PostgresClient
import PostgresConnector
import Reactor

/// `penstock postgres`.
struct PostgresCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "postgres",
        abstract: "Postgres: the tables that Penstock needs.",
        subcommands: [PostgresInitOutbox.self, PostgresInitDestination.self]
    )
}

/// `penstock postgres init-outbox`.
struct PostgresInitOutbox: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "init-outbox",
        abstract: "Prints the SQL that makes an outbox table, or runs it.",
        discussion: """
            A table, its indexes, and a trigger that notifies when rows are inserted. What is there already stays, so that it \
            can be run again. docs/POSTGRES.md says how rows get into it, and what becomes of them.

            \(PostgresScript.exits)

            Examples:
              penstock postgres init-outbox app.outbox > migrations/0007-outbox.sql
              DATABASE_URL=postgresql://owner@db/app penstock postgres init-outbox app.outbox --apply
            """
    )

    @Argument(help: "The table, with or without its schema.") var table = "outbox"
    @Flag(help: "Without the trigger: rows are found by polling alone.") var noDoorbell = false
    @OptionGroup var script: PostgresScript
    @OptionGroup var output: FormatOptions

    var title: String { "postgres init-outbox" }

    func answer() async throws -> Outcome {
        let notifies = !self.noDoorbell
        return try await self.script.answer(self.table) { OutboxSchema($0, notifies: notifies).sql }
    }
}

/// `penstock postgres init-destination`.
struct PostgresInitDestination: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "init-destination",
        abstract: "Prints the SQL that makes a table for dead letters or results, or runs it.",
        discussion: """
            The table that `postgres` of on_failure and on_success writes to. What is there already stays, so that it can be \
            run again.

            \(PostgresScript.exits)

            Example: DATABASE_URL=postgresql://owner@db/app penstock postgres init-destination app.letters --apply
            """
    )

    @Argument(help: "The table, with or without its schema.") var table: String
    @OptionGroup var script: PostgresScript
    @OptionGroup var output: FormatOptions

    var title: String { "postgres init-destination" }

    func answer() async throws -> Outcome {
        try await self.script.answer(self.table) { DocumentSchema($0).sql }
    }
}

/// SQL about a table, printed or run.
struct PostgresScript: ParsableArguments {
    static let exits = """
        Exits with 0, with 1 when the database refuses it, with 2 when something is invalid, with 3 when the database cannot \
        be reached.
        """

    @Flag(help: "Run the SQL in one transaction, instead of printing it.") var apply = false
    @Option(
        help:
            "The database for --apply; better in the environment variable DATABASE_URL, where others do not see it."
    )
    var url: String?

    func answer(_ name: String, _ make: (PostgresTable) -> String) async throws -> Outcome {
        guard let table = PostgresTable(name) else {
            let text = "is no table; write table or schema.table, each name at most 63 bytes"
            throw CommandFailure(.invalid, "usage", "\"\(name.prefix(160))\" \(text)")
        }
        let sql = make(table)
        guard self.apply else {
            return Outcome(
                text: sql.trimmingCharacters(in: .newlines),
                result: .document(("sql", .string(sql)))
            )
        }
        guard let url = self.url ?? ProcessInfo.processInfo.environment["DATABASE_URL"] else {
            throw CommandFailure(
                .invalid,
                "usage",
                "--apply needs a database: set DATABASE_URL, or give --url"
            )
        }
        let address: PostgresAddress
        do throws(PostgresError) {
            address = try PostgresAddress(url)
        } catch {
            throw CommandFailure(.invalid, "usage", "the database's URL \(error.detail)")
        }
        try await Self.run(sql, at: address)
        return Outcome(
            text: "\(table) is there, in \(address)",
            result: .document(("table", .string("\(table)")), ("sql", .string(sql)))
        )
    }

    private static func run(_ sql: String, at address: PostgresAddress) async throws {
        let reactor = try Reactor()
        defer { reactor.stop() }
        do throws(PostgresError) {
            let connection = try await PostgresConnection.open(address, on: reactor)
            try await connection.run(PostgresQuery(script: sql))
            await connection.close()
        } catch {
            let isThere = error.code == .rejected && error.sqlState?.hasPrefix("3D") != true
            throw CommandFailure(
                isThere ? .failed : .environment,
                isThere ? "refused" : "no-database",
                "postgres \(address): \(error)"
            )
        }
    }
}
