// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// The answer of `GetRecords` (AWS JSON 1.0): read once, for all who have its records handed out.
struct StreamPage: Sendable {
    /// The changes, in order.
    private(set) var records: [RecordEntry]

    /// Where the shard goes on; nil when the answer says that this is its end, which half of an answer does, too.
    let next: String?

    /// Bytes of the answer.
    let byteCount: Int

    /// How many changes the answer had.
    private let count: Int

    /// What the changes are made of.
    private let bytes: RecordBytes

    /// Reads an answer.
    ///
    /// - Throws: also for one without a list of records, which says nothing: not that the shard has ended either.
    init(_ answer: [UInt8]) throws(JSONCursor.Malformed) {
        var builder = RecordBlockBuilder(
            byteCapacity: answer.count,
            recordCapacity: min(answer.count / Self.recordBytes, Self.recordsMax)
        )
        var next: String?
        var hasRecords = false
        var scratch: [UInt8] = []
        var cursor = JSONCursor(answer)
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "Records"), cursor.isNext(UInt8(ascii: "[")) {
                hasRecords = true
                try cursor.elements { (cursor) throws(JSONCursor.Malformed) in
                    try StreamRecord(&cursor).append(from: cursor, to: &builder, &scratch)
                }
            } else if cursor.isEqual(name, "NextShardIterator"), cursor.isNext(UInt8(ascii: "\"")) {
                next = try cursor.value(cursor.string())
            } else {
                try cursor.skip()
            }
        }
        guard hasRecords else { throw JSONCursor.Malformed(offset: 0) }
        self.next = next
        self.byteCount = answer.count
        self.count = builder.count
        (self.records, self.bytes) = builder.finishEntries()
    }

    /// Whether it says that there is more at once.
    var isFull: Bool { self.count >= Self.fullRecords || self.byteCount >= Self.fullBytes }
    private static let fullRecords = 100
    private static let fullBytes = 128 << 10
    /// A page has no more records, and most records have more bytes.
    private static let recordsMax = 1000
    private static let recordBytes = 256

    /// The first and the last sequence number; nil without records.
    var first: Position? { self.records.first?.position }
    var last: Position? { self.records.last?.position }

    /// Leaves out what stands before a record, and that record.
    mutating func remove(through position: Position) {
        self.records.removeAll { $0.position <= position }
    }

    /// Leaves out what was written before a time.
    mutating func remove(before time: Timestamp) {
        self.records.removeAll { $0.timestamp < time }
    }

    /// Some of its records as those of a partition: a block that shares their bytes.
    func block(_ range: Range<Int>, of partition: Partition) -> RecordBlock {
        RecordBlock(self.records[range], in: self.bytes, of: partition)
    }
}
