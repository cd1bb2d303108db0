// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

@testable import PostgresConnector

/// The tables as they are at first, of a real server.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(10)))
struct ChangesSnapshotTests {
    private static func yaml(_ server: PostgresServer, _ more: String = "snapshot: [a, b]") -> String {
        "url: \"\(server.url())\"\nslot: s\ntables: [a, b]\ncreate: true\nheartbeat: 1s\n\(more)\n"
    }

    private static func makeServer(rows: Int = 2500) throws -> PostgresServer {
        let server = try PostgresServer.replicating()
        try server.run(
            """
            CREATE TABLE a (k text, id int, v int, PRIMARY KEY (k, id));
            INSERT INTO a SELECT 'k''' || n % 7, n, 0 FROM generate_series(1, \(rows)) n;
            CREATE TABLE b (id int PRIMARY KEY, v int);
            INSERT INTO b SELECT n, 0 FROM generate_series(1, 500) n;
            """
        )
        return server
    }

    /// A change whose arrival says that all before it has arrived, too.
    private static func finish(_ server: PostgresServer, _ probe: ChangesProbe) throws {
        try server.run("INSERT INTO b VALUES (999999, 0)")
        probe.wait(for: "the last change") { $0.records.contains { $0.id == 999_999 } }
    }

    private static func check(_ model: SnapshotModel, _ server: PostgresServer) throws {
        for table in ["a", "b"] {
            let (ours, theirs) = (model.rows(of: table), try SnapshotModel.rows(of: table, on: server))
            #expect(
                ours == theirs,
                "\(table): \(ours.subtracting(theirs)) instead of \(theirs.subtracting(ours))"
            )
        }
        #expect(model.regressions.isEmpty && model.disorder == 0, "\(model.regressions), \(model.disorder)")
    }

    @Test("Rows come first, and then exactly the changes that were committed since, while others write")
    func consistent() async throws {
        let server = try Self.makeServer()
        let (file, store) = try await Self.store()
        let probe = try await ChangesProbe(Self.yaml(server), grant: 100, journal: store)
        for round in 1...40 {
            try server.run(
                """
                BEGIN;
                UPDATE a SET v = v + 1 WHERE id % 50 = \(round % 50);
                INSERT INTO a VALUES ('n', \(5000 + round), 0);
                DELETE FROM a WHERE id = \(round * 60);
                COMMIT;
                UPDATE a SET k = 'moved', v = v + 1 WHERE id = \(round * 60 + 1);
                UPDATE b SET v = v + 1 WHERE id = \(round);
                """
            )
        }
        try Self.finish(server, probe)
        let records = probe.records
        let reads = records.filter { $0.kind == .read }
        // Each change of a row that is in the snapshot comes behind that.
        #expect(records.prefix(reads.count).allSatisfy { $0.kind == .read })
        #expect(reads.count { $0.table == "b" } == 500)
        let texts = Set(reads.map { ChangePosition.text($0.position) })
        #expect(texts.count == reads.count && texts.allSatisfy { $0.hasPrefix("snapshot-") })
        #expect(reads.allSatisfy { $0.attributes["xid"] == nil && $0.key != nil })
        var model = SnapshotModel()
        model.apply(records)
        try Self.check(model, server)
        // The snapshot's own slot is gone.
        #expect(try server.run("SELECT string_agg(slot_name, ',') FROM pg_replication_slots") == "s")
        try await probe.settle()
        let last = try #require(probe.last).position
        await probe.stop()
        // All was read, and is not read again.
        let next = try await ChangesProbe(Self.yaml(server), checkpoint: last, journal: store)
        try server.run("INSERT INTO b VALUES (1000000, 0)")
        next.wait(for: "a change") { $0.records.count == 1 }
        #expect(next.records.first?.id == 1_000_000)
        await next.stop()
        await store.close()
        _ = file
    }

    private static func store() async throws -> (StoreFile, SQLiteStore) {
        let file = StoreFile()
        return (file, try SQLiteStore.open(path: file.url.path))
    }

    @Test(
        "A snapshot that was broken off goes on with the page of the first row that is not settled; no change is missing, and no older state comes after a newer one",
        arguments: [1, 1500, 2501, 2999]
    )
    func resumes(count: Int) async throws {
        let server = try Self.makeServer()
        let (file, store) = try await Self.store()
        let first = try await ChangesProbe(Self.yaml(server), grant: 0, journal: store)
        first.source.grant(ReceiveBudget(records: count + 700, bytes: 64 << 20))
        first.wait(for: "a part") { $0.records.count >= min(3000, count + 700) }
        let before = Array(first.records.prefix(count + 700))
        let settled = before[count - 1].position
        try await first.settle(settled)
        await first.stop()
        var model = SnapshotModel()
        model.apply(before)
        // What was seen goes, changes and comes; and so does what was not.
        try server.run(
            """
            DELETE FROM a WHERE id % 100 = 1; UPDATE a SET v = v + 1 WHERE id % 100 = 2;
            UPDATE a SET k = 'z', v = v + 1 WHERE id % 100 = 3;
            INSERT INTO a SELECT 'a', 10000 + n, 0 FROM generate_series(1, 20) n;
            DELETE FROM b WHERE id % 100 = 1; UPDATE b SET v = v + 1 WHERE id % 100 = 2;
            """
        )
        let second = try await ChangesProbe(
            Self.yaml(server),
            checkpoint: settled,
            grant: 200,
            journal: store
        )
        for round in 1...10 {
            try server.run(
                "UPDATE a SET v = v + 1 WHERE id % 10 = \(round); DELETE FROM b WHERE id = \(round)"
            )
        }
        try Self.finish(server, second)
        model.crash()
        model.apply(second.records)
        try Self.check(model, server)
        #expect(second.records.allSatisfy { settled < $0.position } && second.gaps.isEmpty)
        // Not from the beginning: at most a page more than was not settled, and what came meanwhile.
        let reads = second.records.count { $0.kind == .read }
        #expect(reads <= 3000 - count + 1020, "\(reads) rows")
        let again = Set(before.map(\.position)).intersection(second.records.map(\.position))
        #expect(again.isEmpty)
        await second.stop()
        await store.close()
        _ = file
    }

    @Test("A server that is killed in the midst of a snapshot loses nothing, and only a page comes again")
    func serverKilled() async throws {
        let server = try Self.makeServer()
        let (file, store) = try await Self.store()
        let probe = try await ChangesProbe(Self.yaml(server), grant: 0, journal: store)
        probe.source.grant(ReceiveBudget(records: 1300, bytes: 64 << 20))
        probe.wait(for: "a part") { $0.records.count == 1300 }
        try server.run("DELETE FROM a WHERE id % 100 = 1; UPDATE a SET v = v + 1 WHERE id % 100 = 2")
        server.crash()
        try server.start()
        try server.run("UPDATE a SET v = v + 1 WHERE id % 100 = 2; UPDATE b SET v = v + 1 WHERE id < 10")
        probe.source.grant(ReceiveBudget(records: 100_000, bytes: 64 << 20))
        // Changes come while it waits to go on: the rows may come behind them.
        probe.wait(for: "all rows") { $0.records.count { $0.kind == .read && $0.table == "b" } >= 500 }
        try Self.finish(server, probe)
        var model = SnapshotModel()
        model.apply(probe.records)
        try Self.check(model, server)
        #expect(probe.records.count { $0.kind == .read } <= 4100)
        await probe.stop()
        await store.close()
        _ = file
    }

    @Test("A stop in the midst of a snapshot is quick, whatever it waits for")
    func stops() async throws {
        let server = try Self.makeServer()
        let (file, store) = try await Self.store()
        // For room.
        let first = try await ChangesProbe(Self.yaml(server), grant: 0, journal: store)
        first.source.grant(ReceiveBudget(records: 10, bytes: 64 << 20))
        first.wait(for: "a part") { $0.records.count == 10 }
        let clock = ContinuousClock()
        #expect(await clock.measure { await first.stop() } < .seconds(5))
        // For a transaction that is open.
        let holder = try PostgresHolder(server, "INSERT INTO a VALUES ('open', 0, 0)")
        let second = try await ChangesProbe(Self.yaml(server), journal: store)
        try second.wait(for: "the snapshot to be waited for") { _ in
            try server.run(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE_REPLICATION_SLOT%' AND state = 'active'"
            ) == "1"
        }
        #expect(await clock.measure { await second.stop() } < .seconds(5))
        holder.end()
        await store.close()
        _ = file
    }

    @Test("Nobody changes what the tables look like while they are read")
    func locks() async throws {
        let server = try Self.makeServer()
        let (file, store) = try await Self.store()
        let probe = try await ChangesProbe(Self.yaml(server), grant: 0, journal: store)
        probe.source.grant(ReceiveBudget(records: 10, bytes: 64 << 20))
        probe.wait(for: "a part") { $0.records.count == 10 }
        #expect(throws: (any Error).self) {
            try server.run("SET lock_timeout = '100ms'; ALTER TABLE b ALTER v TYPE bigint")
        }
        probe.source.grant(ReceiveBudget(records: 100_000, bytes: 64 << 20))
        try Self.finish(server, probe)
        try server.run("SET lock_timeout = '10s'; ALTER TABLE b ALTER v TYPE bigint")
        var model = SnapshotModel()
        model.apply(probe.records)
        try Self.check(model, server)
        await probe.stop()
        await store.close()
        _ = file
    }

    @Test("A slot that was moved on in the midst of a snapshot is a gap, and all rows are read again")
    func gap() async throws {
        let server = try Self.makeServer()
        let (file, store) = try await Self.store()
        let first = try await ChangesProbe(Self.yaml(server), grant: 0, journal: store)
        first.source.grant(ReceiveBudget(records: 2000, bytes: 64 << 20))
        first.wait(for: "a part") { $0.records.count == 2000 }
        try await first.settle()
        let settled = try #require(first.last).position
        await first.stop()
        try server.run("UPDATE a SET v = v + 1 WHERE id < 100")
        first.wait(for: "the slot to be free") { _ in
            (try? server.run("SELECT pg_replication_slot_advance('s', pg_current_wal_lsn())")) != nil
        }
        let second = try await ChangesProbe(Self.yaml(server), checkpoint: settled, journal: store)
        second.wait(for: "the gap, and all rows") { $0.gaps.count == 1 && $0.records.count == 3000 }
        try Self.finish(server, second)
        var model = SnapshotModel()
        model.apply(second.records)
        try Self.check(model, server)
        await second.stop()
        await store.close()
        _ = file
    }

    @Test(
        "A table that is named later is read then, in its place among the changes; one that is named anew is read anew"
    )
    func later() async throws {
        let server = try Self.makeServer(rows: 100)
        let (file, store) = try await Self.store()
        var model = SnapshotModel()
        var checkpoint: Position?
        func run(_ snapshot: String, reads: Int) async throws {
            let more = "snapshot: \(snapshot)"
            let probe = try await ChangesProbe(
                Self.yaml(server, more),
                checkpoint: checkpoint,
                journal: store
            )
            probe.wait(for: "\(reads) rows") {
                $0.records.count { $0.kind == .read } == reads && $0.isConnected
            }
            try Self.finish(server, probe)
            try server.run(
                """
                UPDATE a SET v = v + 1 WHERE id < 20;
                INSERT INTO b SELECT n + (SELECT count(*) FROM b), 0 FROM generate_series(0, 2) n;
                DELETE FROM b WHERE id = 999999;
                """
            )
            probe.wait(for: "changes") { $0.records.last?.kind == .delete }
            model.apply(probe.records)
            try Self.check(model, server)
            try await probe.settle()
            checkpoint = try #require(probe.last).position
            #expect(probe.records.count { $0.kind == .read } == reads && probe.gaps.isEmpty)
            await probe.stop()
            // While nobody reads.
            try server.run(
                "UPDATE a SET v = v + 1 WHERE id < 5; DELETE FROM a WHERE id = (SELECT max(id) FROM a)"
            )
        }
        // The first time without b's rows: the model has not those that were there before.
        try server.run("TRUNCATE b")
        try await run("[a]", reads: 100)
        try await run("[a]", reads: 0)
        try await run("[b, a]", reads: Int(try server.run("SELECT count(*) FROM b")) ?? -1)
        try await run("[b]", reads: 0)
        try await run("[a, b]", reads: Int(try server.run("SELECT count(*) FROM a")) ?? -1)
        try await run("[]", reads: 0)
        #expect(try await store.mark(of: "t")?.contains("\"tables\":[]") == true)
        await store.close()
        _ = file
    }
}
