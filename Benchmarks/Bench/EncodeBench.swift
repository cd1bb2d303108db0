// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import KafkaConnector
import PenstockCore

/// The Kafka event writer on one batch again and again, and JSONEncoder on the same batch.
struct EncodeBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode",
        abstract: "Writes the event of a Kafka batch."
    )

    @Option(help: "Records of the batch.") var records = 100
    @Option(help: "Bytes of each value.") var valueBytes = 1024
    @Flag(help: "Add a traceparent header of 55 bytes to each record.") var header = false

    private static let seconds = 1.0
    private static let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    func run() throws {
        let values = self.values()
        let format = KafkaEventFormat(
            KafkaSourceConfiguration(brokers: ["127.0.0.1:9092"], topics: ["bench"], group: "bench")
        )
        let batch = self.batch(of: values, format)
        let buffer = EventBuffer()
        var events = 0
        let started = Reading.now
        var ended = started
        while ended.seconds(since: started) < Self.seconds {
            for _ in 0..<16 {
                buffer.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
            }
            events += 16
            ended = .now
        }
        let total = events * self.records
        let seconds = ended.seconds(since: started)
        var line = JSONLine()
        line.add("records", total)
        line.add("bytes", buffer.count)
        line.add("us_per_record", seconds * 1e6 / Double(total))
        line.add("mb_per_second", Double(events * buffer.count) / 1e6 / seconds)
        line.add("cpu_us_per_record", ended.cpu(since: started, per: total))
        line.add("json_encoder_us_per_record", try self.measureJSONEncoder(values))
        line.print()
    }

    /// Bytes that are no text, the same in each run.
    private func values() -> [[UInt8]] {
        var random: UInt32 = 12345
        return (0..<self.records).map { _ in
            (0..<self.valueBytes).map { _ in
                random = random &* 1_664_525 &+ 1_013_904_223
                return UInt8(random >> 24)
            }
        }
    }

    private func batch(of values: [[UInt8]], _ format: KafkaEventFormat) -> Batch {
        var builder = RecordBlockBuilder(
            byteCapacity: self.records * self.valueBytes,
            recordCapacity: self.records
        )
        let prefix = Array(#"{"topic":"bench","partition":7,"offset":"#.utf8)
        let place = builder.add(Partition(id: PartitionID(1), name: "bench-7", eventPrefix: prefix))
        for (index, value) in values.enumerated() {
            unsafe value.withUnsafeBytes { bytes in
                unsafe builder.append(
                    position: Position(UInt64(1_000_000 + index)),
                    timestamp: Timestamp(milliseconds: 1_773_478_830_250 + Int64(index)),
                    tag: 1,
                    partitionIndex: place,
                    payload: RecordPayload(key: nil, body: bytes)
                )
            }
            guard self.header else { continue }
            unsafe Array("traceparent".utf8).withUnsafeBytes { name in
                unsafe Array(Self.traceparent.utf8).withUnsafeBytes { text in
                    unsafe builder.appendAttribute(name: name, value: text)
                }
            }
        }
        let block = builder.finish()
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: Instant(nanoseconds: 0),
            sizes: format.sizes(of: block).sums
        )
        return Batch(id: BatchID(1), runs: [Run(admitted: admitted, range: 0..<block.count)], attempt: 1)
    }

    private func measureJSONEncoder(_ values: [[UInt8]]) throws -> Double {
        let headers = self.header ? [["traceparent": Self.traceparent.utf8.map { Int8(bitPattern: $0) }]] : []
        let records = values.enumerated().map { index, value in
            CodableEvent.Record(
                topic: "bench",
                partition: 7,
                offset: 1_000_000 + Int64(index),
                timestamp: 1_773_478_830_250 + Int64(index),
                timestampType: "CREATE_TIME",
                value: Data(value),
                headers: headers
            )
        }
        let event = CodableEvent(
            eventSource: "SelfManagedKafka",
            bootstrapServers: "127.0.0.1:9092",
            records: ["bench-7": records]
        )
        let encoder = JSONEncoder()
        var events = 0
        let started = Reading.now
        var seconds = 0.0
        while seconds < Self.seconds {
            guard try !encoder.encode(event).isEmpty else { throw BenchFailure("JSONEncoder wrote nothing") }
            events += 1
            seconds = Reading.now.seconds(since: started)
        }
        return seconds * 1e6 / Double(events * self.records)
    }
}

/// The same event for JSONEncoder, which writes `Data` as base64.
private struct CodableEvent: Encodable {
    struct Record: Encodable {
        var topic: String
        var partition: Int32
        var offset: Int64
        var timestamp: Int64
        var timestampType: String
        var value: Data
        var headers: [[String: [Int8]]]
    }

    var eventSource: String
    var bootstrapServers: String
    var records: [String: [Record]]
}
