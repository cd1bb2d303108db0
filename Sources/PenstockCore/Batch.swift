// SPDX-License-Identifier: Apache-2.0

/// A block as a pipeline admitted it: with delivery numbers and the sizes of its records' events.
package final class AdmittedBlock: Sendable {
    /// The records.
    package let block: RecordBlock

    /// The number of the first record's delivery; the others follow.
    package let firstDelivery: UInt64

    /// When the pipeline received it.
    package let receivedAt: Instant

    /// `sizes[i]` is the bytes of the events of the first `i` records; one more entry than records.
    package let sizes: [Int]

    /// A block with one size for each record, summed up.
    package init(block: RecordBlock, firstDelivery: UInt64, receivedAt: Instant, sizes: [Int]) {
        self.block = block
        self.firstDelivery = firstDelivery
        self.receivedAt = receivedAt
        self.sizes = sizes
    }
}

/// Contiguous deliveries of one partition in one block: what the ledger keeps instead of single records.
package struct Run: Sendable {
    /// Where the records are.
    package let admitted: AdmittedBlock

    /// Which of the block's records.
    package var range: Range<Int>

    /// A run of a block's records, all of one partition.
    package init(admitted: AdmittedBlock, range: Range<Int>) {
        self.admitted = admitted
        self.range = range
    }

    /// How many records.
    package var count: Int { self.range.count }

    /// Bytes of the records' events, without separators.
    package var bytes: Int {
        self.admitted.sizes[self.range.upperBound] - self.admitted.sizes[self.range.lowerBound]
    }

    /// The partition of all its records.
    package var partition: Partition { self.admitted.block.partition(at: self.range.lowerBound) }

    /// The numbers of its deliveries.
    package var deliveries: Range<UInt64> {
        self.admitted.firstDelivery + UInt64(self.range.lowerBound)..<self.admitted.firstDelivery
            + UInt64(self.range.upperBound)
    }

    /// Cuts off and returns the first `count` records.
    package mutating func removePrefix(_ count: Int) -> Run {
        let middle = self.range.lowerBound + count
        let prefix = Run(admitted: self.admitted, range: self.range.lowerBound..<middle)
        self.range = middle..<self.range.upperBound
        return prefix
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

    /// A batch of these runs.
    package init(id: BatchID, runs: [Run], attempt: Int) {
        self.id = id
        self.runs = runs
        self.count = runs.reduce(0) { $0 + $1.count }
        self.bytes = runs.reduce(0) { $0 + $1.bytes }
        self.attempt = attempt
    }

    /// The partitions of its records, each once, in the order in which they come first.
    package var partitions: [Partition] {
        var seen: Set<PartitionID> = []
        return self.runs.map(\.partition).filter { seen.insert($0.id).inserted }
    }

    /// The position of the first record, from which the invocation's stable id is made.
    package var first: (partition: Partition, position: Position) {
        let run = self.runs[0]
        return (run.partition, run.admitted.block.entries[run.range.lowerBound].position)
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
}
