// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// A table of an emulator, the built program, and Lambda's own Python runtime.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct DynamoDBRunTests {
    /// Writes down each record.
    private static let writer = """
        import json

        def handler(event, context):
            with open("arrived", "a") as out:
                for record in event["Records"]:
                    print(json.dumps(record), file=out)
        """

    private static func records(_ lines: [String]) throws -> [[String: Any]] {
        try lines.map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    @Test("Changes of a table reach a Python handler as Lambda has them, in order, each once over a restart")
    func events() throws {
        let world = try DynamoDBWorld(handler: Self.writer)
        try world.run(
            """
            key = {"cart": {"S": "c-91"}, "line": {"N": "7"}}
            db.put_item(TableName="carts", Item={**key, "sku": {"S": "tea é"}, "sig": {"B": b"\\x01\\x02\\xfe"},
                "items": {"L": [{"M": {"qty": {"N": "2"}}}]}, "open": {"BOOL": True}, "note": {"NULL": True}})
            db.update_item(TableName="carts", Key=key, UpdateExpression="SET sku = :s",
                ExpressionAttributeValues={":s": {"S": "coffee"}})
            db.delete_item(TableName="carts", Key=key)
            """
        )
        let first = try world.start()
        try world.wait(for: 3, in: "arrived", first)
        try first.terminate()
        try world.run(
            """
            for n in range(50):
                db.put_item(TableName="carts", Item={"cart": {"S": "c-92"}, "line": {"N": str(n)}})
            """
        )
        let second = try world.start()
        try world.wait(for: 53, in: "arrived", second)
        try second.terminate()
        let records = try Self.records(world.lines("arrived"))
        #expect(records.count == 53)
        #expect(records.prefix(3).map { $0["eventName"] as? String } == ["INSERT", "MODIFY", "REMOVE"])
        let insert = records[0]
        #expect(
            Set(insert.keys) == [
                "eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb",
                "eventSourceARN",
            ]
        )
        #expect(
            insert["eventVersion"] as? String == "1.1" && insert["eventSource"] as? String == "aws:dynamodb"
        )
        #expect(insert["awsRegion"] as? String == "eu-west-1")
        let arn = insert["eventSourceARN"] as? String
        #expect(arn?.hasPrefix("arn:aws:dynamodb:eu-west-1:000000000000:table/carts/stream/2") == true)
        let change = try #require(insert["dynamodb"] as? [String: Any])
        #expect(change["Keys"] as? [String: [String: String]] == ["cart": ["S": "c-91"], "line": ["N": "7"]])
        #expect(change["StreamViewType"] as? String == "NEW_AND_OLD_IMAGES")
        #expect((change["SequenceNumber"] as? String)?.count ?? 0 >= 21)
        #expect(change["ApproximateCreationDateTime"] is NSNumber && change["SizeBytes"] is NSNumber)
        let image = try #require(change["NewImage"] as? [String: [String: Any]])
        #expect(image["sku"] as? [String: String] == ["S": "tea é"])
        #expect(image["sig"] as? [String: String] == ["B": "AQL+"])
        #expect(image["open"] as? [String: Bool] == ["BOOL": true])
        #expect((records[1]["dynamodb"] as? [String: Any])?["OldImage"] != nil)
        #expect((records[2]["dynamodb"] as? [String: Any])?["NewImage"] == nil)
        let lines = records.dropFirst(3).compactMap { record in
            ((record["dynamodb"] as? [String: Any])?["Keys"] as? [String: [String: String]])?["line"]?["N"]
        }
        #expect(lines == (0..<50).map(String.init))
    }

    @Test(
        "`triggers seek` reads all of the stream again, and skips what is there; a time is refused with the reason"
    )
    func seek() throws {
        let world = try DynamoDBWorld(handler: Self.writer)
        func put(_ count: Int) throws {
            try world.run(
                """
                for n in range(\(count)):
                    db.put_item(TableName="carts", Item={"cart": {"S": "c"}, "line": {"N": str(n)}, "n": {"N": "\(count)"}})
                """
            )
        }
        try put(5)
        let penstock = try world.start()
        try world.wait(for: 5, in: "arrived", penstock)
        let port = try String(contentsOf: world.file("ready"), encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        try String(contentsOf: world.file("connectors.yaml"), encoding: .utf8)
            .replacing("127.0.0.1:0", with: "127.0.0.1:\(port)")
            .write(to: world.file("commands.yaml"), atomically: true, encoding: .utf8)
        func order(_ verb: String, _ options: String...) throws -> CommandRun {
            try CommandRun(
                ["triggers", verb, "carts"] + options + ["--config", "commands.yaml"],
                in: world.home.url
            )
        }
        let back = try order("seek", "--to", "earliest", "--yes")
        #expect(back.status == 0 && back.output.contains("its beginning"), "\(back.output)\(back.errors)")
        try world.wait(for: 10, in: "arrived", penstock)
        #expect(world.lines("arrived").prefix(5) == world.lines("arrived").suffix(5))
        let time = try order("seek", "--to", "1h", "--dry-run")
        #expect(time.status == 1 && time.errors.contains("finds no record by its time"), "\(time.errors)")
        #expect(try order("pause").status == 0)
        try put(3)
        // A change counts as one of its second, and those of the second before come, too.
        _ = BoundedWait.until(within: .seconds(3)) { false }
        let ahead = try order("seek", "--to", "latest", "--yes")
        #expect(ahead.status == 0 && ahead.output.contains("what is written from now on"), "\(ahead.errors)")
        #expect(try order("resume").status == 0)
        try put(1)
        try world.wait(for: 11, in: "arrived", penstock)
        #expect(world.lines("arrived").last?.contains(#""n": {"N": "1"}"#) == true)
        try penstock.terminate()
    }

    @Test("Filters, partial failures by sequence number, and a failure document of what is given up")
    func policy() throws {
        let handler = """
            import json

            def handler(event, context):
                failed = []
                with open("arrived", "a") as out:
                    for record in event["Records"]:
                        line = record["dynamodb"]["Keys"]["line"]["N"]
                        print(line, file=out)
                        if line == "3":
                            failed.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
                return {"batchItemFailures": failed}
            """
        let world = try DynamoDBWorld(handler: handler)
        try world.run(
            """
            for n in range(8):
                db.put_item(TableName="carts",
                    Item={"cart": {"S": "c"}, "line": {"N": str(n)}, "kind": {"S": "x" if n == 1 else "y"}})
            db.delete_item(TableName="carts", Key={"cart": {"S": "c"}, "line": {"N": "0"}})
            """
        )
        let penstock = try world.start(
            trigger: """
                batch: { size: 10, window: 100ms }
                filters: [{ eventName: [INSERT], dynamodb: { NewImage: { kind: { S: [y] } } } }]
                failure: { retries: 1, report_item_failures: true, backoff: { initial: 1ms, max: 10ms } }
                on_failure: { file: { path: "\(world.file("failed.jsonl").path)" } }
                """
        )
        guard BoundedWait.until(within: .seconds(60), { !world.lines("failed.jsonl").isEmpty }) else {
            throw PenstockProcess.Failure("no document; log:\n\(penstock.logTail)")
        }
        let isThrough = BoundedWait.until(within: .seconds(60)) { world.lines("arrived").contains("7") }
        #expect(isThrough)
        try penstock.terminate()
        let arrived = world.lines("arrived")
        #expect(!arrived.contains("1"))
        #expect(arrived.count { $0 == "0" } == 1 && arrived.count { $0 == "3" } == 2)
        let document = try #require(try Self.records(world.lines("failed.jsonl")).first)
        let info = try #require(document["DDBStreamBatchInfo"] as? [String: Any])
        #expect(info["shardId"] as? String == "shardId-00000000000000000000-00000000")
        #expect((info["streamArn"] as? String)?.contains(":table/carts/stream/") == true)
        let record = (document["payload"] as? [String: Any])?["Records"] as? [[String: Any]]
        let change = record?.first?["dynamodb"] as? [String: Any]
        #expect((change?["Keys"] as? [String: [String: String]])?["line"] == ["N": "3"])
    }

    @Test("A dead letter is sent again as it was")
    func redrive() throws {
        let handler = """
            import json, os

            def handler(event, context):
                if not os.path.exists("mended"):
                    with open("tried", "a") as out:
                        print("tried", file=out)
                    raise ValueError("broken")
                with open("arrived", "a") as out:
                    for record in event["Records"]:
                        print(json.dumps(record), file=out)
            """
        let world = try DynamoDBWorld(handler: handler)
        try world.run(
            """
            db.put_item(TableName="carts", Item={"cart": {"S": "c"}, "line": {"N": "1"}})
            """
        )
        let penstock = try world.start(trigger: "failure: { retries: 0 }")
        try world.wait(for: 1, in: "tried", penstock)
        try penstock.terminate()
        let configuration = try String(contentsOf: world.file("connectors.yaml"), encoding: .utf8)
        try "".write(to: world.file("mended"), atomically: true, encoding: .utf8)
        let redrive = try CommandRun(["dlq", "redrive", "--all"], configuration: configuration)
        #expect(redrive.status == 0, "\(redrive.output)")
        let record = try #require(try Self.records(world.lines("arrived")).first)
        #expect(record["eventName"] as? String == "INSERT")
        #expect((record["eventSourceARN"] as? String)?.contains(":table/carts/stream/") == true)
    }

    @Test("When a table's stream is disabled and enabled, the new one follows the old one, and the gap shows")
    func anotherStream() throws {
        let world = try DynamoDBWorld(handler: Self.writer)
        let put = { (line: Int) in
            #"db.put_item(TableName="carts", Item={"cart": {"S": "c"}, "line": {"N": "\#(line)"}})"#
        }
        try world.run(put(1))
        let penstock = try world.start()
        try world.wait(for: 1, in: "arrived", penstock)
        try world.run(
            """
            db.update_table(TableName="carts", StreamSpecification={"StreamEnabled": False})
            db.update_table(TableName="carts",
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
            """ + "\n" + put(2)
        )
        try world.wait(for: 2, in: "arrived", penstock)
        try penstock.terminate()
        let arns = Set(try Self.records(world.lines("arrived")).map { $0["eventSourceARN"] as? String })
        #expect(arns.count == 2)
        #expect(penstock.log.contains("the table has another stream now"))
    }
}
