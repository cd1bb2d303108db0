// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HTTPFunction
import KafkaConnector
import PenstockConfiguration
import PenstockRuntime
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

    func validate() throws {
        if self.function == .http, self.url == nil { throw ValidationError("--function http needs --url") }
        if self.records < 1 || self.batch < 1 || self.concurrency < 1 {
            throw ValidationError("--records, --batch and --concurrency must be positive")
        }
    }

    func run() throws {
        let reactor = try Reactor(name: "bench")
        let bench = PipelineBench(
            records: self.records,
            batch: self.batch,
            concurrency: self.concurrency,
            store: self.store
        )
        let source = KafkaSource(self.sourceConfiguration, logger: PipelineBench.logger)
        try bench.run(source, self.makeFunction(reactor), on: reactor).print()
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
}
