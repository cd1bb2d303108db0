// SPDX-License-Identifier: Apache-2.0

extension BrokenConfiguration {
    /// What a trigger expects of answers that never come, and destinations that it reads itself.
    static let answers: [BrokenConfiguration] = [
        .init(
            "A list of failures is required of a function that does not answer",
            #"""
            functions: { f: { lambda: { function: f, region: r, invocation: event } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                failure: { report_item_failures: true, require_item_failures: true }
            ! connectors.yaml:5:15: error: the function "f" is invoked without waiting for its answer, so every batch \#
            would fail; remove failure.require_item_failures, or let the function answer [conflict]
            """#
        ),
        .init(
            "Failures are looked for in the answers of a function that does not answer",
            #"""
            functions: { f: { lambda: { function: f, region: r, invocation: event } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                failure: { report_item_failures: true }
            ! connectors.yaml:5:15: warning: the function "f" is invoked without waiting for its answer, so nothing is \#
            ever reported; remove failure.report_item_failures, or let the function answer [conflict]
            """#
        ),
        .init(
            "Dead letters go to the topic that is read",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092", "i:9092"], topics: [s, t], group: g } }
                function: f
                on_failure: { kafka: { brokers: ["i:9092"], topic: t } }
            ! connectors.yaml:6:17: warning: "on_failure" writes to t, which this trigger reads: what fails comes back \#
            for ever; name another one [conflict]
            """#
        ),
        .init(
            "Results go to a topic of the pattern that is read, and dead letters to another broker's",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: ["^orders.*"], group: g } }
                function: f
                on_success: { kafka: { brokers: ["h:9092"], topic: orders-done } }
                on_failure: { kafka: { brokers: ["j:9092"], topic: orders-dead } }
            ! connectors.yaml:6:17: warning: "on_success" writes to orders-done, which this trigger reads: each result is \#
            invoked with as a record; name another one [conflict]
            """#
        ),
    ]
}
