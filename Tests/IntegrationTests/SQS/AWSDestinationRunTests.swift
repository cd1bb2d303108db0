// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Destinations of AWS behind the built program, in an emulator.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct AWSDestinationRunTests {
    private static let handler = """
        import json

        def handler(event, context):
            bad = [r["messageId"] for r in event["Records"] if json.loads(r["body"])["n"] == 3]
            return {"batchItemFailures": [{"itemIdentifier": id} for id in bad]}
        """

    private static let keys =
        "region: \(TestAWS.region), credentials: { access_key_id: test, secret_access_key: test }"

    /// Eight messages, of which the fourth fails, with a destination for both; returns the documents that arrived, which
    /// `collect` prints line by line.
    private static func documents(
        _ setUp: String,
        destination: (_ world: SQSWorld, _ printed: String) -> String,
        collect: String
    ) throws -> [[String: Any]] {
        let world = try SQSWorld(queue: "orders", handler: Self.handler)
        let preamble = """
            def client(name):
                return boto3.client(name, endpoint_url=sys.argv[1])
            def drain(name):
                url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
                while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                    for message in found:
                        yield json.loads(message["Body"])
                        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            seen = "\(world.file("seen").path)"

            """
        let printed = try world.run(preamble + setUp)
        try world.run(
            """
            for n in range(8):
                sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"n": n}))
            """
        )
        let table = destination(world, printed)
        let penstock = try world.start(
            trigger: """
                batch: { size: 10, window: 200ms }
                failure: { retries: 0, report_item_failures: true }
                on_failure: { \(table) }
                on_success: { \(table) }
                """
        )
        let isEmpty = Result { try world.waitUntilEmpty(penstock) }
        try penstock.terminate()
        try isEmpty.get()
        var documents: [[String: Any]] = []
        try world.wait(for: "a failure and results", penstock) {
            documents += try world.run(preamble + collect).split(separator: "\n").compactMap {
                try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
            }
            return Set(documents.compactMap(Self.condition)) == ["RetryAttemptsExhausted", "Success"]
        }
        return documents
    }

    private static func condition(_ document: [String: Any]) -> String? {
        (document["requestContext"] as? [String: Any])?["condition"] as? String
    }

    /// The event in a letter; in a bucket it is a text.
    private static func event(_ payload: Any?, isText: Bool) -> [String: Any]? {
        guard isText else { return payload as? [String: Any] }
        let text = payload as? String
        return text.flatMap { try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] }
    }

    /// One letter with its record, and the answers, to eight records in all.
    private static func check(_ documents: [[String: Any]], isText: Bool = false) {
        let letters = documents.filter { Self.condition($0) == "RetryAttemptsExhausted" }
        let bodies = letters.compactMap { letter in
            (Self.event(letter["payload"], isText: isText)?["Records"] as? [[String: Any]])?.first?["body"]
                as? String
        }
        #expect(bodies == [#"{"n": 3}"#])
        let asked = documents.compactMap { $0["requestPayload"] as? [String: Any] }
        let count = asked.reduce(0) { $0 + (($1["Records"] as? [Any])?.count ?? 0) }
        // Only where nothing else came with the one that failed is there no result of its invocation.
        #expect(count == 8 || count == 7, "\(documents)")
        let results = documents.filter { Self.condition($0) == "Success" }
        #expect(!results.isEmpty && results.allSatisfy { $0["responsePayload"] is [String: Any] })
    }

    @Test("An SNS topic hands letters and results to its subscribers")
    func topic() throws {
        let documents = try Self.documents(
            """
            sink = sqs.create_queue(QueueName="sink")["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=sink, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            topic = client("sns").create_topic(Name="outcomes")["TopicArn"]
            client("sns").subscribe(
                TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
            )
            print(topic)
            """,
            destination: { world, topic in
                "sns: { topic: \"\(topic)\", endpoint: \"\(world.aws.endpoint)\", \(Self.keys) }"
            },
            collect: """
                for document in drain("sink"):
                    print(json.dumps(document))
                """
        )
        Self.check(documents)
    }

    @Test("An S3 bucket keeps each as an object")
    func bucket() throws {
        let documents = try Self.documents(
            """
            client("s3").create_bucket(
                Bucket="outcomes", CreateBucketConfiguration={"LocationConstraint": "\(TestAWS.region)"}
            )
            """,
            destination: { world, _ in
                "s3: { bucket: outcomes, endpoint: \"\(world.aws.endpoint)\", \(Self.keys) }"
            },
            collect: """
                s3 = client("s3")
                for item in s3.list_objects_v2(Bucket="outcomes", Prefix="aws/lambda/orders/").get("Contents", []):
                    print(s3.get_object(Bucket="outcomes", Key=item["Key"])["Body"].read().decode())
                """
        )
        Self.check(documents, isText: true)
    }

    @Test("An event bus routes them by its rules")
    func bus() throws {
        let documents = try Self.documents(
            """
            sink = sqs.create_queue(QueueName="sink")["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=sink, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            events = client("events")
            events.create_event_bus(Name="outcomes")
            events.put_rule(Name="all", EventBusName="outcomes", EventPattern=json.dumps({"source": ["lambda"]}))
            events.put_targets(Rule="all", EventBusName="outcomes", Targets=[{"Id": "1", "Arn": arn}])
            """,
            destination: { world, _ in
                "eventbridge: { bus: outcomes, endpoint: \"\(world.aws.endpoint)\", \(Self.keys) }"
            },
            collect: """
                for event in drain("sink"):
                    print(json.dumps(event["detail"]))
                """
        )
        Self.check(documents)
    }

    @Test("A function of AWS Lambda is invoked with each, and not waited for")
    func function() throws {
        let documents = try Self.documents(
            """
            import io, zipfile
            code = io.BytesIO()
            with zipfile.ZipFile(code, "w") as archive:
                archive.writestr("app.py", f'''
            import json
            def handler(event, context):
                with open("{seen}", "a") as file:
                    file.write(json.dumps(event) + chr(10))
            ''')
            client("lambda").create_function(
                FunctionName="watch", Runtime="python3.11", Role="arn:aws:iam::000000000000:role/r",
                Handler="app.handler", Code={"ZipFile": code.getvalue()}, Publish=True,
            )
            """,
            destination: { world, _ in
                "lambda: { function: watch, endpoint: \"\(world.aws.endpoint)\", \(Self.keys) }"
            },
            collect: """
                import os
                if os.path.exists(seen):
                    os.rename(seen, seen + ".read")
                    print(open(seen + ".read").read())
                """
        )
        Self.check(documents)
    }
}
