// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// The highest position of one partition up to which everything delivered is settled.
///
/// A queue of deliveries in order, not arithmetic on offsets: compaction and transactions leave gaps in Kafka's
/// offsets, and they must not stall it. What is settled in order moves a number; what is settled before its
/// predecessors, because it was in another lane, sets a bit.
package struct Watermark: Sendable {
    /// Neighbouring deliveries of one block.
    private struct Segment {
        /// Where the positions are; nil when all are settled, so that the block can go.
        var admitted: AdmittedBlock?
        var deliveries: Range<UInt64>
        /// The first delivery that is not settled.
        var next: UInt64
        /// Deliveries that are not settled.
        var open: Int
        /// A bit for each delivery that is settled while one before it is not; empty when there is none.
        var early: [UInt64] = []
        /// The position of the last delivery.
        var last: Position

        var isSettled: Bool { self.open == 0 }

        /// The position of the last delivery before `next`.
        var position: Position? {
            if self.isSettled { return self.last }
            guard let admitted = self.admitted, self.next > self.deliveries.lowerBound else { return nil }
            return admitted.block.entries[Int(self.next - 1 - admitted.firstDelivery)].position
        }

        mutating func settle(_ range: Range<UInt64>) {
            precondition(range.lowerBound >= self.next, "settled twice")
            if range.lowerBound == self.next, self.early.isEmpty {
                self.next = range.upperBound
            } else {
                self.mark(range)
                while self.next < self.deliveries.upperBound, self.isMarked(self.next) { self.next += 1 }
            }
            self.open -= range.count
        }

        /// Lets go of the block, once all is settled.
        mutating func close() -> AdmittedBlock? {
            self.early = []
            return self.admitted.take()
        }

        private mutating func mark(_ range: Range<UInt64>) {
            if self.early.isEmpty {
                self.early = Array(repeating: 0, count: (self.deliveries.count + 63) / 64)
            }
            for delivery in range {
                precondition(!self.isMarked(delivery), "settled twice")
                let bit = delivery - self.deliveries.lowerBound
                self.early[Int(bit / 64)] |= 1 << (bit % 64)
            }
        }

        private func isMarked(_ delivery: UInt64) -> Bool {
            let bit = delivery - self.deliveries.lowerBound
            return self.early[Int(bit / 64)] & 1 << (bit % 64) != 0
        }
    }

    private var segments = Deque<Segment>()

    /// Blocks of segments that were settled, until somebody takes note.
    private var closed: [AdmittedBlock] = []

    /// Memory of the blocks that are kept for a delivery which is not settled: whole blocks, whatever else is in them.
    package private(set) var memory = 0

    /// The last position of the settled prefix; nil until the first record is settled.
    package private(set) var position: Position?

    /// The first and the last position that was delivered; nil before the first delivery.
    package private(set) var received: ClosedRange<Position>?

    /// Deliveries that are not settled.
    package private(set) var unsettled = 0

    /// The record's own time of the first delivery that is not settled; nil when all are.
    package var oldestUnsettled: Timestamp? {
        guard let first = self.segments.first, let admitted = first.admitted else { return nil }
        return admitted.block.entries[Int(first.next - admitted.firstDelivery)].timestamp
    }

    /// A partition of which nothing was delivered yet; up to `position`, if there is one, all was settled before.
    package init(position: Position? = nil) {
        self.position = position
    }

    /// Adds deliveries at the end: neighbouring records of a block, all of this partition.
    package mutating func admit(_ admitted: AdmittedBlock, _ indices: Range<Int>) {
        let first = admitted.firstDelivery + UInt64(indices.lowerBound)
        precondition(first >= self.segments.last?.deliveries.upperBound ?? 0, "deliveries go backward")
        let entries = admitted.block.entries
        let last = entries[indices.upperBound - 1].position
        let start = self.received?.lowerBound ?? entries[indices.lowerBound].position
        self.received = start...max(start, last)
        self.segments.append(
            Segment(
                admitted: admitted,
                deliveries: first..<first + UInt64(indices.count),
                next: first,
                open: indices.count,
                last: last
            )
        )
        self.unsettled += indices.count
        self.memory += admitted.memory
    }

    /// Nothing else is delivered up to a position: it is reached once all that was delivered before is settled.
    ///
    /// Returns whether ``position`` moved.
    package mutating func reach(_ position: Position) -> Bool {
        let end = self.segments.last?.deliveries.upperBound ?? 0
        self.segments.append(
            Segment(admitted: nil, deliveries: end..<end, next: end, open: 0, last: position)
        )
        self.merge(self.segments.count - 1)
        return self.advance()
    }

    /// Marks deliveries as settled; each exactly once.
    ///
    /// Returns whether ``position`` moved.
    package mutating func settle(_ run: Run) -> Bool {
        let base = run.admitted.firstDelivery
        if run.admitted.order == nil {
            self.settle(base + UInt64(run.range.lowerBound)..<base + UInt64(run.range.upperBound))
        } else {
            for index in run.indices { self.settle(base + UInt64(index)..<base + UInt64(index) + 1) }
        }
        self.unsettled -= run.count
        return self.advance()
    }

    private mutating func settle(_ deliveries: Range<UInt64>) {
        var rest = deliveries
        while !rest.isEmpty {
            let index = self.segment(holding: rest.lowerBound)
            let part = rest.clamped(to: self.segments[index].deliveries)
            precondition(part.lowerBound == rest.lowerBound, "settled what was never delivered")
            self.segments[index].settle(part)
            rest = part.upperBound..<rest.upperBound
            if self.segments[index].isSettled {
                if let admitted = self.segments[index].close() {
                    self.memory -= admitted.memory
                    self.closed.append(admitted)
                }
                self.merge(index)
            }
        }
    }

    /// Hands over the block of each stretch that was settled since the last call.
    mutating func takeClosed(_ visit: (AdmittedBlock) -> Void) {
        for admitted in self.closed { visit(admitted) }
        self.closed.removeAll(keepingCapacity: true)
    }

    /// Calls `visit` with the block of each stretch that is not settled.
    func forEachOpen(_ visit: (AdmittedBlock) -> Void) {
        for segment in self.segments {
            if let admitted = segment.admitted { visit(admitted) }
        }
    }

    /// Makes one of settled neighbours: behind a record that is tried for long, they are many.
    private mutating func merge(_ index: Int) {
        if index + 1 < self.segments.count, self.segments[index + 1].isSettled { self.join(index) }
        if index > 0, self.segments[index - 1].isSettled { self.join(index - 1) }
    }

    private mutating func join(_ index: Int) {
        let second = self.segments.remove(at: index + 1)
        let first = self.segments[index].deliveries.lowerBound
        self.segments[index] = second
        self.segments[index].deliveries = first..<second.deliveries.upperBound
    }

    private mutating func advance() -> Bool {
        let before = self.position
        while let first = self.segments.first, first.isSettled {
            self.position = first.last
            self.segments.removeFirst()
        }
        if let position = self.segments.first?.position { self.position = position }
        return self.position != before
    }

    /// Binary search; usually the first one.
    private func segment(holding delivery: UInt64) -> Int {
        if let first = self.segments.first, first.deliveries.contains(delivery) { return 0 }
        var low = 0
        var high = self.segments.count
        while low < high {
            let middle = (low + high) / 2
            if self.segments[middle].deliveries.upperBound <= delivery {
                low = middle + 1
            } else {
                high = middle
            }
        }
        precondition(low < self.segments.count, "settled what was never delivered")
        return low
    }
}
