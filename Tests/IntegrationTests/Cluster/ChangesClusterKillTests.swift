// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Synchronization
import Testing

/// A replication slot that several Penstocks share, while these are killed and stopped.
///
/// `PENSTOCK_CLUSTER_CHANGES=100000` makes that number of changes.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(60)))
struct ChangesClusterKillTests {
    private final class Arrivals: Sendable {
        private struct State {
            var first: [Int] = []
            var seen: Set<Int> = []
            var count = 0
        }

        private let state = Mutex(State())

        func add(_ request: TestHTTPServer.Request) {
            let event = (try? JSONSerialization.jsonObject(with: Data(request.body))) as? [String: Any]
            let records = event?["Records"] as? [[String: Any]] ?? []
            let numbers = records.compactMap { record -> Int? in
                let inner = record["postgres"] as? [String: Any]
                return (inner?["new"] as? [String: Any])?["n"] as? Int
            }
            self.state.withLock { state in
                state.count += numbers.count
                for number in numbers where state.seen.insert(number).inserted { state.first.append(number) }
            }
        }

        var distinct: Int { self.state.withLock { $0.first.count } }
        var first: [Int] { self.state.withLock { $0.first } }
        var count: Int { self.state.withLock { $0.count } }
    }

    /// All rows are written within this time.
    private static let seconds = 40

    @Test("Three Penstocks that die and stand still lose no change of a slot, and keep its order")
    func changes() throws {
        let wanted =
            ProcessInfo.processInfo.environment["PENSTOCK_CLUSTER_CHANGES"].flatMap { Int($0) } ?? 20_000
        let arrivals = Arrivals()
        let server = try TestHTTPServer { request, exchange in
            arrivals.add(request)
            exchange.respond()
        }
        defer { server.stop() }
        let database = try PostgresServer(settings: ["wal_level=logical"])
        try database.run("CREATE TABLE t (id bigserial PRIMARY KEY, n int)")
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let source = """
            postgres: { changes: { url: "\(database.url())", slot: s, tables: [t], create: true, heartbeat: 1s } }
            """
        let world = try ClusterWorld(database, members: 3) { life in
            """
            functions:
              sink: { http: { url: "\(server.url("/life/\(life)"))" } }
            triggers:
              rows:
                source: { \(source) }
                function: sink
                batch: { size: 100, window: 10ms }
                failure: { retries: unlimited, backoff: { initial: 50ms, max: 500ms } }
            """
        }
        try world.startAll()
        let isRead = try BoundedWait.until(within: .seconds(60)) {
            try database.run("SELECT count(*) FROM pg_replication_slots WHERE active") == "1"
        }
        try #require(isRead, "\(world.processes.map(\.logTail))")
        // Rows come all the time: there is always something to lose.
        let began = ContinuousClock.now
        var written = 0
        var failure: (any Error)?
        try world.disturb(&random) {
            let part = min(1, (ContinuousClock.now - began) / .seconds(Self.seconds))
            let due = Int(Double(wanted) * part)
            if failure == nil, due > written, due == wanted || due - written >= 100 {
                do {
                    try database.run(
                        "INSERT INTO t (n) SELECT i FROM generate_series(\(written + 1), \(due)) i"
                    )
                    written = due
                } catch {
                    failure = error
                }
            }
            return failure != nil || arrivals.distinct >= wanted
        }
        if let failure { throw failure }
        #expect(arrivals.distinct == wanted, "seed \(seed)")
        // First arrivals of the one partition are in order, whatever came again, and whoever read.
        #expect(arrivals.first == Array(1...wanted), "seed \(seed)")
        let end = try database.run("SELECT pg_current_wal_lsn()")
        let isReleased = try BoundedWait.until(within: .seconds(60)) {
            try database.run("SELECT confirmed_flush_lsn >= '\(end)' FROM pg_replication_slots") == "t"
        }
        #expect(isReleased, "seed \(seed): \(world.processes.map(\.logTail))")
        try world.terminateAll()
        world.report("cluster changes: \(wanted), seed \(seed), \(arrivals.count - wanted) came again")
    }
}
