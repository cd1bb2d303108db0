// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting
import Testing

/// The built program with its state in a Postgres database.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(8)))
struct PostgresStateTests {
    private static let notify = "notify: { url: \"URL\", channels: [orders] }"

    private static func entries(_ world: PostgresWorld) throws -> Int {
        Int(try world.database.run("SELECT count(*) FROM penstock.journal")) ?? -1
    }

    @Test(
        "What is in the journal survives kills of program and server, and dead letters are found without the program"
    )
    func kills() throws {
        let world = try PostgresWorld()
        let more = "    batch: { size: 10, window: 10ms }\n    failure: { retries: 0 }"
        world.set(.silent)
        let first = try world.start(Self.notify, more: more, state: world.database.url())
        try world.waitForListening(first)
        for number in 1...30 { try world.database.run("NOTIFY orders, '{\"n\":\(number)}'") }
        try world.wait(for: "all in the journal", first) { try Self.entries(world) == 30 }
        first.kill()
        world.set(.well)
        let before = world.arrivals.count
        let second = try world.start(Self.notify, more: more, state: world.database.url())
        try world.wait(for: "all of them", second) { world.payloads.dropFirst(before).count >= 30 }
        #expect(Array(world.payloads.dropFirst(before)) == (1...30).map { "{\"n\":\($0)}" })
        try world.wait(for: "an empty journal", second) { try Self.entries(world) == 0 }

        world.database.crash()
        try world.database.start()
        try world.waitForListening(second)
        world.set(.failing)
        try world.database.run("NOTIFY orders, 'bad'")
        try world.wait(for: "a dead letter", second) {
            try world.database.run("SELECT count(*) FROM penstock.dead_letters") == "1"
        }
        try second.terminate()
        #expect(try world.database.run("SELECT count(*) FROM penstock.members") == "0", "who stops leaves")
        let list = try CommandRun(["dlq", "list", "--format", "json"], in: world.home.url)
        let result = try list.document()["result"] as? [String: Any]
        #expect((result?["dead_letters"] as? [Any])?.count == 1, "\(list.output)")
        let drop = try CommandRun(["dlq", "drop", "--all", "--yes", "--format", "json"], in: world.home.url)
        #expect(drop.status == 0, "\(drop.output) \(drop.errors)")
        #expect(try world.database.run("SELECT count(*) FROM penstock.dead_letters") == "0")
    }

    @Test("A program that is stopped in the middle holds no locks, and goes on when it may")
    func suspended() throws {
        let world = try PostgresWorld()
        let more = "    batch: { size: 100, window: 10ms }"
        let penstock = try world.start(Self.notify, more: more, state: world.database.url())
        try world.waitForListening(penstock)
        let burst = "SELECT pg_notify('orders', i || repeat('x', 2000)) FROM generate_series(1, 400) i"
        for _ in 0..<12 {
            let before = world.arrivals.count
            try world.database.run(burst)
            try world.wait(for: "some of them", penstock) {
                world.arrivals.count > before + Int.random(in: 0..<200)
            }
            kill(penstock.id, SIGSTOP)
            // Whoever asks for all of it gets it soon.
            for table in ["journal", "checkpoints", "dead_letters", "leases", "members"] {
                try world.database.run(
                    "SET LOCAL lock_timeout = '3s'; LOCK TABLE penstock.\(table) IN ACCESS EXCLUSIVE MODE"
                )
            }
            kill(penstock.id, SIGCONT)
        }
        try world.wait(for: "all of them", penstock) { world.arrivals.count >= 12 * 400 }
        try penstock.terminate()
        #expect(Set(world.arrivals.map(\.id)).count == 12 * 400)
        #expect(try Self.entries(world) == 0)
    }

    @Test(
        "The password is in no log line and no output, whether it is right or wrong; doctor says how the store is"
    )
    func secrecy() throws {
        let server = try PostgresServer(password: "open-sesame")
        let home = try TemporaryFolder()
        func configuration(_ url: String) -> String {
            """
            state: "\(url)"
            admin: { listen: "127.0.0.1:0" }
            functions: { f: { http: { url: "http://127.0.0.1:9" } } }
            triggers:
              t: { source: { schedule: { expression: "rate(1 day)" } }, function: f }

            """
        }
        var texts: [String] = []
        let right = configuration(server.url())
        let penstock = try PenstockProcess(
            in: home.url,
            configuration: right,
            arguments: ["--log-level", "trace"]
        )
        server.crash()
        #expect(BoundedWait.until(within: .seconds(60)) { penstock.log.contains("a beat failed") })
        try server.start()
        for command in [["explain"], ["explain", "--format", "json"], ["validate"], ["dlq", "list"]] {
            let run = try CommandRun(command, in: home.url)
            texts.append("\(command): \(run.output) \(run.errors)")
            if command == ["validate"] { #expect(run.errors.contains("holds a password"), "\(run.errors)") }
        }
        let doctor = try CommandRun(["doctor", "--format", "json"], in: home.url)
        texts.append("doctor: \(doctor.output) \(doctor.errors)")
        let result = try doctor.document()["result"] as? [String: Any]
        let checks = result?["checks"] as? [[String: String]] ?? []
        #expect(
            checks.filter { $0["part"] == "store" }.map { "\($0["check"] ?? "") \($0["grade"] ?? "")" }
                == ["store ok", "durability warning", "schema ok"],
            "\(checks)"
        )
        try penstock.terminate()
        texts.append(penstock.log)
        let wrong = configuration(server.url().replacing("open-sesame", with: "shut-sesame"))
        try wrong.write(
            to: home.url.appendingPathComponent("connectors.yaml"),
            atomically: true,
            encoding: .utf8
        )
        for command in [["run"], ["dlq", "list"], ["doctor"]] {
            let run = try CommandRun(command, in: home.url)
            #expect(run.status == (command == ["doctor"] ? 1 : 3), "\(run.output) \(run.errors)")
            #expect((run.output + run.errors).contains("check user and password of \"state\""))
            texts.append("\(command): \(run.output) \(run.errors)")
        }
        for text in texts { #expect(!text.contains("sesame"), "\(text)") }
    }
}
