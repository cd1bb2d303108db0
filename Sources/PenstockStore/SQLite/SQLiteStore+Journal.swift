// SPDX-License-Identifier: Apache-2.0

import GRDB
import PenstockCore

extension SQLiteStore {
    @discardableResult
    package func append(
        _ entries: [JournalEntry],
        to journal: String,
        mark: String?
    ) async throws(StoreError) -> Int {
        try await self.write(.journal(entries, journal: journal, mark: mark))
    }

    package func mark(of journal: String) async throws(StoreError) -> String? {
        try await self.read { try Queries.mark(of: journal, $0) }
    }

    package func entries(
        of journal: String,
        after position: UInt64,
        limit: Int
    ) async throws(StoreError) -> [StoredJournalEntry] {
        try await self.read { try Queries.entries(of: journal, after: position, limit: limit, $0) }
    }

    package func countEntries(of journal: String) async throws(StoreError) -> Int {
        try await self.read { try Queries.countEntries(of: journal, $0) }
    }

    @discardableResult
    package func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int {
        try await self.write(.removeEntries(journal: journal, through: position))
    }
}

extension Queries {
    static func mark(of journal: String, _ database: Database) throws -> String? {
        let statement = try database.cachedStatement(
            sql: "SELECT CAST(mark AS BLOB) FROM journal_marks WHERE journal = CAST(?1 AS TEXT)"
        )
        guard let row = try Row.fetchOne(statement, arguments: [Bound.text(journal)]) else { return nil }
        var columns = Columns(row, "the mark of a journal")
        return try columns.text()
    }

    static func entries(
        of journal: String,
        after position: UInt64,
        limit: Int,
        _ database: Database
    ) throws -> [StoredJournalEntry] {
        let statement = try database.cachedStatement(
            sql: """
                SELECT id, CAST(key AS BLOB), timestamp, body FROM journal
                WHERE journal = CAST(?1 AS TEXT) AND id > ?2 ORDER BY id LIMIT ?3
                """
        )
        let start = Int64(clamping: position)
        var entries: [StoredJournalEntry] = []
        let rows = try Row.fetchCursor(statement, arguments: [Bound.text(journal), start, max(0, limit)])
        while let row = try rows.next() {
            var columns = Columns(row, "an entry of a journal")
            let id = try columns.number()
            let key = try columns.text()
            let timestamp = Timestamp(milliseconds: try columns.number())
            guard let position = UInt64(exactly: id), let body = try columns.bytes() else {
                throw StoreError.unreadable(columns.what)
            }
            let entry = JournalEntry(key: key, timestamp: timestamp, body: body)
            entries.append(StoredJournalEntry(position: position, entry: entry))
        }
        return entries
    }

    static func countEntries(of journal: String, _ database: Database) throws -> Int {
        let statement = try database.cachedStatement(
            sql: "SELECT count(*) FROM journal WHERE journal = CAST(?1 AS TEXT)"
        )
        guard let row = try Row.fetchOne(statement, arguments: [Bound.text(journal)]) else { return 0 }
        var columns = Columns(row, "the length of a journal")
        return Int(try columns.number())
    }
}
