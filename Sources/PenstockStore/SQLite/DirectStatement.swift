// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite

/// A statement of the steady state, bound and run by SQLite's own calls.
///
/// GRDB's arguments cost 3 times what SQLite does with them. Texts are bound with their length, so that nothing is cut at a
/// NUL, and blobs as what they are, also empty ones: no value needs a cast. On the connection's own thread, inside the
/// transaction that the caller opened.
struct DirectStatement {
    /// Owns what is used below.
    private let statement: Statement

    /// The statement, prepared once for the connection.
    init(_ sql: String, _ database: Database) throws {
        self.statement = try database.cachedStatement(sql: sql)
    }

    /// Runs it to its end; it can be used again, also after an error.
    ///
    /// - Throws: `DatabaseError`.
    func run() throws {
        let handle = unsafe self.statement.sqliteStatement
        defer { unsafe sqlite3_reset(handle) }
        let code = unsafe sqlite3_step(handle)
        if code != SQLITE_DONE { try self.check(code) }
    }

    func bind(_ number: Int64, at index: Int32) throws {
        unsafe try self.check(sqlite3_bind_int64(self.statement.sqliteStatement, index, number))
    }

    func bind(_ number: Int64?, at index: Int32) throws {
        guard let number else { return try self.bindNull(at: index) }
        try self.bind(number, at: index)
    }

    func bind(_ text: String, at index: Int32) throws {
        let handle = unsafe self.statement.sqliteStatement
        var text = text
        let code = text.withUTF8 { bytes in
            // A null pointer would be a null; an empty text is none.
            guard let start = bytes.baseAddress else {
                return unsafe sqlite3_bind_text(handle, index, "", 0, nil)
            }
            return unsafe start.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
                unsafe sqlite3_bind_text64(
                    handle,
                    index,
                    $0,
                    sqlite3_uint64(bytes.count),
                    Self.copies,
                    UInt8(SQLITE_UTF8)
                )
            }
        }
        try self.check(code)
    }

    func bind(_ blob: [UInt8], at index: Int32) throws {
        let handle = unsafe self.statement.sqliteStatement
        let code = unsafe blob.withUnsafeBytes { bytes in
            unsafe bytes.isEmpty
                ? unsafe sqlite3_bind_zeroblob(handle, index, 0)
                : unsafe sqlite3_bind_blob64(
                    handle,
                    index,
                    bytes.baseAddress,
                    sqlite3_uint64(bytes.count),
                    Self.copies
                )
        }
        try self.check(code)
    }

    func bind(_ blob: [UInt8]?, at index: Int32) throws {
        guard let blob else { return try self.bindNull(at: index) }
        try self.bind(blob, at: index)
    }

    private func bindNull(at index: Int32) throws {
        unsafe try self.check(sqlite3_bind_null(self.statement.sqliteStatement, index))
    }

    /// Lets SQLite copy what is bound (SQLITE_TRANSIENT, which C spells as a cast of -1).
    @unsafe
    private static var copies: sqlite3_destructor_type {
        unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    }

    private func check(_ code: Int32) throws {
        guard code != SQLITE_OK else { return }
        let connection = unsafe sqlite3_db_handle(self.statement.sqliteStatement)
        throw unsafe DatabaseError(
            resultCode: ResultCode(rawValue: sqlite3_extended_errcode(connection)),
            message: sqlite3_errmsg(connection).map { unsafe String(cString: $0) }
        )
    }
}
