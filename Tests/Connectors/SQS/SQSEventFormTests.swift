// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

@testable import SQSConnector

/// What is taken out of messages for the function.
@Suite struct SQSEventFormTests {
    private static func event(_ form: SQSEventForm, _ bodies: [String]) throws -> String {
        let messages = bodies.enumerated().map { number, body in
            let text = String(decoding: JSONText.escaped(body), as: UTF8.self)
            return #"{"MessageId":"m\#(number)","ReceiptHandle":"r","MD5OfBody":"d","Body":\#(text)}"#
        }
        let answer = #"{"Messages":[\#(messages.joined(separator: ","))]}"#
        let block = try #require(try SQSMessageTests.block(answer))
        let format = SQSEventFormat(batchWindow: .zero, form: form)
        let sizes = format.sizes(of: block).sums
        let admitted = AdmittedBlock(block: block, firstDelivery: 0, receivedAt: .start, sizes: sizes)
        let run = Run(admitted: admitted, range: 0..<block.count)
        let batch = Batch(id: BatchID(0), runs: [run], attempt: 1)
        let buffer = EventBuffer()
        buffer.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
        #expect(buffer.count <= format.envelope + sizes[block.count] + block.count)
        return unsafe String(decoding: buffer.bytes, as: UTF8.self)
    }

    @Test("Bodies alone are JSON as it is, and texts")
    func raw() throws {
        let event = try Self.event(.raw, [#"{"a": [1]}"#, "ping \"x\"", "7", "{broken", ""])
        #expect(event == #"[{"a": [1]},"ping \"x\"",7,"{broken",""]"#)
    }

    private static let notification = #"""
        {"Type":"Notification","MessageId":"n1","TopicArn":"arn:aws:sns:eu-west-1:000000000000:t","Message":"hi \"you\"",
        "Timestamp":"2026-03-14T09:00:05.120Z","SignatureVersion":"1","Signature":"s","SigningCertURL":"https://c",
        "UnsubscribeURL":"https://sns/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:eu-west-1:000000000000:t:1",
        "MessageAttributes":{"k":{"Type":"String","Value":"v"}}}
        """#

    @Test("A notification of SNS becomes a record of Lambda's event of SNS")
    func sns() throws {
        let event = try Self.event(.sns, [Self.notification])
        #expect(
            event == #"{"Records":[{"EventSource":"aws:sns","EventVersion":"1.0","#
                + #""EventSubscriptionArn":"arn:aws:sns:eu-west-1:000000000000:t:1","Sns":{"Type":"Notification","#
                + #""MessageId":"n1","TopicArn":"arn:aws:sns:eu-west-1:000000000000:t","Message":"hi \"you\"","#
                + #""Timestamp":"2026-03-14T09:00:05.120Z","SignatureVersion":"1","Signature":"s","#
                + #""SigningCertUrl":"https://c","#
                + #""UnsubscribeUrl":"https://sns/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:eu-west-1:000000000000:t:1","#
                + #""MessageAttributes":{"k":{"Type":"String","Value":"v"}},"Subject":null}}]}"#
        )
    }

    @Test(
        "What a stranger puts into a notification takes no more room than was announced",
        arguments: [
            #"{"Type":"Notification","UnsubscribeURL":"?SubscriptionArn=e\#(String(repeating: "\u{301}", count: 5000))"}"#,
            #"{"Type":"Notification","UnsubscribeURL":"?SubscriptionArn=\#(String(repeating: #"\b"#, count: 256))"}"#,
            #"{"Type":"Notification","UnsubscribeURL":"?SubscriptionArn=\#(String(repeating: "a", count: 256))"}"#,
            #"{"Type":"Notification","UnsubscribeURL":"?SubscriptionArn=\#(String(repeating: "a", count: 257))"}"#,
            #"{"Type":"Notification","\#(String(repeating: #"\b"#, count: 5000))":1}"#,
        ]
    )
    func announced(body: String) throws {
        let event = try Self.event(.sns, [body])
        #expect(event.contains(#""EventSource":"aws:sns""#))
        #expect(event.contains(#""EventSubscriptionArn":""#))
    }

    private static let created =
        #"{"eventVersion":"2.1","eventSource":"aws:s3","s3":{"object":{"key":"a+b"}}}"#

    @Test("Notifications of S3 are put together, through a topic, too; its test event is nothing")
    func s3() throws {
        let direct = #"{"Records":[\#(Self.created), \#(Self.created)]}"#
        let text = String(decoding: JSONText.escaped(direct), as: UTF8.self)
        let through = #"{"Type":"Notification","Message":\#(text)}"#
        let test = #"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#
        #expect(
            try Self.event(.s3, [direct, test, through])
                == #"{"Records":[\#(Array(repeating: Self.created, count: 4).joined(separator: ","))]}"#
        )
        #expect(try Self.event(.s3, [test]) == #"{"Records":[]}"#)
    }

    @Test(
        "A message of another form stays one of SQS, so that the function can refuse it",
        arguments: [
            (SQSEventForm.sns, "ping"), (.sns, "{}"), (.sns, #"{"Type":"SubscriptionConfirmation"}"#),
            (.s3, "ping"), (.s3, "{}"), (.s3, #"{"Records":[]}"#), (.s3, #"{"Records":[{"kinesis":{}}]}"#),
            (.s3, #"{"Type":"Notification","Message":"text"}"#), (.sns, #"{"Type":"Notification""#),
            (.s3, "[1]"),
        ]
    )
    func other(form: SQSEventForm, body: String) throws {
        let event = try Self.event(form, [body])
        #expect(event == (try Self.event(.sqs, [body])))
    }
}
