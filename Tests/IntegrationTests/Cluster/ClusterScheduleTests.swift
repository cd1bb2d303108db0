// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// What each of two Penstocks that share a store tells of the schedules that one of them runs.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct ClusterScheduleTests {
    private struct Member {
        let home: TemporaryFolder
        let process: PenstockProcess

        init(_ configuration: (_ port: Int) -> String) throws {
            self.home = try TemporaryFolder()
            self.process = try PenstockProcess(in: self.home.url, configuration: configuration(0))
            let ready = self.home.url.appendingPathComponent("ready")
            let text = try String(contentsOf: ready, encoding: .utf8)
            let port = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
            let commands = self.home.url.appendingPathComponent("commands.yaml")
            try configuration(port).write(to: commands, atomically: true, encoding: .utf8)
        }

        func result(_ arguments: String...) throws -> [String: Any] {
            let all = arguments + ["--config", "commands.yaml", "--format", "json"]
            return try CommandRun(all, in: self.home.url).document()["result"] as? [String: Any] ?? [:]
        }

        /// A member of each schedule, by name, where it has one.
        func schedules(_ member: String, of trigger: [String] = []) throws -> [String: String] {
            let all = ["schedule", "list"] + trigger + ["--config", "commands.yaml", "--format", "json"]
            let run = try CommandRun(all, in: self.home.url)
            let result = try run.document()["result"] as? [String: Any]
            let schedules = result?["schedules"] as? [[String: Any]] ?? []
            return schedules.reduce(into: [:]) { $0[$1["name"] as? String ?? ""] = $1[member] as? String }
        }
    }

    @Test("A member that stands by tells the next times as the one that runs the schedule does")
    func next() throws {
        let database = try PostgresServer()
        let server = try TestHTTPServer { $1.respond() }
        defer { server.stop() }
        let files = try TemporaryFolder()
        let csv = files.url.appendingPathComponent("many.csv")
        try "name,expression\nalice,rate(7 hours)\nbob,0 0 1 1 *\n".write(
            to: csv,
            atomically: true,
            encoding: .utf8
        )
        func configuration(_ port: Int) -> String {
            """
            state: "\(database.url())"
            admin: { listen: "127.0.0.1:\(port)", advertise: "here.example:8077" }
            functions:
              sink: { http: { url: "\(server.url())" } }
            triggers:
              yearly: { source: { schedule: { expression: "0 0 1 1 *" } }, function: sink }
              often: { source: { schedule: { expression: "rate(5 hours)" } }, function: sink }
              many: { source: { schedule: { file: \(csv.path) } }, function: sink }

            """
        }
        let first = try Member(configuration)
        let names = ["yearly", "often", "many"]
        let hasBegun = try BoundedWait.until(within: .seconds(60)) {
            // Intervals fire at once.
            try first.schedules("last").keys.sorted() == ["many", "often"]
        }
        #expect(hasBegun, "\(first.process.logTail)")
        let second = try Member(configuration)
        func states(_ member: Member) throws -> [String] {
            let triggers = try member.result("triggers", "list")["triggers"] as? [[String: Any]] ?? []
            return triggers.compactMap { $0["state"] as? String }
        }
        // The second takes one of the three, and stands by for the others.
        let isShared = try BoundedWait.until(within: .seconds(60)) {
            try states(first).count { $0 == "standby" } == 1 && states(second).count { $0 == "standby" } == 2
        }
        let seen = (try states(first), try states(second))
        #expect(isShared, "\(seen) \(second.process.logTail)")
        let (mine, theirs) = (try first.schedules("next"), try second.schedules("next"))
        #expect(mine.keys.sorted() == names.sorted() && mine == theirs, "\(mine) \(theirs)")
        let members = try [first, second].map { try $0.schedules("next", of: ["many"]) }
        #expect(members[0].keys.sorted() == ["alice", "bob"] && members[0] == members[1], "\(members)")
        let list = try first.result("members")["members"] as? [[String: Any]] ?? []
        #expect(list.map { $0["admin"] as? String } == ["here.example:8077", "here.example:8077"])
        try first.process.terminate()
        try second.process.terminate()
    }
}
