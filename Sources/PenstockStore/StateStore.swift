// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Where checkpoints are kept: all that a pipeline needs of a store.
///
/// The promises are those of ``StateStore``.
package protocol CheckpointStore: Sendable {
    /// The checkpoints of a trigger by partition name.
    func checkpoints(of trigger: String) async throws(StoreError) -> [String: Position]

    /// What was kept of a trigger's tumbling windows by partition name, of those whose last checkpoint had any.
    func windows(of trigger: String) async throws(StoreError) -> [String: KeptWindow]

    /// Keeps the checkpoints durably, each with its window; an older position for the same partition is replaced, also by a smaller one.
    func save(_ checkpoints: [Checkpoint]) async throws(StoreError)

    /// Removes the checkpoints of these partitions of a trigger, all or none, with their windows; those that are not there
    /// do not matter.
    func removeCheckpoints(of trigger: String, partitions: [String]) async throws(StoreError)

    /// Puts these checkpoints in the place of those that a trigger has, and removes those of `partitions`, with their windows:
    /// all in one write, all or none. Checkpoints of other partitions stay.
    func replaceCheckpoints(
        of trigger: String,
        with checkpoints: [Checkpoint],
        removing partitions: [String]
    ) async throws(StoreError)
}

/// The durable memory of Penstock: checkpoints, dead letters, journals, and what operators switched.
///
/// When a write returns, it is on disk (fsync) and survives a power cut; when it throws, it did not happen, but for
/// `unreachable`: then nobody knows, and repeating it is harmless. Writes of many callers share one commit. Safe to call from any isolation; nothing blocks the caller's thread.
/// `StateStoreConformance` in PenstockTesting is the contract, run by each implementation.
package protocol StateStore: CheckpointStore, JournalStore {
    /// Keeps the letters durably, all or none. The same record (trigger, partition, position) given up again replaces
    /// its earlier letter, so that a crash between this and the settlement leaves one letter, not two.
    func append(_ letters: [DeadLetter]) async throws(StoreError)

    /// The letters that match, oldest first (by id), without bodies.
    func deadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> [StoredDeadLetter.Summary]

    /// One letter, whole; nil when there is none with this id.
    func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter?

    /// How many letters match, how large they are, how old the oldest is, and which is the last.
    func countDeadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> DeadLetterCount

    /// The letters that were given up first, of all triggers, earliest first; at most so many.
    func oldestDeadLetters(limit: Int) async throws(StoreError) -> [StoredDeadLetter.Age]

    /// Removes the letters; returns how many there were.
    @discardableResult
    func removeDeadLetters(_ ids: [DeadLetterID]) async throws(StoreError) -> Int

    /// Adds a failed redrive to the letters' histories.
    func recordRedrive(_ ids: [DeadLetterID], attempt: Attempt) async throws(StoreError)

    /// The names of the triggers that an operator paused.
    func pausedTriggers() async throws(StoreError) -> Set<String>

    /// Remembers that a trigger is paused, or that it no longer is.
    func setPaused(_ paused: Bool, trigger: String) async throws(StoreError)

    /// Waits for the writes under way and closes; later calls throw `closed`. Idempotent.
    func close() async
}

/// The durable position of a partition: all up to and including it is settled.
package struct Checkpoint: Sendable, Equatable {
    /// The trigger it belongs to.
    package var trigger: String

    /// The upstream's name of the partition.
    package var partition: String

    /// The last position settled.
    package var position: Position

    /// How far the partition has come behind it in tumbling windows; nil without them.
    package var window: KeptWindow?

    /// A checkpoint.
    package init(trigger: String, partition: String, position: Position, window: KeptWindow? = nil) {
        self.window = window
        self.trigger = trigger
        self.partition = partition
        self.position = position
    }
}

/// The id of a stored dead letter: a number that grows, shown and typed by operators.
package struct DeadLetterID: Hashable, Comparable, Sendable, Codable {
    /// The number.
    package var rawValue: Int64

    /// The id with this number.
    package init(_ rawValue: Int64) {
        self.rawValue = rawValue
    }

    package static func < (lhs: Self, rhs: Self) -> Bool {
        lhs.rawValue < rhs.rawValue
    }
}

