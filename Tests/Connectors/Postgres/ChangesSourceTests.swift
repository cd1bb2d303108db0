// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import PostgresConnector

/// The source of changes against a real server.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(10)))
struct ChangesSourceTests {
    private static func yaml(_ server: PostgresServer, _ slot: String, _ more: String = "") -> String {
        "url: \"\(server.url())\"\nslot: \(slot)\n\(more)\n"
    }

    @Test("Changes come in order; what is settled is released, and a restart goes on behind it")
    func resumes() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let first = try await ChangesProbe(Self.yaml(server, "s"))
        try server.run("INSERT INTO s SELECT n, 'v' FROM generate_series(1, 10) n")
        try server.run(
            "UPDATE s SET v = 'w' WHERE id = 3; DELETE FROM s WHERE id = 4; UPDATE s SET id = 50 WHERE id = 5"
        )
        first.wait(for: "13 records") { $0.records.count == 13 }
        let records = first.records
        let kinds: [ChangeKind] = [.update, .delete, .update]
        #expect(records.map(\.kind).suffix(3) == kinds[...])
        #expect(records[10].new == #"{"id":3,"v":"w"}"# && records[10].old == nil)
        #expect(records[11].new == nil && records[11].old == #"{"id":4}"# && records[11].key == #"{"id":4}"#)
        #expect(records[12].old == #"{"id":5}"# && records[12].key == #"{"id":50}"#)
        #expect(zip(records, records.dropFirst()).allSatisfy { $0.position < $1.position })
        // The settled half of a transaction does not let it go.
        let before = try server.confirmed("s")
        try await first.settle(records[4].position)
        await first.stop()
        let second = try await ChangesProbe(Self.yaml(server, "s"), checkpoint: records[4].position)
        second.wait(for: "the rest") { $0.records.count == 8 }
        #expect(second.records.first?.id == 6 && second.gaps.isEmpty)
        #expect(try server.confirmed("s") != "" && before != "")
        let end = try server.walEnd()
        let last = records[12].position
        second.wait(for: "the end of the log") { probe in
            guard let told = probe.last?.position else { return false }
            return told > last
        }
        try await second.settle()
        try second.wait(for: "the slot to be released") { _ in
            try server.isAllAcknowledged("s", since: end)
        }
        await second.stop()
    }

    @Test(
        "What is missing is made when that is asked for, and named with the statement that makes it otherwise"
    )
    func creates() async throws {
        let server = try PostgresServer.replicating()
        try server.run("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE \"B c\" (id int PRIMARY KEY)")
        let probe = try await ChangesProbe(Self.yaml(server, "s", "tables: [a]"))
        probe.wait(for: "the publication to be missed") { probe in
            probe.problems.contains { $0.contains("CREATE PUBLICATION \"s\" FOR TABLE \"public\".\"a\"") }
        }
        try server.run("CREATE PUBLICATION s FOR TABLE a")
        probe.wait(for: "the slot to be missed") { probe in
            probe.problems.contains {
                $0.contains("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
            }
        }
        await probe.stop()
        let maker = try await ChangesProbe(Self.yaml(server, "s", "tables: [a, \"B c\"]\ncreate: true"))
        maker.wait(for: "the slot") { $0.isConnected }
        try server.run("INSERT INTO \"B c\" VALUES (1)")
        maker.wait(for: "a record") { $0.records.count == 1 }
        #expect(maker.records.first?.table == "B c")
        await maker.stop()
    }

    @Test("Values of all types come as to_jsonb has them")
    func types() async throws {
        let server = try PostgresServer.replicating()
        try server.run(
            """
            CREATE TYPE mood AS ENUM ('ok', 'not ok');
            CREATE DOMAIN positive AS int CHECK (VALUE > 0);
            CREATE DOMAIN tags AS text[];
            CREATE TYPE pair AS (a int, b text);
            """
        )
        try server.makeSlot(
            "s",
            table: """
                CREATE TABLE s (id int PRIMARY KEY, b bool, i2 smallint, i8 bigint, n numeric, f4 real, f8 float8, t text,
                  vc varchar(10), c char(4), j json, jb jsonb, u uuid, by bytea, d date, ti time, ts timestamp,
                  tz timestamptz, iv interval, ia int[], ta text[], m mood, ma mood[], p positive, pa positive[], dt tags,
                  r int4range, inet inet, bits bit(3), na numeric[], tza timestamptz[], boxes box[], ja jsonb[], x xml,
                  mo money, o oid, o8 int8range, nul text)
                """
        )
        try server.run(
            """
            INSERT INTO s VALUES (1, true, -2, 9007199254740993, 12345678901234567890.500, 1.5, 'NaN',
              E'quote " slash \\\\ tab \\t snow ☃ nl \\n', 'vc', 'c', '{"a" : [1,2]}', '{"b": {"c": null}}',
              '4bf92f35-77b3-4da6-a3ce-929d0e0e4736', '\\x00ff', '2026-11-30', '12:30:00.5', '2026-11-30 12:30:00.123456',
              '2026-11-30 12:30:00+02', '1 year 2 days 03:04:05', '{{1,2},{3,NULL}}', ARRAY['a,b', NULL, 'q"'], 'not ok',
              '{ok,"not ok"}', 7, '{8,9}', '{x,y}', '[1,5)', '10.0.0.1/24', B'101', '{1.5,NaN}', '{2026-11-30 00:00:00+00}',
              ARRAY[box '(1,1),(0,0)', box '(2,2),(0,0)'], ARRAY['{"a":1}'::jsonb], '<a/>', 12.5, 77, '[5,9)', NULL)
            """
        )
        let probe = try await ChangesProbe(Self.yaml(server, "s"))
        probe.wait(for: "a record") { $0.records.count == 1 }
        let row = probe.records.first?.new ?? ""
        // As the server itself writes the row; `x` is shown as it is.
        let expected = try server.run(
            "SET timezone = 'UTC'; SELECT to_jsonb(s) = '\(row.replacing("'", with: "''"))'::jsonb FROM s"
        )
        let own = try server.run("SET timezone = 'UTC'; SELECT to_jsonb(s) FROM s")
        #expect(expected == "t", "\(row)\n\(own)")
        await probe.stop()
    }

    @Test(
        "Values that were not changed, replica identities, keys, TRUNCATE and changed tables are told as they are"
    )
    func images() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s", table: "CREATE TABLE s (id int PRIMARY KEY, v text, n int)")
        try server.run("ALTER TABLE s ALTER v SET STORAGE EXTERNAL")
        try server.run("CREATE TABLE nokey (a int); ALTER PUBLICATION s ADD TABLE nokey")
        let probe = try await ChangesProbe(Self.yaml(server, "s"))
        try server.run("INSERT INTO s VALUES (1, repeat('x', 10000), 1); UPDATE s SET n = 2")
        try server.run("ALTER TABLE s REPLICA IDENTITY FULL; UPDATE s SET n = 3; DELETE FROM s")
        try server.run("ALTER TABLE s REPLICA IDENTITY NOTHING; INSERT INTO s VALUES (2, 'y', 1)")
        try server.run(
            "ALTER TABLE s ADD COLUMN w text DEFAULT 'd', DROP COLUMN n; INSERT INTO s VALUES (3, 'z')"
        )
        try server.run("ALTER TABLE s ALTER v TYPE int USING 5; INSERT INTO s VALUES (4, 6)")
        try server.run("INSERT INTO nokey VALUES (1); TRUNCATE s, nokey")
        probe.wait(for: "10 records") { $0.records.count == 10 }
        let records = probe.records
        let kinds: [ChangeKind] = [
            .insert, .update, .update, .delete, .insert, .insert, .insert, .insert, .truncate, .truncate,
        ]
        #expect(records.map(\.kind) == kinds)
        #expect(records[1].new == #"{"id":1,"n":2}"# && records[1].attributes["unchanged"] == #"["v"]"#)
        let large = String(repeating: "x", count: 10_000)
        #expect(records[2].new == #"{"id":1,"v":"\#(large)","n":3}"# && records[2].key == #"{"id":1}"#)
        #expect(records[2].old == #"{"id":1,"v":"\#(large)","n":2}"#)
        #expect(records[3].key == #"{"id":1}"# && records[3].old?.contains("\"n\":3") == true)
        #expect(records[4].key == #"{"id":2}"#)
        #expect(records[5].new == #"{"id":3,"v":"z","w":"d"}"#)
        #expect(records[6].new == #"{"id":4,"v":6,"w":"d"}"#)
        #expect(records[7].key == nil && records[7].new == #"{"a":1}"#)
        #expect(Set(records[8...].map(\.table)) == ["s", "nokey"] && records[8].new == nil)
        #expect(records[8].position < records[9].position)
        #expect(Set(records[0...1].map { $0.attributes["xid"] }).count == 1)
        await probe.stop()
    }
}
