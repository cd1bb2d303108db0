// SPDX-License-Identifier: Apache-2.0

import PenstockTesting

extension PolicyRun {
    static func functions(_ server: TestHTTPServer) -> [String] {
        [
            "absent: { local: { command: [\"PYTHON\", -m, awslambdaric, absent.handler], directory: HOME } }",
            "refusing: { http: { url: \"\(server.url("/refuse"))\" } }",
            "strict: { http: { url: \"\(server.url("/strict"))\" } }",
            "busy: { http: { url: \"\(server.url("/busy"))\" } }",
            "telling: { http: { url: \"\(server.url("/telling"))\" } }",
            "forgiven: { http: { url: \"\(server.url("/forgiven"))\", on_client_error: retry } }",
            "spare: { http: { url: \"\(server.url("/spare"))\" } }",
        ]
    }

    static let triggers = Self.retrying + Self.refused + Self.waiting + Self.batched + Self.kept

    private static let fast = "backoff: { initial: 1ms, max: 5ms }"
    private static let patient = "backoff: { initial: 20ms, max: 100ms }"
    private static let isMended = "os.path.exists('mended')"

    private static func records(_ count: Int) -> [DeliveryWorld.Record] {
        Array(repeating: .init(), count: count)
    }

    private static func batch(_ size: Int) -> String { "batch: { size: \(size), window: 20s }" }

    /// Attempts, their number and their order.
    private static let retrying: [DeliveryWorld.Trigger] = [
        .init(
            name: "exhausted",
            handler: "time.sleep(0.02)\nraise KeyError('try %d' % tries(records))",
            records: Self.records(3),
            options: [Self.batch(3), "failure: { retries: 2, \(Self.fast) }"]
        ),
        .init(
            name: "once",
            handler: "raise ValueError('no')",
            records: Self.records(3),
            options: [Self.batch(3), "failure: { retries: 0 }"]
        ),
        .init(
            name: "finite",
            handler: "raise ValueError('no')",
            records: Self.records(1),
            options: [Self.batch(1), "failure: { \(Self.fast) }"]
        ),
        .init(
            name: "paced",
            handler: "raise ValueError('no')",
            records: Self.records(1),
            options: [
                Self.batch(1),
                "failure: { retries: 3, backoff: { initial: 200ms, factor: 2, max: 400ms, jitter: none } }",
            ]
        ),
        .init(
            name: "recovered",
            handler: "if name(records[0]) == '0' and tries(records) < 4: raise ValueError('not yet')",
            records: Self.records(4),
            options: [Self.batch(1), "failure: { retries: 3, backoff: { initial: 50ms, max: 200ms } }"]
        ),
        .init(
            name: "bisected",
            handler: "if any(name(r) == '6' for r in records): raise ValueError('no total')",
            records: Self.records(10),
            options: [Self.batch(10), "failure: { retries: 2, bisect: true, \(Self.fast) }"]
        ),
        .init(
            name: "cut",
            handler: "return failures(records, '4')",
            records: Self.records(8),
            options: [
                Self.batch(8),
                "failure: { retries: 1, bisect: true, report_item_failures: true, \(Self.fast) }",
            ]
        ),
        .init(
            name: "old",
            handler: "pass",
            records: [
                .init(age: .seconds(7200)), .init(age: .seconds(7200)), .init(), .init(age: .seconds(7200)),
            ],
            options: [Self.batch(2), "failure: { max_age: 1h }"]
        ),
        .init(
            name: "ages",
            handler: "raise ValueError('never')",
            records: [],
            // Made 20 s from now, and given up a second after that.
            later: [.init(age: .seconds(-20))],
            options: [
                "batch: { size: 1 }", "failure: { retries: unlimited, max_age: 1s, \(Self.patient) }",
            ]
        ),
    ]

    /// Functions that refuse, are busy, or are not there.
    private static let refused: [DeliveryWorld.Trigger] = [
        .init(
            name: "refused",
            handler: "pass",
            records: Self.records(3),
            function: "refusing",
            options: [Self.batch(3), "failure: { retries: 5 }"]
        ),
        .init(
            name: "sifted",
            handler: "pass",
            records: [.init(), .init(), .init(value: "bad"), .init()],
            function: "strict",
            options: [Self.batch(4), "failure: { retries: 5, bisect: true }"]
        ),
        .init(
            name: "busy",
            handler: "pass",
            records: Self.records(3),
            function: "busy",
            options: [Self.batch(3), "failure: { retries: 0 }"]
        ),
        .init(
            name: "told",
            handler: "pass",
            records: Self.records(3),
            function: "telling",
            options: [Self.batch(3), "failure: { retries: 5, report_item_failures: true }"]
        ),
        .init(
            name: "forgiven",
            handler: "pass",
            records: Self.records(3),
            function: "forgiven",
            options: [Self.batch(3), "failure: { retries: 5, \(Self.fast) }"]
        ),
        .init(
            name: "absent",
            handler: "pass",
            records: Self.records(3),
            function: "absent",
            options: [Self.batch(3), "failure: { retries: 0 }"]
        ),
    ]

