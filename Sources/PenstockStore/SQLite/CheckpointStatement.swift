// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite
import PenstockCore

/// The write of one checkpoint, bound and run by SQLite's own calls.
///
/// It is the one statement of the steady state, run for each partition in each second: GRDB's arguments cost 3 times
/// what SQLite does with them. Texts are bound with their length, so that nothing is cut at a NUL.
struct CheckpointStatement {
    private static let sql = """
        INSERT INTO checkpoints ("trigger", partition, position, updated_at, window) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT ("trigger", partition)
        DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at, window = excluded.window
        """

    /// Owns what is used below.
    private let statement: Statement

    /// The statement of the writer's connection, prepared once for it.
    init(_ database: Database) throws {
        self.statement = try database.cachedStatement(sql: Self.sql)
    }

    /// Writes a checkpoint at a time (Unix milliseconds), inside the transaction that the caller opened.
    ///
    /// - Throws: `DatabaseError`; the statement can be used again.
    func save(_ checkpoint: Checkpoint, at time: Int64) throws {
        let handle = unsafe self.statement.sqliteStatement
        defer { unsafe sqlite3_reset(handle) }
        unsafe try self.check(Self.bind(checkpoint.trigger, to: handle, at: 1))
        unsafe try self.check(Self.bind(checkpoint.partition, to: handle, at: 2))
        unsafe try self.check(Self.bind(checkpoint.position.description, to: handle, at: 3))
        unsafe try self.check(sqlite3_bind_int64(handle, 4, time))
        unsafe try self.check(Self.bind(checkpoint.window.map { WindowCoding.encode($0) }, to: handle, at: 5))
        let code = unsafe sqlite3_step(handle)
        if code != SQLITE_DONE { try self.check(code) }
    }

    @unsafe
    private static func bind(_ text: String, to handle: OpaquePointer, at index: Int32) -> Int32 {
        var text = text
        return text.withUTF8 { bytes in
            // A null pointer would be a null; an empty text is none.
            guard let start = bytes.baseAddress else {
                return unsafe sqlite3_bind_text(handle, index, "", 0, nil)
            }
            // SQLite copies it (SQLITE_TRANSIENT, which C spells as a cast of -1).
            let copies = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
            return unsafe start.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
                unsafe sqlite3_bind_text64(
                    handle,
                    index,
                    $0,
                    sqlite3_uint64(bytes.count),
                    copies,
                    UInt8(SQLITE_UTF8)
                )
            }
        }
    }

    /// A blob, which is never empty, or null.
    @unsafe
    private static func bind(_ blob: [UInt8]?, to handle: OpaquePointer, at index: Int32) -> Int32 {
        guard let blob else { return unsafe sqlite3_bind_null(handle, index) }
        let copies = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        return unsafe blob.withUnsafeBytes {
            unsafe sqlite3_bind_blob64(handle, index, $0.baseAddress, sqlite3_uint64($0.count), copies)
        }
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
