// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

@testable import PostgresConnector

/// Snapshots of members that stand still, and of those that only begin their stream again.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct SnapshotTakeoverTests {
    private static let sessions =
        "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity WHERE application_name LIKE 'penstock 1f snapshot %'"

    private static func makeServer() throws -> PostgresServer {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s", table: "CREATE TABLE s (id int PRIMARY KEY, v int)")
        try server.run("INSERT INTO s SELECT n, 0 FROM generate_series(1, 3000) n")
        return server
    }

    private static func yaml(_ server: PostgresServer) -> String {
        "url: \"\(server.url())\"\nslot: s\nheartbeat: 1s\ntables: [s]\nsnapshot: [s]\n"
    }

    @Test("Whoever has the lease ends the snapshot of a member that stands still, and goes on with the rest")
    func takesOver() async throws {
        let server = try Self.makeServer()
        try await withStore { store in
            let first = try await ChangesProbe(Self.yaml(server), grant: 0, journal: store, cluster: "1f")
            first.source.grant(ReceiveBudget(records: 1500, bytes: 64 << 20))
            first.wait(for: "a part") { $0.records.count == 1500 }
            let before = Array(first.records.prefix(1200))
            let settled = try #require(before.last).position
            try await first.settle(settled)
            let old = try server.run(Self.sessions)
            #expect(Int(old) != nil, "\(old)")
            let goesOn = Latch()
            first.reactor.submit { goesOn.block() }
            try server.run("DELETE FROM s WHERE id % 100 = 1; UPDATE s SET v = v + 1 WHERE id % 100 = 2")
            let second = try await ChangesProbe(
                Self.yaml(server),
                checkpoint: settled,
                journal: store,
                cluster: "1f"
            )
            second.wait(for: "the rest") { $0.records.contains { $0.kind == .read && $0.id == 3000 } }
            try server.run("INSERT INTO s VALUES (999999, 0)")
            second.wait(for: "the last change") { $0.records.contains { $0.id == 999_999 } }
            #expect(try server.run(Self.sessions).isEmpty)
            // Nobody holds a lock any more, while the first one still stands.
            try server.run("SET lock_timeout = '10s'; LOCK TABLE s")
            var model = SnapshotModel()
            model.apply(before)
            model.crash()
            model.apply(second.records)
            #expect(model.rows(of: "s") == (try SnapshotModel.rows(of: "s", on: server)))
            #expect(model.regressions.isEmpty && model.disorder == 0 && second.gaps.isEmpty)
            goesOn.open()
            await first.stop()
            await second.stop()
        }
    }

    @Test("A stream that begins again leaves the snapshot of its own member alone")
    func leavesOwn() async throws {
        let server = try Self.makeServer()
        try await withStore { store in
            let probe = try await ChangesProbe(Self.yaml(server), grant: 0, journal: store, cluster: "1f")
            probe.source.grant(ReceiveBudget(records: 1500, bytes: 64 << 20))
            probe.wait(for: "a part") { $0.records.count == 1500 }
            let session = try server.run(Self.sessions)
            let owner = "SELECT coalesce(max(active_pid), 0) FROM pg_replication_slots WHERE slot_name = 's'"
            let before = try server.run(owner)
            try server.run("SELECT pg_terminate_backend(\(before))")
            try probe.wait(for: "the stream to begin again") { _ in
                let now = try server.run(owner)
                return now != "0" && now != before
            }
            #expect(try server.run(Self.sessions) == session)
            probe.source.grant(ReceiveBudget(records: 100_000, bytes: 64 << 20))
            probe.wait(for: "the rest") { $0.records.count == 3000 }
            #expect(probe.records.compactMap(\.id) == Array(1...3000))
            await probe.stop()
        }
    }
}
