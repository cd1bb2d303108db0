// SPDX-License-Identifier: Apache-2.0

/// One record's place in a ``RecordBlock``: fixed size, no references.
@usableFromInline
package struct RecordEntry: Sendable {
    /// Where the record stands in its partition.
    @usableFromInline package var position: Position

    /// The record's own time.
    @usableFromInline package var timestamp: Timestamp

    /// Which of the block's partitions it belongs to.
    @usableFromInline package var partitionIndex: UInt32

    /// Where its bytes begin: key, then body, then attributes.
    @usableFromInline package var offset: UInt32

    /// Bytes of the key; negative when there is none (a null key is not an empty key).
    @usableFromInline package var keyLength: Int32

    /// Bytes of the body; negative when there is none (a Kafka tombstone).
    @usableFromInline package var bodyLength: Int32

    /// Bytes of the encoded attributes.
    @usableFromInline package var attributesLength: UInt32

    /// How many attributes (headers) the record has; order and duplicates are kept.
    @usableFromInline package var attributeCount: UInt16

    /// Free for the source: which kind of timestamp, which kind of change.
    @usableFromInline package var tag: UInt8

    /// Bytes of its key, body and attributes.
    @inlinable package var byteCount: Int {
        Int(max(0, self.keyLength)) + Int(max(0, self.bodyLength)) + Int(self.attributesLength)
    }

    @inlinable
    @inline(__always)
    init(
        position: Position,
        timestamp: Timestamp,
        partitionIndex: UInt32,
        offset: UInt32,
        keyLength: Int32,
        bodyLength: Int32,
        attributesLength: UInt32,
        attributeCount: UInt16,
        tag: UInt8
    ) {
        self.position = position
        self.timestamp = timestamp
        self.partitionIndex = partitionIndex
        self.offset = offset
        self.keyLength = keyLength
        self.bodyLength = bodyLength
        self.attributesLength = attributesLength
        self.attributeCount = attributeCount
        self.tag = tag
    }
}

/// Under what lease the records of a block were received.
package struct BlockLease: Sendable, Equatable {
    /// When the lease ends, on the loop's clock, reckoned from before the request left; nil for one that does not end.
    package var until: Instant?

    /// How often each record failed before, where upstream counts; empty where it does not.
    package var attempts: [UInt32]

    /// A lease.
    package init(until: Instant?, attempts: [UInt32] = []) {
        self.until = until
        self.attempts = attempts
    }
}

/// The bytes of records, into which the entries of one or several blocks point.
///
/// Immutable.
@safe
package final class RecordBytes: @unchecked Sendable {
    // @unchecked: the memory is written before `init` and never after; `deinit` frees it.
    fileprivate let base: UnsafeMutableRawPointer

    /// Takes over `base`, which has ``RecordBlock/tail`` readable bytes behind those of the records.
    fileprivate init(base: UnsafeMutableRawPointer) {
        unsafe self.base = unsafe base
    }

    deinit {
        unsafe self.base.deallocate()
    }
}

