// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HTTPFunction
import KafkaConnector
import PenstockConfiguration
import PenstockRuntime
import PostgresConnector
import Reactor

/// The real pipeline from a replication slot of Postgres to a function, with its checkpoints.
struct ChangesBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "changes",
        abstract: "Reads a replication slot through the real pipeline."
    )

    /// What the records are given to.
    enum Target: String, ExpressibleByArgument {
        case discard, encode
    }

    @Option(help: "A connection string.") var database: String
    @Option(help: "The slot.") var slot = "bench"
    @Option(help: "The publication.") var publication = "bench"
    @Option(help: "Rows that the slot has.") var rows: Int
    @Option(help: "Records of a batch at most.") var batch = 1000
    @Option(help: "discard or encode.") var function = Target.discard
    @Option(help: "Batches in flight at most.") var concurrency = 8
    @Option(help: "A store file, which must not be there.") var store: String

    func validate() throws {
        if self.rows < 1 || self.batch < 1 || self.concurrency < 1 {
            throw ValidationError("--rows, --batch and --concurrency must be positive")
        }
    }

    func run() throws {
        let reactor = try Reactor(name: "bench")
        let bench = PipelineBench(
            records: self.rows,
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
                  postgres:
                    changes: { url: "\(self.database)", slot: \(self.slot), publication: \(self.publication) }
            """
        let registry = Registry(
            connectors: [PostgresConnector.self, KafkaConnector.self],
            functionKinds: [HTTPFunctionKind.self]
        )
        let result = PlanReader(registry).read(ConfigurationLoader.process.parse(text, file: "--database"))
        guard let trigger = result.value?.triggers.first else { throw BenchFailure("\(result.findings)") }
        return trigger.value.source
    }
}
