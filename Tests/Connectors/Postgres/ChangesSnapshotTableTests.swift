// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

@testable import PostgresConnector

/// Tables of all kinds, and triggers beside each other, in the initial snapshot of a real server.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(10)))
struct ChangesSnapshotTableTests {
    private static func yaml(_ server: PostgresServer, _ more: String) -> String {
        "url: \"\(server.url())\"\nslot: s\nheartbeat: 1s\n\(more)\n"
    }

    /// The memory of this process, in bytes.
    private static func memory() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
    }

    @Test("200,000 rows, and then a few of 10 MB each, come in bounded memory, also while nobody takes them")
    func large() async throws {
        let server = try PostgresServer.replicating("max_wal_size=2GB")
        try server.run(
            """
            CREATE TABLE a (id int PRIMARY KEY, v text);
            INSERT INTO a SELECT n, repeat('x', 1000) FROM generate_series(1, 200000) n;
            CREATE TABLE b (id int PRIMARY KEY, v text);
            INSERT INTO b SELECT n, repeat('y', 10000000) FROM generate_series(1, 40) n;
            """
        )
        try await withStore { store in
            let yaml = Self.yaml(server, "tables: [a, b]\nsnapshot: [a, b]\ncreate: true")
            let probe = try await ChangesProbe(
                yaml,
                grant: 0,
                settlesAll: true,
                keepsRecords: false,
                journal: store
            )
            probe.source.grant(ReceiveBudget(records: 5, bytes: 64 << 20))
            probe.wait(for: "a few rows") { $0.count == 5 }
            let before = try Self.memory()
            while probe.count < 200_040 {
                let count = probe.count
                // A row may go over the bytes.
                probe.source.grant(ReceiveBudget(records: 5000, bytes: 8 << 20))
                probe.wait(for: "more than \(count) rows") { $0.count > count }
            }
            #expect(probe.count == 200_040)
            let grown = try Self.memory() - before
            #expect(grown < 150 << 20, "grown by \(grown >> 20) MiB")
            // What is kept of it stays small.
            let size = try await store.mark(of: "t")?.utf8.count ?? 0
            #expect(size < 2000, "\(size) bytes")
            await probe.stop()
        }
    }

    @Test(
        "Parts, lists of columns, conditions on rows, generated columns, odd names, large values and no key"
    )
    func kinds() async throws {
        let server = try PostgresServer.replicating()
        try server.run(
            """
            CREATE SCHEMA "S p";
            CREATE TABLE "S p"."T""x" ("I d" int, "from" text, g int GENERATED ALWAYS AS ("I d" * 2) STORED,
              gone int, big text, PRIMARY KEY ("I d") INCLUDE ("from"));
            ALTER TABLE "S p"."T""x" DROP COLUMN gone;
            INSERT INTO "S p"."T""x" ("I d", "from", big)
              VALUES (1, E'a\\tb\\n\\\\N', repeat(md5('1'), 20000)), (2, NULL, ''), (3, '\\N', 'x');
            CREATE TABLE parts (id int, v int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
            CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
            CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (2000);
            INSERT INTO parts SELECT n, 0 FROM generate_series(1, 1500) n;
            CREATE TABLE few (id int PRIMARY KEY, secret text, v int);
            INSERT INTO few SELECT n, 'secret', n % 2 FROM generate_series(1, 20) n;
            CREATE TABLE none (id int, at timestamptz, f float8, n numeric);
            INSERT INTO none SELECT n, '2026-11-30 12:00:00+02', 1.0 / 3, 0.10 FROM generate_series(1, 1200) n;
            CREATE TABLE other (id int NOT NULL, u int NOT NULL, v int);
            CREATE UNIQUE INDEX by_u ON other (u);
            ALTER TABLE other REPLICA IDENTITY USING INDEX by_u;
            INSERT INTO other SELECT n, 10 - n, 0 FROM generate_series(1, 5) n;
            CREATE TABLE empty (id int PRIMARY KEY);
            CREATE TABLE parent (id int PRIMARY KEY);
            CREATE TABLE child () INHERITS (parent);
            INSERT INTO parent VALUES (1);
            INSERT INTO child VALUES (2);
            CREATE PUBLICATION s FOR TABLE "S p"."T""x", parts, few (id, v) WHERE (id > 10), none, other, empty, ONLY parent
              WITH (publish_via_partition_root = true);
            """
        )
        try await withStore { store in
            let names = #"['S p.T"x', parts, few, none, other, empty, parent]"#
            let yaml = Self.yaml(server, "tables: \(names)\nsnapshot: \(names)\ncreate: true")
            let probe = try await ChangesProbe(yaml, journal: store)
            let expected = 3 + 1500 + 10 + 1200 + 5 + 1
            probe.wait(for: "all rows") { $0.records.count == expected }
            let rows = Dictionary(grouping: probe.records, by: \.table)
            let odd = rows["T\"x"] ?? []
            #expect(odd.map(\.key) == [#"{"I d":1}"#, #"{"I d":2}"#, #"{"I d":3}"#])
            #expect(odd.first?.new?.hasPrefix(#"{"I d":1,"from":"a\tb\n\\N","big":"c4ca"#) == true)
            #expect(odd.first?.new?.utf8.count ?? 0 > 640_000)
            #expect(odd.dropFirst().first?.new == #"{"I d":2,"from":null,"big":""}"#)
            #expect(odd.last?.new == #"{"I d":3,"from":"\\N","big":"x"}"#)
            #expect(rows["parts"]?.compactMap(\.id) == Array(1...1500))
            #expect(rows["few"]?.first?.new == #"{"id":11,"v":1}"# && rows["few"]?.count == 10)
            #expect(rows["none"]?.allSatisfy { $0.key == nil } == true)
            let values = #""at":"2026-11-30T10:00:00+00:00","f":0.3333333333333333,"n":0.10}"#
            #expect(rows["none"]?.first?.new?.hasSuffix(values) == true, "\(rows["none"]?.first?.new ?? "")")
            #expect(rows["other"]?.compactMap(\.key).first == #"{"u":5}"#)
            #expect(rows["parent"]?.compactMap(\.id) == [1])
            // The change of a row has the same key, and the same columns.
            try server.run(
                """
                UPDATE other SET v = 1 WHERE u = 5; UPDATE parts SET v = 1 WHERE id = 1000;
                UPDATE "S p"."T""x" SET "from" = 'y' WHERE "I d" = 3; UPDATE few SET secret = 'x' WHERE id = 11;
                INSERT INTO none VALUES (1)
                """
            )
            probe.wait(for: "changes") { $0.records.count == expected + 5 }
            let changes = probe.records.suffix(5)
            let keys = [#"{"u":5}"#, #"{"id":1000}"#, #"{"I d":3}"#, #"{"id":11}"#, nil]
            #expect(changes.map(\.key) == keys)
            #expect(changes.dropFirst(2).first?.new == #"{"I d":3,"from":"y","big":"x"}"#)
            await probe.stop()
        }
    }

    @Test("A trigger without a snapshot, and one whose snapshot goes not on, stop no other of the slot")
    func besides() async throws {
        let server = try PostgresServer.replicating()
        try server.run(
            """
            CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT n, 0 FROM generate_series(1, 3000) n;
            CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b VALUES (1, 0);
            """
        )
        let reactor = try Reactor(name: "snapshot-test")
        defer { reactor.stop() }
        try await withStore { store in
            let with = Self.yaml(server, "tables: [a]\nsnapshot: [a]\ncreate: true")
            let without = Self.yaml(server, "tables: [a, b]\ncreate: true")
            let plain = try await ChangesProbe(without, trigger: "plain", on: reactor, journal: store)
            plain.wait(for: "it to read") { $0.isConnected }
            let blocked = try await ChangesProbe(
                with,
                trigger: "blocked",
                on: reactor,
                grant: 0,
                journal: store
            )
            let missing = Self.yaml(server, "tables: [a, b, later]\nsnapshot: [b, later]\ncreate: true")
            let broken = try await ChangesProbe(missing, trigger: "broken", on: reactor, journal: store)
            broken.wait(for: "the table to be missed") { $0.warnings.contains { $0.contains("later") } }
            blocked.source.grant(ReceiveBudget(records: 10, bytes: 1 << 20))
            blocked.wait(for: "ten rows") { $0.records.count == 10 }
            let quick = try await ChangesProbe(with, trigger: "quick", on: reactor, journal: store)
            quick.wait(for: "all rows") { $0.records.count == 3000 }
            for round in 1...20 {
                try server.run("UPDATE a SET v = \(round) WHERE id = 1; UPDATE b SET v = \(round)")
            }
            plain.wait(for: "changes of both") { $0.records.count == 40 }
            quick.wait(for: "changes of one") { $0.records.count == 3020 }
            broken.wait(for: "changes of one") { $0.records.count { $0.table == "a" } == 20 }
            #expect(plain.records.allSatisfy { $0.kind == .update } && blocked.records.count == 10)
            try server.run("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (7)")
            broken.wait(for: "its rows") { $0.records.contains { $0.table == "later" } }
            #expect(broken.records.count { $0.kind == .read && $0.table == "b" } == 1)
            blocked.source.grant(ReceiveBudget(records: 100_000, bytes: 64 << 20))
            blocked.wait(for: "all rows, and changes") { $0.records.count == 3020 }
            #expect(blocked.records.prefix(3000).allSatisfy { $0.kind == .read })
            #expect(blocked.records.last?.new == #"{"id":1,"v":20}"#)
            for probe in [plain, blocked, broken, quick] { await probe.stop() }
        }
    }

    @Test("What hinders a snapshot is told with the way out, and changes come meanwhile")
    func hindrances() async throws {
        let server = try PostgresServer.replicating()
        try server.run(
            """
            CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1);
            CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
            CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
            CREATE TABLE hidden (id int PRIMARY KEY); INSERT INTO hidden VALUES (1);
            ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
            CREATE PUBLICATION s FOR TABLE a, parts, hidden;
            CREATE ROLE reader LOGIN REPLICATION;
            GRANT SELECT ON hidden TO reader;
            """
        )
        try server.run("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        let url = server.url().replacing("postgres@", with: "reader@")
        for (table, text) in [
            ("a", "permission denied"), ("parts", "publish_via_partition_root = true"),
            ("hidden", "row-level security"),
        ] {
            if table == "parts" { try server.run("GRANT SELECT ON parts TO reader") }
            try await withStore { store in
                let tables = table == "a" ? "a" : "a, \(table)"
                let yaml =
                    "url: \"\(url)\"\nslot: s\nheartbeat: 1s\nsnapshot: [\(table)]\ntables: [\(tables)]\n"
                let probe = try await ChangesProbe(yaml, journal: store)
                probe.wait(for: "the hindrance of \(table)") { $0.warnings.contains { $0.contains(text) } }
                if table != "a" {
                    try server.run("DELETE FROM a; INSERT INTO a VALUES (2)")
                    probe.wait(for: "a change") { $0.records.contains { $0.kind == .insert } }
                } else {
                    try server.run("GRANT SELECT ON a TO reader")
                    probe.wait(for: "the row") { $0.records.first?.kind == .read && $0.isConnected }
                }
                await probe.stop()
            }
        }
    }

    @Test("A publication that was made after the slot is told of, with the way out")
    func latePublication() async throws {
        let server = try PostgresServer.replicating()
        try server.run("CREATE TABLE a (id int PRIMARY KEY)")
        try server.run("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        try server.run("INSERT INTO a VALUES (1)")
        try server.run("CREATE PUBLICATION s FOR TABLE a")
        let probe = try await ChangesProbe(Self.yaml(server, ""))
        probe.wait(for: "the advice") {
            $0.problems.contains { $0.contains("pg_replication_slot_advance('s'") }
        }
        probe.wait(for: "the slot to be free") { _ in
            (try? server.run("SELECT pg_replication_slot_advance('s', pg_current_wal_lsn())")) != nil
        }
        try server.run("INSERT INTO a VALUES (2)")
        probe.wait(for: "what comes then") { $0.records.map(\.id) == [2] }
        await probe.stop()
    }
}
