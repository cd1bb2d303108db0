// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor

/// One run of the real pipeline from a source to a function, with its group commits and its store.
struct PipelineBench {
    /// Records that the source has.
    var records: Int
    /// Records of a batch at most.
    var batch: Int
    /// Batches in flight at most.
    var concurrency: Int
    /// A store file, which must not be there.
    var store: String

    /// No record for so long means that none will come.
    private static let silenceMax = 30

    static var logger: Logger {
        var logger = Logger(label: "bench", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .error
        return logger
    }

    /// Runs until all records are settled, and stops the reactor.
    func run(_ source: any Source, _ function: any Function, on reactor: Reactor) throws -> JSONLine {
        try self.run(source, function, SQLiteStore.open(path: self.store), on: reactor) {}
    }

    /// The same with a store that the source has, too; says once when the source is connected.
    func run(
        _ source: any Source,
        _ function: any Function,
        _ store: SQLiteStore,
        on reactor: Reactor,
        whenConnected: @escaping @Sendable () -> Void
    ) throws -> JSONLine {
        let policy = TriggerPolicy(batchSize: self.batch, concurrency: self.concurrency)
        let clocked = ClockedSource(
            source,
            expected: self.records,
            intake: policy.intakeRecords,
            whenConnected: whenConnected
        )
        let parts = PipelineParts(
            name: "bench",
            source: clocked,
            function: function,
            destination: StoreDestination(store: store),
            store: store,
            policy: policy
        )
        let pipeline = Pipeline(parts, loop: reactor, logger: Self.logger)
        let ending = Ending(source: clocked, pipeline: pipeline, silenceMax: Self.silenceMax)
        let settled = try onReactor(reactor) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask(executorPreference: reactor) { try await pipeline.run() }
                group.addTask(executorPreference: reactor) { try await ending.wait() }
                try await group.waitForAll()
            }
            await function.shutdown()
            await store.close()
            return await pipeline.counters.succeeded
        }
        reactor.stop()
        return try self.line(clocked.progress, settled: Int(settled))
    }

    private func line(_ progress: ClockedSource.Progress, settled: Int) throws -> JSONLine {
        guard let first = progress.first, let last = progress.last, settled == self.records else {
            throw BenchFailure("\(settled) of \(self.records) records were settled")
        }
        let seconds = last.seconds(since: first)
        var line = JSONLine()
        line.add("records", settled)
        line.add("bytes", progress.bytes)
        line.add("seconds", seconds)
        line.add("records_per_second", (Double(settled) / seconds).rounded())
        line.add("cpu_us_per_record", last.cpu(since: first, per: settled))
        line.add("max_rss_kb", Reading.maxRSS)
        return line
    }
}

/// Stops the pipeline when everything is settled, or when nothing more comes.
private struct Ending: Sendable {
    let source: ClockedSource
    let pipeline: Pipeline
    let silenceMax: Int

    func wait() async throws {
        var (seen, silence) = (0, 0)
        while self.source.progress.last == nil, silence < self.silenceMax * 20 {
            try await Task.sleep(for: .milliseconds(50))
            let now = self.source.progress.records
            silence = now == seen ? silence + 1 : 0
            seen = now
        }
        await self.pipeline.stop(within: .seconds(5))
    }
}
