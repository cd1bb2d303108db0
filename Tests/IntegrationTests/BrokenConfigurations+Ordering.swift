// SPDX-License-Identifier: Apache-2.0

extension BrokenConfiguration {
    /// Mistakes in the order of a trigger.
    static let orders: [BrokenConfiguration] = [
        .init(
            "An order that there is not",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                ordering: topic
            ! connectors.yaml:6:15: error: "ordering" must be partition, key or none, not "topic" [bad-enum]
            """#
        ),
        .init(
            "A key in a place that records do not have",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                ordering: key
                ordering_key: body.id
            ! connectors.yaml:7:19: error: "ordering_key" names "body"; a key is in key, value, headers [bad-value]
            """#
        ),
        .init(
            "A place for keys that nothing is ordered by",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                ordering_key: value.id
            ! connectors.yaml:6:19: error: "ordering_key" needs "ordering: key"; set ordering: key, or remove it \#
            [conflict]
            """#
        ),
        .init(
            "Windows of a source whose events have none, without an order, and with filters",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { sqs: { queue: "arn:aws:sqs:eu-west-1:123456789012:q" } }
                function: f
                tumbling_window: 30s
                ordering: none
                filters: [{ body: [x] }]
            ! connectors.yaml:6:22: error: "tumbling_window" cannot be used with sqs: its events have no windows; \#
            remove it [conflict]
            ! connectors.yaml:6:22: error: "tumbling_window" needs "ordering: partition": the state goes from batch \#
            to batch of a partition; remove ordering, or tumbling_window [conflict]
            ! connectors.yaml:6:22: error: "tumbling_window" cannot be used with filters; let the function pass over \#
            records, or remove tumbling_window [conflict]
            """#
        ),
        .init(
            "A window that is too long, and functions that give back no state",
            #"""
            functions:
              quiet: { lambda: { function: "arn:aws:lambda:eu-west-1:123456789012:function:f", invocation: event } }
              other: { http: { url: "http://localhost:1/", format: cloudevents } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: quiet
                tumbling_window: 16m
              u:
                source: { kafka: { brokers: ["h:9092"], topics: [u], group: g } }
                function: quiet
                tumbling_window: 30s
              v:
                source: { kafka: { brokers: ["h:9092"], topics: [v], group: g } }
                function: other
                tumbling_window: 30s
            ! connectors.yaml:8:22: error: "tumbling_window" must be at most 15m, not 16m [out-of-range]
            ! connectors.yaml:11:15: error: the function "quiet" is invoked without waiting for its answer, so no \#
            state comes back; remove tumbling_window, or let the function answer [conflict]
            ! connectors.yaml:15:15: error: the function "other" does not get Lambda events, so it gets no windows; \#
            remove tumbling_window, or give the function "format: lambda" [conflict]
            """#
        ),
    ]
}
