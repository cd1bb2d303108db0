// SPDX-License-Identifier: Apache-2.0

/// A block as a pipeline admitted it: with delivery numbers and the sizes of its records' events.
@usableFromInline
package final class AdmittedBlock: Sendable {
    /// The records.
    @usableFromInline package let block: RecordBlock

    /// The number of the first record's delivery; the others follow.
    package let firstDelivery: UInt64

    /// When the pipeline received it.
    package let receivedAt: Instant

    /// Which record stands at which place, so that the records of a lane are neighbours; nil for the block's own order.
    @usableFromInline package let order: [UInt32]?

    /// `sizes[i]` is the bytes of the events at the first `i` places; one more entry than records.
    package let sizes: [Int]

    /// A block with the running sums of its records' sizes, in the block's own order.
    package init(
        block: RecordBlock,
        firstDelivery: UInt64,
        receivedAt: Instant,
        sizes: [Int],
        order: [UInt32]? = nil
    ) {
        self.block = block
        self.firstDelivery = firstDelivery
        self.receivedAt = receivedAt
        self.order = order
        if let order {
            var sum = 0
            self.sizes =
                [0]
                + order.map { index in
                    sum += sizes[Int(index) + 1] - sizes[Int(index)]
                    return sum
                }
        } else {
            self.sizes = sizes
        }
    }

    /// The record at a place.
    @inlinable
    @inline(__always)
    package func index(at place: Int) -> Int {
        guard let order = self.order else { return place }
        return Int(order[place])
    }

    /// Memory that is kept as long as one of its records is: their bytes, and their places in tables.
    package var memory: Int {
        self.block.memory + self.block.count * 12
    }
}

/// The blocks that are kept because a record of theirs is not settled, and the memory that they take.
struct BlockLedger {
    /// How many stretches of each block are not settled, by the number of its first delivery.
    private var stretches: [UInt64: Int] = [:]

    /// Memory of all blocks; each counts once.
    private(set) var bytes = 0

    /// A stretch of a block was admitted.
    mutating func open(_ admitted: AdmittedBlock) {
        if self.stretches.updateValue(
            1 + (self.stretches[admitted.firstDelivery] ?? 0),
            forKey: admitted.firstDelivery
        ) == nil {
            self.bytes += admitted.memory
        }
    }

    /// A stretch of a block was settled, or given up with its partition.
    mutating func close(_ admitted: AdmittedBlock) {
        let left = (self.stretches[admitted.firstDelivery] ?? 1) - 1
        self.stretches[admitted.firstDelivery] = left > 0 ? left : nil
        if left == 0 { self.bytes -= admitted.memory }
    }
}

/// Records of one lane that are neighbours in one block: what the ledger keeps instead of single records.
///
/// With one lane for each partition these are contiguous records of the block; with several, the block's order table
/// puts the records of a lane beside each other.
@usableFromInline
package struct Run: Sendable {
    /// Where the records are.
    @usableFromInline package let admitted: AdmittedBlock

    /// Their places in the block's order.
    @usableFromInline package var range: Range<Int>

    /// Whether no filter matched them, so that they are given up in their turn instead of invoked.
    package let isFiltered: Bool

    /// The records at these places of a block, all of one lane.
    package init(admitted: AdmittedBlock, range: Range<Int>, isFiltered: Bool = false) {
        self.admitted = admitted
        self.range = range
        self.isFiltered = isFiltered
    }

    /// How many records.
    @inlinable package var count: Int { self.range.count }

    /// Bytes of the records' events, without separators.
    package var bytes: Int {
        self.admitted.sizes[self.range.upperBound] - self.admitted.sizes[self.range.lowerBound]
    }

    /// The partition of all its records.
    package var partition: Partition { self.admitted.block.partition(at: self.first) }

    /// The block's index of the first record.
    @inlinable package var first: Int { self.admitted.index(at: self.range.lowerBound) }

    /// The number of the first record's delivery.
    var firstDelivery: UInt64 { self.admitted.firstDelivery + UInt64(self.first) }

    /// The block's indices of its records, ascending.
    @inlinable package var indices: RecordIndices {
        RecordIndices(order: self.admitted.order, places: self.range)
    }

    /// The position of its first record.
    package var firstPosition: Position { self.admitted.block.entries[self.first].position }

    /// The position of its last record.
    package var lastPosition: Position {
        self.admitted.block.entries[self.admitted.index(at: self.range.upperBound - 1)].position
    }

    /// The record at a position; nil when the run has none.
    package func offset(of position: Position) -> Int? {
        let (indices, entries) = (self.indices, self.admitted.block.entries)
        var low = self.range.lowerBound
        var high = self.range.upperBound
        // Positions of a run grow, with holes where upstream has none.
        while low < high {
            let middle = low + (high - low) / 2
            if entries[indices[middle]].position < position { low = middle + 1 } else { high = middle }
        }
        guard low < self.range.upperBound, entries[indices[low]].position == position else { return nil }
        return low - self.range.lowerBound
    }

    /// Its records in order, those in the ranges of the block's indices apart from the others.
    func split(by passing: [Range<Int>]) -> [Run] {
        let indices = self.indices
        var parts: [Run] = []
        // The ranges ascend, and so do a run's indices.
        var next = passing.partitioningIndex { $0.upperBound > self.first }
        var start = self.range.lowerBound
        var isPassing: Bool?
        for place in self.range {
            let index = indices[place]
            while next < passing.count, passing[next].upperBound <= index { next += 1 }
            let passes = next < passing.count && passing[next].contains(index)
            if let isPassing, isPassing != passes {
                parts.append(Run(admitted: self.admitted, range: start..<place, isFiltered: !isPassing))
                start = place
            }
            isPassing = passes
        }
        if let isPassing {
            parts.append(
                Run(admitted: self.admitted, range: start..<self.range.upperBound, isFiltered: !isPassing)
            )
        }
        return parts
    }

    /// Cuts off and returns the first `count` records.
    package mutating func removePrefix(_ count: Int) -> Run {
        let middle = self.range.lowerBound + count
        let prefix = Run(
            admitted: self.admitted,
            range: self.range.lowerBound..<middle,
            isFiltered: self.isFiltered
        )
        self.range = middle..<self.range.upperBound
        return prefix
    }
}

