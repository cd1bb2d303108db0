// SPDX-License-Identifier: Apache-2.0

extension BrokenConfiguration {
    /// Mistakes in triggers.
    static let triggers: [BrokenConfiguration] = [
        .init(
            "A trigger without a source",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers: { t: { function: f } }
            ! connectors.yaml:2:16: error: missing key "source" in trigger; it must be { kafka: … }, { sqs: … }, \#
            { dynamodb: … }, { schedule: … } or { postgres: … } [missing-key]
            """#
        ),
        .init(
            "A trigger without a function",
            #"""
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
            ! connectors.yaml:3:5: error: missing key "function" in trigger; it must be a name from functions \#
            [missing-key]
            """#
        ),
        .init(
            "A source that there is not",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { mqtt: { topic: q } }
                function: f
            ! connectors.yaml:4:15: error: unknown key "mqtt" in triggers.t.source; use one of kafka, sqs, \#
            dynamodb, schedule, postgres [unknown-key]
            """#
        ),
        .init(
            "A function that there is not",
            #"""
            functions: { resize: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: resise
            ! connectors.yaml:5:15: error: there is no "resise" in functions; did you mean "resize"? \#
            [unknown-reference]
            """#
        ),
        .init(
            "A group is missing",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t] } }
                function: f
            ! connectors.yaml:4:22: error: missing key "group" in kafka; it must be a text [missing-key]
            """#
        ),
        .init(
            "A group is empty",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: ""
            ! connectors.yaml:9:16: error: "group" must not be empty [bad-value]
            """#
        ),
        .init(
            "A broker without a port",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: [kafka-1]
                    topics: [t]
                    group: g
            ! connectors.yaml:7:18: error: "brokers" holds "kafka-1", which is not host:port; write it like \#
            kafka-1.internal:9092 [bad-value]
            """#
        ),
        .init(
            "A broker is a URL",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["https://kafka:9092"]
                    topics: [t]
                    group: g
            ! connectors.yaml:7:18: error: "brokers" holds "https://kafka:9092", which is not host:port; write \#
            it like kafka-1.internal:9092 [bad-value]
            """#
        ),
        .init(
            "No broker at all",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: []
                    topics: [t]
                    group: g
            ! connectors.yaml:7:18: error: "brokers" must have at least 1 element, not 0 [out-of-range]
            """#
        ),
        .init(
            "A topic name with a blank",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [new orders]
                    group: g
            ! connectors.yaml:8:17: error: "topics" holds "new orders", which Kafka does not allow as a topic \#
            name; use letters, digits, '.', '_' and '-', at most 249; a pattern begins with ^ [bad-value]
            """#
        ),
        .init(
            "A pattern that is no regular expression",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: ["^orders-(["]
                    group: g
            ! connectors.yaml:8:17: error: "topics" holds "^orders-([", which is no regular expression \#
            [bad-value]
            """#
        ),
        .init(
            "A start that there is not",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    start: beginning
            ! connectors.yaml:10:16: error: "start" must be earliest, latest, or a time like \#
            2026-01-31T00:00:00Z: "beginning" is none of these [bad-value]
            """#
        ),
        .init(
            "A session timeout beyond its limit",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    session_timeout: 2h
            ! connectors.yaml:10:26: error: "session_timeout" must be at most 30m, not 2h [out-of-range]
            """#
        ),
        .init(
            "An assignment that there is not",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    assignment: sticky
            ! connectors.yaml:10:21: error: "assignment" must be cooperative-sticky, range or roundrobin, not \#
            "sticky" [bad-enum]
            """#
        ),
        .init(
            "A librdkafka property that is Penstock's own",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    properties: { enable.auto.commit: "true" }
            ! connectors.yaml:10:21: error: "properties" sets enable.auto.commit, which is Penstock's own: \#
            offsets are committed when records are settled [conflict]
            """#
        ),
        .init(
            "A librdkafka property that there is not",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    properties: { fetch.mesage.max.bytes: 1 }
            ! connectors.yaml:10:21: error: "properties" sets fetch.mesage.max.bytes: librdkafka has no such \#
            property [bad-value]
            """#
        ),
        .init(
            "A librdkafka property with a value that it cannot have",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    properties: { fetch.wait.max.ms: soon }
            ! connectors.yaml:10:21: error: "properties" sets fetch.wait.max.ms: librdkafka refuses the value \#
            [bad-value]
            """#
        ),
        .init(
            "A password in clear text over the wire",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    sasl: { mechanism: plain, username: u, password: "${PENSTOCK_TEST_WORD}" }
            ! connectors.yaml:10:15: warning: "sasl" sends the password in clear text; add `tls: {}`, or use \#
            scram-sha-256 [conflict]
            """#
        ),
        .init(
            "A login without a password",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    sasl: { mechanism: scram-sha-256, username: u }
            ! connectors.yaml:10:15: error: missing key "password" in sasl; it must be a text [missing-key]
            """#
        ),
        .init(
            "A mechanism that there is not",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    sasl: { mechanism: SCRAM-SHA-256, username: u, password: "${PENSTOCK_TEST_WORD}" }
            ! connectors.yaml:10:28: error: "mechanism" must be plain, scram-sha-256 or scram-sha-512, not \#
            "SCRAM-SHA-256"; did you mean "scram-sha-256"? [bad-enum]
            """#
        ),
        .init(
            "A certificate without its key",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                function: f
                source:
                  kafka:
                    brokers: ["h:9092"]
                    topics: [t]
                    group: g
                    tls: { certificate: me.pem }
            ! connectors.yaml:10:29: error: "certificate" and "key" go together [conflict]
            """#
        ),
        .init(
            "Two triggers share a group and a topic",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              a:
                function: f
                source: { kafka: { brokers: ["h:9092"], topics: [t, a], group: g } }
              b:
                function: f
                source: { kafka: { brokers: ["h:9092"], topics: [t, b], group: g } }
            ! connectors.yaml:6:3: warning: "a" and "b" both read topic t of h:9092 as group g, so each gets \#
            only a part of the records; give each its own [conflict]
            """#
        ),
        .init(
            "A batch of no records",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                batch: { size: 0 }
            ! connectors.yaml:6:20: error: "size" must be at least 1, not 0 [out-of-range]
            """#
        ),
        .init(
            "A window beyond its limit",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                batch: { window: 10m }
            ! connectors.yaml:6:22: error: "window" must be at most 5m, not 10m [out-of-range]
            """#
        ),
        .init(
            "A batch is a number",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                batch: 100
            ! connectors.yaml:6:12: error: "batch" must be a mapping, not "100" [wrong-type]
            """#
        ),
        .init(
            "An endpoint that takes single records gets batches",
            #"""
            functions: { f: { http: { url: "https://h/", format: raw } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
            ! connectors.yaml:5:15: error: the function "f" takes one record at a time; set batch.size to 1 \#
            [conflict]
            """#
        ),
        .init(
            "Retries are for ever in another word",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                failure: { retries: forever }
            ! connectors.yaml:6:25: error: "retries" must be a whole number from 0 to 10000, or "unlimited": \#
            "forever" is neither [bad-value]
            """#
        ),
        .init(
            "The first wait is longer than the longest",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                failure: { backoff: { initial: 1m, max: 10s } }
            ! connectors.yaml:6:45: error: "max" must not be shorter than "initial" (1m) [conflict]
            """#
        ),
        .init(
            "An age below its limit",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                failure: { max_age: 0s }
            ! connectors.yaml:6:25: error: "max_age" must be at least 1s, not 0s [out-of-range]
            """#
        ),
        .init(
            "A key at the wrong place",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                retries: 5
            ! connectors.yaml:6:5: error: unknown key "retries" in trigger; it belongs under "failure" \#
            [unknown-key]
            """#
        ),
        .init(
            "A destination that there is not",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                on_failure: trash
            ! connectors.yaml:6:17: error: "on_failure" must be dead_letters, { kafka: … }, { sqs: … }, \#
            { postgres: … }, { sns: … }, { eventbridge: … }, { lambda: … }, { s3: … }, { http: … } or \#
            { file: … }, not "trash" [bad-enum]
            """#
        ),
        .init(
            "A destination without its topic",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                on_failure: { kafka: { brokers: ["h:9092"] } }
            ! connectors.yaml:6:26: error: missing key "topic" in kafka; it must be a text [missing-key]
            """#
        ),
        .init(
            "A destination with a pattern",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { kafka: { brokers: ["h:9092"], topics: [t], group: g } }
                function: f
                on_failure: { kafka: { brokers: ["h:9092"], topic: ^t } }
            ! connectors.yaml:6:56: error: "topic" must be one topic, not a pattern [bad-value]
            """#
        ),
    ]
}
