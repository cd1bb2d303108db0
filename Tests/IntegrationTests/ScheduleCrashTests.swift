// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockStore
import PenstockTesting
import Synchronization
import Testing

/// The built program and its store, killed in the moments in which a schedule fires.
///
/// With one schedule, and with many of one trigger. As many kills as go into a minute; `PENSTOCK_SCHEDULE_KILLS=1000` makes that number of them, and takes about one and a
/// half seconds for each.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(60)))
struct ScheduleCrashTests {
    /// What the function got of one fire.
    private struct Arrival {
        /// The scheduled time, in Unix seconds.
        var instant: Int
        /// Which of the schedules.
        var schedule: String
        var id: String
        /// Which run of the program sent it.
        var life: Int
    }

    /// Counts what arrives.
    private final class Arrivals: Sendable {
        private let all = Mutex<[Arrival]>([])

        /// A request to `/life/7` is one of the seventh run, also when it is read after the run has ended.
        func add(_ request: TestHTTPServer.Request) {
            let json = try? JSONSerialization.jsonObject(with: Data(request.body))
            guard let life = Int(request.path.split(separator: "/").last ?? "") else { return }
            let events = json as? [[String: Any]] ?? (json as? [String: Any]).map { [$0] } ?? []
            let arrivals = events.compactMap { object -> Arrival? in
                guard let id = object["id"] as? String, let text = object["time"] as? String,
                    let time = try? Date(text, strategy: .iso8601)
                else { return nil }
                return Arrival(
                    instant: Int(time.timeIntervalSince1970),
                    schedule: object["name"] as? String ?? "",
                    id: id,
                    life: life
                )
            }
            self.all.withLock { $0 += arrivals }
        }

        var list: [Arrival] { self.all.withLock { $0 } }

