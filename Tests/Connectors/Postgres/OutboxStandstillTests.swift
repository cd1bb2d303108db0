// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import PostgresClient
import Reactor
import Testing

@testable import PostgresConnector

/// A member that stands still in the midst of a receive, and the others on its table.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct OutboxStandstillTests {
    /// A table with five rows that are more together than a connection holds on its way, and ten small ones behind them.
    private static func makeTable(_ server: PostgresServer) throws {
        try server.run(OutboxSchema(PostgresTable(schema: "public", name: "jobs")).sql)
        try server.run(
            """
            ALTER TABLE jobs ALTER payload SET STORAGE EXTERNAL;
            INSERT INTO jobs (group_key, payload) SELECT 'g' || i % 7, repeat('x', 3200000) FROM generate_series(1, 5) i;
            INSERT INTO jobs (group_key, payload) SELECT 'h' || i % 3, i::text FROM generate_series(1, 10) i;
            """
        )
    }

    private static func count(_ server: PostgresServer, _ condition: String) throws -> String {
        try server.run(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN ISOLATION LEVEL%enable_seqscan%' AND pid <> pg_backend_pid() "
                + "AND \(condition)"
        )
    }

    /// A member that stands still while five rows are sent to it, until the latch is opened.
    private static func standingStill(
        _ yaml: String,
        _ server: PostgresServer
    ) throws -> (member: OutboxReader, goesOn: Latch) {
        // The receive waits on the server until the member stands still.
        let holder = try PostgresHolder(server, "LOCK TABLE jobs")
        let first = try OutboxReader(yaml, records: 5)
        try first.wait(for: "a receive") { _ in try Self.count(server, "wait_event_type = 'Lock'") == "1" }
        let goesOn = Latch()
        first.reactor.submit { goesOn.block() }
        holder.end()
        try first.wait(for: "rows on their way") { _ in
            try Self.count(server, "wait_event = 'ClientWrite'") == "1"
        }
        return (first, goesOn)
    }

    @Test(
        "A member that stands still while rows are sent to it holds up no other one, and has its rows when it goes on",
        arguments: [true, false]
    )
    func holdsUpNobody(hasGroups: Bool) async throws {
        let server = try PostgresServer()
        try Self.makeTable(server)
        let columns = "columns: { id: id, payload: payload, locked_until: locked_until, attempts: attempts }"
        let more = hasGroups ? "" : ", \(columns)"
        let yaml =
            "{ url: \"\(server.url())\", table: jobs, poll: 200ms, lease: 60s, doorbell: false\(more) }"
        let (first, goesOn) = try Self.standingStill(yaml, server)
        let second = try OutboxReader(yaml, records: 10)
        second.wait(for: "the other rows") { $0.records.count == 10 }
        #expect(first.records.isEmpty)
        // Nor does it keep any row locked.
        #expect(try server.run("SELECT count(*) FROM jobs WHERE attempts = 1") == "15")
        try server.run("SET lock_timeout = '10s'; UPDATE jobs SET headers = '{}'")
        goesOn.open()
        first.wait(for: "its rows") { $0.records.count == 5 }
        #expect(Set((first.records + second.records).map { $0["eventID"] }).count == 15)
        await first.stop()
        await second.stop()
    }

    @Test(
        "What a member that stands still was to get comes to others when its lease ends, and its session ends"
    )
    func ends() async throws {
        let server = try PostgresServer()
        try Self.makeTable(server)
        let yaml = "{ url: \"\(server.url())\", table: jobs, poll: 200ms, lease: 15s, doorbell: false }"
        let (first, goesOn) = try Self.standingStill(yaml, server)
        let second = try OutboxReader(yaml)
        second.wait(for: "all rows") { Set($0.records.map { $0["eventID"] }).count == 15 }
        try second.wait(for: "the session to end") { _ in
            try Self.count(server, "wait_event = 'ClientWrite'") == "0"
        }
        goesOn.open()
        await first.stop()
        await second.stop()
    }

    @Test("Rows that somebody else has by the time that they are read are not handed out")
    func fences() async throws {
        let server = try PostgresServer()
        try Self.makeTable(server)
        // The first statement behind the receipt finds that another member has one of the rows, and one is gone.
        let statements = OutboxStatements(try .jobs, idType: "bigint")
        let script = statements.receive(limit: 4, depth: 1000, lease: .seconds(60))
        let taken = """
            COMMIT;
            UPDATE jobs SET attempts = attempts + 1, locked_until = locked_until + interval '1 second' WHERE id = 2;
            DELETE FROM jobs WHERE id = 3;
            """
        let answer = try server.run(script.replacing("COMMIT;", with: taken))
        let ids = answer.split(separator: "\n").compactMap { $0.split(separator: "|").first }.suffix(2)
        #expect(ids == ["1", "4"], "\(answer.prefix(200))")
    }

    @Test(
        "Rows come whatever forms of values and which isolation the session has, and however exact its times are"
    )
    func odd() async throws {
        let server = try PostgresServer()
        try server.run(
            """
            CREATE TABLE jobs (id text PRIMARY KEY, payload date, locked_until timestamptz(0), attempts int DEFAULT 0);
            INSERT INTO jobs VALUES ('a "b", {c}', '2026-11-30'), ('\\', '2026-12-01'), ('NULL', '2026-12-02');
            ALTER ROLE postgres SET datestyle = 'German';
            ALTER ROLE postgres SET timezone = 'Asia/Kolkata';
            ALTER ROLE postgres SET default_transaction_isolation = 'repeatable read';
            """
        )
        let columns = "columns: { id: id, payload: payload, locked_until: locked_until, attempts: attempts }"
        let reader = try OutboxReader(
            "{ url: \"\(server.url())\", table: jobs, doorbell: false, \(columns) }"
        )
        reader.wait(for: "all rows") { $0.records.count == 3 }
        let ids = reader.records.compactMap { $0["eventID"] }
        #expect(Set(ids) == ["a \"b\", {c}", "\\", "NULL"], "\(ids)")
        #expect(Set(reader.payloads) == ["30.11.2026", "01.12.2026", "02.12.2026"])
        await reader.stop()
    }

    @Test("A receive that fails leaves nothing behind: the next one goes well")
    func fails() async throws {
        let server = try PostgresServer()
        try Self.makeTable(server)
        let holder = try PostgresHolder(server, "LOCK TABLE jobs")
        let yaml = "{ url: \"\(server.url())\", table: jobs, poll: 200ms, lease: 60s, doorbell: false }"
        let reader = try OutboxReader(yaml)
        for round in 1...3 {
            try reader.wait(for: "receive \(round)") { _ in
                try Self.count(server, "wait_event_type = 'Lock'") == "1"
            }
            try server.run(
                """
                SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                WHERE query LIKE 'BEGIN ISOLATION LEVEL%enable_seqscan%' AND pid <> pg_backend_pid()
                """
            )
        }
        holder.end()
        reader.wait(for: "all rows") { $0.records.count == 15 }
        await reader.stop()
        #expect(!server.log.contains("current transaction is aborted"), "\(server.log.suffix(2000))")
        #expect(!server.log.contains("no transaction in progress"))
    }
}

extension OutboxConfiguration {
    /// Of a table `jobs` as `init-outbox` makes it.
    static var jobs: OutboxConfiguration {
        get throws {
            let yaml = "{ url: \"postgresql://127.0.0.1/postgres\", table: jobs }"
            let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(OutboxConfiguration.self)
            return try #require(read.value, "\(read.findings)")
        }
    }
}
