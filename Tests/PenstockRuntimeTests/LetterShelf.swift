// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore
import Synchronization

/// Letters in memory, for a virtual clock: a store on disk would answer from another thread.
///
/// A letter takes as many bytes as its body has.
final class LetterShelf: StateStore {
    private let letters: Mutex<[DeadLetterID: DeadLetter]>
    private let redriven = Mutex<[DeadLetterID]>([])
    private let largestPage = Mutex(0)
    private let refusal = Gate()

    init(_ letters: [DeadLetter]) {
        let pairs = letters.enumerated().map { (DeadLetterID(Int64($0 + 1)), $1) }
        self.letters = Mutex(Dictionary(uniqueKeysWithValues: pairs))
    }

    /// Refuses to count from now on; nil counts again.
    func refuse(_ error: StoreError?) { self.refusal.set(error) }

    /// The most letters that were listed at once.
    var pageMax: Int { self.largestPage.withLock { $0 } }

    /// The ids that are left, in order.
    var ids: [Int64] { self.letters.withLock { $0.keys.map(\.rawValue).sorted() } }

    /// The ids of letters whose redrive failed, in order.
    var redrives: [Int64] { self.redriven.withLock { $0.map(\.rawValue) } }

    func deadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> [StoredDeadLetter.Summary] {
        let matching = self.letters.withLock { letters in
            letters.filter { id, _ in
                query.after.map { id > $0 } ?? true && query.ids?.contains(id) ?? true
            }
        }
        let page = matching.sorted { $0.key < $1.key }.prefix(query.limit ?? .max)
        self.largestPage.withLock { $0 = max($0, page.count) }
        return page.map { StoredDeadLetter.Summary(id: $0.key, letter: $0.value) }
    }

    func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter? {
        self.letters.withLock { $0[id] }.map { StoredDeadLetter(id: id, letter: $0) }
    }

    func removeDeadLetters(_ ids: [DeadLetterID]) async throws(StoreError) -> Int {
        self.letters.withLock { letters in ids.count { letters.removeValue(forKey: $0) != nil } }
    }

    func countDeadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> DeadLetterCount {
        try self.refusal.pass()
        return self.letters.withLock { letters in
            DeadLetterCount(
                count: letters.count,
                oldest: letters.values.map(\.at).min(),
                bytes: letters.values.reduce(0) { $0 + ($1.body?.count ?? 0) },
                last: letters.keys.max()
            )
        }
    }

    func oldestDeadLetters(limit: Int) async throws(StoreError) -> [StoredDeadLetter.Age] {
        self.letters.withLock { letters in
            let ages = letters.map { id, letter in
                let bytes = letter.body?.count ?? 0
                return StoredDeadLetter.Age(id: id, trigger: letter.trigger, at: letter.at, bytes: bytes)
            }
            return Array(ages.sorted { ($0.at, $0.id) < ($1.at, $1.id) }.prefix(limit))
        }
    }

    func checkpoints(of trigger: String) async throws(StoreError) -> [String: Position] { [:] }
    func windows(of trigger: String) async throws(StoreError) -> [String: KeptWindow] { [:] }
    func save(_ checkpoints: [Checkpoint]) async throws(StoreError) {}
    func removeCheckpoints(of trigger: String, partitions: [String]) async throws(StoreError) {}
    func replaceCheckpoints(
        of trigger: String,
        with checkpoints: [Checkpoint],
        removing partitions: [String]
    ) async throws(StoreError) {}
    func append(_ letters: [DeadLetter]) async throws(StoreError) {}
    func recordRedrive(_ ids: [DeadLetterID], attempt: Attempt) async throws(StoreError) {
        self.redriven.withLock { $0 += ids }
    }
    func pausedTriggers() async throws(StoreError) -> Set<String> { [] }
    func setPaused(_ paused: Bool, trigger: String) async throws(StoreError) {}
    func append(_ write: JournalWrite, to journal: String) async throws(StoreError) -> Int { 0 }
    func members(of journal: String) async throws(StoreError) -> [JournalMember] { [] }
    func entryKeys(of journal: String) async throws(StoreError) -> [String] { [] }
    func timedEntries(of journal: String) async throws(StoreError) -> [TimedEntry] { [] }
    func forget(_ journal: String, partition: String) async throws(StoreError) {}
    func note(
        _ outcome: ScheduleFire.Outcome,
        of keys: [String],
        in journal: String
    ) async throws(StoreError) {}
    func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int
    ) async throws(StoreError) -> [StoredFire] { [] }
    func countFires(of journal: String) async throws(StoreError) -> FireCount { FireCount() }
    func mark(of journal: String) async throws(StoreError) -> String? { nil }
    func entries(
        of journal: String,
        after position: UInt64,
        limit: Int
    ) async throws(StoreError) -> [StoredJournalEntry] { [] }
    func countEntries(of journal: String) async throws(StoreError) -> Int { 0 }
    func removeEntries(of journal: String, through position: UInt64) async throws(StoreError) -> Int { 0 }
    func close() async {}
}
