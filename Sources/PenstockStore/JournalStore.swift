// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Where sources that cannot redeliver keep what they received until it is settled: schedules, notifications, requests.
///
/// A journal is a row of entries under a name, the trigger's. What is promised of writes is what ``StateStore`` promises.
package protocol JournalStore: Sendable {
    /// Keeps the entries behind those before, and the mark in place of the last one: all or nothing.
    ///
    /// An entry whose key is in the journal already is not kept again; what was removed is no longer known, so a source
    /// that repeats itself after that needs the mark to tell. Returns how many entries are new.
    @discardableResult
    func append(
        _ entries: [JournalEntry],
        to journal: String,
        mark: String?
    ) async throws(StoreError) -> Int

    /// The last mark of a journal; nil when it never had one.
    func mark(of journal: String) async throws(StoreError) -> String?

    /// The entries behind a position, in order, at most `limit`.
    func entries(
        of journal: String,
        after position: UInt64,
        limit: Int
    ) async throws(StoreError) -> [StoredJournalEntry]

    /// How many entries a journal has.
    func countEntries(of journal: String) async throws(StoreError) -> Int

    /// Removes the entries up to and including a position; returns how many there were.
    @discardableResult
    func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int
}

/// What a source received, as it is kept.
package struct JournalEntry: Sendable, Equatable {
    /// Names it in its journal: the same event again has the same key.
    package var key: String

    /// Its own time.
    package var timestamp: Timestamp

    /// The record's body.
    package var body: [UInt8]

    /// An entry.
    package init(key: String, timestamp: Timestamp, body: [UInt8]) {
        self.key = key
        self.timestamp = timestamp
        self.body = body
    }
}

/// An entry with its place in the journal.
package struct StoredJournalEntry: Sendable, Equatable {
    /// Grows from entry to entry, with holes; never given twice.
    package var position: UInt64

    /// The entry.
    package var entry: JournalEntry

    /// An entry at a place.
    package init(position: UInt64, entry: JournalEntry) {
        self.position = position
        self.entry = entry
    }
}
