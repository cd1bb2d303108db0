// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Where sources that cannot redeliver keep what they received until it is settled: schedules, notifications, requests.
///
/// A journal is a row of entries under a name, the trigger's. What is promised of writes is what ``StateStore`` promises.
package protocol JournalStore: Sendable {
    /// Carries a write out, all or nothing: the entries stand behind those before, the mark in place of the last one.
    ///
    /// An entry whose key is in the journal already is not kept again; what was removed is no longer known, so a source
    /// that repeats itself after that needs the mark to tell. Neither is one whose key has fired by the fire log. Returns
    /// how many entries are new.
    ///
    /// The fires go into the journal's fire log with them. A line that says that a time fired stays; one of a missed or
    /// skipped time is replaced.
    @discardableResult
    func append(_ write: JournalWrite, to journal: String) async throws(StoreError) -> Int

    /// The last mark of a journal; nil when it never had one.
    func mark(of journal: String) async throws(StoreError) -> String?

    /// The members of a journal, in the order of their names' bytes.
    func members(of journal: String) async throws(StoreError) -> [JournalMember]

    /// The entries behind a position, in order, at most `limit`.
    func entries(
        of journal: String,
        after position: UInt64,
        limit: Int
    ) async throws(StoreError) -> [StoredJournalEntry]

    /// How many entries a journal has.
    func countEntries(of journal: String) async throws(StoreError) -> Int

    /// The keys of all entries, in order.
    func entryKeys(of journal: String) async throws(StoreError) -> [String]

    /// The entries that fired because their time came, and not by an order; in order.
    func timedEntries(of journal: String) async throws(StoreError) -> [TimedEntry]

    /// Removes the entries up to and including a position, which are settled; returns how many there were. The fire log
    /// says so of those that it has no other outcome for.
    @discardableResult
    func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int

    /// Writes into the fire log what becomes of entries that are going to be settled. A later outcome takes the place of an
    /// earlier one; keys without a fire are left alone.
    func note(
        _ outcome: ScheduleFire.Outcome,
        of keys: [String],
        in journal: String
    ) async throws(StoreError)

    /// Removes the mark, the members and the fire log of a journal that has no entries, and the checkpoint of the partition
    /// that it is as a source; nothing happens to one that has entries.
    func forget(_ journal: String, partition: String) async throws(StoreError)

    /// The fire log of a journal, the latest first: lines before that number, or the latest; at most `limit`. With a
    /// `member`, only lines whose key is a text without a space, a space, and that name; it is looked for line by line.
    func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int
    ) async throws(StoreError) -> [StoredFire]

    /// What the fire log has of a journal.
    func countFires(of journal: String) async throws(StoreError) -> FireCount
}

extension JournalStore {
    /// Entries of a journal, with what its fire log says of them.
    @discardableResult
    package func append(
        _ entries: [JournalEntry],
        to journal: String,
        mark: String?,
        fires: [ScheduleFire] = []
    ) async throws(StoreError) -> Int {
        try await self.append(JournalWrite(entries: entries, mark: mark, fires: fires), to: journal)
    }

    /// The fire log of a journal, whatever its members.
    package func fires(
        of journal: String,
        before number: UInt64?,
        limit: Int
    ) async throws(StoreError) -> [StoredFire] {
        try await self.fires(of: journal, member: nil, before: number, limit: limit)
    }
}

/// What goes into a journal in one transaction.
package struct JournalWrite: Sendable, Equatable {
    /// The entries, in order.
    package var entries: [JournalEntry]

    /// Where the journal's source goes on; nil leaves the last one.
    package var mark: String?

    /// Lines of the fire log.
    package var fires: [ScheduleFire]

    /// So many lines of the fire log are kept afterwards, the latest to be decided, besides those that wait.
    package var firesKept = ScheduleFire.keptMax

    /// Members that are new, or have a new mark.
    package var members: [JournalMember] = []

    /// Names of members that are no more.
    package var removedMembers: [String] = []

    /// A write.
    package init(entries: [JournalEntry], mark: String? = nil, fires: [ScheduleFire] = []) {
        self.entries = entries
        self.mark = mark
        self.fires = fires
    }
}

/// A part of a journal with a mark of its own: one of many schedules.
package struct JournalMember: Sendable, Equatable {
    /// Its name, of any characters; names are apart by their bytes.
    package var name: String

    /// What its source noted of it.
    package var mark: String

    /// A member.
    package init(name: String, mark: String) {
        self.name = name
        self.mark = mark
    }
}

/// An entry whose time came.
package struct TimedEntry: Sendable, Equatable {
    /// Its place in the journal.
    package var position: UInt64

    /// Its key.
    package var key: String

    /// An entry at a place.
    package init(position: UInt64, key: String) {
        self.position = position
        self.key = key
    }
}

/// What a source received, as it is kept.
package struct JournalEntry: Sendable, Equatable {
    /// Names it in its journal: the same event again has the same key.
    package var key: String

    /// Its own time.
    package var timestamp: Timestamp

    /// The record's body.
    package var body: [UInt8]

    /// A name with a value, as those of dead letters.
    package typealias Attribute = DeadLetter.Attribute

    /// What the record has besides; order and duplicates are kept.
    package var attributes: [Attribute]

    /// An entry.
    package init(key: String, timestamp: Timestamp, body: [UInt8], attributes: [Attribute] = []) {
        self.key = key
        self.timestamp = timestamp
        self.body = body
        self.attributes = attributes
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
