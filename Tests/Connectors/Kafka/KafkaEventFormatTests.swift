// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import Testing

@testable import KafkaConnector

@Suite
struct KafkaEventFormatTests {
    typealias Header = (name: String, value: [UInt8]?)

    struct Sample {
        var partition: Int
        var offset: UInt64
        var key: [UInt8]?
        var value: [UInt8]?
        var headers: [Header] = []
        var tag: UInt8 = 1
        var timestamp: Int64 = 1_773_478_830_250
    }

    static func configuration(
        _ source: String,
        _ arn: String?,
        _ brokers: [String]
    ) -> KafkaSourceConfiguration {
        var configuration = KafkaSourceConfiguration(brokers: brokers, topics: ["orders"], group: "g")
        configuration.eventSource = source
        configuration.eventSourceARN = arn
        return configuration
    }

    static func partitions(_ format: KafkaEventFormat, _ names: [KafkaPartitionName]) -> [Partition] {
        names.enumerated().map { index, name in
            Partition(id: .init(UInt32(index)), name: name.description, eventPrefix: format.prefix(for: name))
        }
    }

    static func block(_ samples: [Sample], _ partitions: [Partition]) -> RecordBlock {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: samples.count)
        let indices = partitions.map { builder.add($0) }
        for sample in samples {
            unsafe withBytes(sample.key) { key in
                unsafe withBytes(sample.value) { value in
                    unsafe builder.append(
                        position: Position(sample.offset),
                        timestamp: Timestamp(milliseconds: sample.timestamp),
                        tag: sample.tag,
                        partitionIndex: indices[sample.partition],
                        payload: RecordPayload(key: key, body: value)
                    )
                }
            }
            for header in sample.headers {
                unsafe withBytes(Array(header.name.utf8)) { name in
                    unsafe withBytes(header.value) { value in
                        unsafe builder.appendAttribute(name: name!, value: value)
                    }
                }
            }
        }
        return builder.finish()
    }

    static func withBytes(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
        guard let bytes else { return body(nil) }
        unsafe bytes.withUnsafeBytes { unsafe body($0) }
    }

    /// Encodes all of a block, in runs of one partition each, and checks the announced size.
    static func encode(_ format: KafkaEventFormat, _ block: RecordBlock) -> [UInt8] {
        let batch = Self.batch(format, block)
        let used = Set(block.entries.map(\.partitionIndex)).map { block.partitions[Int($0)] }
        let around = used.reduce(format.envelope) { $0 + format.overhead(of: $1) }
        let size = around + batch.bytes + batch.count - 1
        let buffer = EventBuffer()
        buffer.write(upTo: size) { format.encode(batch, into: &$0) }
        let bytes = unsafe [UInt8](buffer.bytes)
        #expect(bytes.count == size)
        return bytes
    }

    static func batch(_ format: KafkaEventFormat, _ block: RecordBlock) -> Batch {
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: .start,
            sizes: format.sizes(of: block).sums
        )
        var runs: [Run] = []
        for index in 0..<block.count {
            if let last = runs.last,
                block.entries[index - 1].partitionIndex == block.entries[index].partitionIndex
            {
                runs[runs.count - 1].range = last.range.lowerBound..<index + 1
            } else {
                runs.append(Run(admitted: admitted, range: index..<index + 1))
            }
        }
        return Batch(id: .init(1), runs: runs, attempt: 1)
    }

    @Test("The event of an MSK cluster is AWS's, with tombstones, repeated and signed headers")
    func msk() {
        let arn = "arn:aws:kafka:eu-west-1:000000000000:cluster/shop/6f0e6f0e-1111-4222-8333-944455556666-3"
        let brokers = ["b-2.shop.example.internal:9094", "b-1.shop.example.internal:9094"]
        let format = KafkaEventFormat(Self.configuration("aws:kafka", arn, brokers))
        let partitions = Self.partitions(
            format,
            [.init(topic: "orders", partition: 0), .init(topic: "orders", partition: 2)]
        )
        let block = Self.block(
            [
                Sample(
                    partition: 0,
                    offset: 1204,
                    key: Array("o-1".utf8),
                    value: Array(#"{"id":"o-1","total":9}"#.utf8),
                    headers: [("trace", Array("ab1".utf8)), ("trace", Array("ab2".utf8))]
                ),
                Sample(
                    partition: 1,
                    offset: 77,
                    value: Array("plain text".utf8),
                    headers: [("price", Array("€5".utf8))],
                    tag: 2
                ),
                Sample(partition: 0, offset: 1205, key: Array("o-2".utf8)),
            ],
            partitions
        )
        let text = String(decoding: Self.encode(format, block), as: UTF8.self)
        #expect(
            text
                == #"{"eventSource":"aws:kafka","eventSourceArn":"\#(arn)","#
                + #""bootstrapServers":"b-1.shop.example.internal:9094,b-2.shop.example.internal:9094","records":{"#
                + #""orders-0":[{"topic":"orders","partition":0,"offset":1204,"timestamp":1773478830250,"#
                + #""timestampType":"CREATE_TIME","key":"by0x","value":"eyJpZCI6Im8tMSIsInRvdGFsIjo5fQ==","#
                + #""headers":[{"trace":[97,98,49]},{"trace":[97,98,50]}]},"#
                + #"{"topic":"orders","partition":0,"offset":1205,"timestamp":1773478830250,"#
                + #""timestampType":"CREATE_TIME","key":"by0y","headers":[]}],"#
                + #""orders-2":[{"topic":"orders","partition":2,"offset":77,"timestamp":1773478830250,"#
                + #""timestampType":"LOG_APPEND_TIME","value":"cGxhaW4gdGV4dA==","#
                + #""headers":[{"price":[-30,-126,-84,53]}]}]}}"#
        )
    }

    @Test("The event of a self-managed cluster has no ARN, and a null header is null")
    func selfManaged() {
        let format = KafkaEventFormat(
            Self.configuration("SelfManagedKafka", nil, ["kafka-a:9092", "kafka-b:9092"])
        )
        let partitions = Self.partitions(format, [.init(topic: "audit", partition: 0)])
        let sample = Sample(
            partition: 0,
            offset: 15,
            key: [],
            value: [],
            headers: [("n", nil), ("e", [])],
            tag: 0
        )
        let text = String(decoding: Self.encode(format, Self.block([sample], partitions)), as: UTF8.self)
        #expect(
            text
                == #"{"eventSource":"SelfManagedKafka","bootstrapServers":"kafka-a:9092,kafka-b:9092","records":{"#
                + #""audit-0":[{"topic":"audit","partition":0,"offset":15,"timestamp":1773478830250,"#
                + #""timestampType":"NO_TIMESTAMP_TYPE","key":"","value":"","headers":[{"n":null},{"e":[]}]}]}}"#
        )
    }

    @Test("What is written is JSON with the same bytes, for any keys, values and headers", arguments: 1...40)
    func random(seed: UInt64) throws {
        var state = seed &* 0x9E37_79B9_7F4A_7C15
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        func bytes() -> [UInt8]? { next(4) == 0 ? nil : (0..<next(70)).map { _ in UInt8(next(256)) } }
        let names = ["plain", "q\"uote", "back\\slash", "tab\t", "ünïcode", "", "\u{1}"]
        let samples = (0..<1 + next(60)).map { index in
            Sample(
                partition: next(3),
                offset: UInt64(index) * 1000,
                key: bytes(),
                value: bytes(),
                headers: (0..<next(4)).map { _ in (name: names[next(names.count)], value: bytes()) },
                tag: UInt8(next(3)),
                timestamp: Int64(next(1 << 30)) - 5
            )
        }
        let format = KafkaEventFormat(Self.configuration("a\"b", nil, ["h:1"]))
        let topics = (0..<3).map { KafkaPartitionName(topic: "a-b.c_d", partition: Int32($0)) }
        let block = Self.block(samples, Self.partitions(format, topics))
        let object = try JSONSerialization.jsonObject(with: Data(Self.encode(format, block)))
        let event = try #require(object as? [String: Any])
        #expect(event["eventSource"] as? String == "a\"b")
        let records = try #require(event["records"] as? [String: [[String: Any]]])
        for (index, topic) in topics.enumerated() {
            let expected = samples.filter { $0.partition == index }
            let written = records[topic.description] ?? []
            try #require(written.count == expected.count)
            for (record, sample) in zip(written, expected) {
                #expect(record["offset"] as? UInt64 == sample.offset)
                #expect(record["timestamp"] as? Int64 == sample.timestamp)
                #expect((record["key"] as? String) == sample.key.map { Data($0).base64EncodedString() })
                #expect((record["value"] as? String) == sample.value.map { Data($0).base64EncodedString() })
                let headers = try #require(record["headers"] as? [[String: Any]])
                try #require(headers.count == sample.headers.count)
                for (header, original) in zip(headers, sample.headers) {
                    #expect(Array(header.keys) == [original.name])
                    let value = header[original.name] as? [Int]
                    #expect(value == original.value.map { $0.map { Int(Int8(bitPattern: $0)) } })
                }
            }
        }
    }

    @Test("A function's item identifier is found in any run of its partition, and unknown ones are not")
    func identifiers() {
        let format = KafkaEventFormat(Self.configuration("s", nil, ["h:1"]))
        let partitions = Self.partitions(
            format,
            [.init(topic: "t", partition: 0), .init(topic: "t", partition: 1)]
        )
        let samples = [(0, 5), (0, 9), (1, 5), (0, 12)].map { Sample(partition: $0.0, offset: UInt64($0.1)) }
        let batch = Self.batch(format, Self.block(samples, partitions))
        #expect(format.index(of: .offset(partition: "t-0", offset: 9), in: batch) == 1)
        #expect(format.index(of: .offset(partition: "t-1", offset: 5), in: batch) == 2)
        #expect(format.index(of: .offset(partition: "t-0", offset: 12), in: batch) == 3)
        #expect(format.index(of: .offset(partition: "t-0", offset: 7), in: batch) == nil)
        #expect(format.index(of: .offset(partition: "t-2", offset: 5), in: batch) == nil)
        #expect(format.index(of: .text("5"), in: batch) == nil)
    }
}
