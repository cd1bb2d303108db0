// SPDX-License-Identifier: Apache-2.0

import GRDB
import PenstockCore

extension SQLiteStore {
    @discardableResult
    package func append(_ write: JournalWrite, to journal: String) async throws(StoreError) -> Int {
        try await self.write(.journal(write, journal: journal))
    }

    package func members(of journal: String) async throws(StoreError) -> [JournalMember] {
        try await self.read { try Queries.members(of: journal, $0) }
    }

    package func entryKeys(of journal: String) async throws(StoreError) -> [String] {
        try await self.read { try Queries.entryKeys(of: journal, $0) }
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

    package func timedEntries(of journal: String) async throws(StoreError) -> [TimedEntry] {
        try await self.read { try Queries.timedEntries(of: journal, $0) }
    }

    @discardableResult
    package func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int {
        try await self.write(.removeEntries(journal: journal, through: position))
    }

    package func forget(_ journal: String, partition: String) async throws(StoreError) {
        _ = try await self.write(.forget(journal: journal, partition: partition))
    }

    package func note(
        _ outcome: ScheduleFire.Outcome,
        of keys: [String],
        in journal: String
    ) async throws(StoreError) {
        _ = try await self.write(.note(outcome, keys: keys, journal: journal))
    }

    package func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int
    ) async throws(StoreError) -> [StoredFire] {
        try await self.read {
            try Queries.fires(of: journal, member: member, before: number, limit: limit, $0)
        }
    }

    package func countFires(of journal: String) async throws(StoreError) -> FireCount {
        try await self.read { try Queries.countFires(of: journal, $0) }
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
                SELECT id, CAST(key AS BLOB), timestamp, body, attributes FROM journal
                WHERE journal = CAST(?1 AS TEXT) AND id > ?2 ORDER BY id LIMIT ?3
                """
        )
        let start = Int64(clamping: position)
        var entries: [StoredJournalEntry] = []
        let rows = try Row.fetchCursor(statement, arguments: [Bound.text(journal), start, max(0, limit)])
        while let row = try rows.next() {
            var columns = Columns(row, "an entry of a journal")
            entries.append(try StoredJournalEntry(&columns))
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

    static func members(of journal: String, _ database: Database) throws -> [JournalMember] {
        let statement = try database.cachedStatement(
            sql: """
                SELECT CAST(name AS BLOB), CAST(mark AS BLOB) FROM journal_members
                WHERE journal = CAST(?1 AS TEXT) ORDER BY name
                """
        )
        var members: [JournalMember] = []
        let rows = try Row.fetchCursor(statement, arguments: [Bound.text(journal)])
        while let row = try rows.next() {
            var columns = Columns(row, "a member of a journal")
            members.append(try JournalMember(&columns))
        }
        return members
    }

    static func entryKeys(of journal: String, _ database: Database) throws -> [String] {
        let statement = try database.cachedStatement(
            sql: "SELECT CAST(key AS BLOB) FROM journal WHERE journal = CAST(?1 AS TEXT) ORDER BY id"
        )
        var keys: [String] = []
        let rows = try Row.fetchCursor(statement, arguments: [Bound.text(journal)])
        while let row = try rows.next() {
            var columns = Columns(row, "the key of an entry")
            keys.append(try columns.text())
        }
        return keys
    }

    static func timedEntries(of journal: String, _ database: Database) throws -> [TimedEntry] {
        let statement = try database.cachedStatement(
            sql: """
                SELECT id, CAST(key AS BLOB) FROM journal WHERE journal = CAST(?1 AS TEXT) AND EXISTS (
                    SELECT 1 FROM schedule_fires AS fire
                    WHERE fire.journal = journal.journal AND fire.key = journal.key AND NOT fire.is_ordered
                ) ORDER BY id
                """
        )
        var entries: [TimedEntry] = []
        let rows = try Row.fetchCursor(statement, arguments: [Bound.text(journal)])
        while let row = try rows.next() {
            var columns = Columns(row, "an entry of a journal")
            entries.append(try TimedEntry(&columns))
        }
        return entries
    }

    static func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int,
        _ database: Database
    ) throws -> [StoredFire] {
        let statement = try database.cachedStatement(
            sql: """
                SELECT number, CAST(key AS BLOB), scheduled, at, CAST(outcome AS BLOB), settled, is_ordered
                FROM schedule_fires
                WHERE journal = CAST(?1 AS TEXT) AND number < ?2
                    AND (?4 IS NULL OR (
                        instr(key, ' ') > 0 AND substr(key, instr(key, ' ') + 1) = CAST(?4 AS TEXT)
                    ))
                ORDER BY number DESC LIMIT ?3
                """
        )
        let end = number.map { Int64(clamping: $0) } ?? .max
        var fires: [StoredFire] = []
        let rows = try Row.fetchCursor(
            statement,
            arguments: [Bound.text(journal), end, max(0, limit), member.map { Bound.text($0) } ?? nil]
        )
        while let row = try rows.next() {
            var columns = Columns(row, "a line of the fire log")
            fires.append(try StoredFire(&columns))
        }
        return fires
    }

    static func countFires(of journal: String, _ database: Database) throws -> FireCount {
        let statement = try database.cachedStatement(
            sql: """
                SELECT CAST(outcome AS BLOB), count(*), max(scheduled) FROM schedule_fires
                WHERE journal = CAST(?1 AS TEXT) GROUP BY outcome
                """
        )
        var count = FireCount()
        let rows = try Row.fetchCursor(statement, arguments: [Bound.text(journal)])
        while let row = try rows.next() {
            var columns = Columns(row, "a count of the fire log")
            try count.add(&columns)
        }
        return count
    }
}