/// The block's indices of the records of a ``Run``, by their places.
@usableFromInline
package struct RecordIndices: RandomAccessCollection, Sendable {
    @usableFromInline let order: [UInt32]?
    @usableFromInline let places: Range<Int>

    @inlinable
    init(order: [UInt32]?, places: Range<Int>) {
        self.order = order
        self.places = places
    }

    @inlinable package var startIndex: Int { self.places.lowerBound }
    @inlinable package var endIndex: Int { self.places.upperBound }

    @inlinable
    @inline(__always)
    package subscript(place: Int) -> Int {
        guard let order = self.order else { return place }
        return Int(order[place])
    }
}

extension Array {
    /// The first place at which a condition holds that holds from there on; binary search.
    fileprivate func partitioningIndex(where isBehind: (Element) -> Bool) -> Int {
        var low = 0
        var high = self.count
        while low < high {
            let middle = low + (high - low) / 2
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// Names a batch of one trigger; it grows.
package struct BatchID: Hashable, Sendable {
    /// The number.
    package var rawValue: UInt64

    /// The id with this number.
    package init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

/// The records of one invocation: runs in order, those of a partition together.
package struct Batch: Sendable {
    /// Names the batch.
    package let id: BatchID

    /// The records, in the order in which the function gets them.
    package let runs: [Run]

    /// How many records.
    package let count: Int

    /// Bytes of the records' events, without separators and envelope.
    package let bytes: Int

    /// The number of the attempt, from 1; throttled tries do not count.
    package let attempt: Int

    /// The tumbling window of its records, which are all of one partition; nil for none.
    package let window: BatchWindow?

    /// A batch of these runs; without any only for the final call of a window.
    package init(id: BatchID, runs: [Run], attempt: Int, window: BatchWindow? = nil) {
        self.id = id
        self.window = window
        self.runs = runs
        self.count = runs.reduce(0) { $0 + $1.count }
        self.bytes = runs.reduce(0) { $0 + $1.bytes }
        self.attempt = attempt
    }
}

/// What came of one delivery.
package enum Verdict: Sendable, Equatable {
    /// The function dealt with it.
    case succeeded
    /// The function failed on it; it may be tried again.
    case failed
    /// The function refused it for good.
    case poison
}

/// What came of the invocation of a batch.
package enum BatchVerdict: Sendable, Equatable {
    /// All records succeeded.
    case succeeded
    /// All records failed.
    case failed(Failure)
    /// One verdict for each record, in the batch's order; exactly ``Batch/count`` of them.
    case partial([Verdict], Failure)
    /// All records were refused for good.
    case poison(Failure)
    /// The function had no room, or could not be reached: nothing was tried. Costs no attempt.
    case throttled(retryAfter: Duration?, Failure)
    /// Nobody wants the records any more: the invocation was cancelled, or never began. They are settled.
    case cancelled(Failure)
}
