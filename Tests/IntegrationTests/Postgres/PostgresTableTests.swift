// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Tables of a real server as destinations of the built program.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct PostgresTableTests {
    private static func table(_ name: String) -> String {
        "CREATE TABLE \(name) (id text PRIMARY KEY, trigger text NOT NULL, at timestamptz NOT NULL, document json NOT NULL)"
    }

    @Test(
        "Letters wait for their table, and are in it once with results in another, whatever was killed meanwhile"
    )
    func keeps() throws {
        let world = try PostgresWorld()
        // A server of its own, so that it can be away while notifications come.
        let other = try PostgresServer()
        try other.run(Self.table("results"))
        world.refuse(["bad", "worse"])
        let destination = { (table: String) in "{ postgres: { url: \"\(other.url())\", table: \(table) } }" }
        let more = """
                batch: { size: 2, window: 10s }
                failure: { retries: 0, report_item_failures: true }
                on_failure: \(destination("letters"))
                on_success: \(destination("results"))
            """
        let source = "notify: { url: \"URL\", channels: [orders] }"
        var penstock = try world.start(source, more: more)
        try world.waitForListening(penstock)
        try world.database.run("NOTIFY orders, 'good'; NOTIFY orders, 'bad'")
        try world.wait(for: "the table to be missed", penstock) {
            penstock.log.contains("SQLSTATE 42P01")
        }
        penstock.kill()
        other.crash()
        try other.start()
        try other.run(Self.table("letters"))
        penstock = try world.start(source, more: more)
        try world.wait(for: "the letter", penstock) { try other.run("SELECT count(*) FROM letters") == "1" }
        try world.waitForListening(penstock)
        try world.database.run("NOTIFY orders, 'better'; NOTIFY orders, 'worse'")
        try world.wait(for: "the next one", penstock) { try other.run("SELECT count(*) FROM letters") == "2" }
        try penstock.terminate()
        let payload = "document->'payload'->'Records'->0->'postgres'->>'payload'"
        let letters = try other.run("SELECT \(payload), \"trigger\" FROM letters ORDER BY at")
        #expect(letters == "bad|rows\nworse|rows")
        let condition = "document->'requestContext'->>'condition'"
        let results = try other.run("SELECT \(condition) FROM results ORDER BY at")
        #expect(results == "Success\nSuccess", "\(results)")
    }
}
