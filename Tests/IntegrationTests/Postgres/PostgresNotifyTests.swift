// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Notifications of a real server through the built program.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct PostgresNotifyTests {
    @Test(
        "What was notified and not settled comes again after SIGKILL, from the journal, and is filtered by its payload"
    )
    func journal() throws {
        let world = try PostgresWorld()
        let source = "notify: { url: \"URL\", channels: [orders] }"
        let more = """
                batch: { size: 10, window: 10ms }
                filters: [{ payload: { status: [new] }, channel: [orders] }]
            """
        world.set(.silent)
        let first = try world.start(source, more: more)
        try world.waitForListening(first)
        for number in 1...5 {
            try world.database.run(
                "NOTIFY orders, '{\"n\":\(number),\"status\":\"new\"}'; NOTIFY orders, '{\"status\":\"old\"}'"
            )
        }
        // One invocation at a time: the others are only in the journal.
        try world.wait(for: "an invocation", first) { !world.arrivals.isEmpty }
        try world.wait(for: "five records in the journal", first) {
            try Self.journaled(world) >= 5
        }
        let before = world.arrivals.count
        first.kill()
        world.set(.well)
        let second = try world.start(source, more: more)
        let wanted = (1...5).map { "{\"n\":\($0),\"status\":\"new\"}" }
        try world.wait(for: "all of them", second) { world.payloads.dropFirst(before).count >= 5 }
        #expect(Array(world.payloads.dropFirst(before)) == wanted)
        try world.waitForListening(second)
        try world.database.run("NOTIFY orders, '{\"status\":\"new\"}'")
        try world.wait(for: "a new one", second) { world.arrivals.count == before + 6 }
        #expect(world.arrivals.last?.possibleGap == true)
        try second.terminate()
        #expect(try Self.journaled(world) == 0)
    }

    private static func journaled(_ world: PostgresWorld) throws -> Int {
        let script =
            "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM journal').fetchone()[0])"
        let file = world.home.url.appendingPathComponent("penstock.db").path
        let answer = try ForeignProcess.answer(of: TestEnvironment.python, ["-c", script, file])
        return Int(answer.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }

    @Test("With a catch-up query, kills of server and program and a cut connection lose no row")
    func catchUp() throws {
        let world = try PostgresWorld()
        let proxy = try TestProxy(to: world.database.port)
        defer { proxy.stop() }
        try world.database.run("CREATE TABLE orders (id bigserial PRIMARY KEY, payload text)")
        let source =
            "notify: { url: \"URL\", channels: [orders], catch_up: { query: \"SELECT id, payload FROM orders WHERE id > $last\", interval: 2s } }"
        let more = "    batch: { size: 50, window: 10ms }"
        var inserted = 0
        func insert(_ count: Int) throws {
            try world.database.run(
                "INSERT INTO orders (payload) SELECT i::text FROM generate_series(\(inserted + 1), \(inserted + count)) i; NOTIFY orders"
            )
            inserted += count
        }
        func all(_ penstock: PenstockProcess) throws {
            try world.wait(for: "\(inserted) rows", penstock) { Set(world.payloads).count == inserted }
        }
        try insert(700)
        var penstock = try world.start(source, more: more, port: proxy.port)
        try all(penstock)
        proxy.cut()
        try insert(300)
        proxy.restore()
        try all(penstock)
        world.database.crash()
        try world.database.start()
        try insert(300)
        try all(penstock)
        try insert(1000)
        penstock.kill()
        try insert(300)
        penstock = try world.start(source, more: more, port: proxy.port)
        try all(penstock)
        try penstock.terminate()
        #expect(Set(world.payloads) == Set((1...inserted).map(String.init)))
    }
}
