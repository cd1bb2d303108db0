// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Reactor
import Testing

@testable import PenstockRuntime

/// What is kept of records for who asks why a filter took one out.
@Suite struct LatestBlocksTests {
    private static func block(_ position: UInt64, bytes: Int = 0, of name: String = "p") -> RecordBlock {
        var builder = RecordBlockBuilder(byteCapacity: bytes + 64, recordCapacity: 1)
        let index = builder.add(Partition(id: PartitionID(1), name: name))
        unsafe [UInt8](repeating: 0x78, count: bytes).withUnsafeBytes { body in
            unsafe builder.append(
                position: Position(position),
                timestamp: VirtualLoop.epoch,
                tag: 0,
                partitionIndex: index,
                payload: RecordPayload(key: nil, body: body)
            )
        }
        return builder.finish()
    }

    @Test("A record is found by partition and position, in its latest delivery")
    func find() throws {
        var blocks = LatestBlocks()
        blocks.add(Self.block(7, bytes: 1))
        blocks.add(Self.block(7, bytes: 2, of: "q"))
        blocks.add(Self.block(7, bytes: 3))
        let found = try #require(blocks.find("p", Position(7)))
        #expect(found.index == 0 && found.block.byteCount == 3)
        #expect(blocks.find("q", Position(7))?.block.byteCount == 2)
        #expect(blocks.find("p", Position(8)) == nil && blocks.find("r", Position(7)) == nil)
    }

    @Test("Memory and number are bounded: the oldest go first, and what is too large alone is not kept")
    func bounds() {
        var blocks = LatestBlocks()
        blocks.add(Self.block(0))
        blocks.add(Self.block(1, bytes: LatestBlocks.bytesMax))
        #expect(blocks.find("p", Position(1)) == nil && blocks.find("p", Position(0)) != nil)
        for number: UInt64 in 2..<10 { blocks.add(Self.block(number, bytes: LatestBlocks.bytesMax / 4)) }
        #expect(blocks.bytes <= LatestBlocks.bytesMax)
        #expect(blocks.find("p", Position(0)) == nil && blocks.find("p", Position(9)) != nil)
        for number: UInt64 in 100..<3000 { blocks.add(Self.block(number)) }
        let kept = (100..<3000).count { blocks.find("p", Position(UInt64($0))) != nil }
        #expect(kept == LatestBlocks.blocksMax)
    }
}
