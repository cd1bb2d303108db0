// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

/// Failure documents of Kafka's records, whole, against what AWS writes of the same (`esm-spec` 3.3), with one record each.
@Suite(.ownThreads) struct KafkaDocumentTests {
    private static let function = "arn:aws:lambda:eu-west-1:000000000000:function:orders-fn"
    private static let cluster =
        "arn:aws:kafka:eu-west-1:000000000000:cluster/shop/6f0e6f0e-1111-4222-8333-944455556666-3"
    private static let brokers = "b-1.shop.example.internal:9094,b-2.shop.example.internal:9094"

    private static func plan() throws -> SourcePlan {
        let world = ScriptedWorld()
        let plan = try ScriptedPlan.read(
            """
            functions: { f: { scripted: { world: \(world.name) } } }
            triggers:
              t:
                source:
                  kafka:
                    brokers: ["b-1.shop.example.internal:9094", "b-2.shop.example.internal:9094"]
                    topics: [orders]
                    group: g
                    event_source: "aws:kafka"
                    event_source_arn: "\(Self.cluster)"
                function: f
            """,
            connectors: [KafkaConnector.self]
        )
        return try #require(plan.triggers.first).value.source
    }

    private static func letter(attempts: Int) -> DeadLetter {
        let at = Timestamp(milliseconds: 1_773_479_041_100)
        let failure = Failure(type: "ValueError", message: "no")
        let verdict = DeadLetterVerdict(
            trigger: "t",
            function: "f",
            functionARN: Self.function,
            reason: attempts > 0 ? .retriesExhausted : .payloadTooLarge,
            at: at,
            attempts: (0..<attempts).map { _ in Attempt(at: at, duration: .seconds(1), failure: failure) },
            attemptCount: attempts,
            invocation: "b7a1d0f4-2a7e-4d22-9b8f-3c5d7e9f0a11"
        )
        var letter = DeadLetter(
            partition: "orders-0",
            position: Position(1204),
            timestamp: Timestamp(milliseconds: 1_773_478_830_250),
            verdict: verdict
        )
        letter.key = Array("o-1".utf8)
        letter.body = Array(#"{"id":"o-1","total":9}"#.utf8)
        letter.tag = 1
        return letter
    }

    private static let event =
        #"{"eventSource":"aws:kafka","eventSourceArn":"\#(Self.cluster)","bootstrapServers":"\#(Self.brokers)","#
        + #""records":{"orders-0":[{"topic":"orders","partition":0,"offset":1204,"timestamp":1773478830250,"#
        + #""timestampType":"CREATE_TIME","key":"by0x","value":"eyJpZCI6Im8tMSIsInRvdGFsIjo5fQ==","headers":[]}]}}"#

    private static let place =
        #""recordsInfo":{"orders-0":{"firstRecordOffset":"1204","lastRecordOffset":"1204","#
        + #""firstRecordTimestamp":"2026-03-14T09:00:30.250Z","lastRecordTimestamp":"2026-03-14T09:00:30.250Z"}}"#

    /// What is expected, with our members, which are errorType, errorMessage and trigger.
    private static func expected(
        _ condition: String,
        function: String = Self.function,
        count: Int = 3,
        response: String =
            #"{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled","errorType":"ValueError","errorMessage":"no"}"#,
        place: String = Self.place,
        payload: String
    ) throws -> NSDictionary? {
        let text =
            #"{"requestContext":{"requestId":"b7a1d0f4-2a7e-4d22-9b8f-3c5d7e9f0a11","functionArn":"\#(function)","#
            + #""condition":"\#(condition)","approximateInvokeCount":\#(count)},"responseContext":\#(response),"#
            + #""version":"1.0","timestamp":"2026-03-14T09:04:01.100Z","trigger":"t","KafkaBatchInfo":{"batchSize":1,"#
            + #""eventSourceArn":"\#(Self.cluster)","bootstrapServers":"\#(Self.brokers)","#
            + #""payloadSize":\#(Self.event.utf8.count),\#(place)},"payload":\#(payload)}"#
        return try JSONSerialization.jsonObject(with: Data(text.utf8)) as? NSDictionary
    }

    private static func document(_ letter: DeadLetter, _ form: FailureDocument.Form) throws -> NSDictionary? {
        let json = FailureDocument(try Self.plan(), as: form).json(of: letter)
        return try JSONSerialization.jsonObject(with: Data(json)) as? NSDictionary
    }

    @Test("A queue gets what AWS sends there, with the whole event beside it")
    func message() throws {
        let document = try Self.document(Self.letter(attempts: 3), .message)
        let expected = try Self.expected("RetryAttemptsExhausted", payload: Self.event)
        #expect(document == expected)
    }

    @Test("A record that is too large for the function has no response: null")
    func tooLarge() throws {
        let document = try Self.document(Self.letter(attempts: 0), .message)
        let expected = try Self.expected(
            "MaximumPayloadSizeExceeded",
            count: 0,
            response: "null",
            payload: Self.event
        )
        #expect(document == expected)
    }

    @Test("An object of S3 has the event as a text")
    func object() throws {
        let document = try Self.document(Self.letter(attempts: 3), .object)
        let text = String(decoding: JSONText.escaped(Self.event), as: UTF8.self)
        let expected = try Self.expected("RetryAttemptsExhausted", payload: text)
        #expect(document == expected)
    }

    @Test("A topic has another word, the function's version, and the record's own place")
    func record() throws {
        let document = try Self.document(Self.letter(attempts: 3), .record)
        let expected = try Self.expected(
            "RetriesExhausted",
            function: "\(Self.function):$LATEST",
            place: #""recordInfo":{"offset":"1204","timestamp":"2026-03-14T09:00:30.250Z"}"#,
            payload: Self.event
        )
        #expect(document == expected)
    }
}
