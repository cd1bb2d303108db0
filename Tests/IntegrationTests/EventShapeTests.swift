// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// What a handler gets: a real broker, the real program, and Lambda's own Python runtime.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct EventShapeTests {
    @Test(
        "Tombstones, null keys, empty values and repeated headers reach a Python handler as Lambda has them"
    )
    func kafka() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "event-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let broker = try TestKafkaBroker()
        try broker.createTopic("of-7-shapes")
        try TestKafkaWriter.write(
            Self.records,
            to: "of-7-shapes",
            settings: ["bootstrap.servers": broker.address]
        )
        let handler = """
            import json

            def handler(event, context):
                records = event.pop("records")
                with open("arrived", "a") as out:
                    for name, list in records.items():
                        for record in list:
                            print(json.dumps([name, record], sort_keys=True), file=out)
                with open("head", "w") as out:
                    print(json.dumps(event, sort_keys=True), file=out)
            """
        try handler.write(to: folder.appendingPathComponent("app.py"), atomically: true, encoding: .utf8)
        let python = TestEnvironment.python.path
        let penstock = try PenstockProcess(
            in: folder,
            configuration: """
                state: sqlite:\(folder.path)/penstock.db
                admin: { listen: "127.0.0.1:\(FreePort.pick())" }
                functions:
                  app: { local: { command: ["\(python)", -m, awslambdaric, app.handler], directory: "\(folder.path)" } }
                triggers:
                  shapes:
                    source:
                      kafka:
                        brokers: ["\(broker.address)"]
                        topics: [of-7-shapes]
                        group: g
                        session_timeout: 6s
                        properties: { heartbeat.interval.ms: "300" }
                    function: app
                """
        )
        let lines = { (name: String) -> [String] in
            let text = try? String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
            return (text ?? "").split(separator: "\n").map(String.init)
        }
        let came = BoundedWait.until(within: .seconds(30)) {
            lines("arrived").count >= Self.records.count && !lines("head").isEmpty
        }
        #expect(came, "\(penstock.logTail)")
        try penstock.terminate()
        #expect(
            lines("head") == [
                #"{"bootstrapServers": "\#(broker.address)", "eventSource": "SelfManagedKafka"}"#
            ]
        )
        let arrived = lines("arrived")
        #expect(arrived.count == Self.expected.count)
        for (number, pair) in zip(arrived, Self.expected).enumerated() {
            let (headers, key, value) = pair.1
            let expected =
                #"["of-7-shapes-0", {"headers": \#(headers), \#(key)"offset": \#(number), "partition": 0, "#
                + #""timestamp": \#(TestKafkaWriter.timestamp), "timestampType": "CREATE_TIME", "#
                + #""topic": "of-7-shapes"\#(value)}]"#
            #expect(pair.0 == expected)
        }
    }

    private static let records: [TestKafkaWriter.Record] = [
        .init(key: Array("k".utf8), value: Array("v".utf8)),
        .init(key: Array("k".utf8), value: nil),
        .init(key: nil, value: Array("v".utf8)),
        .init(key: [], value: []),
        .init(key: nil, value: nil),
        .init(key: [0, 255], value: [255, 0, 128]),
        .init(
            key: nil,
            value: [],
            headers: [
                ("trace", [0, 127, 128, 255]), ("trace", [0, 127, 128, 255]), ("other", []), ("trace", nil),
                ("größe", [1]),
            ]
        ),
    ]

    /// Headers, key and value of each as JSON; null keys and values have no member.
    private static let expected: [(headers: String, key: String, value: String)] = [
        ("[]", #""key": "aw==", "#, #", "value": "dg==""#),
        ("[]", #""key": "aw==", "#, ""),
        ("[]", "", #", "value": "dg==""#),
        ("[]", #""key": "", "#, #", "value": """#),
        ("[]", "", ""),
        ("[]", #""key": "AP8=", "#, #", "value": "/wCA""#),
        (
            #"[{"trace": [0, 127, -128, -1]}, {"trace": [0, 127, -128, -1]}, {"other": []}, {"trace": null}, "#
                + #"{"gr\u00f6\u00dfe": [1]}]"#, "", #", "value": """#
        ),
    ]
}
