// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockRuntime
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Whole documents of what is given up, beside those that AWS writes for one record (esm-spec 3.2).
@Suite struct StreamFailureDocumentTests {
    private static let function = "arn:aws:lambda:eu-west-1:000000000000:function:carts-fn"

    private static func plan() throws -> SourcePlan {
        let read = ConfigurationLoader.process.parse("table: Carts\nregion: eu-west-1", file: "t.yaml")
            .read(DynamoDBSourceConfiguration.self)
        return DynamoDBConnector.plan(try #require(read.value, "\(read.findings)"))
    }

    /// The letter of the first record of `StreamEventTests.answer`, given up at 2026-03-14T09:03:20.418Z.
    private static func letter(
        _ reason: DeadLetterReason,
        attempts: Int,
        failure: Failure?
    ) throws -> DeadLetter {
        let at = Timestamp(milliseconds: 1_773_478_811_000 + 189_418)
        let verdict = DeadLetterVerdict(
            trigger: "carts",
            function: Self.function,
            reason: reason,
            at: at,
            attempts: failure.map { [Attempt(at: at, duration: .seconds(1), failure: $0)] } ?? [],
            attemptCount: attempts,
            invocation: "b7a1d0f4-2a7e-4d22-9b8f-3c5d7e9f0a11"
        )
        return DeadLetter(
            block: try StreamEventTests.block(StreamEventTests.answer),
            index: 0,
            verdict: verdict
        )
    }

    private static func object(_ json: [UInt8]) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(json)) as? [String: Any])
    }

    /// AWS's document with these members, of one record.
    private static func expected(_ condition: String, _ count: Int, _ response: String) throws -> NSDictionary
    {
        let text = #"""
            {"requestContext":{"requestId":"b7a1d0f4-2a7e-4d22-9b8f-3c5d7e9f0a11",
            "functionArn":"arn:aws:lambda:eu-west-1:000000000000:function:carts-fn",
            "condition":"\#(condition)","approximateInvokeCount":\#(count)},\#(response)
            "version":"1.0","timestamp":"2026-03-14T09:03:20.418Z",
            "DDBStreamBatchInfo":{"shardId":"shardId-00000001773475200000-5e6f7081",
            "startSequenceNumber":"300000000000000101234567","endSequenceNumber":"300000000000000101234567",
            "approximateArrivalOfFirstRecord":"2026-03-14T09:00:11Z",
            "approximateArrivalOfLastRecord":"2026-03-14T09:00:11Z","batchSize":1,
            "streamArn":"arn:aws:dynamodb:eu-west-1:000000000000:table/Carts/stream/2026-03-14T08:00:00.123"}}
            """#
        return NSDictionary(dictionary: try Self.object(Array(text.utf8)))
    }

    /// The document without what AWS's has not, which is looked at here.
    private static func document(of letter: DeadLetter) throws -> NSDictionary {
        var document = try Self.object(FailureDocument(Self.plan()).json(of: letter))
        #expect(document.removeValue(forKey: "trigger") as? String == "carts")
        let records = (document.removeValue(forKey: "payload") as? [String: Any])?["Records"] as? [Any]
        let event = StreamEventTests.event(try StreamEventTests.block(StreamEventTests.answer))
        let all = try Self.object(Array(event.utf8))["Records"] as? [Any]
        #expect(records.map { NSArray(array: $0) } == all.map { NSArray(array: Array($0.prefix(1))) })
        if var response = document["responseContext"] as? [String: Any] {
            let failure = letter.attempts.last?.failure
            #expect(response.removeValue(forKey: "errorType") as? String == failure?.type)
            #expect(response.removeValue(forKey: "errorMessage") as? String == failure?.message)
            document["responseContext"] = response
        }
        return NSDictionary(dictionary: document)
    }

    @Test(
        "A function that fails each time, one that reports the record, one that is never asked, and an old record"
    )
    func documents() throws {
        let response = { (error: String) in
            #""responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":\#(error)},"#
        }
        let reported = Failure(type: "Penstock.ReportedItemFailure", message: "the function named it")
        let failed = Failure(type: "ValueError", message: "no total")
        for (reason, attempts, failure, expected) in [
            (DeadLetterReason.retriesExhausted, 4, failed, response(#""Unhandled""#)),
            (.retriesExhausted, 4, reported, response("null")),
            (.ageExceeded, 7, failed, ""),
            (.payloadTooLarge, 0, nil, #""responseContext":null,"#),
        ] as [(DeadLetterReason, Int, Failure?, String)] {
            let letter = try Self.letter(reason, attempts: attempts, failure: failure)
            let wanted = try Self.expected(reason.rawValue, attempts, expected)
            let document = try Self.document(of: letter)
            #expect(document == wanted, "\(document) is not \(wanted)")
        }
        #expect(DeadLetterReason.retriesExhausted.rawValue == "RetryAttemptsExhausted")
        #expect(DeadLetterReason.ageExceeded.rawValue == "RecordAgeExceeded")
    }
}