/// Which dead letters: all conditions together.
package struct DeadLetterQuery: Sendable, Equatable {
    /// Only of this trigger.
    package var trigger: String?

    /// Only given up at or after this time.
    package var since: Timestamp?

    /// Only those whose last error type or message contains this text.
    package var error: String?

    /// Only with exactly this key.
    package var key: [UInt8]?

    /// Only of the partition with exactly this name.
    package var partition: String?

    /// Only at this position, whatever the partition.
    package var position: Position?

    /// Only these; nil for all.
    package var ids: Set<DeadLetterID>?

    /// Only ids above this one; for paging.
    package var after: DeadLetterID?

    /// At most this many; nil for all.
    package var limit: Int?

    /// All letters, oldest first.
    package init() {}
}

/// How many letters match a query, and what they are together.
package struct DeadLetterCount: Sendable, Equatable {
    /// The number of letters.
    package var count: Int

    /// When the oldest was given up.
    package var oldest: Timestamp?

    /// What they take: keys, bodies, headers and histories, without the store's own overhead.
    package var bytes: Int

    /// The largest id; nil when there is none.
    package var last: DeadLetterID?

    /// A count.
    package init(count: Int, oldest: Timestamp?, bytes: Int, last: DeadLetterID?) {
        self.count = count
        self.oldest = oldest
        self.bytes = bytes
        self.last = last
    }
}

/// A dead letter as the store holds it.
package struct StoredDeadLetter: Sendable, Equatable {
    /// Its id.
    package var id: DeadLetterID

    /// The letter.
    package var letter: DeadLetter

    /// A stored letter.
    package init(id: DeadLetterID, letter: DeadLetter) {
        self.id = id
        self.letter = letter
    }

    /// What retention looks at.
    package struct Age: Sendable, Equatable {
        /// Its id.
        package var id: DeadLetterID
        /// The trigger that gave it up.
        package var trigger: String
        /// When it was given up.
        package var at: Timestamp
        /// What it takes, as ``DeadLetterCount/bytes`` counts.
        package var bytes: Int

        /// A letter's age.
        package init(id: DeadLetterID, trigger: String, at: Timestamp, bytes: Int) {
            self.id = id
            self.trigger = trigger
            self.at = at
            self.bytes = bytes
        }
    }

    /// What a list shows: no payload.
    package struct Summary: Sendable, Equatable {
        /// Its id.
        package var id: DeadLetterID
        /// The trigger that gave it up.
        package var trigger: String
        /// The function it was meant for.
        package var function: String
        /// The upstream's name of the partition.
        package var partition: String
        /// Where it stood there.
        package var position: Position
        /// The record's own time.
        package var timestamp: Timestamp
        /// The key; nil for a null key.
        package var key: [UInt8]?
        /// Bytes of the body.
        package var bodyBytes: Int
        /// Why it was given up.
        package var reason: DeadLetterReason
        /// When it was given up.
        package var at: Timestamp
        /// How many attempts were made, redrives included.
        package var attemptCount: Int
        /// The last failure; nil when it was never invoked.
        package var lastFailure: Failure?

        /// A summary.
        package init(id: DeadLetterID, letter: DeadLetter) {
            self.id = id
            self.trigger = letter.trigger
            self.function = letter.function
            self.partition = letter.partition
            self.position = letter.position
            self.timestamp = letter.timestamp
            self.key = letter.key
            self.bodyBytes = letter.body?.count ?? 0
            self.reason = letter.reason
            self.at = letter.at
            self.attemptCount = letter.attemptCount
            self.lastFailure = letter.attempts.last?.failure
        }
    }
}

/// Why the store refused: the trigger that asked stops, says so, and loses nothing.
package struct StoreError: Error, Sendable, CustomStringConvertible {
    /// What went wrong, for a program.
    package enum Code: String, Sendable {
        /// The file cannot be opened or made.
        case cannotOpen
        /// Another process has it open.
        case inUse
        /// The disk is full.
        case diskFull
        /// The file is not a Penstock store, or is damaged.
        case corrupt
        /// The file was written by a newer Penstock.
        case tooNew
        /// Reading or writing failed.
        case inputOutput
        /// The store was closed.
        case closed
        /// The server that keeps it cannot be reached; what was being written may have been kept or not.
        case unreachable
        /// Another Penstock has taken over the lease that the write was made under.
        case fenced
    }

    /// What went wrong, for a program.
    package var code: Code

    /// What went wrong and what to do, in one sentence.
    package var detail: String

    /// A store error.
    package init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    package var description: String { self.detail }
}
