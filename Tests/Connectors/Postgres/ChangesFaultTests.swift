// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockTesting
import PostgresClient
import Reactor
import Testing

@testable import PostgresConnector

/// What goes wrong with a slot and its server.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(15)))
struct ChangesFaultTests {
    private static func yaml(_ server: PostgresServer, _ more: String = "", port: UInt16? = nil) -> String {
        "url: \"\(server.url(port: port))\"\nslot: s\nheartbeat: 1s\n\(more)\n"
    }

    /// The memory of this process, in bytes.
    private static func memory() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
    }

    @Test("A transaction of 500,000 rows comes row by row, in bounded memory, and is released")
    func large() async throws {
        let server = try PostgresServer.replicating("logical_decoding_work_mem=1MB", "max_wal_size=2GB")
        try server.makeSlot("s")
        let probe = try await ChangesProbe(
            Self.yaml(server),
            grant: 5000,
            settlesAll: true,
            keepsRecords: false
        )
        probe.wait(for: "it to read") { $0.isConnected }
        let before = try Self.memory()
        try server.run("INSERT INTO s SELECT n, repeat('x', 400) FROM generate_series(1, 500000) n")
        let end = try server.walEnd()
        probe.wait(for: "all rows", within: .seconds(400)) { $0.count >= 500_000 }
        #expect(probe.count == 500_000)
        let grown = try Self.memory() - before
        // All rows would take more; other tests grow beside it.
        #expect(grown < 200 << 20, "grown by \(grown >> 20) MiB")
        try probe.wait(for: "the slot to be released") { _ in try server.isAllAcknowledged("s", since: end) }
        await probe.stop()
    }

    @Test("A connection that is cut within a transaction goes on where it was, with each row once")
    func cut() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let proxy = try TestProxy(to: server.port)
        defer { proxy.stop() }
        let probe = try await ChangesProbe(Self.yaml(server, port: proxy.port), grant: 0)
        probe.wait(for: "it to read") { $0.isConnected }
        try server.run("INSERT INTO s SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) n")
        probe.source.grant(ReceiveBudget(records: 7000, bytes: 64 << 20))
        probe.wait(for: "a part") { $0.records.count == 7000 }
        proxy.cut()
        probe.source.grant(ReceiveBudget(records: 1_000_000, bytes: 1 << 30))
        probe.wait(for: "the loss to be told") { !$0.problems.isEmpty }
        proxy.restore()
        probe.wait(for: "all rows") { $0.records.count >= 20_000 }
        #expect(probe.records.compactMap(\.id) == Array(1...20_000))
        await probe.stop()
    }

    @Test("A server that is killed, and one that stands still, lose nothing and double nothing")
    func server() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let probe = try await ChangesProbe(Self.yaml(server))
        probe.wait(for: "it to read") { $0.isConnected }
        try server.run("INSERT INTO s SELECT n FROM generate_series(1, 1000) n")
        probe.wait(for: "1000 rows") { $0.records.count == 1000 }
        try await probe.settle(probe.records[499].position)
        server.crash()
        try server.start()
        try server.run("INSERT INTO s SELECT n FROM generate_series(1001, 2000) n")
        probe.wait(for: "2000 rows") { $0.records.count == 2000 }
        server.suspend(true)
        probe.wait(for: "the silence to be told") { probe in
            probe.problems.contains { $0.contains("has said nothing for") }
        }
        server.suspend(false)
        try server.run("INSERT INTO s SELECT n FROM generate_series(2001, 3000) n")
        probe.wait(for: "3000 rows") { $0.records.count >= 3000 }
        #expect(probe.records.compactMap(\.id) == Array(1...3000) && probe.gaps.isEmpty)
        await probe.stop()
    }

    @Test("A stop while a slot waits for transactions to end is quick, and leaves neither slot nor session")
    func stopsBeforeSlot() async throws {
        let server = try PostgresServer.replicating()
        try server.run("CREATE TABLE s (id int PRIMARY KEY, v text)")
        let holder = try PostgresHolder(server, "INSERT INTO s VALUES (0)")
        let probe = try await ChangesProbe(Self.yaml(server, "tables: [s]\ncreate: true"))
        let waits = """
            SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_create_logical_replication_slot%'
            AND wait_event = 'transactionid' AND pid <> pg_backend_pid()
            """
        try probe.wait(for: "the slot to wait") { _ in try server.run(waits) == "1" }
        #expect(await ContinuousClock().measure { await probe.stop() } < .seconds(5))
        // While the transaction that it waited for is still open.
        let left = "SELECT (\(waits)) || ' ' || (SELECT count(*) FROM pg_replication_slots)"
        let isGone = try BoundedWait.until(within: .seconds(20)) { try server.run(left) == "0 0" }
        #expect(isGone)
        holder.end()
    }

    @Test("A server whose log ends before the checkpoint is told as a gap, and read on")
    func earlier() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let beyond = ChangePosition.change(LogSequenceNumber(1 << 40), 7)
        let probe = try await ChangesProbe(Self.yaml(server), checkpoint: beyond)
        probe.wait(for: "the gap") { $0.gaps.contains { $0.contains("the server's log ends at") } }
        try server.run("INSERT INTO s VALUES (1)")
        probe.wait(for: "a record") { $0.records.count == 1 }
        try await probe.settle()
        try server.run("INSERT INTO s VALUES (2)")
        probe.wait(for: "another record") { $0.records.count == 2 }
        // Not beyond what was settled: the server would skip what comes.
        let query = "SELECT confirmed_flush_lsn <= pg_current_wal_lsn() FROM pg_replication_slots"
        #expect(try server.run(query) == "t")
        await probe.stop()
    }

    @Test(
        "A slot that the server gave up is a gap and a stop that is explained; one made anew is a gap, and goes on"
    )
    func lost() async throws {
        let server = try PostgresServer.replicating(
            "max_slot_wal_keep_size=16MB",
            "min_wal_size=32MB",
            "max_wal_size=32MB"
        )
        try server.makeSlot("s")
        let probe = try await ChangesProbe(Self.yaml(server))
        try server.run("INSERT INTO s VALUES (1)")
        probe.wait(for: "a record") { $0.records.count == 1 }
        try await probe.settle()
        let settled = try #require(probe.records.first).position
        await probe.stop()
        for number in 2..<12 { try server.run("INSERT INTO s VALUES (\(number)); SELECT pg_switch_wal()") }
        try server.run("CHECKPOINT")
        #expect(try server.run("SELECT wal_status FROM pg_replication_slots") == "lost")
        let next = try await ChangesProbe(Self.yaml(server, "create: true"), checkpoint: settled)
        next.wait(for: "the loss to be told") { !$0.gaps.isEmpty && !$0.problems.isEmpty }
        #expect(next.problems.contains { $0.contains("pg_drop_replication_slot('s')") }, "\(next.problems)")
        // Never made anew by itself.
        #expect(try server.run("SELECT wal_status FROM pg_replication_slots") == "lost")
        await next.stop()
        try server.run("SELECT pg_drop_replication_slot('s')")
        let last = try await ChangesProbe(Self.yaml(server, "create: true"), checkpoint: settled)
        last.wait(for: "a slot made anew") { $0.isConnected }
        try server.run("INSERT INTO s VALUES (100)")
        last.wait(for: "a record") { $0.records.count == 1 }
        #expect(last.gaps.count == 1 && last.records.first?.id == 100)
        await last.stop()
    }

    @Test("A slot moves on in a database where other tables change, without a record")
    func quiet() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        try server.run("CREATE TABLE busy (id int)")
        let probe = try await ChangesProbe(Self.yaml(server), settlesAll: true)
        probe.wait(for: "it to read") { $0.isConnected }
        try server.run("INSERT INTO busy SELECT n FROM generate_series(1, 10000) n")
        let end = try server.walEnd()
        try probe.wait(for: "the slot to move") { _ in try server.isAllAcknowledged("s", since: end) }
        #expect(probe.records.isEmpty)
        await probe.stop()
    }
}
