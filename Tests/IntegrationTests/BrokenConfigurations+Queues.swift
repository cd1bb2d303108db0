// SPDX-License-Identifier: Apache-2.0

extension BrokenConfiguration {
    /// Mistakes about queues, and about what leased records need.
    static let queues: [BrokenConfiguration] = [
        .init(
            "A queue that is named by nothing that names one",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { sqs: { queue: "arn:aws:sns:eu-west-1:123456789012:orders", region: eu-west-1 } }
                function: f
            ! connectors.yaml:4:29: error: "queue" must be a queue's URL, ARN or name: \#
            "arn:aws:sns:eu-west-1:123456789012:orders" is none; write orders, \#
            arn:aws:sqs:eu-west-1:123456789012:orders, or \#
            https://sqs.eu-west-1.amazonaws.com/123456789012/orders [bad-value]
            """#
        ),
        .init(
            "A queue in another region than its ARN says",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { sqs: { queue: "arn:aws:sqs:eu-west-1:123456789012:orders", region: us-east-1 } }
                function: f
            ! connectors.yaml:4:82: error: "region" is another one than that of the ARN (eu-west-1) [conflict]
            """#
        ),
        .init(
            "A visibility of half seconds",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { sqs: { queue: q, region: eu-west-1, visibility: 30500ms } }
                function: f
            ! connectors.yaml:4:63: error: "visibility" must be whole seconds: SQS counts in them; round it up \#
            [conflict]
            """#
        ),
        .init(
            "A visibility that is shorter than the function's timeout",
            #"""
            functions: { f: { local: { command: [cat], timeout: 60s } } }
            triggers:
              t:
                source: { sqs: { queue: q, region: eu-west-1, visibility: 30s } }
                function: f
            ! connectors.yaml:3:3: warning: records are leased for 30s, and the function "f" may take 1m: when \#
            Penstock is cut off, others get the records while it is still at work; lease them for longer, or give \#
            the function a shorter timeout [conflict]
            """#
        ),
        .init(
            "What is filtered from message groups cannot go back",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { sqs: { queue: q.fifo, region: eu-west-1 } }
                function: f
                filters: [{ body: { a: [1] } }]
                filtered: release
            ! connectors.yaml:7:15: error: "filtered" cannot be release: a record that goes back holds up its message \#
            group; use acknowledge or dead_letter [conflict]
            """#
        ),
        .init(
            "A backoff beyond what the queue keeps messages invisible",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { sqs: { queue: q, region: eu-west-1 } }
                function: f
                failure: { backoff: { max: 13h } }
            ! connectors.yaml:6:14: error: "failure" backoff.max must not be longer than 12h with sqs [conflict]
            """#
        ),
        .init(
            "Order by key where the queue keeps none",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { sqs: { queue: q, region: eu-west-1 } }
                function: f
                ordering: key
            ! connectors.yaml:6:15: error: "ordering" cannot be key: sqs delivers in no order; use none [conflict]
            """#
        ),
        .init(
            "Two triggers on one queue",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              one:
                source: { sqs: { queue: q, region: eu-west-1 } }
                function: f
              two:
                source: { sqs: { queue: "arn:aws:sqs:eu-west-1:123456789012:q" } }
                function: f
            ! connectors.yaml:6:3: warning: "one" and "two" both read queue q in eu-west-1, so each gets only a part \#
            of the records; give each its own [conflict]
            """#
        ),
        .init(
            "Two triggers with filters on one queue",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              one:
                source: { sqs: { queue: q, region: eu-west-1 } }
                function: f
                filters: [{ body: { kind: [a] } }]
              two:
                source: { sqs: { queue: q, region: eu-west-1 } }
                function: f
                filters: [{ body: { kind: [b] } }]
            ! connectors.yaml:7:3: warning: "one" and "two" both read queue q in eu-west-1, and "one" settles what its \#
            filters refuse, so that "two" never gets it; give each its own, or set "filtered: release" [conflict]
            """#
        ),
    ]
}
