// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Queues and tables of a second emulator, by other people than the first: what both agree on is hardly a mistake of one.
///
/// Its known faults are kept out of the way: nothing fails in a FIFO queue, receives of one come one after the other (two at
/// the same time get messages of one group), and each write changes its item.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct MotoTests {
    /// Writes down each record; those that end in 3 fail at first.
    private static let handler = """
        import json

        seen = set()

        def handler(event, context):
            with open("arrived", "a") as out:
                for record in event["Records"]:
                    print(json.dumps(record), file=out)
            bad = [r["messageId"] for r in event["Records"] if r.get("body", "").endswith("3") and r["body"] not in seen]
            seen.update(r.get("body") for r in event["Records"])
            return {"batchItemFailures": [{"itemIdentifier": id} for id in bad]}
        """

    private static func records(_ lines: [String]) throws -> [[String: Any]] {
        try lines.map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    @Test("A queue of moto: events as Lambda has them, what fails comes again, and all is deleted")
    func queue() throws {
        let world = try SQSWorld(queue: "numbers", handler: Self.handler, on: .moto)
        try world.run(
            """
            for start in range(0, 40, 10):
                sqs.send_message_batch(QueueUrl=queue, Entries=[
                    {"Id": str(n), "MessageBody": str(n), "MessageAttributes": {
                        "origin": {"DataType": "String", "StringValue": "till-4"},
                        "thumb": {"DataType": "Binary", "BinaryValue": b"\\x00\\xff\\x10"}}}
                    for n in range(start, start + 10)])
            """
        )
        let penstock = try world.start(
            source: "pollers: 1",
            trigger: """
                batch: { size: 20, window: 100ms }
                failure: { retries: 3, report_item_failures: true, backoff: { initial: 1ms, max: 10ms } }
                """,
            // What has failed before is known to one process.
            function: "concurrency: 1"
        )
        try world.waitUntilEmpty(penstock)
        try penstock.terminate()
        let records = try Self.records(world.lines("arrived"))
        let counts = Dictionary(grouping: records) { $0["body"] as? String ?? "" }.mapValues(\.count)
        #expect(counts.count == 40)
        // It gives a message twice when two ask at the same time.
        for (body, count) in counts { #expect(count >= (body.hasSuffix("3") ? 2 : 1), "\(body): \(count)") }
        let first = try #require(records.first)
        #expect(first["eventSourceARN"] as? String == "arn:aws:sqs:eu-west-1:123456789012:numbers")
        #expect((first["md5OfBody"] as? String)?.count == 32)
        #expect((first["md5OfMessageAttributes"] as? String)?.count == 32)
        let own = try #require(first["messageAttributes"] as? [String: [String: Any]])
        #expect(own["origin"]?["stringValue"] as? String == "till-4")
        #expect(own["thumb"]?["binaryValue"] as? String == "AP8Q")
        let again = records.filter { ($0["body"] as? String) == "13" }
        let receipts = again.compactMap { record in
            (record["attributes"] as? [String: String])?["ApproximateReceiveCount"]
        }
        #expect(receipts.starts(with: ["1", "2"]))
    }

    @Test("A FIFO queue of moto: each group in order")
    func groups() throws {
        let world = try SQSWorld(queue: "numbers.fifo", handler: Self.handler, on: .moto)
        try world.run(
            """
            for n in range(30):
                sqs.send_message(QueueUrl=queue, MessageBody=f"{n}.", MessageGroupId=f"g{n % 3}", MessageDeduplicationId=str(n))
            """
        )
        let penstock = try world.start(source: "pollers: 1", trigger: "batch: { size: 4 }")
        try world.waitUntilEmpty(penstock)
        try penstock.terminate()
        var groups: [String: [String]] = [:]
        for record in try Self.records(world.lines("arrived")) {
            let attributes = record["attributes"] as? [String: String]
            groups[attributes?["MessageGroupId"] ?? "", default: []].append(record["body"] as? String ?? "")
        }
        #expect(groups.count == 3)
        for (group, bodies) in groups {
            #expect(bodies == (0..<10).map { "\($0 * 3 + (Int(group.dropFirst()) ?? -1))." }, "\(group)")
        }
    }

    @Test("A table of moto: changes in order, each once over a restart")
    func table() throws {
        let world = try DynamoDBWorld(handler: Self.handler, on: .moto)
        let put = { (range: String) in
            """
            for n in range(\(range)):
                db.put_item(TableName="carts", Item={"cart": {"S": "c"}, "line": {"N": str(n)}, "sig": {"B": b"\\x01\\xfe"}})
            """
        }
        try world.run(put("20"))
        let first = try world.start()
        try world.wait(for: 20, in: "arrived", first)
        try first.terminate()
        try world.run(
            put("20, 60")
                + """

                key = {"cart": {"S": "c"}, "line": {"N": "7"}}
                db.update_item(TableName="carts", Key=key, UpdateExpression="SET note = :n",
                    ExpressionAttributeValues={":n": {"S": "é"}})
                db.delete_item(TableName="carts", Key=key)
                """
        )
        let second = try world.start()
        try world.wait(for: 62, in: "arrived", second)
        try second.terminate()
        let records = try Self.records(world.lines("arrived"))
        #expect(records.count == 62)
        let names = records.map { $0["eventName"] as? String }
        #expect(names.prefix(60).allSatisfy { $0 == "INSERT" } && names.suffix(2) == ["MODIFY", "REMOVE"])
        let lines = records.prefix(60).map { record in
            ((record["dynamodb"] as? [String: Any])?["Keys"] as? [String: [String: String]])?["line"]?["N"]
        }
        #expect(lines == (0..<60).map { "\($0)" })
        let change = try #require(records[0]["dynamodb"] as? [String: Any])
        #expect((change["NewImage"] as? [String: [String: String]])?["sig"] == ["B": "Af4="])
        #expect(records[0]["eventVersion"] as? String == "1.1")
        let arn = records[0]["eventSourceARN"] as? String
        #expect(arn?.hasPrefix("arn:aws:dynamodb:eu-west-1:123456789012:table/carts/stream/") == true)
    }
}
