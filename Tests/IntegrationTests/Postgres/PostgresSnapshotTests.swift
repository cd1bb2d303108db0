// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

/// The initial snapshot of a real server through the built program.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(20)))
struct PostgresSnapshotTests {
    private static let source =
        "changes: { url: \"URL\", slot: s, tables: [t], snapshot: [t], create: true, heartbeat: 1s }"

    @Test(
        "SIGTERM and SIGKILL of the program, and SIGKILL of the server, in the midst of a snapshot lose no row and no change"
    )
    func broken() throws {
        let world = try PostgresWorld(settings: ["wal_level=logical"])
        let rows = 8000
        try world.database.run(
            """
            CREATE TABLE t (id bigserial PRIMARY KEY, g int, n int);
            INSERT INTO t (g, n) SELECT i, 0 FROM generate_series(1, \(rows)) i;
            """
        )
        let more = """
                batch: { size: 100, window: 10ms }
                failure: { retries: unlimited, backoff: { initial: 50ms, max: 500ms } }
            """
        func reads() -> Int { world.arrivals.count { $0.kind == "READ" } }
        var penstock = try world.start(Self.source, more: more)
        try world.wait(for: "rows", penstock) { reads() >= 500 }
        try world.database.run("UPDATE t SET n = n + 1 WHERE g % 10 = 1; DELETE FROM t WHERE g % 10 = 2")
        try penstock.terminate()
        #expect(reads() < rows, "the stop came too late")
        penstock = try world.start(Self.source, more: more)
        let second = reads()
        try world.wait(for: "more rows", penstock) { reads() >= second + 500 }
        try world.database.run("UPDATE t SET n = n + 1 WHERE g % 10 = 3; DELETE FROM t WHERE g % 10 = 4")
        penstock.kill()
        penstock = try world.start(Self.source, more: more)
        let third = reads()
        try world.wait(for: "more rows", penstock) { reads() >= third + 500 }
        world.database.crash()
        try world.database.start()
        try world.database.run(
            "UPDATE t SET n = n + 1 WHERE g % 10 = 5; INSERT INTO t (g, n) VALUES (-1, -1)"
        )
        try world.wait(for: "the last change", penstock) { world.arrivals.contains { $0.group == -1 } }
        // Behind the rows, unless it is one of them.
        try world.database.run("INSERT INTO t (g, n) VALUES (-2, -2)")
        try world.wait(for: "the last change", penstock) {
            world.arrivals.contains { $0.group == -2 && $0.kind == "INSERT" }
        }
        try penstock.terminate()
        let deletes = try world.checkRows()
        let line = "snapshot: \(rows) rows, \(reads()) read, \(deletes) deletions\n"
        FileHandle.standardError.write(Data(line.utf8))
    }
}
