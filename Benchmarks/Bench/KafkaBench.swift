// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import HTTPFunction
import KafkaConnector
import Logging
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor

/// The real pipeline from a Kafka topic to a function, with its group commits and its store.
struct KafkaBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kafka",
        abstract: "Reads a topic through the real pipeline."
    )

    /// What the records are given to.
    enum Target: String, ExpressibleByArgument {
        case discard, encode, http
    }

    @Option(help: "Brokers to ask first, host:port with commas.") var brokers: String
    @Option(help: "The topic.") var topic: String
    @Option(help: "A consumer group that has no offsets yet.") var group: String
    @Option(help: "Records in the topic.") var records: Int
    @Option(help: "Records of a batch at most.") var batch = 1000
    @Option(help: "discard, encode or http.") var function = Target.discard
    @Option(help: "Where http POSTs to.") var url: String?
    @Option(help: "Batches in flight at most.") var concurrency = 8
    @Option(help: "A store file, which must not be there.") var store: String

    /// No record for so long means that none will come.
    private static let silenceMax = 30

    func validate() throws {
        if self.function == .http, self.url == nil { throw ValidationError("--function http needs --url") }
        if self.records < 1 || self.batch < 1 || self.concurrency < 1 {
            throw ValidationError("--records, --batch and --concurrency must be positive")
        }
    }

    func run() throws {
        let reactor = try Reactor(name: "bench")
        let store = try SQLiteStore.open(path: self.store)
        let function = try self.makeFunction(reactor)
        var logger = Logger(label: "bench", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .error
        let policy = TriggerPolicy(batchSize: self.batch, concurrency: self.concurrency)
        let source = ClockedSource(
            KafkaSource(self.sourceConfiguration, logger: logger),
            expected: self.records,
            intake: policy.intakeRecords
        )
        let parts = PipelineParts(
            name: "bench",
            source: source,
            function: function,
            destination: StoreDestination(store: store),
            store: store,
            policy: policy
        )
        let pipeline = Pipeline(parts, loop: reactor, logger: logger)
        let ending = Ending(source: source, pipeline: pipeline, silenceMax: Self.silenceMax)
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
        try self.line(source.progress, settled: Int(settled)).print()
    }

    private var sourceConfiguration: KafkaSourceConfiguration {
        let brokers = self.brokers.split(separator: ",").map(String.init)
        return KafkaSourceConfiguration(brokers: brokers, topics: [self.topic], group: self.group)
    }

    private func makeFunction(_ reactor: Reactor) throws -> any Function {
        guard self.function == .http, let url = self.url else {
            return NullFunction(encodes: self.function == .encode, concurrency: self.concurrency)
        }
        let text = "url: \(url)\nconcurrency: \(self.concurrency)\n"
        let result = ConfigurationLoader.process.parse(text, file: "--url").read(
            HTTPFunctionConfiguration.self
        )
        guard let configuration = result.value else { throw BenchFailure("\(result.findings)") }
        return try HTTPFunction(name: "bench", configuration: configuration, reactor: reactor)
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
