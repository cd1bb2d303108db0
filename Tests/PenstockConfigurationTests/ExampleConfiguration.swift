// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore

/// A configuration with each kind of field: what the tests read, and an example of how tables are written.
struct ExampleConfiguration: ConfigurationTable {
    static let state = Field.string("state", "Where state is kept.", default: "sqlite:data/penstock.db")
    static let functions = Field.map(
        "functions",
        "What triggers invoke.",
        of: .oneOf([
            .key("local", "A process on this machine.", .table(LocalFunction.self)) {
                ExampleFunction.local($0)
            },
            .key("http", "An HTTP endpoint.", .table(HTTPFunction.self)) { ExampleFunction.http($0) },
        ])
    )
    static let triggers = Field.map(
        "triggers",
        "What is read, and where it goes.",
        of: .table(ExampleTrigger.self)
    )
    static let table = FieldTable("the configuration", "A whole Penstock.", [state, functions, triggers])

    let state: String
    let functions: [Named<ExampleFunction>]
    let triggers: [Named<ExampleTrigger>]

    init(_ reader: inout ConfigurationReader) {
        self.state = reader[Self.state]
        self.functions = reader[Self.functions]
        self.triggers = reader[Self.triggers]
        for trigger in self.triggers {
            reader.resolve(trigger.value.function, among: self.functions.map(\.name))
        }
    }
}

enum ExampleFunction: Sendable {
    case local(LocalFunction)
    case http(HTTPFunction)
}

struct LocalFunction: ConfigurationTable {
    static let command = Field.strings("command", "The program and its arguments.")
    static let environment = Field.properties("environment", "Variables of the process.")
    static let timeout = Field.duration(
        "timeout",
        "How long an invocation may take.",
        default: .seconds(30),
        in: .milliseconds(100) ... .seconds(900)
    )
    static let memory = Field.size(
        "memory",
        "Memory at most.",
        default: 512 << 20,
        in: (1 << 20)...(64 << 30)
    )
    static let concurrency = Field.integer("concurrency", "Processes at most.", default: 4, in: 1...1000)
    static let table = FieldTable(
        "local",
        "Any program that speaks the Lambda Runtime API.",
        [command, environment, timeout, memory, concurrency]
    )

    let command: [String]
    let environment: [String: String]
    let timeout: Duration
    let memory: Int
    let concurrency: Int

    init(_ reader: inout ConfigurationReader) {
        self.command = reader[Self.command]
        self.environment = reader[Self.environment]
        self.timeout = reader[Self.timeout]
        self.memory = reader[Self.memory]
        self.concurrency = reader[Self.concurrency]
    }
}

struct HTTPFunction: ConfigurationTable {
    enum Format: String, CaseIterable, Sendable { case lambda, cloudevents }

    static let url = Field.url("url", "Where to post.")
    static let format = Field.choice("format", "What to post.", default: Format.lambda)
    static let token = Field.secret("token", "A bearer token.").optional
    static let verify = Field.boolean("verify", "Whether to check the certificate.", default: true)
    static let table = FieldTable("http", "Posts each batch.", [url, format, token, verify])

    let url: ServiceURL
    let format: Format
    let token: Secret?
    let verify: Bool

    init(_ reader: inout ConfigurationReader) {
        self.url = reader[Self.url]
        self.format = reader[Self.format]
        self.token = reader[Self.token]
        self.verify = reader[Self.verify]
    }
}

struct ExampleTrigger: ConfigurationTable {
    enum Target: Sendable, Equatable {
        case deadLetters
        case topic(String)
    }

    static let source = Field.oneOf(
        "source",
        "What records are read from.",
        [
            .key("kafka", "Topics of Kafka.", .table(KafkaExample.self)) { $0 }
        ]
    )
    static let function = Field.reference("function", "What is invoked.", to: "functions")
    static let filters = Field.list("filters", "Patterns of EventBridge.", of: .node, count: 0...5)
    static let batch = Field.table("batch", "When a batch is full.", of: BatchExample.self)
    static let factor = Field.number("factor", "How fast the delay grows.", default: 2, in: 1...10)
    static let from = Field.timestamp("from", "Where to begin.").optional
    static let onFailure = Field.oneOf(
        "on_failure",
        "Where records go that are given up.",
        [
            .word("dead_letters", "The embedded store.", Target.deadLetters),
            .key("topic", "A topic of Kafka.", .string) { .topic($0) },
        ],
        default: "dead_letters"
    )
    static let table = FieldTable(
        "trigger",
        "One source wired to one function.",
        [source, function, filters, batch, factor, from, onFailure]
    )

    let source: KafkaExample
    let function: Reference
    let filters: [ConfigurationNode]
    let batch: BatchExample
    let factor: Double
    let from: Timestamp?
    let onFailure: Target

    init(_ reader: inout ConfigurationReader) {
        self.source = reader[Self.source]
        self.function = reader[Self.function]
        self.filters = reader[Self.filters]
        self.batch = reader[Self.batch]
        self.factor = reader[Self.factor]
        self.from = reader[Self.from]
        self.onFailure = reader[Self.onFailure]
    }
}

struct BatchExample: ConfigurationTable, Equatable {
    static let size = Field.integer("size", "Records at most.", default: 100, in: 1...10_000)
    static let window = Field.duration("window", "How long to wait for more.", default: .milliseconds(500))
    static let table = FieldTable("batch", "When a batch is full.", [size, window])

    let size: Int
    let window: Duration

    init(_ reader: inout ConfigurationReader) {
        self.size = reader[Self.size]
        self.window = reader[Self.window]
        reader.require(
            self.size == 1 || self.window > .zero,
            at: Self.window,
            "must be more than 0s when size is more than 1",
            suggestion: "give it 500ms"
        )
    }
}

struct KafkaExample: ConfigurationTable {
    static let brokers = Field.strings("brokers", "Bootstrap servers, each host:port.", count: 1...3)
    static let group = Field.parsed("group", "The consumer group.", "a group without blanks", placeholder: "")
    {
        guard !$0.contains(" ") else { throw BlankError() }
        return $0
    }
    static let password = Field.secret("password", "For SASL.").optional
    static let properties = Field.properties("properties", "Settings of librdkafka.")
    static let table = FieldTable("kafka", "Reads topics of Kafka.", [brokers, group, password, properties])

    let brokers: [String]
    let group: String
    let password: Secret?
    let properties: [String: String]

    init(_ reader: inout ConfigurationReader) {
        self.brokers = reader[Self.brokers]
        self.group = reader[Self.group]
        self.password = reader[Self.password]
        self.properties = reader[Self.properties]
    }
}

struct BlankError: Error, CustomStringConvertible {
    let description = "it has a blank"
}

extension ConfigurationLoader {
    /// A world of its own: these variables, these files.
    static func fixture(_ environment: [String: String] = [:], files: [String: String] = [:]) -> Self {
        ConfigurationLoader(
            environment: { environment[$0] },
            readFile: { path, _ throws(FileReadError) in
                guard let text = files[path] else {
                    throw FileReadError(code: .missing, detail: "does not exist")
                }
                return Array(text.utf8)
            }
        )
    }
}
