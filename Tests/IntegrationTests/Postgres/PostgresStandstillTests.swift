// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// A server that stands still for a while, is behind a pooler, or becomes a standby, and the built program.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct PostgresStandstillTests {
    private static func makeTable(_ world: PostgresWorld) throws {
        let run = try CommandRun(
            ["postgres", "init-outbox", "outbox", "--apply"],
            configuration: nil,
            environment: ["DATABASE_URL": world.database.url()]
        )
        #expect(run.status == 0, "\(run.errors)")
    }

    private static func insert(_ numbers: ClosedRange<Int>, _ world: PostgresWorld) throws {
        try world.database.run(
            """
            INSERT INTO outbox (group_key, payload) SELECT 'g' || i % 10, i::text
            FROM generate_series(\(numbers.lowerBound), \(numbers.upperBound)) i
            """
        )
    }

    private static func waitUntilEmpty(_ world: PostgresWorld, _ penstock: PenstockProcess) throws {
        try world.wait(for: "an empty table", penstock) {
            try world.database.run("SELECT count(*) FROM outbox") == "0"
        }
    }

    @Test("A server that stands still in the middle of the work loses no row when it goes on")
    func suspendedServer() throws {
        let world = try PostgresWorld()
        try Self.makeTable(world)
        let source = "outbox: { url: \"URL\", lease: 4s, poll: 500ms }"
        let more = """
                batch: { size: 20, window: 0s }
                failure: { retries: unlimited, backoff: { initial: 50ms, max: 500ms } }
            """
        let penstock = try world.start(source, more: more)
        var inserted = 0
        for seconds in [1, 6] {
            try Self.insert(inserted + 1...inserted + 1000, world)
            inserted += 1000
            let before = world.arrivals.count
            try world.wait(for: "some rows", penstock) { world.arrivals.count >= before + 100 }
            world.database.suspend(true)
            let end = ContinuousClock.now + .seconds(seconds)
            _ = BoundedWait.until(within: .seconds(60)) { ContinuousClock.now >= end }
            world.database.suspend(false)
        }
        try Self.waitUntilEmpty(world, penstock)
        #expect(Set(world.payloads) == Set((1...inserted).map(String.init)))
        try penstock.terminate()
    }

    @Test("A stop does not wait for a server that stands still, and loses nothing by that")
    func stopBesideSuspendedServer() throws {
        let world = try PostgresWorld()
        try Self.makeTable(world)
        let source = "outbox: { url: \"URL\", lease: 3s, poll: 200ms }"
        world.set(.silent)
        var penstock = try world.start(source)
        try Self.insert(1...10, world)
        try world.wait(for: "an invocation", penstock) { !world.arrivals.isEmpty }
        world.database.suspend(true)
        let began = ContinuousClock.now
        try penstock.terminate()
        #expect(ContinuousClock.now - began < .seconds(30))
        world.database.suspend(false)
        world.set(.well)
        penstock = try world.start(source)
        try Self.waitUntilEmpty(world, penstock)
        #expect(Set(world.payloads) == Set((1...10).map(String.init)))
        try penstock.terminate()
    }

    @Test(
        "An outbox works through a pooler in transaction mode without its doorbell, which is asked for alone"
    )
    func pooler() throws {
        let world = try PostgresWorld()
        try Self.makeTable(world)
        let pooler = try PostgresPooler(before: world.database, .transaction)
        let penstock = try world.start(
            "outbox: { url: \"URL\", poll: 200ms, doorbell: false }",
            port: pooler.port
        )
        try Self.insert(1...500, world)
        try Self.waitUntilEmpty(world, penstock)
        #expect(Set(world.payloads).count == 500 && world.payloads.count == 500)
        try penstock.terminate()
    }

    @Test("A primary that becomes a standby is told as such, and its rows come when it is one again")
    func standby() throws {
        let world = try PostgresWorld()
        try Self.makeTable(world)
        let penstock = try world.start("outbox: { url: \"URL\", poll: 200ms }")
        try Self.insert(1...10, world)
        try Self.waitUntilEmpty(world, penstock)
        try Self.insert(11...20, world)
        try Self.waitUntilEmpty(world, penstock)
        try world.database.becomeStandby()
        try world.wait(for: "the standby to be told", penstock) {
            penstock.log.contains("the server is a standby, and takes reads only: connect to the primary")
        }
        try world.database.run("SELECT pg_promote()")
        try Self.insert(21...30, world)
        try Self.waitUntilEmpty(world, penstock)
        #expect(Set(world.payloads) == Set((1...30).map(String.init)))
        try penstock.terminate()
    }
}
