// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Synchronization
import Testing

/// Schedules that several Penstocks share, while these are killed and stopped.
///
/// For half a minute; `PENSTOCK_CLUSTER_SECONDS=600` makes it ten.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(60)))
struct ScheduleClusterKillTests {
    private static let schedules = 50

    /// A fire as the function got it.
    private struct Arrival {
        var schedule: String
        /// The scheduled time, in Unix seconds.
        var instant: Int
        var id: String
        var life: String
    }

    private final class Arrivals: Sendable {
        private let all = Mutex<[Arrival]>([])

        /// A request to `/life/0-3` is one of that life of a member.
        func add(_ request: TestHTTPServer.Request) {
            let object = (try? JSONSerialization.jsonObject(with: Data(request.body))) as? [String: Any]
            guard let object, let name = object["name"] as? String, let id = object["id"] as? String,
                let text = object["time"] as? String, let time = try? Date(text, strategy: .iso8601)
            else { return }
            let arrival = Arrival(
                schedule: name,
                instant: Int(time.timeIntervalSince1970),
                id: id,
                life: String(request.path.split(separator: "/").last ?? "")
            )
            self.all.withLock { $0.append(arrival) }
        }

        var list: [Arrival] { self.all.withLock { $0 } }
    }

    private static func triggers(_ url: String) -> String {
        let input =
            #"{\"name\":\"<schedule.name>\",\"id\":\"<aws.scheduler.execution-id>\",\"time\":\"<aws.scheduler.scheduled-time>\"}"#
        let triggers = (0..<Self.schedules).map { number in
            """
              tick\(number):
                source: { schedule: { expression: "*/2 * * * * *", catch_up: all, input: "\(input)" } }
                function: sink
            """
        }
        return """
            functions:
              sink: { http: { url: "\(url)" } }
            triggers:
            \(triggers.joined(separator: "\n"))
            """
    }

    @Test("Three Penstocks that die and stand still fire each instant of 50 schedules once")
    func fires() throws {
        let (world, seed, again) = try Self.run(ClusterWorld.Mishap.allCases)
        // Only what was under way when its member died or stood still comes again.
        let abrupt = ClusterWorld.Mishap.allCases.filter { $0 != .restarted }
        let count = abrupt.reduce(0) { $0 + (world.mishaps[$1] ?? 0) }
        #expect(again <= count * Self.schedules, "seed \(seed)")
    }

    @Test("A rolling restart of three Penstocks invokes nothing twice")
    func rolls() throws {
        let (_, seed, again) = try Self.run([.restarted])
        #expect(again == 0, "seed \(seed)")
    }

    /// Lets mishaps happen to three members for a while, and checks that each instant fired, and was decided once; how many
    /// invocations were of instants that had been invoked before.
    private static func run(
        _ mishaps: [ClusterWorld.Mishap]
    ) throws -> (world: ClusterWorld, seed: UInt64, again: Int) {
        let arrivals = Arrivals()
        let server = try TestHTTPServer { request, exchange in
            arrivals.add(request)
            exchange.respond()
        }
        defer { server.stop() }
        let database = try PostgresServer()
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try ClusterWorld(database, members: 3) { Self.triggers(server.url("/life/\($0)")) }
        try world.startAll()
        let limit =
            ProcessInfo.processInfo.environment["PENSTOCK_CLUSTER_SECONDS"].flatMap { Int($0) } ?? 30
        let end = ContinuousClock.now + .seconds(limit)
        try world.disturb(by: mishaps, &random) { ContinuousClock.now >= end }
        // All fire again, and what was missed is caught up with.
        let now = Int(Date().timeIntervalSince1970)
        let areDone = BoundedWait.until(within: .seconds(90)) {
            let done = Set(arrivals.list.filter { $0.instant > now + 2 }.map(\.schedule))
            return done.count == Self.schedules
        }
        #expect(areDone, "seed \(seed): \(world.processes.map(\.logTail))")
        try world.terminateAll()
        let all = Dictionary(grouping: arrivals.list, by: \.schedule)
        var again = 0
        for name in (0..<Self.schedules).map({ "tick\($0)" }) {
            again += try Self.check(name, all[name] ?? [], try Self.fires(of: name, database), seed)
        }
        let count = arrivals.list.count
        world.report("cluster schedules: seed \(seed), \(count) invocations, \(again) of them again")
        return (world, seed, again)
    }

    /// Checks one schedule; how many invocations were of an instant that had been invoked before.
    private static func check(
        _ name: String,
        _ arrivals: [Arrival],
        _ fires: [Fire],
        _ seed: UInt64
    ) throws -> Int {
        let byInstant = Dictionary(grouping: arrivals, by: \.instant)
        let instants = fires.map(\.instant)
        let first = try #require(instants.first)
        let last = try #require(instants.last)
        // Each instant from the first to the last is in the fire log, once.
        #expect(instants == Array(stride(from: first, through: last, by: 2)), "\(name), seed \(seed)")
        #expect(fires.allSatisfy { $0.outcome == "settled" || $0.outcome == "waiting" })
        var again = 0
        for fire in fires {
            let got = byInstant[fire.instant] ?? []
            #expect(!got.isEmpty || fire.outcome == "waiting", "\(name) \(fire), seed \(seed)")
            #expect(Set(got.map(\.id)).count <= 1, "\(name) \(fire.instant) has several ids, seed \(seed)")
            again += max(0, got.count - 1)
        }
        return again
    }

    /// A line of the fire log.
    private struct Fire {
        var instant: Int
        var outcome: String
    }

    private static func fires(of name: String, _ database: PostgresServer) throws -> [Fire] {
        let rows = try database.run(
            """
            SELECT scheduled / 1000, outcome FROM penstock.schedule_fires
            WHERE journal = '\(name)' ORDER BY scheduled
            """
        )
        return rows.split(separator: "\n").compactMap { row in
            let columns = row.split(separator: "|")
            guard columns.count == 2, let instant = Int(columns[0]) else { return nil }
            return Fire(instant: instant, outcome: String(columns[1]))
        }
    }
}
