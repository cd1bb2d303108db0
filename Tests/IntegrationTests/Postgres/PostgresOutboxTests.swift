// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

/// Outbox tables of a real server through the built program.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(10)))
struct PostgresOutboxTests {
    /// Makes the table with the program's own command.
    private static func makeTable(_ world: PostgresWorld, _ name: String = "outbox") throws {
        let run = try CommandRun(
            ["postgres", "init-outbox", name, "--apply"],
            configuration: nil,
            environment: ["DATABASE_URL": world.database.url()]
        )
        #expect(run.status == 0, "\(run.errors)")
    }

    @Test("init-outbox prints SQL that can be run, runs it itself, and says what is wrong")
    func command() throws {
        let world = try PostgresWorld()
        let printed = try CommandRun(["postgres", "init-outbox", "public.other"], configuration: nil)
        #expect(printed.status == 0)
        try world.database.run(printed.output)
        try world.database.run(printed.output)
        #expect(try world.database.run("SELECT count(*) FROM other") == "0")
        try Self.makeTable(world)
        try Self.makeTable(world)
        #expect(try world.database.run("SELECT count(*) FROM outbox") == "0")
        func fails(_ arguments: [String], _ status: Int32, _ text: String, url: String = "") throws {
            let run = try CommandRun(
                ["postgres", "init-outbox"] + arguments,
                configuration: nil,
                environment: ["DATABASE_URL": url]
            )
            #expect(run.status == status && run.errors.contains(text), "\(run.errors)")
            #expect(!run.errors.contains("sesame"))
        }
        try fails(["a.b.c"], 2, "is no table")
        try fails(["t", "--apply"], 2, "no connection string", url: "sesame")
        let nobody = "postgresql://app:sesame@127.0.0.1:\(FreePort.pick())/x"
        try fails(["t", "--apply"], 3, "SQLSTATE", url: world.database.url("nowhere"))
        try fails(["t", "--apply"], 3, "onnection refused", url: nobody)
        try fails(
            ["nothere.t", "--apply"],
            1,
            "schema \"nothere\" does not exist",
            url: world.database.url()
        )
    }

    @Test(
        "A failed row comes again after its backoff, and becomes a dead letter in the end; others are not held up"
    )
    func failures() throws {
        let world = try PostgresWorld()
        try Self.makeTable(world)
        try world.database.run(
            "INSERT INTO outbox (group_key, payload) VALUES ('a', 'bad'), ('b', 'good'), ('a', 'behind')"
        )
        world.refuse(["bad"])
        let more = """
                batch: { size: 1 }
                failure: { retries: 2, report_item_failures: true, backoff: { initial: 200ms, jitter: none } }
            """
        let penstock = try world.start("outbox: { url: \"URL\", on_success: mark }", more: more)
        try world.wait(for: "all settled", penstock) {
            try world.database.run("SELECT count(*) FROM outbox WHERE done_at IS NULL") == "0"
        }
        let payloads = world.payloads
        #expect(payloads.count { $0 == "bad" } == 3 && payloads.count { $0 == "good" } == 1)
        // Its group waits for it.
        #expect(payloads.last { $0 != "good" } == "behind")
        try penstock.terminate()
        let list = try CommandRun(["dlq", "list", "--format", "json"], in: world.home.url).document()
        #expect((list["result"] as? [String: Any])?["total"] as? Int == 1)
        let doctor = try CommandRun(["doctor", "--format", "json"], in: world.home.url)
        #expect(doctor.output.contains("SELECT, UPDATE on public.outbox"), "\(doctor.output)")
    }

    @Test("Attempts are counted in the table, through a SIGKILL and by another Penstock")
    func countedFailures() throws {
        let world = try PostgresWorld()
        try Self.makeTable(world)
        world.refuse(["bad"])
        let more = """
                failure: { retries: 3, report_item_failures: true, backoff: { initial: 3s, factor: 1, jitter: none } }
            """
        let source = "outbox: { url: \"URL\", lease: 2s, poll: 200ms }"
        let first = try world.start(source, more: more)
        try world.database.run("INSERT INTO outbox (payload) VALUES ('bad')")
        try world.wait(for: "two failures", first) {
            try world.database.run("SELECT failures FROM outbox") == "2"
        }
        first.kill()
        #expect(world.arrivals.count == 2)
        let home = try TemporaryFolder()
        let second = try world.start(source, more: more, in: home)
        try world.wait(for: "the end", second) {
            try world.database.run("SELECT count(*) FROM outbox") == "0"
        }
        try second.terminate()
        #expect(world.arrivals.count == 4)
        let list = try CommandRun(["dlq", "show", "1", "--format", "json"], in: home.url)
        #expect(list.output.contains("RetryAttemptsExhausted"), "\(list.output)\(list.errors)")
    }

    @Test(
        "SIGKILL of the program and of the server at random moments loses no row, and keeps groups in order"
    )
    func killed() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try PostgresWorld()
        try Self.makeTable(world)
        let (count, groups) = (12_000, 100)
        try world.database.run(
            "INSERT INTO outbox (group_key, payload) SELECT 'g' || i % \(groups), i::text FROM generate_series(1, \(count)) i"
        )
        let more = """
                batch: { size: 50, window: 10ms }
                concurrency: 4
                failure: { retries: unlimited, backoff: { initial: 50ms, max: 500ms } }
            """
        // A lease outlives a killed program: a short one comes back soon.
        let source = "outbox: { url: \"URL\", lease: 3s, poll: 500ms }"
        func distinct() -> Int { Set(world.payloads).count }
        var penstock = try world.start(source, more: more)
        for round in 0..<4 {
            let wanted = distinct() + Int.random(in: 200...1500, using: &random)
            try world.wait(for: "\(wanted) rows", penstock) { distinct() >= wanted }
            if round % 2 == 0 {
                penstock.kill()
                penstock = try world.start(source, more: more)
            } else {
                world.database.crash()
                try world.database.start()
            }
        }
        try world.wait(for: "an empty table", penstock) {
            try world.database.run("SELECT count(*) FROM outbox") == "0"
        }
        try penstock.terminate()
        let arrivals = world.arrivals
        #expect(distinct() == count, "seed \(seed)")
        // First arrivals of a group are in order, whatever came again.
        var seen: Set<String> = []
        var last: [String: Int] = [:]
        for arrival in arrivals where seen.insert(arrival.id).inserted {
            let (group, number) = (arrival.groupKey ?? "", Int(arrival.payload ?? "") ?? 0)
            #expect(
                last[group, default: 0] < number,
                "\(group): \(number) after \(last[group] ?? 0), seed \(seed)"
            )
            last[group] = number
        }
        let line = "SIGKILL outbox: \(count) rows, seed \(seed), \(arrivals.count - count) came again\n"
        FileHandle.standardError.write(Data(line.utf8))
    }
}