        static var now: Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }
    }

    /// One schedule that fires each second, or many of them.
    private enum Schedules: String, CaseIterable, CustomTestStringConvertible {
        case one
        case many

        static let count = 60

        var testDescription: String { self.rawValue }
        var names: [String] { self == .one ? [""] : (0..<Self.count).map { "n\($0)" } }
        /// What the trigger says besides its function.
        func trigger(_ home: TemporaryFolder) -> String {
            guard self == .many else {
                return "source: { schedule: { expression: \"* * * * * *\", catch_up: all } }"
            }
            return """
                source: { schedule: { file: \(home.url.path)/schedules.csv, catch_up: all } }
                    batch: { size: 25, window: 0ms }
                """
        }
    }

    private static func configuration(
        _ schedules: Schedules,
        _ home: TemporaryFolder,
        _ server: TestHTTPServer,
        life: Int
    ) -> String {
        """
        state: "sqlite:\(home.url.path)/penstock.db"
        admin: { listen: "127.0.0.1:0" }
        functions:
          sink: { http: { url: "\(server.url("/life/\(life)"))" } }
        triggers:
          tick:
            \(schedules.trigger(home))
            function: sink

        """
    }

    /// Until so many milliseconds after the next full second; exactly, because a fire is over in a few.
    private static func waitForInstant(_ offset: Int64) {
        let now = Arrivals.now.milliseconds
        var until = (now / 1000 + 1) * 1000 + offset
        if until - now < 20 { until += 1000 }
        _ = BoundedWait.until(within: .seconds(30)) { Arrivals.now.milliseconds + 8 >= until }
        while Arrivals.now.milliseconds < until {}
    }

    @Test(
        "SIGKILL at the instants of fires loses none, and no instant becomes two fires",
        arguments: Schedules.allCases
    )
    private func killed(schedules: Schedules) async throws {
        let home = try TemporaryFolder()
        let input =
            #"{""name"": ""<schedule.name>"", ""id"": ""<aws.scheduler.execution-id>"", ""time"": ""<aws.scheduler.scheduled-time>""}"#
        let rows = schedules.names.map { "\($0),* * * * * *,\"\(input)\"" }
        try (["name,expression,input"] + rows).joined(separator: "\n").write(
            to: home.url.appendingPathComponent("schedules.csv"),
            atomically: true,
            encoding: .utf8
        )
        let arrivals = Arrivals()
        let server = try TestHTTPServer { request, exchange in
            arrivals.add(request)
            exchange.respond()
        }
        defer { server.stop() }
        let wanted = ProcessInfo.processInfo.environment["PENSTOCK_SCHEDULE_KILLS"].flatMap { Int($0) }
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let began = ContinuousClock.now
        var kills = 0
        // When each run began.
        var starts: [Timestamp] = []
        // The store keeps some thousands of lines; what was read earlier is what became of those before.
        var log: [String: ScheduleFire] = [:]
        while wanted.map({ kills < $0 }) ?? (ContinuousClock.now - began < .seconds(60)) {
            starts.append(Arrivals.now)
            let penstock = try PenstockProcess(
                in: home.url,
                configuration: Self.configuration(schedules, home, server, life: kills)
            )
            // Some live long enough to settle what has fired. Then before the instant, or while it is put into the store,
            // or invoked.
            let seconds =
                Int64.random(in: 0..<4, using: &random) > 0 ? 0 : Int64.random(in: 1...2, using: &random)
            Self.waitForInstant(seconds * 1000 + Int64.random(in: -10...60, using: &random))
            penstock.kill()
            kills += 1
            if kills % Self.killsBetweenReadings == 0 { try await Self.read(home, into: &log) }
        }
        starts.append(Arrivals.now)
        let last = try PenstockProcess(
            in: home.url,
            configuration: Self.configuration(schedules, home, server, life: kills)
        )
        let now = Int(Arrivals.now.milliseconds / 1000)
        #expect(
            BoundedWait.until(within: .seconds(90)) { arrivals.list.contains { $0.instant > now } },
            "\(last.logTail)"
        )
        try last.terminate()
        let line =
            "schedules, \(schedules): \(kills) kills, seed \(seed), \(arrivals.list.count) invocations\n"
        FileHandle.standardError.write(Data(line.utf8))
        try await Self.read(home, into: &log)
        let byName = Dictionary(grouping: log.values) {
            String($0.key.split(separator: " ").dropFirst().first ?? "")
        }
        for name in schedules.names {
            let lines = byName[name, default: []].sorted { $0.scheduled < $1.scheduled }
            let own = arrivals.list.filter { $0.schedule == name }
            try Self.check(own, lines, starts: starts, "\(name), seed \(seed)")
        }
    }

    /// So many that the lines between two readings, of runs of a few seconds, are far fewer than the store keeps.
    private static let killsBetweenReadings = 20

    /// Reads all lines that the fire log has, by key; a later state of one replaces an earlier.
    private static func read(_ home: TemporaryFolder, into log: inout [String: ScheduleFire]) async throws {
        let store = try SQLiteStore.open(path: home.url.appendingPathComponent("penstock.db").path)
        let lines = try await store.fires(of: "tick", before: nil, limit: ScheduleFire.keptMax)
        await store.close()
        for line in lines { log[line.fire.key] = line.fire }
    }

    private static func check(
        _ arrivals: [Arrival],
        _ log: [ScheduleFire],
        starts: [Timestamp],
        _ what: Comment
    ) throws {
        // Each second from the first to the last, once, and settled: the log is what was decided.
        let logged = log.map { Int($0.scheduled.milliseconds / 1000) }
        let first = try #require(logged.first, what)
        let end = try #require(logged.last, what)
        #expect(logged == Array(first...end), what)
        #expect(log.allSatisfy { $0.outcome == .settled || $0.outcome == .waiting }, what)
        #expect(log.count { $0.outcome == .waiting } <= 2, what)
        // Each of them was invoked.
        #expect(Set(logged).subtracting(arrivals.map(\.instant)).count <= 1, what)
        let byInstant = Dictionary(grouping: arrivals, by: \.instant)
        let settled = Dictionary(uniqueKeysWithValues: zip(logged, log.map(\.settled)))
        for (instant, all) in byInstant {
            #expect(Set(all.map(\.id)).count == 1, "\(instant) has several ids, \(what)")
            #expect(Set(all.map(\.life)).count == all.count, "\(instant) came twice in one life, \(what)")
            guard let settled = settled[instant] ?? nil else { continue }
            // By a run that began afterwards: what an earlier one had sent may be read late.
            let late = all.filter { starts[$0.life].milliseconds > settled.milliseconds }
            #expect(late.isEmpty, "\(instant) came again after it was settled, \(what)")
        }
    }
}
