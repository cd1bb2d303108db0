// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockRuntime
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Changes as the stream answers them, and as a function gets them.
@Suite struct StreamEventTests {
    static let arn =
        "arn:aws:dynamodb:eu-west-1:000000000000:table/Carts/stream/2026-03-14T08:00:00.123"
    static let shard = "shardId-00000001773475200000-5e6f7081"

    static func block(_ answer: String) throws -> RecordBlock {
        let page = try StreamPage(Array(answer.utf8))
        let name = "\(Self.arn)/\(Self.shard)"
        let partition = DynamoDBEventFormat.partition(PartitionID(1), name: name)
        return page.block(0..<page.records.count, of: partition)
    }

    static func batch(_ block: RecordBlock) -> Batch {
        let sizes = DynamoDBEventFormat().sizes(of: block).sums
        let admitted = AdmittedBlock(block: block, firstDelivery: 0, receivedAt: .start, sizes: sizes)
        return Batch(id: BatchID(0), runs: [Run(admitted: admitted, range: 0..<block.count)], attempt: 1)
    }

    static func event(_ block: RecordBlock) -> String {
        let format = DynamoDBEventFormat()
        let batch = Self.batch(block)
        let buffer = EventBuffer()
        buffer.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
        let bytes = unsafe [UInt8](buffer.bytes)
        let sizes = format.sizes(of: block).sums
        #expect(bytes.count == format.envelope + sizes[block.count] + block.count - 1)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// An item that is new, with values of many types, and one that grew too old: as the API answers.
    static let answer = #"""
        {"Records":[{"awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":1.773478811E9,"Keys":{"cart":{"S":"c-91"}},"NewImage":{"cart":{"S":"c-91"},"items":{"L":[{"M":{"qty":{"N":"123456789012345678901234567890.5"}}}]},"sig":{"B":"AQL+"},"open":{"BOOL":true},"note":{"NULL":true},"text":{"S":"é\"\\\u00e9 }]"}},"SequenceNumber":"300000000000000101234567","SizeBytes":61,"StreamViewType":"NEW_AND_OLD_IMAGES"},"eventID":"5f0c9f4f4b0f4c6e8a1d2b3c4d5e6f70","eventName":"INSERT","eventSource":"aws:dynamodb","eventVersion":"1.1"},
        {"eventID":"7b2ebf616d21418fac3f4d5e6f708192","eventName":"REMOVE","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":1773478990,"Keys":{"s":{"N":"1"}, "p": {"S":"a b"}},"OldImage":{},"SequenceNumber":"300000000000000101235011","SizeBytes":55,"StreamViewType":"NEW_AND_OLD_IMAGES"},"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"},"new":[1,{"x":null}]}],
        "NextShardIterator":"arn|1|AAA\u003d"}
        """#

    @Test("An event is AWS's to the byte, the change as it came, TTL's identity in lower case")
    func event() throws {
        let page = try StreamPage(Array(Self.answer.utf8))
        #expect(page.next == "arn|1|AAA=")
        let block = try Self.block(Self.answer)
        let arn = #""eventSourceARN":"\#(Self.arn)"}"#
        let expected =
            #"{"Records":[{"eventID":"5f0c9f4f4b0f4c6e8a1d2b3c4d5e6f70","eventName":"INSERT","eventVersion":"1.1","#
            + #""eventSource":"aws:dynamodb","awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":"#
            + #"1.773478811E9,"Keys":{"cart":{"S":"c-91"}},"NewImage":{"cart":{"S":"c-91"},"items":{"L":[{"M":"#
            + #"{"qty":{"N":"123456789012345678901234567890.5"}}}]},"sig":{"B":"AQL+"},"open":{"BOOL":true},"#
            + #""note":{"NULL":true},"text":{"S":"é\"\\\u00e9 }]"}},"SequenceNumber":"300000000000000101234567","#
            + #""SizeBytes":61,"StreamViewType":"NEW_AND_OLD_IMAGES"},\#(arn),"#
            + #"{"eventID":"7b2ebf616d21418fac3f4d5e6f708192","eventName":"REMOVE","eventVersion":"1.1","#
            + #""eventSource":"aws:dynamodb","awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":"#
            + #"1773478990,"Keys":{"s":{"N":"1"}, "p": {"S":"a b"}},"OldImage":{},"#
            + #""SequenceNumber":"300000000000000101235011","SizeBytes":55,"StreamViewType":"NEW_AND_OLD_IMAGES"},"#
            + #""userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},\#(arn)]}"#
        #expect(Self.event(block) == expected)
    }

    @Test(
        "A record has its own time, its sequence number, and a key that is the same for each change of its item"
    )
    func record() throws {
        let block = try Self.block(Self.answer)
        #expect(block.entries[0].timestamp == Timestamp(milliseconds: 1_773_478_811_000))
        #expect(block.entries[1].timestamp == Timestamp(milliseconds: 1_773_478_990_000))
        #expect(block.entries[0].position == Position("300000000000000101234567"))
        let keys = (0..<2).map { index in
            unsafe block.key(at: index).map { unsafe String(decoding: $0, as: UTF8.self) }
        }
        #expect(keys == [#"{"cart":{"S":"c-91"}}"#, #"{"p":{"S":"a b"},"s":{"N":"1"}}"#])
        #expect(block.entries.map(\.tag) == [1, 3])
    }

    @Test("A function names records by their sequence numbers")
    func items() throws {
        let batch = Self.batch(try Self.block(Self.answer))
        let format = DynamoDBEventFormat()
        #expect(format.index(of: .text("300000000000000101234567"), in: batch) == 0)
        #expect(format.index(of: .text("300000000000000101235011"), in: batch) == 1)
        for other in ["300000000000000101235012", "", "5f0c9f4f4b0f4c6e8a1d2b3c4d5e6f70"] {
            #expect(format.index(of: .text(other), in: batch) == nil)
        }
        #expect(format.index(of: .offset(partition: "p", offset: 1), in: batch) == nil)
    }

    @Test("A failure document has AWS's DDBStreamBatchInfo")
    func batchInfo() throws {
        let verdict = DeadLetterVerdict(
            trigger: "t",
            function: "f",
            reason: .retriesExhausted,
            at: Timestamp(milliseconds: 0),
            attempts: [],
            attemptCount: 2,
            invocation: "i"
        )
        let letter = DeadLetter(block: try Self.block(Self.answer), index: 0, verdict: verdict)
        #expect(
            String(decoding: DynamoDBEventFormat.batchInfo(of: letter), as: UTF8.self)
                == #"{"shardId":"\#(Self.shard)","startSequenceNumber":"300000000000000101234567","#
                + #""endSequenceNumber":"300000000000000101234567","#
                + #""approximateArrivalOfFirstRecord":"2026-03-14T09:00:11Z","#
                + #""approximateArrivalOfLastRecord":"2026-03-14T09:00:11Z","batchSize":1,"#
                + #""streamArn":"\#(Self.arn)"}"#
        )
    }

    @Test(
        "A record that came from no stream gets what it lacks",
        arguments: [(#"{"NewImage":{}}"#, #"{"NewImage":{}}"#), ("no \"JSON", #""no \"JSON""#), (nil, "{}")]
    )
    func foreign(body: String?, expected: String) throws {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: 1)
        let name = "\(Self.arn)/\(Self.shard)"
        let partitionIndex = builder.add(DynamoDBEventFormat.partition(PartitionID(1), name: name))
        let bytes = Array((body ?? "").utf8)
        unsafe bytes.withUnsafeBytes { buffer in
            unsafe builder.append(
                position: Position(255),
                timestamp: Timestamp(milliseconds: 0),
                tag: 1,
                partitionIndex: partitionIndex,
                payload: RecordPayload(key: nil, body: body == nil ? nil : buffer)
            )
        }
        #expect(
            Self.event(builder.finish())
                == #"{"Records":[{"eventID":"000000000000000000000000000000ff","eventName":"INSERT","#
                + #""eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1","dynamodb":"#
                + #"\#(expected),"eventSourceARN":"\#(Self.arn)"}]}"#
        )
    }

    @Test(
        "An answer that is not of the form is told with its place",
        arguments: [
            "", "[]", "{}", #"{"NextShardIterator":"a"}"#, #"{"Records":null}"#, #"{"Records":[{}]}"#,
            #"{"Records":[{"eventName":"OTHER","dynamodb":{"SequenceNumber":"1"}}]}"#,
            #"{"Records":[{"eventName":"INSERT","dynamodb":{"SequenceNumber":"x"}}]}"#,
            #"{"Records":[{"eventName":"INSERT","dynamodb":{}}]}"#, #"{"Records":["#,
        ]
    )
    func broken(answer: String) {
        #expect(throws: (any Error).self) { try StreamPage(Array(answer.utf8)) }
    }

    @Test(
        "A broken configuration is told what to do",
        arguments: [
            ("region: eu-west-1", "set table: NAME, or stream: ARN"),
            ("table: orders\nstream: \"\(Self.arn)\"", "exclude each other"),
            ("table: a\nregion: eu-west-1", "3 to 255 letters"),
            ("stream: orders", "write arn:aws:dynamodb:"),
            ("stream: \"\(Self.arn)\"\nregion: eu-west-2", "is another one than that of the ARN (eu-west-1)"),
            ("table: orders\nregion: eu-west-1\nstart: middle", "start"),
        ]
    )
    func configuration(yaml: String, words: String) {
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml")
            .read(DynamoDBSourceConfiguration.self)
        #expect(read.findings.contains { "\($0)".contains(words) }, "\(read.findings)")
    }
}
