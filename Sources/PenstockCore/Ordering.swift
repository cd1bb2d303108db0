// SPDX-License-Identifier: Apache-2.0

/// In what order a trigger's records are invoked.
package enum Ordering: Sendable {
    /// Records of one partition in order, one batch in flight.
    case partition
    /// Records of one partition with the same key in order; other keys beside them.
    case key(any OrderingKey)
    /// Any record beside any other; a record that is tried again holds up no other.
    case none

    /// Whether some records wait for others.
    var isKept: Bool {
        if case .none = self { false } else { true }
    }
}

/// What makes two records belong together when order is kept by key.
package protocol OrderingKey: Sendable {
    /// A number that is the same for all records of one key, and rarely the same for two keys; nil for a record without a
    /// key, which is ordered with no other.
    func hash(of block: RecordBlock, at index: Int) -> UInt64?
}

/// The record's own key, byte by byte.
package struct RecordKey: OrderingKey {
    /// The key of the record.
    package init() {}

    package func hash(of block: RecordBlock, at index: Int) -> UInt64? {
        unsafe block.key(at: index).map { unsafe Self.hash($0) }
    }

    /// The number of a key with these bytes: eight at a time, multiplied to 128 bits and folded.
    package static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var state = 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
        var offset = 0
        while offset + 8 <= bytes.count {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            state = Self.fold(state ^ word)
            offset += 8
        }
        var rest: UInt64 = 0
        while offset < bytes.count {
            rest = unsafe rest << 8 | UInt64(bytes[offset])
            offset += 1
        }
        return Self.fold(Self.fold(state ^ rest))
    }

    private static func fold(_ value: UInt64) -> UInt64 {
        let (high, low) = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return high ^ low
    }
}

/// The lanes of one partition: how many there are, and which one a record goes to.
///
/// The number is fixed, so that a key stays in its lane while the partition is owned and memory is bounded. Keys that
/// share a lane wait for each other; eight lanes for each invocation make that rare. Of leased records few are in hand, but
/// one whose lane stands still may hold up another key for as long as its function runs: they have all lanes there are.
struct LaneRing {
    private let mask: UInt64

    /// As many as an ``LaneOrder`` has numbers for.
    private static let most = 2048

    init(concurrency: Int, isLeased: Bool) {
        let wanted = isLeased ? Self.most : min(max(64, concurrency * 8), 1024)
        self.mask = (1 << UInt64(Int.bitWidth - (wanted - 1).leadingZeroBitCount)) - 1
    }

    /// The lane of a record, from 1: 0 is the lane of a partition that has only one.
    func lane(of hash: UInt64) -> UInt32 { UInt32(hash & self.mask) + 1 }
}

/// The runs of a block, lane by lane.
struct LaneOrder {
    /// Which record stands at which place; nil for the block's own order.
    var order: [UInt32]?
    /// The places of each run, and its lane.
    var runs: [(lane: LaneID, places: Range<Int>)]

    /// One lane for each partition.
    init(byPartition block: RecordBlock) {
        self.order = nil
        self.runs = []
        Self.forEachStretch(of: block) { partition, indices in
            self.runs.append((LaneID(partition: partition.id, number: 0), indices))
        }
    }

    /// The lanes that `ring` and the hash of each record's key give.
    ///
    /// Records of a lane keep their order. A record without a key is spread by its delivery's number.
    init(of block: RecordBlock, by key: any OrderingKey, ring: LaneRing, firstDelivery: UInt64) {
        // Partition, lane and index of each record in one number: sorted, they are the order.
        var numbers = (0..<block.count).map { index -> UInt64 in
            let partition = UInt64(block.entries[index].partitionIndex)
            let hash = key.hash(of: block, at: index) ?? (firstDelivery + UInt64(index))
            return partition << 44 | UInt64(ring.lane(of: hash)) << 32 | UInt64(index)
        }
        numbers.sort()
        self.order = numbers.map { UInt32(truncatingIfNeeded: $0) }
        self.runs = []
        var start = 0
        while start < numbers.count {
            let lane = numbers[start] >> 32
            var end = start + 1
            while end < numbers.count, numbers[end] >> 32 == lane { end += 1 }
            let partition = block.partitions[Int(lane >> 12)]
            self.runs.append((LaneID(partition: partition.id, number: UInt32(lane & 0xFFF)), start..<end))
            start = end
        }
    }

    /// Calls `visit` with each stretch of neighbours of the same partition.
    static func forEachStretch(of block: RecordBlock, _ visit: (Partition, Range<Int>) -> Void) {
        var start = 0
        while start < block.count {
            let index = block.entries[start].partitionIndex
            var end = start + 1
            while end < block.count, block.entries[end].partitionIndex == index { end += 1 }
            visit(block.partitions[Int(index)], start..<end)
            start = end
        }
    }
}
