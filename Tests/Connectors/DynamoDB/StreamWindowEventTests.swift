// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// What a tumbling window adds to an event (esm-spec 3.2).
@Suite struct StreamWindowEventTests {
    typealias Base = StreamEventTests

    private static func text(_ batch: Batch) -> String {
        let format = DynamoDBEventFormat()
        let buffer = EventBuffer()
        // Exactly as many bytes as were announced, but for the separator that is one too many.
        buffer.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
        let bytes = unsafe [UInt8](buffer.bytes)
        #expect((0...1).contains(format.size(of: batch) - bytes.count))
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func window(_ partition: Partition, state: String = "{}") -> BatchWindow {
        var open = OpenWindow(
            WindowSpan(holding: Timestamp(milliseconds: 1_773_478_811_000), length: .seconds(120))
        )
        open.state = Array(state.utf8)
        return BatchWindow(partition: partition, open: open)
    }

    @Test("A batch of a window has its records, the window and the state as it was answered")
    func batch() throws {
        let block = try Base.block(Base.answer)
        let window = Self.window(block.partitions[0], state: "{ \"carts\": 4.10 }")
        let batch = Batch(id: BatchID(1), runs: Base.batch(block).runs, attempt: 1, window: window)
        #expect(
            Self.text(batch)
                == String(Base.event(block).dropLast())
                + #","window":{"start":"2026-03-14T09:00:00Z","end":"2026-03-14T09:02:00Z"},"#
                + #""state":{ "carts": 4.10 },"shardId":"\#(Base.shard)","eventSourceARN":"\#(Base.arn)","#
                + #""isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}"#
        )
    }

    @Test("The final call has no records, and says whether the window ended early", arguments: [false, true])
    func final(isEarly: Bool) {
        let name = "\(Base.arn)/\(Base.shard)"
        var window = Self.window(
            DynamoDBEventFormat.partition(PartitionID(1), name: name),
            state: #"{"carts":42}"#
        )
        window.isFinal = true
        window.open.isEndingEarly = isEarly
        #expect(
            Self.text(Batch(id: BatchID(1), runs: [], attempt: 1, window: window))
                == #"{"Records":[],"window":{"start":"2026-03-14T09:00:00Z","end":"2026-03-14T09:02:00Z"},"#
                + #""state":{"carts":42},"shardId":"\#(Base.shard)","eventSourceARN":"\#(Base.arn)","#
                + #""isFinalInvokeForWindow":true,"isWindowTerminatedEarly":\#(isEarly)}"#
        )
    }
}
