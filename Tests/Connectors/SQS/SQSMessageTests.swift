// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Testing

@testable import SQSConnector

/// Messages as SQS answers them, and as a function gets them.
@Suite struct SQSMessageTests {
    static let arn = "arn:aws:sqs:eu-west-1:000000000000:invoices"

    static func block(
        _ answer: String,
        hasGroups: Bool = false,
        arn: String = Self.arn
    ) throws -> RecordBlock? {
        let partition = SQSEventFormat.partition(PartitionID(1), name: arn)
        var reader = SQSMessageReader(partition: partition, hasGroups: hasGroups)
        return try reader.read(Array(answer.utf8), lease: BlockLease(until: nil))
    }

    static func event(_ block: RecordBlock, window: Duration = .zero) -> String {
        let format = SQSEventFormat(batchWindow: window)
        let sizes = format.sizes(of: block).sums
        let admitted = AdmittedBlock(block: block, firstDelivery: 0, receivedAt: .start, sizes: sizes)
        let run = Run(admitted: admitted, range: 0..<block.count)
        let batch = Batch(id: BatchID(0), runs: [run], attempt: 1)
        let buffer = EventBuffer()
        buffer.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
        let bytes = unsafe [UInt8](buffer.bytes)
        #expect(bytes.count == format.envelope + sizes[block.count] + block.count - 1)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Two messages: one with attributes of its own, one without.
    static let answer = #"""
        {"Messages": [
          {"MessageId": "3d1f0a52-6c0e-4b7d-9a41-5a0c6e6d1b01", "ReceiptHandle": "cmg6M2Qx",
           "MD5OfBody": "51869807cd4b536b362dfb69203239d4", "Body": "{\"invoice\":\"inv-7301\",\"cents\":1250}",
           "Attributes": {"SenderId": "AIDAQXAMPLEXAMPLE01", "SentTimestamp": "1773478805120",
             "ApproximateReceiveCount": "1", "ApproximateFirstReceiveTimestamp": "1773478805131",
             "SqsManagedSseEnabled": "true"},
           "MessageAttributes": {
             "origin": {"StringValue": "till-4", "DataType": "String"},
             "weight": {"StringValue": "3.5", "DataType": "Number"},
             "thumb": {"BinaryValue": "AP8Q", "DataType": "Binary"}},
           "MD5OfMessageAttributes": "9c5f4f3b49c20162ad8a33c33f7aeead"},
          {"MessageId": "a1c9e7d4-1f2b-4a8f-8a53-0f7be2c9d402", "ReceiptHandle": "cmg6YTFj",
           "MD5OfBody": "df911f0151f9ef021d410b4be5060972", "Body": "ping",
           "Attributes": {"SenderId": "AIDAQXAMPLEXAMPLE01", "SentTimestamp": "1773478805120",
             "ApproximateReceiveCount": "3", "ApproximateFirstReceiveTimestamp": "1773478805131"}}
        ], "Other": [1, {"a": [true, null]}]}
        """#

    private static func expected(digest: String) -> String {
        #"{"Records":[{"messageId":"3d1f0a52-6c0e-4b7d-9a41-5a0c6e6d1b01","receiptHandle":"cmg6M2Qx","#
            + #""body":"{\"invoice\":\"inv-7301\",\"cents\":1250}","#
            + #""attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1773478805120","#
            + #""SenderId":"AIDAQXAMPLEXAMPLE01","ApproximateFirstReceiveTimestamp":"1773478805131"},"#
            + #""messageAttributes":{"origin":{"stringValue":"till-4","stringListValues":[],"binaryListValues":[],"#
            + #""dataType":"String"},"weight":{"stringValue":"3.5","stringListValues":[],"binaryListValues":[],"#
            + #""dataType":"Number"},"thumb":{"binaryValue":"AP8Q","stringListValues":[],"binaryListValues":[],"#
            + #""dataType":"Binary"}},"md5OfMessageAttributes":"9c5f4f3b49c20162ad8a33c33f7aeead","#
            + #""md5OfBody":"51869807cd4b536b362dfb69203239d4","eventSource":"aws:sqs","#
            + #""eventSourceARN":"arn:aws:sqs:eu-west-1:000000000000:invoices","awsRegion":"eu-west-1"},"#
            + #"{"messageId":"a1c9e7d4-1f2b-4a8f-8a53-0f7be2c9d402","receiptHandle":"cmg6YTFj","body":"ping","#
            + #""attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1773478805120","#
            + #""SenderId":"AIDAQXAMPLEXAMPLE01","ApproximateFirstReceiveTimestamp":"1773478805131"},"#
            + #""messageAttributes":{},\#(digest)"md5OfBody":"df911f0151f9ef021d410b4be5060972","#
            + #""eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:000000000000:invoices","#
            + #""awsRegion":"eu-west-1"}]}"#
    }

    @Test("An event is AWS's to the byte; the window decides how no attributes are shown")
    func event() throws {
        let block = try #require(try Self.block(Self.answer))
        #expect(block.count == 2)
        #expect(Self.event(block) == Self.expected(digest: ""))
        #expect(Self.event(block, window: .milliseconds(999)) == Self.expected(digest: ""))
        let null = #""md5OfMessageAttributes":null,"#
        #expect(Self.event(block, window: .seconds(1)) == Self.expected(digest: null))
    }

    @Test("The record's own time is when it was sent, and its position the number of its id")
    func record() throws {
        let block = try #require(try Self.block(Self.answer))
        #expect(block.entries[0].timestamp == Timestamp(milliseconds: 1_773_478_805_120))
        #expect(block.entries[0].position == Position(wide: 0x3d1f0a52_6c0e_4b7d_9a41_5a0c6e6d1b01))
        #expect(block.entries[0].keyLength == -1)
    }

    @Test("The message group is the key in a FIFO queue alone, and the attributes come in AWS's order")
    func groups() throws {
        let answer = #"""
            {"Messages":[{"MessageId":"0b6c2f7e-9f55-4c52-8d7b-2f64d7a10001","ReceiptHandle":"r","Body":"b",
            "MD5OfBody":"m","Attributes":{"MessageGroupId":"acct-A","SequenceNumber":"18892345678901234560",
            "MessageDeduplicationId":"d","SenderId":"s","SentTimestamp":"1","ApproximateReceiveCount":"1",
            "ApproximateFirstReceiveTimestamp":"2","DeadLetterQueueSourceArn":"arn","AWSTraceHeader":"Root=1","X":"y"}}]}
            """#
        let fifo = try #require(try Self.block(answer, hasGroups: true))
        #expect(unsafe fifo.key(at: 0).map { unsafe [UInt8]($0) } == Array("acct-A".utf8))
        let standard = try #require(try Self.block(answer))
        #expect(standard.entries[0].keyLength == -1)
        #expect(
            Self.event(fifo).contains(
                #""attributes":{"ApproximateReceiveCount":"1","AWSTraceHeader":"Root=1","SentTimestamp":"1","#
                    + #""SequenceNumber":"18892345678901234560","MessageGroupId":"acct-A","SenderId":"s","#
                    + #""MessageDeduplicationId":"d","ApproximateFirstReceiveTimestamp":"2","#
                    + #""DeadLetterQueueSourceArn":"arn","X":"y"}"#
            )
        )
    }

    @Test(
        "Bodies come through escapes as they are",
        arguments: [
            (#"a\n\t\r\"\\\/"#, #"a\n\t\r\"\\/"#), (#"\u00e9\ud83d\ude00"#, "é😀"), ("é😀", "é😀"),
            (#"\b\f\u0001"#, #"\u0008\u000c\u0001"#), ("", ""), (#"\ud83d!"#, "\u{FFFD}!"),
        ]
    )
    func bodies(sent: String, shown: String) throws {
        let answer = #"{"Messages":[{"MessageId":"x","ReceiptHandle":"r","Body":"\#(sent)"}]}"#
        let block = try #require(try Self.block(answer))
        let event = Self.event(block)
        #expect(event.contains(#""body":"\#(shown)","attributes""#), "\(event)")
    }

    @Test(
        "A queue with nothing to give has no block",
        arguments: ["{}", #"{"Messages":[]}"#, #"{"Messages":null}"#]
    )
    func nothing(answer: String) throws {
        #expect(try Self.block(answer) == nil)
    }

    @Test(
        "What is no answer of SQS is said to be none, and no part of it is taken",
        arguments: [
            "", "[", "{", #"{"Messages"}"#, #"{"Messages":[{"MessageId":"x"}]}"#,
            #"{"Messages":[{"MessageId":"x"#,
            #"{"Messages":[{"MessageId":"x","ReceiptHandle":"r","Body":"\x"}]}"#, #"{"Messages":[{}}"#, "{]",
            #"{"Messages":[{"MessageId":"x","ReceiptHandle":"r","Body":"\u12"}]}"#,
        ]
    )
    func malformed(answer: String) {
        #expect(throws: JSONCursor.Malformed.self) { try Self.block(answer) }
    }

    @Test("A record without a queue's attributes gets them")
    func made() throws {
        var builder = RecordBlockBuilder(byteCapacity: 10, recordCapacity: 1)
        let index = builder.add(SQSEventFormat.partition(PartitionID(1), name: Self.arn))
        let body = Array("ping".utf8)
        unsafe body.withUnsafeBytes { body in
            unsafe builder.append(
                position: Position(7),
                timestamp: Timestamp(milliseconds: 5),
                tag: 0,
                partitionIndex: index,
                payload: RecordPayload(key: nil, body: body)
            )
        }
        #expect(
            Self.event(builder.finish())
                == #"{"Records":[{"messageId":"00000000-0000-0000-0000-000000000007","receiptHandle":"","body":"ping","#
                + #""attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"5","#
                + #""ApproximateFirstReceiveTimestamp":"5"},"messageAttributes":{},"#
                + #""md5OfBody":"df911f0151f9ef021d410b4be5060972","eventSource":"aws:sqs","#
                + #""eventSourceARN":"\#(Self.arn)","awsRegion":"eu-west-1"}]}"#
        )
    }

    @Test("A record is found by the message id that the function names")
    func names() throws {
        let block = try #require(try Self.block(Self.answer))
        let format = SQSEventFormat(batchWindow: .zero)
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: .start,
            sizes: format.sizes(of: block).sums
        )
        let batch = Batch(id: BatchID(0), runs: [Run(admitted: admitted, range: 0..<2)], attempt: 1)
        #expect(format.index(of: .text("a1c9e7d4-1f2b-4a8f-8a53-0f7be2c9d402"), in: batch) == 1)
        #expect(format.index(of: .text("a1c9e7d4-1f2b-4a8f-8a53-0f7be2c9d403"), in: batch) == nil)
        #expect(format.index(of: .text("2"), in: batch) == nil)
        #expect(format.index(of: .offset(partition: Self.arn, offset: 1), in: batch) == nil)
    }

    @Test("Each entry of a batch call has its own outcome")
    func outcomes() throws {
        let answer = #"""
            {"Successful":[{"Id":"0"},{"Id":"9"}],"Failed":[
            {"Id":"1","SenderFault":true,"Code":"ReceiptHandleIsInvalid","Message":"m"},
            {"Id":"2","SenderFault":false,"Code":"InternalError"},
            {"Id":"3","Code":"AWS.SimpleQueueService.MessageNotInflight","SenderFault":true}]}
            """#
        let outcomes = try SQSBatchAnswer.outcomes(Array(answer.utf8), count: 5)
        #expect(
            outcomes == [
                .done, .lost(code: "ReceiptHandleIsInvalid"), .refused(code: "InternalError"),
                .lost(code: "AWS.SimpleQueueService.MessageNotInflight"), .refused(code: "Unanswered"),
            ]
        )
    }
}

/// How queues are named.
@Suite struct SQSQueueNameTests {
    @Test(
        "A queue is known by its name, its ARN or its URL",
        arguments: [
            ("orders", "orders", nil, nil, nil),
            ("orders.fifo", "orders.fifo", nil, nil, nil),
            ("arn:aws:sqs:eu-west-1:123456789012:orders", "orders", "123456789012", "eu-west-1", nil),
            (
                "https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "orders", "123456789012",
                "eu-west-1",
                "https://sqs.eu-west-1.amazonaws.com"
            ),
            (
                "https://eu-west-1.queue.amazonaws.com/123456789012/orders", "orders", "123456789012",
                "eu-west-1",
                "https://eu-west-1.queue.amazonaws.com"
            ),
            ("http://127.0.0.1:4566/000000000000/q", "q", "000000000000", nil, "http://127.0.0.1:4566"),
            ("http://localhost:9324/queue/q", "q", nil, nil, "http://localhost:9324"),
        ] as [(String, String, String?, String?, String?)]
    )
    func names(text: String, name: String, account: String?, region: String?, endpoint: String?) throws {
        let queue = try #require(SQSQueueName(text))
        #expect(queue.name == name)
        #expect(queue.account == account)
        #expect(queue.region == region)
        #expect(queue.endpoint == endpoint)
        #expect(queue.isFIFO == name.hasSuffix(".fifo"))
    }

    @Test(
        "What names no queue is refused",
        arguments: [
            "", "a b", ".fifo", "arn:aws:sns:eu-west-1:123456789012:orders",
            "arn:aws:sqs:eu-west-1:12:orders",
            "ftp://host/123456789012/q", "https://host/", String(repeating: "x", count: 81), "orders.fifo.x",
        ]
    )
    func refused(text: String) {
        #expect(SQSQueueName(text) == nil)
    }
}

/// How many receives are under way.
@Suite struct SQSIntakeTests {
    @Test("Nothing is asked for before the first grant, nor beyond it")
    func budget() {
        var intake = SQSIntake(most: 10)
        #expect(intake.next() == nil)
        intake.grant(ReceiveBudget(records: 13, bytes: 1000))
        #expect(intake.next() == 10)
        #expect(intake.next() == nil)
        // A full answer says that there is a backlog: two side by side, for the rest of the budget.
        intake.ended(asked: 10, brought: 10, bytes: 100)
        #expect(intake.next() == 3)
        #expect(intake.next() == nil)
    }

    @Test("Full answers double the number up to the most; others take it down to one")
    func scales() {
        var intake = SQSIntake(most: 5)
        intake.grant(ReceiveBudget(records: 1_000_000, bytes: 1_000_000))
        for expected in [2, 4, 5, 5] {
            let ask = intake.next() ?? 0
            intake.ended(asked: ask, brought: ask, bytes: 1)
            #expect(intake.target == expected)
        }
        var side = 0
        while intake.next() != nil { side += 1 }
        #expect(side == 5)
        for expected in [4, 3, 2, 1, 1] {
            intake.ended(asked: 10, brought: 3, bytes: 1)
            #expect(intake.target == expected)
        }
        #expect(intake.next() == 10)
        #expect(intake.next() == nil)
    }

    @Test("A budget is made without knowing what the pipeline has not taken yet")
    func unreturned() {
        var intake = SQSIntake(most: 10)
        intake.grant(ReceiveBudget(records: 10, bytes: 1000))
        #expect(intake.next() == 10)
        intake.ended(asked: 10, brought: 6, bytes: 600)
        intake.grant(ReceiveBudget(records: 10, bytes: 1000))
        #expect(intake.next() == 4)
        #expect(intake.failed() == 1)
        intake.ended(asked: 4)
        intake.returned(records: 6, bytes: 600)
        intake.grant(ReceiveBudget(records: 4, bytes: 400))
        #expect(intake.next() == 4)
        intake.grant(ReceiveBudget(records: 100, bytes: 0))
        intake.ended(asked: 4, brought: 4, bytes: 4)
        #expect(intake.next() == nil)
    }

    @Test("Failures leave one receive under way")
    func failures() {
        var intake = SQSIntake(most: 10)
        intake.grant(ReceiveBudget(records: 100, bytes: 1000))
        #expect(intake.next() == 10)
        intake.ended(asked: 10, brought: 10, bytes: 1)
        #expect(intake.target == 2)
        #expect(intake.next() == 10)
        #expect(intake.failed() == 1)
        #expect(intake.target == 1)
        // It is still under way, until its wait is over.
        #expect(intake.next() == nil)
        #expect(intake.failed() == 2)
        intake.ended(asked: 10)
        #expect(intake.next() == 10)
    }
}
