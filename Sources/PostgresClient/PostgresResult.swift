// SPDX-License-Identifier: Apache-2.0

import CLibpq

/// The rows that a statement brought.
///
/// Rows and columns count from 0; asking beyond them is a programming error.
@safe
package final class PostgresResult: @unchecked Sendable {
    // @unchecked: libpq no longer changes a result that it has handed out, and only `deinit` frees it.
    private let result: OpaquePointer

    /// How many rows there are.
    package let rows: Int

    /// How many columns each has.
    package let columns: Int

    /// Takes over a result.
    init(_ result: OpaquePointer) {
        unsafe self.result = result
        self.rows = Int(unsafe PQntuples(result))
        self.columns = Int(unsafe PQnfields(result))
    }

    deinit { unsafe PQclear(self.result) }

    /// How many rows an INSERT, UPDATE, DELETE or SELECT concerned; 0 for other statements.
    package var affected: Int { unsafe Int(String(cString: PQcmdTuples(self.result))) ?? 0 }

    /// The name of a column.
    package func name(of column: Int) -> String {
        unsafe PQfname(self.result, Int32(column)).map { unsafe String(cString: $0) } ?? ""
    }

    /// The column with this name; nil when there is none.
    package func column(_ name: String) -> Int? {
        (0..<self.columns).first { self.name(of: $0) == name }
    }

    /// The bytes of a value in the form that was asked for; nil for NULL.
    ///
    /// Valid as long as the result is alive.
    @unsafe
    package func bytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer? {
        precondition(row >= 0 && row < self.rows && column >= 0 && column < self.columns, "no such value")
        let (row, column) = (Int32(row), Int32(column))
        guard unsafe PQgetisnull(self.result, row, column) == 0 else { return nil }
        let count = Int(unsafe PQgetlength(self.result, row, column))
        return unsafe UnsafeRawBufferPointer(start: PQgetvalue(self.result, row, column), count: count)
    }

    /// A value as text; nil for NULL.
    package func text(_ row: Int, _ column: Int) -> String? {
        unsafe self.bytes(row, column).map { unsafe String(decoding: $0, as: UTF8.self) }
    }

    /// A value as a whole number; nil for NULL and for what is none.
    package func integer(_ row: Int, _ column: Int) -> Int64? {
        guard let bytes = unsafe self.bytes(row, column) else { return nil }
        guard unsafe PQfformat(self.result, Int32(column)) == PostgresFormat.binary.rawValue else {
            return Int64(unsafe String(decoding: bytes, as: UTF8.self))
        }
        let value = unsafe bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch bytes.count {
        case 2: return Int64(Int16(truncatingIfNeeded: value))
        case 4: return Int64(Int32(truncatingIfNeeded: value))
        case 8: return Int64(bitPattern: value)
        default: return nil
        }
    }

    /// A value as a Boolean; nil for NULL and for what is none.
    package func boolean(_ row: Int, _ column: Int) -> Bool? {
        guard let bytes = unsafe self.bytes(row, column), bytes.count == 1 else { return nil }
        switch unsafe bytes[0] {
        case UInt8(ascii: "t"), 1: return true
        case UInt8(ascii: "f"), 0: return false
        default: return nil
        }
    }
}