/// What one receive brought: bytes, and a table of entries that point into them.
///
/// Immutable.
///
/// The unit in which records move through Penstock: one buffer for many records, shared by reference until the
/// last of them is settled. `RecordBlockBuilder` makes it.
@safe
@usableFromInline
package final class RecordBlock: @unchecked Sendable {
    // @unchecked: `bytes` keeps what `base` points to, which is not written any more.
    @usableFromInline let base: UnsafeMutableRawPointer
    private let bytes: RecordBytes

    /// Bytes of keys, bodies and attributes held.
    package let byteCount: Int

    /// The records in the order they were received.
    @usableFromInline package let entries: [RecordEntry]

    /// The partitions the entries index into.
    package let partitions: [Partition]

    /// The lease of all its records; nil for records that are settled by their position.
    package let lease: BlockLease?

    fileprivate init(
        _ bytes: RecordBytes,
        byteCount: Int,
        entries: [RecordEntry],
        partitions: [Partition],
        lease: BlockLease?
    ) {
        unsafe self.base = unsafe bytes.base
        self.bytes = bytes
        self.byteCount = byteCount
        self.entries = entries
        self.partitions = partitions
        self.lease = lease
    }

    /// Records of one partition whose bytes may be those of other blocks, too; each has 0 as its ``RecordEntry/partitionIndex``.
    package convenience init(
        _ entries: ArraySlice<RecordEntry>,
        in bytes: RecordBytes,
        of partition: Partition
    ) {
        self.init(
            bytes,
            byteCount: entries.reduce(0) { $0 + $1.byteCount },
            entries: Array(entries),
            partitions: [partition],
            lease: nil
        )
    }

    /// Readable bytes behind the last record, so that a parser may read past the end of a body.
    @inlinable package static var tail: Int { 64 }

    /// How many records the block holds.
    package var count: Int { self.entries.count }

    /// Bytes that the block takes: its buffer and its table.
    package var memory: Int { self.byteCount + self.count * MemoryLayout<RecordEntry>.stride }

    /// The partition of the record at `index`.
    package func partition(at index: Int) -> Partition {
        self.partitions[Int(self.entries[index].partitionIndex)]
    }

    /// The key's bytes, or nil for a null key.
    ///
    /// Valid while the block is alive.
    @unsafe
    @inlinable
    package func key(at index: Int) -> UnsafeRawBufferPointer? {
        let entry = self.entries[index]
        guard entry.keyLength >= 0 else { return nil }
        return unsafe UnsafeRawBufferPointer(
            start: self.base + Int(entry.offset),
            count: Int(entry.keyLength)
        )
    }

    /// The body's bytes, or nil for a record without a body.
    ///
    /// Valid while the block is alive.
    @unsafe
    @inlinable
    package func body(at index: Int) -> UnsafeRawBufferPointer? {
        let entry = self.entries[index]
        guard entry.bodyLength >= 0 else { return nil }
        let start = unsafe self.base + Int(entry.offset) + Int(max(0, entry.keyLength))
        return unsafe UnsafeRawBufferPointer(start: start, count: Int(entry.bodyLength))
    }

    /// Walks the attributes of the record at `index` in order, with their raw bytes; a nil value is a null value.
    ///
    /// The pointers are valid during the call only.
    @unsafe
    @inlinable
    package func forEachAttribute(
        at index: Int,
        _ visit: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) -> Void
    ) {
        let entry = self.entries[index]
        guard entry.attributeCount > 0 else { return }
        let start = Int(entry.offset) + Int(max(0, entry.keyLength)) + Int(max(0, entry.bodyLength))
        var cursor = unsafe self.base + start
        for _ in 0..<entry.attributeCount {
            let nameLength = unsafe Int(cursor.loadUnaligned(as: UInt32.self))
            let valueLength = unsafe Int(cursor.loadUnaligned(fromByteOffset: 4, as: Int32.self))
            let name = unsafe UnsafeRawBufferPointer(start: cursor + 8, count: nameLength)
            unsafe cursor += 8 + nameLength
            if valueLength < 0 {
                unsafe visit(name, nil)
            } else {
                unsafe visit(name, UnsafeRawBufferPointer(start: cursor, count: valueLength))
                unsafe cursor += valueLength
            }
        }
    }

    /// A block of the record at `index` alone, without its lease.
    package func only(_ index: Int) -> RecordBlock {
        let entry = self.entries[index]
        let (key, body) = unsafe (self.key(at: index), self.body(at: index))
        var builder = RecordBlockBuilder(
            byteCapacity: unsafe (key?.count ?? 0) + (body?.count ?? 0),
            recordCapacity: 1
        )
        let partition = builder.add(self.partition(at: index))
        unsafe builder.append(
            position: entry.position,
            timestamp: entry.timestamp,
            tag: entry.tag,
            partitionIndex: partition,
            payload: RecordPayload(key: key, body: body)
        )
        unsafe self.forEachAttribute(at: index) { unsafe builder.appendAttribute(name: $0, value: $1) }
        return builder.finish()
    }
}

