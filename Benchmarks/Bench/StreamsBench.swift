// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DynamoDBConnector
import HTTPFunction
import KafkaConnector
import PenstockConfiguration
import PenstockRuntime
import Reactor

/// The real pipeline from the stream of a DynamoDB table to a function, with its group commits and its store.
struct StreamsBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "streams",
        abstract: "Reads a table's stream through the real pipeline."
    )

    /// What the records are given to.
    enum Target: String, ExpressibleByArgument {
        case discard, encode
    }

    @Option(help: "Where the API of DynamoDB Streams is.") var endpoint: String
    @Option(help: "The table.") var table = "bench"
    @Option(help: "Records in the stream.") var records: Int
    @Option(help: "Records of a batch at most.") var batch = 1000
    @Option(help: "discard or encode.") var function = Target.discard
    @Option(help: "Batches in flight at most.") var concurrency = 8
    @Option(help: "A store file, which must not be there.") var store: String

    func validate() throws {
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
        let context = RuntimeContext(reactor: reactor, logger: PipelineBench.logger)
        let source = try self.plan().make("bench", context)
        let function = NullFunction(encodes: self.function == .encode, concurrency: self.concurrency)
        try bench.run(source, function, on: reactor).print()
    }

    /// The source as a configuration has it; its trigger's function is not made.
    private func plan() throws -> SourcePlan {
        let text = """
            functions: { none: { http: { url: "http://127.0.0.1:1/" } } }
            triggers:
              bench:
                function: none
                source:
                  dynamodb:
                    table: \(self.table)
                    region: eu-west-1
                    endpoint: "\(self.endpoint)"
                    credentials: { access_key_id: bench, secret_access_key: bench }
            """
        let registry = Registry(
            // A registry needs a destination.
            connectors: [DynamoDBConnector.self, KafkaConnector.self],
            functionKinds: [HTTPFunctionKind.self]
        )
        let result = PlanReader(registry).read(ConfigurationLoader.process.parse(text, file: "--endpoint"))
        guard let trigger = result.value?.triggers.first else { throw BenchFailure("\(result.findings)") }
        return trigger.value.source
    }
}
