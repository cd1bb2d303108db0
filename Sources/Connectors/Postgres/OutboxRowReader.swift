// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// Makes records of the rows that a receive brought.
struct OutboxRowReader: Sendable {
    let partition: Partition
    private let table: PostgresTable
    private let database: String
    /// The event up to the key.
    private let arn: String

    init(_ table: PostgresTable, database: String) {
        self.partition = Partition(id: PartitionID(1), name: "\(table)")
        self.table = table
        self.database = database
        self.arn = PostgresEventFormat.arn(database: database, "outbox", "\(table)")
    }

    /// The rows as a block; nil for none.
    func read(_ rows: PostgresResult, lease: BlockLease, now: Timestamp) -> RecordBlock? {
        guard rows.rows > 0 else { return nil }
        var builder = RecordBlockBuilder(byteCapacity: rows.rows * 1024, recordCapacity: rows.rows)
        let index = builder.add(self.partition)
        for row in 0..<rows.rows { self.append(rows, row, to: &builder, index, now) }
        var lease = lease
        let failures = (0..<rows.rows).map {
            UInt32(clamping: rows.integer($0, OutboxStatements.Column.failures) ?? 0)
        }
        if failures.contains(where: { $0 > 0 }) { lease.attempts = failures }
        return builder.finish(lease: lease)
    }

    private func append(
        _ rows: PostgresResult,
        _ row: Int,
        to builder: inout RecordBlockBuilder,
        _ index: UInt32,
        _ now: Timestamp
    ) {
        typealias Column = OutboxStatements.Column
        let id = rows.text(row, Column.id) ?? ""
        let attempts = rows.integer(row, Column.attempts) ?? 0
        let time = rows.integer(row, Column.milliseconds).map { Timestamp(milliseconds: $0) } ?? now
        let headers = unsafe rows.bytes(row, Column.headers).map { unsafe [UInt8]($0) } ?? Array("{}".utf8)
        unsafe builder.append(
            position: Self.position(of: id),
            timestamp: time,
            tag: 0,
            partitionIndex: index,
            payload: RecordPayload(
                key: unsafe rows.bytes(row, Column.group),
                body: unsafe rows.bytes(row, Column.payload)
            )
        )
        let group = rows.text(row, Column.group).map { JSONText.escaped($0) } ?? Array("null".utf8)
        var head = PostgresEventFormat.head(id: id, name: "INSERT", kind: .outbox, arn: self.arn)
        head += JSONText.member("database", self.database) + Array(",".utf8)
        head += JSONText.member("schema", self.table.schema) + Array(",".utf8)
        head += JSONText.member("table", self.table.name) + Array(",".utf8) + JSONText.member("id", id)
        head += Array(#","groupKey":"#.utf8) + group + Array(#","payload":"#.utf8)
        let seconds = PostgresEventFormat.seconds(time)
        let tail =
            Array(#","headers":"#.utf8) + headers
            + Array(#","createdAt":\#(seconds),"receiveCount":\#(attempts)}}"#.utf8)
        Self.attribute(PostgresAttribute.id, Array(id.utf8), &builder)
        Self.attribute(PostgresAttribute.attempts, Array(String(attempts).utf8), &builder)
        Self.attribute(PostgresAttribute.headers, headers, &builder)
        Self.attribute(PostgresAttribute.head, head, &builder)
        Self.attribute(PostgresAttribute.tail, tail, &builder)
    }

    private static func attribute(
        _ name: StaticString,
        _ value: [UInt8],
        _ builder: inout RecordBlockBuilder
    ) {
        let name = unsafe UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        unsafe value.withUnsafeBytes { unsafe builder.appendAttribute(name: name, value: $0) }
    }

    /// A row's key as our position, the same in each delivery: the number, the UUID, or a hash of the text.
    ///
    /// Only as Postgres writes them: `7` and `007` are two keys of a text column.
    static func position(of id: String) -> Position {
        if let position = Position(id), position.description == id { return position }
        let digits = id.filter { $0 != "-" }
        if digits.utf8.count == 32, let number = UInt128(digits, radix: 16), Hexadecimal.uuid(number) == id {
            return Position(wide: number)
        }
        var (high, low): (UInt64, UInt64) = (0xCBF2_9CE4_8422_2325, 0x8422_2325_CBF2_9CE4)
        for byte in id.utf8 {
            high = (high ^ UInt64(byte)) &* 0x100_0000_01B3
            low = ((low ^ UInt64(byte)) &* 0x9E37_79B9_7F4A_7C15) ^ (low >> 29)
        }
        return Position(wide: UInt128(high) << 64 | UInt128(low))
    }

    /// Which receipt of which row a record is.
    static func receipt(_ block: RecordBlock, _ index: Int) -> OutboxStatements.Receipt {
        var (id, attempts) = ("", Int64(0))
        unsafe block.forEachAttribute(at: index) { name, value in
            if unsafe PostgresAttribute.id.isEqual(to: name) {
                id = unsafe value.map { unsafe String(decoding: $0, as: UTF8.self) } ?? ""
            } else if unsafe PostgresAttribute.attempts.isEqual(to: name) {
                attempts = unsafe value.flatMap { unsafe Int64(String(decoding: $0, as: UTF8.self)) } ?? 0
            }
        }
        return OutboxStatements.Receipt(id: id, attempts: attempts)
    }
}
