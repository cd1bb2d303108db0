// SPDX-License-Identifier: Apache-2.0

import PostgresClient

/// One message of Postgres' output plugin `pgoutput`, version 1 (Postgres: "Logical Replication Message Formats").
///
/// Pure. What it holds of rows points into the bytes it was read from, and is valid as long as they are.
enum PgoutputMessage {
    /// A transaction begins, which was committed at this place and time.
    case begin(ReplicatedTransaction)
    /// It is complete; the log goes on at this place.
    case commit(end: LogSequenceNumber)
    /// What a table looks like from now on.
    case relation(RelationMessage)
    /// A row was written.
    case insert(relation: UInt32, new: TupleData)
    /// A row was changed; `old` is its key or all of it, where the table's replica identity has that.
    case update(relation: UInt32, old: OldTuple?, new: TupleData)
    /// A row was removed.
    case delete(relation: UInt32, old: OldTuple)
    /// Tables were emptied together.
    case truncate(relations: [UInt32])
    /// What is of no interest: the name of a type, where a transaction comes from, a message that an application wrote.
    case other

    /// A row as it was.
    struct OldTuple {
        var tuple: TupleData
        /// Whether it has all columns, and not those of the key alone.
        var isWhole: Bool
    }

    /// Reads a message.
    ///
    /// - Throws: ``PgoutputError`` for what is none; nothing is read beyond the bytes, whatever they are.
    init(_ bytes: UnsafeRawBufferPointer) throws(PgoutputError) {
        var reader = unsafe ByteReader(bytes)
        let kind = try reader.byte()
        switch kind {
        case UInt8(ascii: "B"):
            let final = try reader.lsn()
            let time = Int64(bitPattern: try reader.quad())
            self = .begin(ReplicatedTransaction(commit: final, time: time, id: try reader.word()))
        case UInt8(ascii: "C"):
            _ = try reader.byte()
            _ = try reader.quad()
            let end = try reader.lsn()
            _ = try reader.quad()
            self = .commit(end: end)
        case UInt8(ascii: "R"): self = .relation(try RelationMessage(&reader))
        case UInt8(ascii: "I"):
            let relation = try reader.word()
            try reader.expect(UInt8(ascii: "N"))
            self = .insert(relation: relation, new: try reader.tuple())
        case UInt8(ascii: "U"):
            let relation = try reader.word()
            let (old, new) = try reader.images()
            self = .update(relation: relation, old: old, new: new)
        case UInt8(ascii: "D"):
            let relation = try reader.word()
            let part = try reader.byte()
            guard let isWhole = Self.isWhole(part) else { throw PgoutputError("a row of kind \(part)") }
            self = .delete(relation: relation, old: OldTuple(tuple: try reader.tuple(), isWhole: isWhole))
        case UInt8(ascii: "T"):
            let count = Int(try reader.word())
            _ = try reader.byte()
            guard count >= 0, count * 4 <= reader.left else { throw PgoutputError("\(count) tables") }
            var relations: [UInt32] = []
            for _ in 0..<count { relations.append(try reader.word()) }
            self = .truncate(relations: relations)
        case UInt8(ascii: "Y"), UInt8(ascii: "O"), UInt8(ascii: "M"):
            // Their contents are not used: what the server wrote is taken as it is.
            self = .other
            return
        default: throw PgoutputError("a message of kind \(kind)")
        }
        guard reader.left == 0 else { throw PgoutputError("\(reader.left) bytes too many") }
    }

    static func isWhole(_ part: UInt8) -> Bool? {
        switch part {
        case UInt8(ascii: "O"): true
        case UInt8(ascii: "K"): false
        default: nil
        }
    }
}

/// The server sent what cannot be understood.
struct PgoutputError: Error, Equatable, CustomStringConvertible {
    let detail: String

    init(_ detail: String) {
        self.detail = detail
    }

    var description: String { "the server sent a change that is not understood: \(self.detail)" }
}

/// A transaction as its first message tells of it.
struct ReplicatedTransaction: Sendable, Equatable {
    /// Where it was committed, which is later in the log than that of any other transaction before it.
    var commit: LogSequenceNumber
    /// When, in microseconds since 2000-01-01.
    var time: Int64
    /// The server's number of it, which comes again after four thousand million.
    var id: UInt32
}

/// What a table looks like.
struct RelationMessage: Sendable, Equatable {
    struct Column: Sendable, Equatable {
        var name: String
        var type: UInt32
        /// Whether it is part of the replica identity.
        var isKey: Bool
    }

    var id: UInt32
    var schema: String
    var table: String
    /// `d` for the primary key, `n` for nothing, `f` for all columns, `i` for an index.
    var identity: UInt8
    var columns: [Column]

    init(id: UInt32, schema: String, table: String, identity: UInt8, columns: [Column]) {
        self.id = id
        self.schema = schema
        self.table = table
        self.identity = identity
        self.columns = columns
    }

