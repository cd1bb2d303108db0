// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockStore
import PenstockTesting
import Testing

/// `penstock schedule list`, `history`, `fire` and `backfill` against a Penstock that runs.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct ScheduleOrderTests {
    private struct World {
        let home: TemporaryFolder
        let server: TestHTTPServer

        init(status: Int = 200) throws {
            self.home = try TemporaryFolder()
            self.server = try TestHTTPServer { _, exchange in exchange.respond(status) }
        }

        /// What is given up goes there.
        var onFailure = "dead_letters"

        func configuration(_ schedule: String, port: Int = 0) -> String {
            """
            state: "sqlite:\(self.home.url.path)/penstock.db"
            admin: { listen: "127.0.0.1:\(port)" }
            functions:
              sink: { http: { url: "\(self.server.url())" } }
            triggers:
              yearly:
                source: { schedule: { \(schedule) } }
                function: sink
                failure: { retries: 0 }
                on_failure: \(self.onFailure)

            """
        }

        /// Starts Penstock, and writes the configuration by which commands find it.
        func start(_ schedule: String) throws -> PenstockProcess {
            let penstock = try PenstockProcess(
                in: self.home.url,
                configuration: self.configuration(schedule)
            )
            let ready = self.home.url.appendingPathComponent("ready")
            let text = try String(contentsOf: ready, encoding: .utf8)
            let port = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
            try self.configuration(schedule, port: port).write(
                to: self.home.url.appendingPathComponent("commands.yaml"),
                atomically: true,
                encoding: .utf8
            )
            return penstock
        }

        func run(_ arguments: String...) throws -> CommandRun {
            let all = ["schedule"] + arguments + ["--config", "commands.yaml"]
            return try CommandRun(all, in: self.home.url)
        }

        /// The ids of the events that arrived.
        var ids: [String] {
            self.server.requests.compactMap { request in
                let object = try? JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any]
                return object?["id"] as? String
            }
        }

        /// The outcomes of the fire log, the latest first.
        func outcomes() throws -> [String] {
            let document = try self.run("history", "yearly", "--format", "json").document()
            let result = document["result"] as? [String: Any]
            let fires = result?["fires"] as? [[String: Any]]
            return (fires ?? []).compactMap { $0["outcome"] as? String }
        }

        func wait(_ what: String, _ penstock: PenstockProcess, _ condition: () throws -> Bool) rethrows {
            let deadline = ContinuousClock.now + .seconds(90)
            while try !condition(), ContinuousClock.now < deadline {
                _ = BoundedWait.until(within: .milliseconds(200)) { false }
            }
            #expect(try condition(), "\(what): \(penstock.logTail)")
        }
    }

    private static let yearly = "expression: \"0 0 1 1 *\", start: 2000-01-01T00:00:00Z"

    @Test("An order fires at once; a backfill fires each time once, also when it is given again after a kill")
    func orders() throws {
        let world = try World()
        defer { world.server.stop() }
        var penstock = try world.start(Self.yearly)
        let list = try world.run("list")
        #expect(list.status == 0, "\(list.errors)")
        #expect(list.output.hasPrefix("SCHEDULE"))
        #expect(
            list.output.contains("-01-01T00:00:00+00:00") && list.output.contains("UTC"),
            "\(list.output)"
        )

        let fired = try world.run("fire", "yearly")
        #expect(fired.status == 0 && fired.output.hasPrefix("yearly: fires as 20"), "\(fired.errors)")
        world.wait("the order", penstock) { world.ids.count == 1 }

        func backfill() throws -> CommandRun {
            try world.run(
                "backfill",
                "yearly",
                "--from",
                "2001-01-01T00:00:00Z",
                "--to",
                "2010-01-01T00:00:00Z"
            )
        }
        #expect(try backfill().output == "yearly: 10 fire, 0 have before\n")
        world.wait("the backfill", penstock) { Set(world.ids).count == 11 }
        #expect(try backfill().output == "yearly: 0 fire, 10 have before\n")
        try world.wait("settled", penstock) {
            try world.outcomes() == Array(repeating: "settled", count: 11)
        }
        #expect(world.ids.count == 11)

        let text = try world.run("history", "yearly", "--limit", "2").output
        #expect(text.contains("SCHEDULED") && text.contains("more with --before 10"), "\(text)")
        #expect(text.contains("2010-01-01T00:00:00Z"), "\(text)")

        penstock.kill()
        penstock = try world.start(Self.yearly)
        #expect(try backfill().output == "yearly: 0 fire, 10 have before\n")
        try penstock.terminate()
        #expect(Set(world.ids).count == 11)
    }

    @Test(
        "A fire that was given up is a dead letter in the log, wherever the letter went",
        arguments: [false, true]
    )
    func givenUp(elsewhere: Bool) throws {
        var world = try World(status: 500)
        if elsewhere { world.onFailure = "{ file: { path: \(world.home.url.path)/letters.jsonl } }" }
        defer { world.server.stop() }
        let penstock = try world.start(Self.yearly)
        #expect(try world.run("fire", "yearly").status == 0)
        try world.wait("the dead letter", penstock) { try world.outcomes() == ["dead_letter"] }
        let text = try world.run("history", "yearly").output
        #expect(text.contains("BY") && text.contains("order"), "\(text)")
        try penstock.terminate()
    }

    @Test(
        "A schedule that is over leaves its fire log, or nothing when it is to be deleted",
        arguments: [false, true]
    )
    func completed(isDeleted: Bool) async throws {
        let world = try World()
        defer { world.server.stop() }
        let soon = Date(timeIntervalSinceNow: 5).formatted(.iso8601).dropLast()
        let more = isDeleted ? ", after_completion: delete" : ""
        let penstock = try world.start("expression: at(\(soon))\(more)")
        world.wait("the fire", penstock) { world.ids.count == 1 }
        let outcomes = isDeleted ? [] : ["settled"]
        try world.wait("the end", penstock) { try world.outcomes() == outcomes }
        #expect(try world.run("list").output.contains("once at"))
        try penstock.terminate()
        let again = try world.start("expression: at(\(soon))\(more)")
        #expect(try world.outcomes() == outcomes)
        try again.terminate()
        let store = try SQLiteStore.open(path: world.home.url.appendingPathComponent("penstock.db").path)
        let checkpoints = try await store.checkpoints(of: "yearly")
        #expect(checkpoints.isEmpty == isDeleted, "\(checkpoints)")
        await store.close()
        #expect(world.ids.count == 1, "it does not fire again")
    }

    @Test("What cannot be is told, with the exit code for it")
    func refused() throws {
        let world = try World()
        defer { world.server.stop() }
        let penstock = try world.start(Self.yearly)
        let unknown = try world.run("fire", "yearli")
        #expect(
            unknown.status == 1 && unknown.errors.contains("did you mean \"yearly\"?"),
            "\(unknown.errors)"
        )
        let backward = try world.run(
            "backfill",
            "yearly",
            "--from",
            "2010-01-01T00:00:00Z",
            "--to",
            "2009-01-01T00:00:00Z"
        )
        #expect(backward.status == 2 && backward.errors.contains("must not be after"), "\(backward.errors)")
        try penstock.terminate()
        let none = try world.run("list")
        #expect(none.status == 3 && none.errors.contains("no Penstock answers"), "\(none.errors)")
    }
}
