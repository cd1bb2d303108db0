// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Queues of an emulator at both ends of the built program.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct SQSDestinationRunTests {
    /// The bodies in a queue, as JSON.
    private static func documents(_ world: SQSWorld, in url: String) throws -> [[String: Any]] {
        let text = try world.run(
            """
            while True:
                found = sqs.receive_message(QueueUrl="\(url)", MaxNumberOfMessages=10).get("Messages", [])
                for message in found:
                    print(json.dumps(json.loads(message["Body"])))
                    sqs.delete_message(QueueUrl="\(url)", ReceiptHandle=message["ReceiptHandle"])
                if not found:
                    break
            """
        )
        return text.split(separator: "\n").compactMap {
            try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
    }

    @Test("What fails and what succeeds goes to queues, and what no filter matches becomes a letter, too")
    func destinations() throws {
        let handler = """
            import json

            def handler(event, context):
                bad = [r["messageId"] for r in event["Records"] if json.loads(r["body"])["n"] == 3]
                return {"batchItemFailures": [{"itemIdentifier": id} for id in bad]}
            """
        let world = try SQSWorld(queue: "orders", handler: handler)
        let failed = try world.aws.createQueue("failed.fifo")
        let done = try world.aws.createQueue("done")
        try world.run(
            """
            for n in range(8):
                sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"n": n, "kind": "b" if n > 5 else "a"}))
            """
        )
        let keys = "region: \(TestAWS.region), credentials: { access_key_id: test, secret_access_key: test }"
        let penstock = try world.start(
            trigger: """
                batch: { size: 10, window: 200ms }
                filters: [{ body: { kind: [a] } }]
                filtered: dead_letter
                failure: { retries: 0, report_item_failures: true }
                on_failure: { sqs: { queue: "\(failed)", \(keys) } }
                on_success: { sqs: { queue: "\(done)", \(keys) } }
                """
        )
        try world.waitUntilEmpty(penstock)
        try penstock.terminate()
        let letters = try Self.documents(world, in: failed)
        let reasons = letters.compactMap { ($0["requestContext"] as? [String: Any])?["condition"] as? String }
        #expect(reasons.sorted() == ["Filtered", "Filtered", "RetryAttemptsExhausted"])
        let bodies = letters.compactMap { letter in
            let records = (letter["payload"] as? [String: Any])?["Records"] as? [[String: Any]]
            return records?.first?["body"] as? String
        }
        #expect(
            bodies.sorted() == [
                #"{"n": 3, "kind": "a"}"#, #"{"n": 6, "kind": "b"}"#, #"{"n": 7, "kind": "b"}"#,
            ]
        )
        let results = try Self.documents(world, in: done)
        #expect(!results.isEmpty)
        #expect(
            results.allSatisfy {
                ($0["requestContext"] as? [String: Any])?["condition"] as? String == "Success"
            }
        )
    }
}
