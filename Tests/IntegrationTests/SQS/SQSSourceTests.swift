// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Queues of an emulator, the built program, and Lambda's own Python runtime.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct SQSSourceTests {
    /// Writes down each event.
    private static let writer = """
        import json

        def handler(event, context):
            with open("arrived", "a") as out:
                print(json.dumps(event), file=out)
        """

    @Test("Messages reach a Python handler as Lambda has them, and are deleted")
    func events() throws {
        let world = try SQSWorld(queue: "invoices", handler: Self.writer)
        try world.run(
            """
            sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"invoice": "é\\n", "cents": 1250}), MessageAttributes={
                "origin": {"DataType": "String", "StringValue": "till-4"},
                "thumb": {"DataType": "Binary", "BinaryValue": b"\\x00\\xff\\x10"}})
            sqs.send_message(QueueUrl=queue, MessageBody="ping")
            """
        )
        let penstock = try world.start(trigger: "batch: { size: 10, window: 1s }")
        try world.waitUntilEmpty(penstock)
        try penstock.terminate()
        var records: [[String: Any]] = []
        for line in world.lines("arrived") {
            let event = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            records += try #require(event?["Records"] as? [[String: Any]])
        }
        #expect(records.count == 2)
        let ping = try #require(records.first { $0["body"] as? String == "ping" })
        let other = try #require(records.first { $0["body"] as? String != "ping" })
        #expect(ping["md5OfBody"] as? String == "df911f0151f9ef021d410b4be5060972")
        #expect(ping["md5OfMessageAttributes"] is NSNull)
        #expect(ping["messageAttributes"] as? [String: String] == [:])
        #expect(ping["eventSource"] as? String == "aws:sqs")
        #expect(ping["eventSourceARN"] as? String == "arn:aws:sqs:eu-west-1:000000000000:invoices")
        #expect(ping["awsRegion"] as? String == "eu-west-1")
        #expect((ping["messageId"] as? String)?.count == 36)
        let system = try #require(ping["attributes"] as? [String: String])
        #expect(
            Set(system.keys) == [
                "ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp",
            ]
        )
        #expect(other["body"] as? String == #"{"invoice": "\u00e9\n", "cents": 1250}"#)
        #expect((other["md5OfMessageAttributes"] as? String)?.count == 32)
        let own = try #require(other["messageAttributes"] as? [String: [String: Any]])
        #expect(own["origin"]?["stringValue"] as? String == "till-4")
        #expect(own["origin"]?["dataType"] as? String == "String")
        #expect(own["thumb"]?["binaryValue"] as? String == "AP8Q")
        #expect(own["thumb"]?["stringListValues"] as? [String] == [])
    }

    @Test("What the function names is tried again by itself, and given up after its own attempts")
    func partialFailures() throws {
        let handler = """
            import json

            def handler(event, context):
                with open("arrived", "a") as out:
                    for record in event["Records"]:
                        print(record["body"], file=out)
                bad = [r["messageId"] for r in event["Records"] if int(r["body"]) % 10 == 3]
                return {"batchItemFailures": [{"itemIdentifier": id} for id in bad]}
            """
        let world = try SQSWorld(queue: "numbers", handler: handler)
        try world.run(
            """
            for start in range(0, 50, 10):
                sqs.send_message_batch(QueueUrl=queue, Entries=[
                    {"Id": str(n), "MessageBody": str(n)} for n in range(start, start + 10)])
            """
        )
        let penstock = try world.start(
            trigger: """
                batch: { size: 50, window: 100ms }
                failure: { retries: 2, report_item_failures: true, backoff: { initial: 1ms, max: 10ms } }
                """
        )
        try world.waitUntilEmpty(penstock)
        try penstock.terminate()
        let counts = Dictionary(grouping: world.lines("arrived"), by: \.self).mapValues(\.count)
        #expect(counts.count == 50)
        for (number, count) in counts {
            #expect(count == (number.hasSuffix("3") ? 3 : 1), "\(number) came \(count) times")
        }
        let letters = try CommandRun(
            ["dlq", "list", "--format", "json"],
            configuration: String(contentsOf: world.file("connectors.yaml"), encoding: .utf8)
        )
        #expect(letters.output.components(separatedBy: "RetryAttemptsExhausted").count - 1 == 5)
    }

    @Test("A message group keeps its order around a failure, and holds up no other")
    func groups() throws {
        let handler = """
            import json, os

            def handler(event, context):
                with open("arrived", "a") as out:
                    for record in event["Records"]:
                        print(record["attributes"]["MessageGroupId"], record["body"], file=out)
                failed = []
                for record in event["Records"]:
                    bad = record["attributes"]["MessageGroupId"] == "a" and record["body"] == "2"
                    if bad and not os.path.exists("seen"):
                        open("seen", "w").close()
                        failed.append({"itemIdentifier": record["messageId"]})
                return {"batchItemFailures": failed}
            """
        let world = try SQSWorld(queue: "ledger.fifo", handler: handler)
        try world.run(
            """
            for n in range(5):
                for group in "abc":
                    sqs.send_message(QueueUrl=queue, MessageBody=str(n), MessageGroupId=group,
                        MessageDeduplicationId=group + str(n))
            """
        )
        let penstock = try world.start(
            trigger: """
                batch: { size: 20, window: 50ms }
                failure: { report_item_failures: true, backoff: { initial: 1s, jitter: none } }
                """,
            function: "concurrency: 3"
        )
        try world.waitUntilEmpty(penstock)
        try penstock.terminate()
        let arrived = world.lines("arrived").map { $0.split(separator: " ").map(String.init) }
        for group in ["a", "b", "c"] {
            var next = 0
            for line in arrived where line[0] == group {
                let number = try #require(Int(line[1]))
                #expect(number <= next, "\(group): \(number) overtook \(next)")
                next = max(next, number + 1)
            }
            #expect(next == 5)
        }
        // It failed once, and all that follows it came again.
        #expect(arrived.count { $0 == ["a", "2"] } == 2)
        #expect(arrived.count { $0[0] == "b" } == 5)
    }

    @Test("A message is asked about by its id: what became of it, and of one that never came")
    func trace() async throws {
        let handler = """
            def handler(event, context):
                for record in event["Records"]:
                    if record["body"] == "bad":
                        raise ValueError("bad")
            """
        let world = try SQSWorld(queue: "traced", handler: handler)
        let ids = ["good", "bad"].map { body in
            Result {
                try world.run(
                    "print(sqs.send_message(QueueUrl=queue, MessageBody=\"\(body)\")[\"MessageId\"])"
                )
            }
        }
        let (good, bad) = (try ids[0].get(), try ids[1].get())
        let penstock = try world.start(trigger: "batch: { size: 1, window: 0s }\nfailure: { retries: 0 }")
        try world.waitUntilEmpty(penstock)
        let text = try String(contentsOf: world.file("ready"), encoding: .utf8)
        let port = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        func state(_ id: String) async throws -> [String: Any] {
            let path = "/api/v1/triggers/orders/trace?at=\(id)"
            let answer = try #require(await TestConnection.exchange("GET", path, port: port))
            return try #require(JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        }
        let given = try await state(bad)
        #expect(given["state"] as? String == "dead_lettered", "\(given)")
        #expect((given["invocations"] as? [[String: Any]])?.first?["verdict"] as? String == "failed")
        let settled = try await state(good)
        #expect(settled["state"] as? String == "settled", "\(settled)")
        #expect((settled["detail"] as? String)?.hasPrefix("the function dealt with it at 20") == true)
        let unknown = try await state("00000000-0000-4000-8000-000000000000")
        #expect(unknown["state"] as? String == "unknown" && unknown["seen"] as? Bool == false)
        try penstock.terminate()
    }
}