    /// What fails, and what does not wait for it.
    private static let waiting: [DeliveryWorld.Trigger] = [
        .init(
            name: "parked",
            handler: "if records[0]['partition'] == 0 and not \(Self.isMended): raise ValueError('broken')",
            records: (0..<8).map { .init(partition: $0 % 2) },
            partitions: 2,
            options: [
                Self.batch(1), "failure: { retries: unlimited, blocked_after: 1s, \(Self.patient) }",
            ]
        ),
        .init(
            name: "keys",
            handler: "if key(records[0]) == 'b' and not \(Self.isMended): raise ValueError('broken')",
            records: (0..<9).map { .init(key: ["a", "b", "c"][$0 % 3]) },
            options: [
                Self.batch(1), "ordering: key", "failure: { retries: unlimited, \(Self.patient) }",
            ]
        ),
        .init(
            name: "paths",
            handler:
                "if json.loads(value(records[0]))['who']['id'] == 'b' and not \(Self.isMended): raise ValueError('broken')",
            records: (0..<9).map { .init(value: "{\"who\":{\"id\":\"\(["a", "b", "c"][$0 % 3])\"}}") },
            options: [
                Self.batch(1), "ordering: key", "ordering_key: value.who.id",
                "failure: { retries: unlimited, \(Self.patient) }",
            ]
        ),
        .init(
            name: "unordered",
            handler: "if any(name(r) == '0' for r in records): raise ValueError('broken')",
            records: Self.records(6),
            options: [Self.batch(1), "ordering: none", "failure: { retries: 3, \(Self.patient) }"]
        ),
        .init(
            name: "redriven",
            handler: "if not \(Self.isMended): raise ValueError('broken')",
            records: (0..<6).map { .init(key: ["a", "b"][$0 % 2]) },
            options: [Self.batch(3), "ordering: key", "failure: { retries: 0 }"]
        ),
        .init(
            name: "half",
            handler: "if not \(Self.isMended) or name(records[0]) == '0': raise ValueError('broken')",
            records: (0..<6).map { .init(key: ["a", "b"][$0 % 2]) },
            options: [Self.batch(1), "ordering: key", "failure: { retries: 0 }"]
        ),
    ]

    /// How batches are cut.
    private static let batched: [DeliveryWorld.Trigger] = [
        .init(
            name: "sized",
            handler: "pass",
            records: Self.records(10),
            options: ["batch: { size: 4, window: 3s }"]
        ),
        .init(
            name: "windowed",
            handler: "pass",
            records: Self.records(2),
            later: Self.records(3),
            // The window is longer than any crowd holds up what arrives; the fifth record ends the wait.
            options: ["batch: { size: 5, window: 60s }"]
        ),
        .init(
            name: "large",
            handler: "pass",
            // Two million bytes each in base64: three of them fit 6 MiB, four do not.
            records: (0..<5).map { _ in .init(bytes: 1_500_000) },
            options: ["batch: { size: 100, window: 10s }"]
        ),
        .init(
            name: "oversized",
            handler: "pass",
            records: [.init(), .init(bytes: 4_800_000), .init()],
            options: ["batch: { size: 3, window: 10s }"]
        ),
    ]

    /// What is kept elsewhere, or not at all.
    private static let kept: [DeliveryWorld.Trigger] = [
        .init(
            name: "kept",
            handler: "pass",
            records: Self.mixed,
            options: [Self.batch(2), "filters: [{ value: { good: [true] } }]", "filtered: dead_letter"]
        ),
        .init(
            name: "ignored",
            handler: "pass",
            records: Self.mixed,
            options: [Self.batch(2), "filters: [{ value: { good: [true] } }]", "filtered: acknowledge"]
        ),
        .init(
            name: "to-topic",
            handler: "raise KeyError('total')",
            records: [.init(key: "k", value: "one")],
            options: [
                Self.batch(1), "failure: { retries: 1, \(Self.fast) }",
                "on_failure: { kafka: { brokers: [\"BROKER\"], topic: letters, format: document } }",
            ]
        ),
        .init(
            name: "answered",
            handler: "return failures(records, '1') | {'sum': len(records)}",
            records: Self.records(3),
            options: [
                Self.batch(3), "failure: { retries: 0, report_item_failures: true }",
                "on_success: { file: { path: HOME/results.jsonl } }",
            ]
        ),
        .init(
            name: "to-file",
            handler: "return failures(records, '0')",
            records: [.init(key: "k", value: "one"), .init(bytes: 4_800_000), .init(age: .seconds(7200))],
            options: [
                Self.batch(1),
                "failure: { retries: 1, max_age: 1h, report_item_failures: true, \(Self.fast) }",
                "on_failure: { file: { path: HOME/letters.jsonl } }",
            ]
        ),
    ]

    private static let mixed: [DeliveryWorld.Record] = [
        .init(value: "{\"good\":false}"), .init(value: "{\"good\":true}"), .init(value: "{}"),
        .init(value: "{\"good\":true}"), .init(value: "{\"good\":false}"),
    ]
}
