// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

@Suite struct WatermarkTests {
    private static let partition = Partition(id: PartitionID(1), name: "orders-0")

    /// A block whose positions have gaps, as compaction and transactions leave them.
    private static func block(
        _ positions: [UInt64],
        firstDelivery: UInt64,
        order: [UInt32]? = nil
    ) -> AdmittedBlock {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: positions.count)
        let index = builder.add(Self.partition)
        for position in positions {
            unsafe builder.append(
                position: Position(position),
                timestamp: Timestamp(milliseconds: Int64(position) * 1000),
                tag: 0,
                partitionIndex: index,
                payload: RecordPayload(key: nil, body: nil)
            )
        }
        let sizes = [Int](repeating: 0, count: positions.count + 1)
        return AdmittedBlock(
            block: builder.finish(),
            firstDelivery: firstDelivery,
            receivedAt: .start,
            sizes: sizes,
            order: order
        )
    }

    @Test("Gaps in the positions do not hold it up")
    func gaps() {
        let admitted = Self.block([3, 7, 8, 100], firstDelivery: 0)
        var watermark = Watermark()
        watermark.admit(admitted, 0..<4)
        let hasMoved = watermark.settle(Run(admitted: admitted, range: 0..<3))
        #expect(hasMoved)
        #expect(watermark.position == Position(8))
        _ = watermark.settle(Run(admitted: admitted, range: 3..<4))
        #expect(watermark.position == Position(100))
    }

    @Test("What is reached without a record holds once all before it is settled, and before what follows")
    func reached() {
        var watermark = Watermark()
        let beginning = watermark.reach(Position(2))
        #expect(beginning)
        #expect(watermark.position == Position(2))
        let (first, second) = (Self.block([3, 7], firstDelivery: 4), Self.block([9], firstDelivery: 6))
        watermark.admit(first, 0..<2)
        var hasMoved = watermark.reach(Position(8))
        #expect(!hasMoved)
        watermark.admit(second, 0..<1)
        hasMoved = watermark.reach(Position(1000))
        #expect(!hasMoved)
        hasMoved = watermark.settle(Run(admitted: second, range: 0..<1))
        #expect(!hasMoved)
        _ = watermark.settle(Run(admitted: first, range: 0..<1))
        #expect(watermark.position == Position(3))
        _ = watermark.settle(Run(admitted: first, range: 1..<2))
        #expect(watermark.position == Position(1000))
        #expect(watermark.unsettled == 0 && watermark.received == Position(3)...Position(9))
    }

    @Test("The oldest record that is not settled gives its own time, through blocks and early settlements")
    func oldestUnsettled() {
        let (first, second) = (
            Self.block([3, 7, 8], firstDelivery: 0), Self.block([9, 12], firstDelivery: 3)
        )
        var watermark = Watermark()
        let settle = { (admitted: AdmittedBlock, index: Int) in
            _ = watermark.settle(Run(admitted: admitted, range: index..<index + 1))
            return watermark.oldestUnsettled.map { $0.milliseconds / 1000 }
        }
        #expect(watermark.oldestUnsettled == nil)
        watermark.admit(first, 0..<3)
        watermark.admit(second, 0..<2)
        #expect(watermark.oldestUnsettled == Timestamp(milliseconds: 3000))
        // What is settled early moves nothing, until it is next.
        #expect(settle(first, 1) == 3)
        #expect(settle(second, 0) == 3)
        #expect(settle(first, 0) == 8)
        #expect(settle(first, 2) == 12)
        #expect(settle(second, 1) == nil)
        watermark.admit(Self.block([20], firstDelivery: 5), 0..<1)
        #expect(watermark.oldestUnsettled == Timestamp(milliseconds: 20_000))
    }

    @Test("It moves only over a settled prefix, in whatever order and pieces the rest is settled")
    func outOfOrder() {
        var random = SplitMix64(seed: 42)
        for _ in 0..<200 {
            let counts = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                Int.random(in: 1...12, using: &random)
            }
            var watermark = Watermark()
            var pieces: [Run] = []
            var first: UInt64 = 0
            var model: [Bool] = []
            for count in counts {
                // Lanes take the records of a block in another order than the block's own.
                let lanes = (0..<count).map { _ in Int.random(in: 0...2, using: &random) }
                let order = (0..<count).sorted { (lanes[$0], $0) < (lanes[$1], $1) }.map { UInt32($0) }
                let admitted = Self.block(
                    (0..<UInt64(count)).map { (first + $0) * 10 },
                    firstDelivery: first,
                    order: Bool.random(using: &random) ? order : nil
                )
                watermark.admit(admitted, 0..<count)
                var start = 0
                while start < count {
                    let end = Int.random(in: start + 1...count, using: &random)
                    pieces.append(Run(admitted: admitted, range: start..<end))
                    start = end
                }
                first += UInt64(count)
                model += [Bool](repeating: false, count: count)
            }
            for piece in pieces.shuffled(using: &random) {
                _ = watermark.settle(piece)
                for index in piece.indices { model[Int(piece.admitted.firstDelivery) + index] = true }
                let prefix = model.firstIndex(of: false) ?? model.count
                let expected = prefix == 0 ? nil : Position(UInt64(prefix - 1) * 10)
                #expect(watermark.position == expected)
                #expect(watermark.unsettled == model.count { !$0 })
            }
        }
    }

    @Test("Settling a delivery twice is a programming error")
    func twice() async {
        await #expect(processExitsWith: .failure) {
            let admitted = WatermarkTests.block([1], firstDelivery: 0)
            var watermark = Watermark()
            watermark.admit(admitted, 0..<1)
            _ = watermark.settle(Run(admitted: admitted, range: 0..<1))
            _ = watermark.settle(Run(admitted: admitted, range: 0..<1))
        }
    }
}