/// Collects the records of one receive into a ``RecordBlock``: one buffer, bytes copied once.
///
/// Used by one thread. The caller bounds a block: it takes no record while ``isFull``, because offsets are 32 bits wide.
@safe
@usableFromInline
package struct RecordBlockBuilder: ~Copyable {
    @usableFromInline var base: UnsafeMutableRawPointer
    @usableFromInline var capacity: Int
    @usableFromInline var used = 0
    @usableFromInline var entries: [RecordEntry] = []
    private var partitions: [Partition] = []

    /// Room for about this much; grows when needed.
    package init(byteCapacity: Int, recordCapacity: Int) {
        self.capacity = max(byteCapacity, 1024) + RecordBlock.tail
        unsafe self.base = .allocate(byteCount: self.capacity, alignment: 16)
        self.entries.reserveCapacity(recordCapacity)
    }

    deinit {
        unsafe self.base.deallocate()
    }

    /// Records collected so far.
    @inlinable package var count: Int { self.entries.count }

    /// Bytes collected so far.
    @inlinable package var byteCount: Int { self.used }

    /// Whether another record needs another block, at 1 GiB.
    @inlinable package var isFull: Bool { self.used >= Self.byteCountMax }

    /// With the largest record behind it, of 2 GiB, offsets still fit 32 bits.
    @usableFromInline static var byteCountMax: Int { 1 << 30 }

    /// The index to give ``append(position:timestamp:tag:partitionIndex:key:body:)`` for `partition`'s records.
    package mutating func add(_ partition: Partition) -> UInt32 {
        self.partitions.append(partition)
        return UInt32(self.partitions.count - 1)
    }

    /// Copies one record in.
    ///
    /// At most 2 GiB of it, with its attributes, which follow by ``appendAttribute(name:value:)``; the block must not be
    /// full. Inlined into the source's loop: it runs for each record.
    @inlinable
    @inline(__always)
    package mutating func append(
        position: Position,
        timestamp: Timestamp,
        tag: UInt8,
        partitionIndex: UInt32,
        payload: RecordPayload
    ) {
        let keyCount = unsafe payload.key?.count ?? 0
        let bodyCount = unsafe payload.body?.count ?? 0
        let offset = self.used
        precondition(offset <= Int(UInt32.max), "a record was appended to a full block")
        if offset + keyCount + bodyCount + RecordBlock.tail > self.capacity {
            self.grow(to: offset + keyCount + bodyCount + RecordBlock.tail)
        }
        let start = unsafe self.base + offset
        if let key = unsafe payload.key?.baseAddress, keyCount > 0 {
            unsafe start.copyMemory(from: key, byteCount: keyCount)
        }
        if let body = unsafe payload.body?.baseAddress, bodyCount > 0 {
            unsafe (start + keyCount).copyMemory(from: body, byteCount: bodyCount)
        }
        self.used = offset + keyCount + bodyCount
        self.entries.append(
            RecordEntry(
                position: position,
                timestamp: timestamp,
                partitionIndex: partitionIndex,
                offset: UInt32(truncatingIfNeeded: offset),
                keyLength: unsafe payload.key == nil ? -1 : Int32(truncatingIfNeeded: keyCount),
                bodyLength: unsafe payload.body == nil ? -1 : Int32(truncatingIfNeeded: bodyCount),
                attributesLength: 0,
                attributeCount: 0,
                tag: tag
            )
        )
    }

    /// Adds an attribute to the record appended last; at most 65,535 are kept.
    @inlinable
    package mutating func appendAttribute(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?) {
        let last = self.entries.count - 1
        guard last >= 0, self.entries[last].attributeCount < .max else { return }
        let before = self.used
        let nameLength = UInt32(truncatingIfNeeded: name.count)
        let valueLength = unsafe value.map { Int32(truncatingIfNeeded: $0.count) } ?? -1
        unsafe withUnsafeBytes(of: nameLength) { unsafe self.copy($0) }
        unsafe withUnsafeBytes(of: valueLength) { unsafe self.copy($0) }
        unsafe self.copy(name)
        if let value = unsafe value { unsafe self.copy(value) }
        self.entries[last].attributeCount += 1
        self.entries[last].attributesLength += UInt32(self.used - before)
    }

    /// Adds an attribute to the record appended last, with what `write` writes: at most `limit` bytes.
    package mutating func appendAttribute(
        name: UnsafeRawBufferPointer,
        upTo limit: Int,
        _ write: (inout EventWriter) -> Void
    ) {
        let before = self.used
        unsafe self.appendAttribute(name: name, value: UnsafeRawBufferPointer(start: nil, count: 0))
        guard self.used > before else { return }
        // The writer's overhang is in the tail.
        if self.used + limit + RecordBlock.tail > self.capacity {
            self.grow(to: self.used + limit + RecordBlock.tail)
        }
        var writer = unsafe EventWriter(start: self.base + self.used, limit: limit)
        write(&writer)
        let count = writer.count
        unsafe self.base.storeBytes(of: Int32(count), toByteOffset: before + 4, as: Int32.self)
        self.used += count
        self.entries[self.entries.count - 1].attributesLength += UInt32(count)
    }

    /// The finished block; the builder is used up.
    package consuming func finish(lease: BlockLease? = nil) -> RecordBlock {
        let (count, partitions) = (self.used, self.partitions)
        let (entries, bytes) = self.finishEntries()
        return RecordBlock(bytes, byteCount: count, entries: entries, partitions: partitions, lease: lease)
    }

    /// What the blocks are made of that shall share the records' bytes; the builder is used up.
    package consuming func finishEntries() -> (entries: [RecordEntry], bytes: RecordBytes) {
        let bytes = unsafe RecordBytes(base: self.base)
        // They own the memory now; give `deinit` something else to free.
        unsafe self.base = .allocate(byteCount: 1, alignment: 1)
        return (self.entries, bytes)
    }

    @inlinable
    @inline(__always)
    mutating func copy(_ bytes: UnsafeRawBufferPointer) {
        let count = bytes.count
        guard let source = bytes.baseAddress, count > 0 else { return }
        if self.used + count + RecordBlock.tail > self.capacity {
            self.grow(to: self.used + count + RecordBlock.tail)
        }
        unsafe (self.base + self.used).copyMemory(from: source, byteCount: count)
        self.used += count
    }

    @usableFromInline
    @inline(never)
    mutating func grow(to needed: Int) {
        let capacity = max(needed, self.capacity * 2)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        unsafe larger.copyMemory(from: self.base, byteCount: self.used)
        unsafe self.base.deallocate()
        unsafe self.base = unsafe larger
        self.capacity = capacity
    }
}

/// The bytes of a record while they are copied into a block: valid during that call only.
@unsafe
@usableFromInline
package struct RecordPayload {
    /// The key, or nil for a null key.
    @usableFromInline package var key: UnsafeRawBufferPointer?

    /// The body, or nil for a record without one.
    @usableFromInline package var body: UnsafeRawBufferPointer?

    /// Borrowed bytes of one record.
    @inlinable
    @inline(__always)
    package init(key: UnsafeRawBufferPointer?, body: UnsafeRawBufferPointer?) {
        unsafe self.key = unsafe key
        unsafe self.body = unsafe body
    }
}