    fileprivate init(_ reader: inout ByteReader) throws(PgoutputError) {
        self.id = try reader.word()
        let schema = try reader.text()
        // The protocol leaves it out for pg_catalog.
        self.schema = schema.isEmpty ? "pg_catalog" : schema
        self.table = try reader.text()
        self.identity = try reader.byte()
        let count = Int(try reader.half())
        self.columns = []
        for _ in 0..<count {
            let flags = try reader.byte()
            let name = try reader.text()
            let type = try reader.word()
            _ = try reader.word()
            self.columns.append(Column(name: name, type: type, isKey: flags & 1 != 0))
        }
    }
}

/// One value of a row.
@safe
enum TupleValue {
    /// NULL; for a column that is not in the key also of an old key.
    case null
    /// It is large, was not changed, and is not sent.
    case unchanged
    /// Its text.
    case text(UnsafeRawBufferPointer)
}

/// The values of a row, which were looked at before: walking through them cannot fail.
@safe
struct TupleData {
    private let bytes: UnsafeRawBufferPointer
    private var offset: Int
    private var left: Int

    /// How many values there are.
    let count: Int

    fileprivate init(_ bytes: UnsafeRawBufferPointer, at offset: Int, count: Int) {
        unsafe self.bytes = unsafe bytes
        self.offset = offset
        self.left = count
        self.count = count
    }

    /// The next value; nil behind the last one.
    @inline(__always)
    mutating func next() -> TupleValue? {
        guard self.left > 0 else { return nil }
        self.left -= 1
        let kind = unsafe self.bytes[self.offset]
        self.offset += 1
        switch kind {
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "u"): return .unchanged
        default:
            let length = unsafe self.bytes.loadUnaligned(fromByteOffset: self.offset, as: UInt32.self)
            let start = self.offset + 4
            self.offset = start + Int(UInt32(bigEndian: length))
            return unsafe .text(UnsafeRawBufferPointer(rebasing: self.bytes[start..<self.offset]))
        }
    }
}

/// Reads bytes from left to right, and never beyond them.
@safe
private struct ByteReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        unsafe self.bytes = unsafe bytes
    }

    var left: Int { unsafe self.bytes.count - self.offset }

    private mutating func skip(_ count: Int) throws(PgoutputError) -> Int {
        guard count >= 0, count <= self.left else { throw PgoutputError("it ends too early") }
        defer { self.offset += count }
        return self.offset
    }

    mutating func byte() throws(PgoutputError) -> UInt8 {
        let offset = try self.skip(1)
        return unsafe self.bytes[offset]
    }

    mutating func half() throws(PgoutputError) -> UInt16 {
        let offset = try self.skip(2)
        return unsafe UInt16(bigEndian: self.bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    mutating func word() throws(PgoutputError) -> UInt32 {
        let offset = try self.skip(4)
        return unsafe UInt32(bigEndian: self.bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    mutating func quad() throws(PgoutputError) -> UInt64 {
        let offset = try self.skip(8)
        return unsafe UInt64(bigEndian: self.bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    mutating func lsn() throws(PgoutputError) -> LogSequenceNumber { LogSequenceNumber(try self.quad()) }

    mutating func expect(_ byte: UInt8) throws(PgoutputError) {
        let found = try self.byte()
        guard found == byte else { throw PgoutputError("a row of kind \(found)") }
    }

    /// A text up to a zero.
    mutating func text() throws(PgoutputError) -> String {
        let rest = unsafe self.bytes[self.offset...]
        guard let end = unsafe rest.firstIndex(of: 0) else { throw PgoutputError("it ends too early") }
        let text = unsafe String(decoding: rest[..<end], as: UTF8.self)
        self.offset = end + 1
        return text
    }

    /// The images of an UPDATE.
    mutating func images() throws(PgoutputError) -> (old: PgoutputMessage.OldTuple?, new: TupleData) {
        let part = try self.byte()
        guard part != UInt8(ascii: "N") else { return (nil, try self.tuple()) }
        guard let isWhole = PgoutputMessage.isWhole(part) else {
            throw PgoutputError("a row of kind \(part)")
        }
        let old = PgoutputMessage.OldTuple(tuple: try self.tuple(), isWhole: isWhole)
        try self.expect(UInt8(ascii: "N"))
        return (old, try self.tuple())
    }

    /// The values of a row: looked at here, so that walking through them needs no checks.
    mutating func tuple() throws(PgoutputError) -> TupleData {
        let count = Int(try self.half())
        let start = self.offset
        for _ in 0..<count {
            let kind = try self.byte()
            switch kind {
            case UInt8(ascii: "n"), UInt8(ascii: "u"): break
            case UInt8(ascii: "t"):
                let length = Int(try self.word())
                _ = try self.skip(length)
            default: throw PgoutputError("a value of kind \(kind)")
            }
        }
        return unsafe TupleData(self.bytes, at: start, count: count)
    }
}
