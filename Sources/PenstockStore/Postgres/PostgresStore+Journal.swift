// SPDX-License-Identifier: Apache-2.0

import PostgresClient

extension PostgresStore {
    @discardableResult
    package func append(_ write: JournalWrite, to journal: String) async throws(StoreError) -> Int {
        let bytes = write.entries.reduce(128 * write.fires.count) { $0 + $1.body.count }
        return try await self.write(about: bytes) { .journal(write, journal: journal) }
    }

    package func mark(of journal: String) async throws(StoreError) -> String? {
        try await self.rows(PostgresQueries.mark(of: journal), "the mark of a journal") {
            (columns) throws(StoreError) in try columns.text()
        }.first
    }

    package func members(of journal: String) async throws(StoreError) -> [JournalMember] {
        try await self.rows(PostgresQueries.members(of: journal), "a member of a journal") {
            (columns) throws(StoreError) in try JournalMember(&columns)
        }
    }

    package func entries(
        of journal: String,
        after position: UInt64,
        limit: Int
    ) async throws(StoreError) -> [StoredJournalEntry] {
        let query = PostgresQueries.entries(of: journal, after: position, limit: limit)
        return try await self.rows(query, "an entry of a journal") { (columns) throws(StoreError) in
            try StoredJournalEntry(&columns)
        }
    }

    package func countEntries(of journal: String) async throws(StoreError) -> Int {
        try await self.rows(PostgresQueries.countEntries(of: journal), "the length of a journal") {
            (columns) throws(StoreError) in Int(try columns.number())
        }.first ?? 0
    }

    package func entryKeys(of journal: String) async throws(StoreError) -> [String] {
        try await self.rows(PostgresQueries.entryKeys(of: journal), "the key of an entry") {
            (columns) throws(StoreError) in try columns.text()
        }
    }

    package func timedEntries(of journal: String) async throws(StoreError) -> [TimedEntry] {
        try await self.rows(PostgresQueries.timedEntries(of: journal), "an entry of a journal") {
            (columns) throws(StoreError) in try TimedEntry(&columns)
        }
    }

    @discardableResult
    package func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int {
        try await self.write(.removeEntries(of: journal, through: position))
    }

    package func forget(_ journal: String, partition: String) async throws(StoreError) {
        _ = try await self.write(.forget(journal, partition: partition))
    }

    package func note(
        _ outcome: ScheduleFire.Outcome,
        of keys: [String],
        in journal: String
    ) async throws(StoreError) {
        _ = try await self.write(.note(outcome, of: keys, in: journal))
    }

    package func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int
    ) async throws(StoreError) -> [StoredFire] {
        let query = PostgresQueries.fires(of: journal, member: member, before: number, limit: limit)
        return try await self.rows(query, "a line of the fire log") { (columns) throws(StoreError) in
            try StoredFire(&columns)
        }
    }

    package func countFires(of journal: String) async throws(StoreError) -> FireCount {
        let rows = try await self.sessions.read(PostgresQueries.countFires(of: journal))
        var count = FireCount()
        for row in 0..<rows.rows {
            var columns = PostgresColumns(rows, row, "a count of the fire log")
            try count.add(&columns)
        }
        return count
    }
}
