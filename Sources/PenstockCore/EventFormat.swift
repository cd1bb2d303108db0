// SPDX-License-Identifier: Apache-2.0

/// How a source's records look in the body of an invocation.
///
/// Encodes a batch straight into the request body. Sizes are exact, because they decide how many records fit the
/// payload limit (esm-spec section 2). Pure; any thread.
package protocol EventFormat: Sendable {
    /// The body's content type, such as `application/json`.
    var contentType: String { get }

    /// The bytes of each record's event, in order, without separators.
    func sizes(of block: RecordBlock) -> RecordSizes

    /// Bytes around the records of each batch.
    var envelope: Int { get }

    /// Bytes that a partition adds to the envelope of a batch with records of it.
    func overhead(of partition: Partition) -> Int

    /// Whether it writes the window of a batch that has one.
    var takesWindows: Bool { get }

    /// Bytes that the window of a batch adds to it.
    func overhead(of window: BatchWindow) -> Int

    /// Writes the body. Exactly as many bytes as envelope, overheads, records and separators have, or fewer.
    func encode(_ batch: Batch, into writer: inout EventWriter)

    /// The place in the batch of the record that a function names in `batchItemFailures`; nil when there is none.
    func index(of item: ItemIdentifier, in batch: Batch) -> Int?
}

extension EventFormat {
    package func overhead(of partition: Partition) -> Int { 0 }

    /// It does not.
    package var takesWindows: Bool { false }

    package func overhead(of window: BatchWindow) -> Int { 0 }

    /// The bytes of a batch's body, or a few more.
    package func size(of batch: Batch) -> Int {
        var size = self.envelope + batch.bytes + batch.count
        if let window = batch.window { size += self.overhead(of: window) }
        var last: PartitionID?
        // The runs of a partition stand together.
        for run in batch.runs where run.count > 0 {
            let partition = run.partition
            if partition.id != last { size += self.overhead(of: partition) }
            last = partition.id
        }
        return size
    }
}

/// Running sums of the sizes of a block's records: `[0, a, a + b, …]`.
package struct RecordSizes: Sendable {
    /// The sums, one more than records.
    package var sums: [Int]

    /// Sums up `size(index)` for each of `count` records.
    @inline(__always)
    package init(count: Int, _ size: (Int) -> Int) {
        self.sums = unsafe [Int](unsafeUninitializedCapacity: count + 1) { buffer, initialized in
            unsafe buffer[0] = 0
            var sum = 0
            for index in 0..<count {
                sum += size(index)
                unsafe buffer[index + 1] = sum
            }
            initialized = count + 1
        }
    }
}

/// How a function names a record in `batchItemFailures` (esm-spec section 4).
package enum ItemIdentifier: Sendable, Equatable {
    /// A message id or a sequence number.
    case text(String)
    /// A Kafka topic-partition and offset.
    case offset(partition: String, offset: UInt64)
}

/// The bytes of an invocation's body: allocated once for an upper bound, reused for the next batch.
@safe
package final class EventBuffer: @unchecked Sendable {
    // @unchecked: written by the one writer before it is shared, then only read until it is reused.
    private var base: UnsafeMutableRawPointer
    /// Bytes that it has room for.
    package private(set) var capacity: Int

    /// Bytes written.
    package fileprivate(set) var count = 0

    /// A buffer without room; ``write(upTo:_:)`` makes it.
    package init() {
        unsafe self.base = .allocate(byteCount: 1, alignment: 16)
        self.capacity = 0
    }

    deinit {
        unsafe self.base.deallocate()
    }

    /// Replaces the contents by what `body` writes: at most `limit` bytes.
    package func write(upTo limit: Int, _ body: (inout EventWriter) -> Void) {
        if self.capacity < limit {
            unsafe self.base.deallocate()
            self.capacity = max(limit, min(self.capacity * 2, 8 << 20))
            unsafe self.base = .allocate(byteCount: self.capacity + EventWriter.overhang, alignment: 16)
        }
        var writer = unsafe EventWriter(start: self.base, limit: limit + EventWriter.overhang)
        body(&writer)
        self.count = writer.count
    }

    /// The bytes written.
    ///
    /// Valid while the buffer is alive and not written again.
    package var bytes: UnsafeRawBufferPointer {
        @unsafe get { unsafe UnsafeRawBufferPointer(start: self.base, count: self.count) }
    }
}
