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
    ]
}
