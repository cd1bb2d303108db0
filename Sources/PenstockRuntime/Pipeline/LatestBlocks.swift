// SPDX-License-Identifier: Apache-2.0

import DequeModule
import PenstockCore

/// The latest blocks that a trigger with filters received: what was filtered is settled at once, and who asks why wants to
/// know the condition.
///
/// Blocks whole, at no cost for a record; bounded in memory, which is kept a little longer than without.
struct LatestBlocks {
    static let bytesMax = 4 << 20
    static let blocksMax = 1024

    private var blocks = Deque<RecordBlock>()
    private(set) var bytes = 0

    /// Keeps a block, and lets the oldest ones go; one that is too large alone is not kept.
    mutating func add(_ block: RecordBlock) {
        guard block.memory <= Self.bytesMax else { return }
        self.blocks.append(block)
        self.bytes += block.memory
        while self.bytes > Self.bytesMax || self.blocks.count > Self.blocksMax,
            let oldest = self.blocks.popFirst()
        {
            self.bytes -= oldest.memory
        }
    }

    /// A record of the blocks that are kept; the latest delivery of it.
    func find(_ partition: String, _ position: Position) -> (block: RecordBlock, index: Int)? {
        for block in self.blocks.reversed() {
            let index = block.entries.indices.first {
                block.entries[$0].position == position && block.partition(at: $0).name == partition
            }
            if let index { return (block, index) }
        }
        return nil
    }
}
