// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import Testing

@testable import KafkaConnector

/// What a tumbling window adds to an event (esm-spec 3.2).
@Suite
struct KafkaWindowEventTests {
    typealias Base = KafkaEventFormatTests

    private static func text(_ format: KafkaEventFormat, _ batch: Batch) -> String {
        let buffer = EventBuffer()
        // Exactly as many bytes as were announced, but for the separator that is one too many.
        buffer.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
        let bytes = unsafe [UInt8](buffer.bytes)
        #expect(format.size(of: batch) - bytes.count <= 1)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func window(_ partition: Partition, state: String = "{}") -> BatchWindow {
        let span = WindowSpan(holding: Timestamp(milliseconds: 1_773_478_830_250), length: .seconds(120))
        var open = OpenWindow(span)
        open.state = Array(state.utf8)
        return BatchWindow(partition: partition, open: open)
    }

    @Test("A batch of a window has its records, the window and the state as it was answered")
    func batch() {
        let arn = "arn:aws:kafka:eu-west-1:000000000000:cluster/shop/6f0e6f0e-1111-4222-8333-944455556666-3"
        let format = KafkaEventFormat(Base.configuration("aws:kafka", arn, ["b:9094"]))
        let partitions = Base.partitions(format, [.init(topic: "orders", partition: 2)])
        let block = Base.block([.init(partition: 0, offset: 7, value: Array("a".utf8))], partitions)
        let runs = Base.batch(format, block).runs
        let batch = Batch(
            id: BatchID(1),
            runs: runs,
            attempt: 1,
            window: Self.window(partitions[0], state: "{ \"carts\": 4.20 }")
        )
        #expect(
            Self.text(format, batch)
                == #"{"eventSource":"aws:kafka","eventSourceArn":"\#(arn)","bootstrapServers":"b:9094","#
                + #""records":{"orders-2":[{"topic":"orders","partition":2,"offset":7,"timestamp":1773478830250,"#
                + #""timestampType":"CREATE_TIME","value":"YQ==","headers":[]}]},"#
                + #""window":{"start":"2026-03-14T09:00:00Z","end":"2026-03-14T09:02:00Z"},"#
                + #""state":{ "carts": 4.20 },"shardId":"orders-2","eventSourceARN":"\#(arn)","#
                + #""isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}"#
        )
    }

    @Test("The final call has no records, and says whether the window ended early")
    func final() {
        let format = KafkaEventFormat(Base.configuration("SelfManagedKafka", nil, ["b:9092", "a:9092"]))
        let partitions = Base.partitions(format, [.init(topic: "orders", partition: 0)])
        var window = Self.window(partitions[0])
        window.isFinal = true
        window.open.isEndingEarly = true
        let batch = Batch(id: BatchID(1), runs: [], attempt: 1, window: window)
        #expect(
            Self.text(format, batch)
                == #"{"eventSource":"SelfManagedKafka","bootstrapServers":"a:9092,b:9092","records":{},"#
                + #""window":{"start":"2026-03-14T09:00:00Z","end":"2026-03-14T09:02:00Z"},"state":{},"#
                + #""shardId":"orders-0","eventSourceARN":"smk://a:9092,b:9092","#
                + #""isFinalInvokeForWindow":true,"isWindowTerminatedEarly":true}"#
        )
    }
}
