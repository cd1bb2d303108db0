// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import PenstockCore
import PenstockStore
import Reactor

/// Writers that each save one checkpoint and wait until it is durable, again and again.
///
/// The goal it measures is a ratio: acknowledgements a second over fdatasyncs a second of the same disk.
struct SettleBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settle",
        abstract: "Saves checkpoints durably from many writers."
    )

    @Option(help: "Writers side by side.") var writers = 64
    @Option(help: "How long.") var seconds = 1.5
    @Option(help: "A store file, which must not be there.") var path: String

    func run() throws {
        let reactor = try Reactor(name: "bench")
        let store = try SQLiteStore.open(path: self.path)
        let (writers, nanoseconds) = (self.writers, Int64(self.seconds * 1e9))
        let line = try onReactor(reactor) {
            let before = store.commits
            let started = Reading.now
            let end = reactor.now + .nanoseconds(nanoseconds)
            let latencies = try await withThrowingTaskGroup(of: [Int64].self) { group in
                for writer in 0..<writers {
                    group.addTask(executorPreference: reactor) {
                        try await Self.write(store, "orders-\(writer)", until: end, reactor)
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            let ended = Reading.now
            let commits = store.commits - before
            await store.close()
            return Self.line(latencies, commits, from: started, to: ended)
        }
        reactor.stop()
        line.print()
    }

    private static func write(
        _ store: SQLiteStore,
        _ partition: String,
        until end: Instant,
        _ reactor: Reactor
    ) async throws -> [Int64] {
        var latencies: [Int64] = []
        var started = reactor.now
        while started < end {
            let position = Position(UInt64(latencies.count + 1))
            try await store.save([Checkpoint(trigger: "bench", partition: partition, position: position)])
            let ended = reactor.now
            latencies.append((ended - started).wholeNanoseconds)
            started = ended
        }
        return latencies
    }

    private static func line(
        _ nanoseconds: [Int64],
        _ commits: Int,
        from started: Reading,
        to ended: Reading
    ) -> JSONLine {
        let latencies = Latencies(nanoseconds)
        let seconds = ended.seconds(since: started)
        var line = JSONLine()
        line.add("acks", nanoseconds.count)
        line.add("commits", commits)
        line.add("seconds", seconds)
        line.add("acks_per_second", (Double(nanoseconds.count) / seconds).rounded())
        line.add("cpu_us_per_ack", ended.cpu(since: started, per: nanoseconds.count))
        line.add("p50_us", latencies.microseconds(atPercent: 50))
        line.add("p99_us", latencies.microseconds(atPercent: 99))
        return line
    }
}
