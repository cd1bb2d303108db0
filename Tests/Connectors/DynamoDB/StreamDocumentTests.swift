// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import DynamoDBConnector

/// Failure documents of changes, whole, against what AWS writes of the same (`esm-spec` 3.2), with one record each.
@Suite(.ownThreads) struct StreamDocumentTests {
    private static let function = "arn:aws:lambda:eu-west-1:000000000000:function:carts-fn"

    private static func plan() throws -> SourcePlan {
        let world = ScriptedWorld()
        let plan = try ScriptedPlan.read(
            """
            functions: { f: { scripted: { world: \(world.name) } } }
            triggers: { t: { source: { dynamodb: { table: Carts, region: eu-west-1 } }, function: f } }
            """,
            connectors: [DynamoDBConnector.self]
        )
        return try #require(plan.triggers.first).value.source
    }

    /// The letter of the change in ``StreamEventTests``, given up after four attempts that ended so.
    private static func letter(_ reason: DeadLetterReason, _ failure: Failure) throws -> DeadLetter {
        let at = Timestamp(milliseconds: 1_773_479_000_418)
        let verdict = DeadLetterVerdict(
            trigger: "t",
            function: "f",
            functionARN: Self.function,
            reason: reason,
            at: at,
            attempts: [
                Attempt(at: at, duration: .seconds(1), failure: failure, executedVersion: "$LATEST")
            ],
            attemptCount: 4,
            invocation: "b7a1d0f4-2a7e-4d22-9b8f-3c5d7e9f0a11"
        )
        return DeadLetter(
            block: try StreamEventTests.block(StreamEventTests.answer),
            index: 0,
            verdict: verdict
        )
    }

    /// A document, and what we write beside AWS's members.
    private static func document(
        _ letter: DeadLetter,
        _ form: FailureDocument.Form
    ) throws -> (awss: NSDictionary, ours: [String: Any]) {
        let json = FailureDocument(try Self.plan(), as: form).json(of: letter)
        var document = try #require(
            try JSONSerialization.jsonObject(with: Data(json)) as? [String: Any]
        )
        var ours: [String: Any] = ["trigger": document.removeValue(forKey: "trigger") as Any]
        if form == .message { ours["payload"] = document.removeValue(forKey: "payload") }
        if var response = document["responseContext"] as? [String: Any] {
            for name in ["errorType", "errorMessage"] { ours[name] = response.removeValue(forKey: name) }
            document["responseContext"] = response
        }
        return (document as NSDictionary, ours)
    }

    /// What AWS writes.
    private static func expected(
        _ condition: String,
        response: Any?,
        payload: String? = nil
    ) -> NSDictionary {
        var document: [String: Any] = [
            "requestContext": [
                "requestId": "b7a1d0f4-2a7e-4d22-9b8f-3c5d7e9f0a11", "functionArn": Self.function,
                "condition": condition, "approximateInvokeCount": 4,
            ] as [String: Any],
            "version": "1.0", "timestamp": "2026-03-14T09:03:20.418Z",
            "DDBStreamBatchInfo": [
                "shardId": StreamEventTests.shard, "startSequenceNumber": "300000000000000101234567",
                "endSequenceNumber": "300000000000000101234567",
                "approximateArrivalOfFirstRecord": "2026-03-14T09:00:11Z",
                "approximateArrivalOfLastRecord": "2026-03-14T09:00:11Z", "batchSize": 1,
                "streamArn": StreamEventTests.arn,
            ] as [String: Any],
        ]
        if let response {
            document["responseContext"] =
                ["statusCode": 200, "executedVersion": "$LATEST", "functionError": response] as [String: Any]
        }
        document["payload"] = payload
        return document as NSDictionary
    }

    private static let thrown = Failure(type: "ValueError", message: "no")

    @Test("A queue gets what AWS sends there, and the whole event beside it")
    func message() throws {
        let letter = try Self.letter(.retriesExhausted, Self.thrown)
        let (document, ours) = try Self.document(letter, .message)
        #expect(document == Self.expected("RetryAttemptsExhausted", response: "Unhandled"))
        #expect(ours["errorType"] as? String == "ValueError" && ours["errorMessage"] as? String == "no")
        #expect(ours["trigger"] as? String == "t")
        let records = (ours["payload"] as? [String: Any])?["Records"] as? [[String: Any]]
        #expect(records?.map { $0["eventID"] as? String } == ["5f0c9f4f4b0f4c6e8a1d2b3c4d5e6f70"])
    }

    @Test("Records that the function reported have no error of the function")
    func partial() throws {
        let failure = Failure(type: "Penstock.ReportedItemFailure", message: "listed")
        let (document, _) = try Self.document(try Self.letter(.retriesExhausted, failure), .message)
        #expect(document == Self.expected("RetryAttemptsExhausted", response: NSNull()))
    }

    @Test("Records that are too old have no response")
    func age() throws {
        let (document, _) = try Self.document(try Self.letter(.ageExceeded, Self.thrown), .message)
        #expect(document == Self.expected("RecordAgeExceeded", response: nil))
    }

    @Test("An object of S3 has the event as a text")
    func object() throws {
        let letter = try Self.letter(.retriesExhausted, Self.thrown)
        let (document, _) = try Self.document(letter, .object)
        let page = try StreamPage(Array(StreamEventTests.answer.utf8))
        let partition = DynamoDBEventFormat.partition(PartitionID(1), name: letter.partition)
        let event = StreamEventTests.event(page.block(0..<1, of: partition))
        #expect(document == Self.expected("RetryAttemptsExhausted", response: "Unhandled", payload: event))
    }

    @Test("A shard is called by its id in keys of objects")
    func shard() throws {
        let letter = try Self.letter(.retriesExhausted, Self.thrown)
        let document = FailureDocument(try Self.plan())
        #expect(document.shard(of: letter) == StreamEventTests.shard)
    }
}
