// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// In whose name something is written.
package enum WriteScope: Sendable, Equatable {
    /// An operator's: no lease is needed for it.
    case operators
    /// The trigger's as a whole: its journal.
    case trigger
    /// Those of a trigger's partitions, by name.
    case partitions(Set<String>)
}

/// A store that is another one behind a door: it says of each call whether and how it goes through.
package protocol StoreView: StateStore {
    /// What reads go to.
    func reader() throws(StoreError) -> any StateStore

    /// Carries a write out.
    func write<Value: Sendable>(
        _ scope: WriteScope,
        _ body: @Sendable (any StateStore) async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value
}

extension StoreView {
    package func checkpoints(of trigger: String) async throws(StoreError) -> [String: Position] {
        try await self.reader().checkpoints(of: trigger)
    }

    package func windows(of trigger: String) async throws(StoreError) -> [String: KeptWindow] {
        try await self.reader().windows(of: trigger)
    }

    package func save(_ checkpoints: [Checkpoint]) async throws(StoreError) {
        try await self.write(.partitions(Set(checkpoints.map(\.partition)))) {
            store throws(StoreError) in
            try await store.save(checkpoints)
        }
    }

    package func removeCheckpoints(of trigger: String, partitions: [String]) async throws(StoreError) {
        // Of partitions that are over, and that nobody holds.
        try await self.write(.operators) { store throws(StoreError) in
            try await store.removeCheckpoints(of: trigger, partitions: partitions)
        }
    }

    package func replaceCheckpoints(
        of trigger: String,
        with checkpoints: [Checkpoint],
        removing partitions: [String]
    ) async throws(StoreError) {
        try await self.write(.partitions(Set(checkpoints.map(\.partition) + partitions))) {
            store throws(StoreError) in
            try await store.replaceCheckpoints(of: trigger, with: checkpoints, removing: partitions)
        }
    }

    package func append(_ letters: [DeadLetter]) async throws(StoreError) {
        try await self.write(.partitions(Set(letters.map(\.partition)))) { store throws(StoreError) in
            try await store.append(letters)
        }
    }

    package func deadLetters(
        matching query: DeadLetterQuery
    ) async throws(StoreError) -> [StoredDeadLetter.Summary] {
        try await self.reader().deadLetters(matching: query)
    }

    package func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter? {
        try await self.reader().deadLetter(id)
    }

    package func countDeadLetters(
        matching query: DeadLetterQuery
    ) async throws(StoreError) -> DeadLetterCount {
        try await self.reader().countDeadLetters(matching: query)
    }

    package func oldestDeadLetters(limit: Int) async throws(StoreError) -> [StoredDeadLetter.Age] {
        try await self.reader().oldestDeadLetters(limit: limit)
    }

    @discardableResult
    package func removeDeadLetters(_ ids: [DeadLetterID]) async throws(StoreError) -> Int {
        try await self.write(.operators) { store throws(StoreError) in
            try await store.removeDeadLetters(ids)
        }
    }

    package func recordRedrive(_ ids: [DeadLetterID], attempt: Attempt) async throws(StoreError) {
        try await self.write(.operators) { store throws(StoreError) in
            try await store.recordRedrive(ids, attempt: attempt)
        }
    }

    package func pausedTriggers() async throws(StoreError) -> Set<String> {
        try await self.reader().pausedTriggers()
    }

    package func setPaused(_ paused: Bool, trigger: String) async throws(StoreError) {
        try await self.write(.operators) { store throws(StoreError) in
            try await store.setPaused(paused, trigger: trigger)
        }
    }

    @discardableResult
    package func append(_ write: JournalWrite, to journal: String) async throws(StoreError) -> Int {
        try await self.write(.trigger) { store throws(StoreError) in
            try await store.append(write, to: journal)
        }
    }

    package func mark(of journal: String) async throws(StoreError) -> String? {
        try await self.reader().mark(of: journal)
    }

    package func members(of journal: String) async throws(StoreError) -> [JournalMember] {
        try await self.reader().members(of: journal)
    }

    package func entries(
        of journal: String,
        after position: UInt64,
        limit: Int
    ) async throws(StoreError) -> [StoredJournalEntry] {
        try await self.reader().entries(of: journal, after: position, limit: limit)
    }

    package func countEntries(of journal: String) async throws(StoreError) -> Int {
        try await self.reader().countEntries(of: journal)
    }

    package func entryKeys(of journal: String) async throws(StoreError) -> [String] {
        try await self.reader().entryKeys(of: journal)
    }

    package func timedEntries(of journal: String) async throws(StoreError) -> [TimedEntry] {
        try await self.reader().timedEntries(of: journal)
    }

    @discardableResult
    package func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int {
        try await self.write(.trigger) { store throws(StoreError) in
            try await store.removeEntries(of: journal, through: position)
        }
    }

    package func note(
        _ outcome: ScheduleFire.Outcome,
        of keys: [String],
        in journal: String
    ) async throws(StoreError) {
        try await self.write(.trigger) { store throws(StoreError) in
            try await store.note(outcome, of: keys, in: journal)
        }
    }

    package func forget(_ journal: String, partition: String) async throws(StoreError) {
        try await self.write(.trigger) { store throws(StoreError) in
            try await store.forget(journal, partition: partition)
        }
    }

    package func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int
    ) async throws(StoreError) -> [StoredFire] {
        try await self.reader().fires(of: journal, member: member, before: number, limit: limit)
    }

    package func countFires(of journal: String) async throws(StoreError) -> FireCount {
        try await self.reader().countFires(of: journal)
    }
}

extension StoreError {
    /// A write under a lease that is somebody else's by now.
    package static func fenced(_ lease: String) -> StoreError {
        StoreError(
            .fenced,
            "the lease \"\(lease)\" is not this member's any more; whoever holds it goes on from what was kept"
        )
    }
}
