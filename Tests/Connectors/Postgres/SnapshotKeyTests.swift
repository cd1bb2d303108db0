// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import PostgresClient
import Reactor
import Testing

@testable import PostgresConnector

/// By what a table is read on, and what becomes of tables that cannot be read, on a real server.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct SnapshotKeyTests {
    private static func yaml(_ server: PostgresServer) -> String {
        "url: \"\(server.url())\"\nslot: s\nheartbeat: 1s\ntables: [s]\nsnapshot: [s]\n"
    }

    /// Breaks a snapshot of the table `s` off, with 1,200 of its 3,000 rows settled; what goes on with it behind `meanwhile` gets
    /// all others.
    private static func brokenOff(_ server: PostgresServer, _ meanwhile: () throws -> Void) async throws {
        let yaml = Self.yaml(server)
        try await withStore { store in
            let first = try await ChangesProbe(yaml, grant: 0, journal: store)
            first.source.grant(ReceiveBudget(records: 1500, bytes: 64 << 20))
            first.wait(for: "a part") { $0.records.count >= 1500 }
            let before = first.records.prefix(1200)
            let settled = try #require(before.last).position
            try await first.settle(settled)
            await first.stop()
            try meanwhile()
            let second = try await ChangesProbe(yaml, checkpoint: settled, journal: store)
            second.wait(for: "all rows") { probe in
                Set(probe.records.compactMap(\.id)).union(before.compactMap(\.id)).count == 3000
            }
            await second.stop()
        }
    }

    @Test("A table is read by a key of which all is published, and which is compared as it is ordered")
    func keys() async throws {
        let server = try PostgresServer.replicating()
        try server.run(
            """
            CREATE SCHEMA other;
            CREATE TYPE mood AS ENUM ('b', 'a');
            CREATE TYPE other.pair AS (x int, y int);
            CREATE TABLE plain (x int, y text, PRIMARY KEY (y, x));
            CREATE TABLE part (x int, y int, z int GENERATED ALWAYS AS (y) STORED, PRIMARY KEY (x, z));
            CREATE TABLE feeling (m mood PRIMARY KEY);
            CREATE TABLE elsewhere (p other.pair PRIMARY KEY);
            CREATE TABLE none (x int);
            CREATE PUBLICATION s FOR ALL TABLES;
            """
        )
        let reactor = try Reactor(name: "postgres-test")
        defer { reactor.stop() }
        let connection = try await PostgresConnection.open(PostgresAddress(server.url()), on: reactor)
        func key(_ name: String) async throws -> [String] {
            let table = PostgresTable(schema: "public", name: name)
            let question = SnapshotTable.question(
                table,
                publication: "s",
                version: connection.serverVersion
            )
            let rows = try await connection.run(question, within: .seconds(15))
            let message = try SnapshotTable.message(table, rows, publication: "s")
            return SnapshotTable(message, rows, TableFacts()).by
        }
        #expect(try await key("plain") == ["y 25", "x 23"])
        #expect(try await key("feeling").count == 1)
        for name in ["part", "elsewhere", "none"] { #expect(try await key(name).isEmpty, "\(name)") }
        await connection.close()
    }

    @Test("A key that was changed between two attempts does not say where rows are: all of them are read")
    func changed() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s", table: "CREATE TABLE s (id int PRIMARY KEY, code int NOT NULL)")
        try server.run("INSERT INTO s SELECT n, 3001 - n FROM generate_series(1, 3000) n")
        try await Self.brokenOff(server) {
            try server.run("ALTER TABLE s DROP CONSTRAINT s_pkey, ADD PRIMARY KEY (code)")
        }
    }

    @Test("A key whose operators are not on the search path is not read on by: all rows come")
    func operatorsElsewhere() async throws {
        let server = try PostgresServer.replicating()
        try server.run("CREATE SCHEMA other; CREATE EXTENSION citext SCHEMA other")
        try server.makeSlot("s", table: "CREATE TABLE s (k other.citext PRIMARY KEY, id int)")
        // In the order of its own operators all of a come first, and in that of texts all of B.
        try server.run(
            """
            INSERT INTO s SELECT CASE WHEN n <= 2000 THEN 'a' ELSE 'B' END || lpad(n::text, 5, '0'), n
            FROM generate_series(1, 3000) n
            """
        )
        try await Self.brokenOff(server) {}
    }

    @Test("A table that is written anew between the snapshot and its lock is read by another snapshot, whole")
    func writtenAnew() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s", table: "CREATE TABLE s (id int PRIMARY KEY, v int)")
        try server.run("INSERT INTO s SELECT n, 0 FROM generate_series(1, 2000) n")
        let yaml = Self.yaml(server)
        try await withStore { store in
            // The snapshot waits for a transaction, and the member stands still as it is made.
            let holder = try PostgresHolder(server, "INSERT INTO s VALUES (0, 0)")
            let probe = try await ChangesProbe(yaml, journal: store)
            func snapshots(_ state: String) throws -> String {
                try server.run(
                    """
                    SELECT count(*) FROM pg_stat_activity
                    WHERE query LIKE 'CREATE_REPLICATION_SLOT%' AND state = '\(state)'
                    """
                )
            }
            try probe.wait(for: "the snapshot to be waited for") { _ in try snapshots("active") == "1" }
            let goesOn = Latch()
            probe.reactor.submit { goesOn.block() }
            holder.end()
            try probe.wait(for: "the snapshot") { _ in try snapshots("idle in transaction") == "1" }
            // What this writes, the snapshot does not see.
            try server.run("ALTER TABLE s ALTER v TYPE bigint")
            goesOn.open()
            probe.wait(for: "all rows") { $0.records.count { $0.kind == .read } == 2000 }
            #expect(probe.warnings.contains { $0.contains("was written anew while the snapshot was made") })
            await probe.stop()
        }
    }

    @Test("A snapshot that cannot begin holds back no changes of its tables; given up, it is a gap")
    func givenUp() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s", table: "CREATE TABLE s (id int PRIMARY KEY)")
        try server.run("INSERT INTO s VALUES (1); CREATE ROLE reader LOGIN REPLICATION")
        let url = server.url().replacing("postgres@", with: "reader@")
        let yaml = "url: \"\(url)\"\nslot: s\nheartbeat: 1s\ntables: [s]\n"
        try await withStore { store in
            let first = try await ChangesProbe(yaml + "snapshot: [s]\n", journal: store)
            first.wait(for: "the hindrance") { $0.warnings.contains { $0.contains("permission denied") } }
            try server.run("INSERT INTO s VALUES (2)")
            first.wait(for: "a change") { $0.records.contains { $0.kind == .insert && $0.id == 2 } }
            try await first.settle()
            let checkpoint = try #require(first.last).position
            #expect(first.gaps.isEmpty)
            await first.stop()
            let second = try await ChangesProbe(yaml, checkpoint: checkpoint, journal: store)
            second.wait(for: "a gap") { !$0.gaps.isEmpty && $0.isConnected }
            #expect(second.gaps.count == 1 && second.gaps[0].contains("public.s left \"snapshot\""))
            await second.stop()
        }
    }
}
