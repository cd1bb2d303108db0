// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// A change as it is offered to readers of a slot; valid during the call.
struct OfferedChange {
    var kind: ChangeKind
    var table: ReplicatedTable
    var old: PgoutputMessage.OldTuple?
    var new: TupleData?
    var place: ChangePlace
}

/// Where a change stands.
struct ChangePlace: Sendable {
    var position: Position
    var lsn: LogSequenceNumber
    /// Milliseconds since 1970: when it was committed.
    var time: Timestamp
    /// The number of its transaction; nil for a row of a snapshot.
    var transaction: UInt32?
}

/// Writes changes into blocks of records: from the bytes of the server straight to JSON, without a text of their own.
struct ChangeWriter: ~Copyable {
    private var key = JSONBuffer(capacity: 128)
    private var body = JSONBuffer()
    private var old = JSONBuffer()
    private var unchanged = JSONBuffer(capacity: 128)
    private var meta = JSONBuffer(capacity: 64)

    /// Appends the record of a change.
    mutating func append(
        _ change: borrowing OfferedChange,
        to builder: inout RecordBlockBuilder,
        partitionIndex: UInt32
    ) {
        let table = change.table
        self.key.truncate()
        self.body.truncate()
        self.old.truncate()
        self.unchanged.truncate()
        if let tuple = change.new {
            self.writeNew(tuple, table, whole: change.old.flatMap { $0.isWhole ? $0.tuple : nil })
        }
        if let old = change.old { self.writeOld(old, table) }
        if table.hasKey, let tuple = change.new ?? change.old?.tuple { self.writeKey(tuple, table) }
        let key = unsafe self.key.count > 0 ? self.key.bytes : nil
        let body = unsafe self.body.count > 0 ? self.body.bytes : nil
        unsafe builder.append(
            position: change.place.position,
            timestamp: change.place.time,
            tag: change.kind.rawValue,
            partitionIndex: partitionIndex,
            payload: RecordPayload(key: key, body: body)
        )
        unsafe table.schema.withUnsafeBytes { unsafe Self.append(ChangeAttribute.schema, $0, to: &builder) }
        unsafe table.table.withUnsafeBytes { unsafe Self.append(ChangeAttribute.table, $0, to: &builder) }
        self.meta.truncate()
        self.meta.hexadecimal(change.place.lsn.rawValue >> 32)
        self.meta.byte(UInt8(ascii: "/"))
        self.meta.hexadecimal(change.place.lsn.rawValue & 0xFFFF_FFFF)
        unsafe Self.append(ChangeAttribute.lsn, self.meta.bytes, to: &builder)
        if let transaction = change.place.transaction {
            self.meta.truncate()
            self.meta.decimal(UInt64(transaction))
            unsafe Self.append(ChangeAttribute.transaction, self.meta.bytes, to: &builder)
        }
        if self.old.count > 0 { unsafe Self.append(ChangeAttribute.old, self.old.bytes, to: &builder) }
        if self.unchanged.count > 0 {
            self.unchanged.byte(UInt8(ascii: "]"))
            unsafe Self.append(ChangeAttribute.unchanged, self.unchanged.bytes, to: &builder)
        }
    }

    private static func append(
        _ name: StaticString,
        _ value: UnsafeRawBufferPointer,
        to builder: inout RecordBlockBuilder
    ) {
        let name = unsafe UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        unsafe builder.appendAttribute(name: name, value: value)
    }

    /// The row as it is now; what was not sent is taken from the whole row as it was, where there is one.
    private mutating func writeNew(_ tuple: TupleData, _ table: ReplicatedTable, whole: TupleData?) {
        var tuple = tuple
        var whole = whole
        self.body.byte(UInt8(ascii: "{"))
        for column in table.columns {
            guard let value = tuple.next() else { break }
            let before = whole?.next()
            switch value {
            case .null:
                self.body.raw(column.member)
                self.body.literal("null,")
            case .text(let text):
                self.body.raw(column.member)
                unsafe column.shape.write(text, into: &self.body)
                self.body.byte(UInt8(ascii: ","))
            case .unchanged:
                if case .text(let text)? = before {
                    self.body.raw(column.member)
                    unsafe column.shape.write(text, into: &self.body)
                    self.body.byte(UInt8(ascii: ","))
                } else {
                    self.unchanged.byte(UInt8(ascii: self.unchanged.count == 0 ? "[" : ","))
                    self.unchanged.raw(column.quotedName)
                }
            }
        }
        Self.close(&self.body)
    }

    /// The row as it was, or of it the columns of the replica identity.
    private mutating func writeOld(_ old: PgoutputMessage.OldTuple, _ table: ReplicatedTable) {
        var tuple = old.tuple
        self.old.byte(UInt8(ascii: "{"))
        for column in table.columns {
            guard let value = tuple.next() else { break }
            guard old.isWhole || column.isIdentity else { continue }
            Self.write(value, column, into: &self.old)
        }
        Self.close(&self.old)
    }

    /// The values of the key; nothing when one of them was not sent.
    private mutating func writeKey(_ tuple: TupleData, _ table: ReplicatedTable) {
        var tuple = tuple
        self.key.byte(UInt8(ascii: "{"))
        for column in table.columns {
            guard let value = tuple.next() else { break }
            guard column.isKey else { continue }
            if case .unchanged = value { return self.key.truncate() }
            Self.write(value, column, into: &self.key)
        }
        Self.close(&self.key)
    }

    private static func write(
        _ value: TupleValue,
        _ column: ReplicatedTable.Column,
        into buffer: inout JSONBuffer
    ) {
        switch value {
        case .unchanged: return
        case .null:
            buffer.raw(column.member)
            buffer.literal("null")
        case .text(let text):
            buffer.raw(column.member)
            unsafe column.shape.write(text, into: &buffer)
        }
        buffer.byte(UInt8(ascii: ","))
    }

    /// Ends an object, whose members each have a comma behind them.
    private static func close(_ buffer: inout JSONBuffer) {
        if buffer.count > 1 { buffer.truncate(to: buffer.count - 1) }
        buffer.byte(UInt8(ascii: "}"))
    }
}
