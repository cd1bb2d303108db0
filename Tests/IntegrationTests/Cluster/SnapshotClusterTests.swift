// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting
import Testing

/// The initial snapshot of a slot that two Penstocks share, of which one is lost in the midst of it.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(10)))
struct SnapshotClusterTests {
    /// What becomes of the member that reads.
    enum Loss: String, CaseIterable {
        case killed, stopped
    }

    private static let source =
        "changes: { url: \"URL\", slot: s, tables: [t], snapshot: [t], create: true, heartbeat: 1s }"
    private static let more = """
            batch: { size: 200, window: 10ms }
            failure: { retries: unlimited, backoff: { initial: 50ms, max: 500ms } }
        """
    private static let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'penstock % snapshot %'"

    @Test(
        "A member that is lost in the midst of a snapshot is succeeded by another one, without a row or a change missing",
        arguments: Loss.allCases
    )
    func takeover(loss: Loss) throws {
        let world = try PostgresWorld(settings: ["wal_level=logical"])
        // Far more than are on their way at a time.
        let rows = 30_000
        try world.database.run(
            """
            CREATE TABLE t (id bigserial PRIMARY KEY, g int, n int, pad text);
            INSERT INTO t (g, n, pad) SELECT i, 0, repeat('x', 500) FROM generate_series(1, \(rows)) i;
            """
        )
        let homes = [try TemporaryFolder(), try TemporaryFolder()]
        func start(_ number: Int) throws -> PenstockProcess {
            try world.start(
                Self.source,
                more: Self.more,
                state: world.database.url("penstock_state"),
                in: homes[number]
            )
        }
        func reads() -> Int { world.arrivals.count { $0.kind == "READ" } }
        try world.database.run("CREATE DATABASE penstock_state")
        let first = try start(0)
        try world.wait(for: "rows", first) { reads() >= 500 }
        // It gets no further until it is lost.
        world.set(.silent)
        let second = try start(1)
        try world.database.run("UPDATE t SET n = n + 1 WHERE g % 10 = 1; DELETE FROM t WHERE g % 10 = 2")
        #expect(try world.database.run(Self.sessions) == "1")
        #expect(reads() < rows, "it was lost too late")
        if loss == .killed { first.kill() } else { _ = kill(first.id, SIGSTOP) }
        try world.database.run(
            "UPDATE t SET n = n + 1 WHERE g % 10 = 3; INSERT INTO t (g, n) VALUES (-1, -1)"
        )
        world.set(.well)
        try world.wait(for: "the rest", second) { world.arrivals.contains { $0.group == -1 } }
        try world.database.run("INSERT INTO t (g, n) VALUES (-2, -2)")
        try world.wait(for: "the last change", second) {
            world.arrivals.contains { $0.group == -2 && $0.kind == "INSERT" }
        }
        // Also of the one that stands still nothing is left that holds others up.
        #expect(try world.database.run(Self.sessions) == "0")
        try world.database.run("SET lock_timeout = '10s'; ALTER TABLE t ADD more int")
        if loss == .stopped {
            _ = kill(first.id, SIGCONT)
            try first.terminate()
        }
        try second.terminate()
        let deletes = try world.checkRows()
        let line = "snapshot, one of two \(loss): \(rows) rows, \(reads()) read, \(deletes) deletions\n"
        FileHandle.standardError.write(Data(line.utf8))
    }
}
