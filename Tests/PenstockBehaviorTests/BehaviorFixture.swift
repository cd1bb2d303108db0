// SPDX-License-Identifier: Apache-2.0

import HTTPFunction
import KafkaConnector
import LocalFunction
import Logging
import PenstockBehavior
import PenstockConfiguration
import PenstockRuntime
import Reactor

/// Test files and configurations that are texts.
enum BehaviorFixture {
    static let registry = Registry(
        connectors: [KafkaConnector.self],
        functionKinds: [LocalFunctionKind.self, HTTPFunctionKind.self]
    )

    /// Two triggers: `all` bisects, `items` looks at item failures.
    static let configuration = """
        functions:
          f:
            http: { url: "http://localhost:1/", timeout: 5s, concurrency: 4 }
        triggers:
          all:
            source: { kafka: { brokers: ["localhost:1"], topics: ["${TOPIC:-a}"], group: g } }
            function: f
            filters: [{ key: [{ anything-but: skip }] }]
            batch: { size: 5, window: 2s }
            failure: { retries: 1, backoff: { initial: 1s }, bisect: true }
          items:
            source: { kafka: { brokers: ["localhost:1"], topics: [a], group: h } }
            function: f
            batch: { size: 5, window: 0s }
            failure: { retries: 1, backoff: { initial: 1s }, max_age: 1h, report_item_failures: true }
          keys:
            source: { kafka: { brokers: ["localhost:1"], topics: [a], group: k } }
            function: f
            batch: { size: 1, window: 0s }
            ordering: key
            ordering_key: value.customer.id
            failure: { retries: 2, backoff: { initial: 1s, factor: 1 } }
          windows:
            source: { kafka: { brokers: ["localhost:1"], topics: [a], group: w } }
            function: f
            batch: { size: 2, window: 1s }
            tumbling_window: 30s
            failure: { retries: 1, backoff: { initial: 1s }, report_item_failures: true }

        """

    /// Reads a test file `t/x.test.yaml` beside that configuration.
    static func read(_ text: String) -> ConfigurationResult<BehaviorSuite> {
        let files = ["t/x.test.yaml": text, "t/connectors.yaml": Self.configuration]
        let loader = ConfigurationLoader(
            environment: { _ in nil },
            readFile: { path, _ throws(FileReadError) in
                guard let text = files[path] else {
                    throw FileReadError(code: .missing, detail: "does not exist")
                }
                return Array(text.utf8)
            }
        )
        return BehaviorSuite.read("t/x.test.yaml", registry: Self.registry, loader: loader)
    }

    /// What came of the cases of a file without errors.
    static func run(_ text: String) async throws -> BehaviorReport {
        let result = Self.read(text)
        guard let suite = result.value else {
            throw Malformed(findings: result.findings.map(\.description))
        }
        return try await Self.run(suite)
    }

    static func run(_ suite: BehaviorSuite) async throws -> BehaviorReport {
        let reactor = try Reactor()
        defer { reactor.stop() }
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        return try await suite.run(RuntimeContext(reactor: reactor, logger: logger))
    }

    struct Malformed: Error {
        let findings: [String]
    }
}
