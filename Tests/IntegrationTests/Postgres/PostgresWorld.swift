// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Synchronization
import Testing

/// A Postgres server, a function that answers over HTTP and keeps what it got, and the program between them.
final class PostgresWorld: Sendable {
    /// What the function does with an invocation, besides keeping it.
    enum Mood: Sendable {
        /// It answers that all went well.
        case well
        /// It does not answer.
        case silent
        /// It fails.
        case failing
        /// It fails each time with the same chance, one in so many.
        case flaky(oneIn: Int)
    }

    /// A record as it arrived.
    struct Arrival: Sendable {
        var id: String
        var payload: String?
        /// What stands under `postgres`, but for numbers that differ from run to run.
        var groupKey: String?
        var receiveCount: Int?
        var possibleGap: Bool?
        /// Of a change: what happened, and the number and the group of the row as it is now.
        var kind: String?
        var number: Int?
        var group: Int?
    }

    private struct State {
        var arrivals: [Arrival] = []
        var mood = Mood.well
        var refused: Set<String> = []
    }

    let database: PostgresServer
    let home: TemporaryFolder
    private let state: Shared
    private let server: TestHTTPServer

    private final class Shared: Sendable {
        let state = Mutex(State())
    }

    init(settings: [String] = []) throws {
        self.database = try PostgresServer(settings: settings)
        self.home = try TemporaryFolder()
        let shared = Shared()
        self.state = shared
        self.server = try TestHTTPServer { request, exchange in
            let arrivals = Self.arrivals(request.body)
            let (mood, refused) = shared.state.withLock { state in
                state.arrivals += arrivals
                return (state.mood, state.refused)
            }
            switch mood {
            case .silent: exchange.waitForClose()
            case .failing: exchange.respond(500)
            case .flaky(let chances) where Int.random(in: 0..<chances) == 0: exchange.respond(500)
            case .well, .flaky:
                let failures = arrivals.filter { refused.contains($0.payload ?? "") }
                let items = failures.map { "{\"itemIdentifier\":\"\($0.id)\"}" }.joined(separator: ",")
                exchange.respond(200, [], "{\"batchItemFailures\":[\(items)]}")
            }
        }
    }

    deinit { self.server.stop() }

    private static func arrivals(_ body: [UInt8]) -> [Arrival] {
        let event = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
        let records = event?["Records"] as? [[String: Any]] ?? []
        return records.map { record in
            let inner = record["postgres"] as? [String: Any] ?? [:]
            let row = inner["new"] as? [String: Any]
            return Arrival(
                id: record["eventID"] as? String ?? "",
                payload: inner["payload"] as? String,
                groupKey: inner["groupKey"] as? String,
                receiveCount: inner["receiveCount"] as? Int,
                possibleGap: inner["possibleGap"] as? Bool,
                kind: record["eventName"] as? String,
                number: row?["n"] as? Int,
                group: row?["g"] as? Int
            )
        }
    }

    var arrivals: [Arrival] { self.state.state.withLock { $0.arrivals } }
    var payloads: [String] { self.arrivals.map { $0.payload ?? "" } }

    func set(_ mood: Mood) { self.state.state.withLock { $0.mood = mood } }

    /// Lets the function report records with these payloads as failed.
    func refuse(_ payloads: Set<String>) { self.state.state.withLock { $0.refused = payloads } }

    /// Starts the program with a source, what stands under `postgres:`; in a folder of its own when it is one of several.
    ///
    /// Its state is in a file of SQLite, or in `state`.
    func start(
        _ source: String,
        more: String = "",
        port: UInt16? = nil,
        state: String? = nil,
        in folder: TemporaryFolder? = nil
    ) throws -> PenstockProcess {
        let source = source.replacingOccurrences(of: "URL", with: self.database.url(port: port))
        let home = folder ?? self.home
        return try PenstockProcess(
            in: home.url,
            configuration: """
                state: "\(state ?? "sqlite:\(home.url.path)/penstock.db")"
                admin: { listen: "127.0.0.1:0" }
                drain_timeout: 1s
                functions:
                  sink: { http: { url: "\(self.server.url())", timeout: 20s, concurrency: 4 } }
                triggers:
                  rows:
                    source: { postgres: { \(source) } }
                    function: sink
                \(more)

                """
        )
    }

    /// Waits until the program has a session that listens.
    func waitForListening(_ penstock: PenstockProcess) throws {
        let query =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penstock' AND query LIKE 'LISTEN%'"
        try self.wait(for: "a session that listens", penstock) { try self.database.run(query) != "0" }
    }

    /// Waits until a condition holds.
    func wait(for what: String, _ penstock: PenstockProcess, _ condition: () throws -> Bool) throws {
        guard try BoundedWait.until(within: .seconds(120), condition) else {
            throw PenstockProcess.Failure(
                "waited for \(what); \(self.arrivals.count) arrived; log:\n\(penstock.logTail)"
            )
        }
    }

    /// Checks that the last that came of each row of `t (id, g, n)` is how it is; returns how many deletions came.
    func checkRows() throws -> Int {
        // Deleted ones come without their row, and are counted by their names.
        var last: [Int: Int] = [:]
        for arrival in self.arrivals {
            if let group = arrival.group, let number = arrival.number { last[group] = number }
        }
        let server = try self.database.run("SELECT g || ' ' || n FROM t")
        let there = server.split(separator: "\n").map { $0.split(separator: " ").compactMap { Int($0) } }
        let wrong = there.filter { last[$0[0]] != $0[1] }
        #expect(wrong.isEmpty, "\(wrong.count) rows, such as \(wrong.first ?? [])")
        // A row that was seen and is gone now was told to be gone.
        let groups = Set(there.map { $0[0] })
        let gone = last.keys.count { !groups.contains($0) }
        let deletes = Set(self.arrivals.filter { $0.kind == "DELETE" }.map(\.id)).count
        #expect(deletes >= gone, "\(gone) rows are gone, \(deletes) deletions came")
        return deletes
    }
}
