// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// The highest position of one partition up to which everything delivered is settled.
///
/// A queue of deliveries in order, not arithmetic on offsets: compaction and transactions leave gaps in Kafka's
/// offsets, and they must not stall it. A run is one segment until a failure splits it.
package struct Watermark: Sendable {
    private struct Segment {
        var deliveries: Range<UInt64>
        var last: Position
        var isSettled: Bool
    }

    private var segments = Deque<Segment>()

    /// The last position of the settled prefix; nil until the first record is settled.
    package private(set) var position: Position?

    /// Deliveries that are not settled.
    package private(set) var unsettled = 0

    /// A partition of which nothing was delivered yet.
    package init() {}

    /// Adds deliveries at the end.
    package mutating func admit(_ run: Run) {
        precondition(
            run.deliveries.lowerBound >= self.segments.last?.deliveries.upperBound ?? 0,
            "deliveries go backward"
        )
        self.segments.append(Segment(deliveries: run.deliveries, last: Self.last(of: run), isSettled: false))
        self.unsettled += run.count
    }

    /// Marks deliveries as settled; each exactly once.
    ///
    /// Returns whether ``position`` moved.
    package mutating func settle(_ run: Run) -> Bool {
        var rest = run
        var index = self.segment(holding: run.deliveries.lowerBound)
        while !rest.range.isEmpty {
            let segment = self.segments[index]
            precondition(
                !segment.isSettled && segment.deliveries.contains(rest.deliveries.lowerBound),
                "settled twice"
            )
            let before = Int(rest.deliveries.lowerBound - segment.deliveries.lowerBound)
            if before > 0 {
                self.split(index, at: rest.deliveries.lowerBound, last: Self.position(before: rest))
                index += 1
                continue
            }
            let part = rest.removePrefix(min(rest.count, segment.deliveries.count))
            if part.count < segment.deliveries.count {
                self.split(index, at: part.deliveries.upperBound, last: Self.last(of: part))
            }
            self.segments[index].isSettled = true
            self.unsettled -= part.count
            index += 1
        }
        return self.advance()
    }

    private mutating func advance() -> Bool {
        var moved = false
        while let first = self.segments.first, first.isSettled {
            self.position = first.last
            self.segments.removeFirst()
            moved = true
        }
        return moved
    }

    private mutating func split(_ index: Int, at delivery: UInt64, last: Position) {
        let segment = self.segments[index]
        self.segments[index].deliveries = segment.deliveries.lowerBound..<delivery
        self.segments[index].last = last
        let tail = Segment(
            deliveries: delivery..<segment.deliveries.upperBound,
            last: segment.last,
            isSettled: segment.isSettled
        )
        self.segments.insert(tail, at: index + 1)
    }

    /// Binary search; usually the first one.
    private func segment(holding delivery: UInt64) -> Int {
        var low = 0
        var high = self.segments.count
        if let first = self.segments.first, first.deliveries.contains(delivery) { return 0 }
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

    private static func last(of run: Run) -> Position {
        run.admitted.block.entries[run.range.upperBound - 1].position
    }

    private static func position(before run: Run) -> Position {
        run.admitted.block.entries[run.range.lowerBound - 1].position
    }
}
