// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

/// Changes of a real server through the built program.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(30)))
struct PostgresChangesTests {
    private static func makeWorld() throws -> PostgresWorld {
        let world = try PostgresWorld(settings: ["wal_level=logical"])
        try world.database.run("CREATE TABLE t (id bigserial PRIMARY KEY, g int, n int)")
        return world
    }

    private static let source = "changes: { url: \"URL\", slot: s, tables: [t], create: true, heartbeat: 1s }"

    private static func waitForSlot(_ world: PostgresWorld, _ penstock: PenstockProcess) throws {
        try world.wait(for: "the slot to be read", penstock) {
            try world.database.run("SELECT count(*) FROM pg_replication_slots WHERE active") == "1"
        }
    }

    @Test("A change reaches the function as documented, filters choose, and doctor finds all well")
    func event() throws {
        let world = try Self.makeWorld()
        let more = """
                filters: [ { table: [t], new: { g: [{ numeric: [">", 1] }] } }, { eventName: [DELETE] } ]
            """
        let penstock = try world.start(Self.source, more: more)
        try Self.waitForSlot(world, penstock)
        try world.database.run("INSERT INTO t (g, n) VALUES (1, 1), (2, 2); DELETE FROM t WHERE g = 2")
        try world.wait(for: "two records", penstock) { world.arrivals.count == 2 }
        #expect(world.arrivals.map(\.kind) == ["INSERT", "DELETE"])
        #expect(world.arrivals.first?.number == 2 && world.arrivals.first?.id.hasSuffix("-2") == true)
        try penstock.terminate()
        let doctor = try CommandRun(["doctor", "--format", "json"], in: world.home.url)
        #expect(doctor.output.contains("s can be read, with the publication s"), "\(doctor.output)")
        #expect(doctor.output.contains("may open sessions that replicate"), "\(doctor.output)")
    }

    @Test(
        "SIGKILL of the program and of the server at random moments loses no change, and keeps keys in order"
    )
    func killed() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try Self.makeWorld()
        let wanted =
            ProcessInfo.processInfo.environment["PENSTOCK_KILL_CHANGES"].flatMap { Int($0) } ?? 20_000
        let groups = 50
        let more = """
                batch: { size: 100, window: 10ms }
                concurrency: 4
                failure: { retries: unlimited, backoff: { initial: 50ms, max: 500ms } }
            """
        func distinct() -> Int { Set(world.arrivals.map(\.id)).count }
        var penstock = try world.start(Self.source, more: more)
        try Self.waitForSlot(world, penstock)
        let rounds = 6
        for round in 0..<rounds {
            let part = wanted / rounds
            let first = round * part + 1
            let last = round == rounds - 1 ? wanted : first + part - 1
            try world.database.run(
                "INSERT INTO t (g, n) SELECT i % \(groups), i FROM generate_series(\(first), \(last)) i"
            )
            let goal = min(last, distinct() + Int.random(in: 1...part, using: &random))
            try world.wait(for: "\(goal) changes", penstock) { distinct() >= goal }
            switch round % 3 {
            case 0:
                penstock.kill()
                penstock = try world.start(Self.source, more: more)
            case 1:
                world.database.crash()
                try world.database.start()
            default:
                penstock.kill()
                world.database.crash()
                try world.database.start()
                penstock = try world.start(Self.source, more: more)
            }
        }
        try world.wait(for: "all changes", penstock) { distinct() >= wanted }
        let end = try world.database.run("SELECT pg_current_wal_lsn()")
        try world.wait(for: "the slot to be released", penstock) {
            try world.database.run(
                "SELECT confirmed_flush_lsn >= '\(end)' FROM pg_replication_slots"
            ) == "t"
        }
        try penstock.terminate()
        let arrivals = world.arrivals
        #expect(Set(arrivals.compactMap(\.number)) == Set(1...wanted), "seed \(seed)")
        // First arrivals of the one partition are in order, whatever came again.
        var seen: Set<String> = []
        var last = 0
        for arrival in arrivals where seen.insert(arrival.id).inserted {
            let number = arrival.number ?? 0
            #expect(last < number, "\(number) after \(last), seed \(seed)")
            last = number
        }
        let line =
            "SIGKILL changes: \(wanted) rows, seed \(seed), \(arrivals.count - seen.count) came again\n"
        FileHandle.standardError.write(Data(line.utf8))
    }
}
