// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// The columns of a stored row, read one after the other, whatever the database.
///
/// A value of the wrong type is damage, not a trap.
protocol StoredColumns {
    /// What is read, for the error.
    var what: String { get }

    /// The next value as a number; nil for NULL.
    mutating func optionalNumber() throws(StoreError) -> Int64?

    /// The next value as text; nil for NULL.
    mutating func optionalText() throws(StoreError) -> String?

    /// The next value as bytes; nil for NULL.
    mutating func bytes() throws(StoreError) -> [UInt8]?
}

extension StoredColumns {
    mutating func number() throws(StoreError) -> Int64 {
        guard let number = try self.optionalNumber() else { throw .unreadable(self.what) }
        return number
    }

    mutating func text() throws(StoreError) -> String {
        guard let text = try self.optionalText() else { throw .unreadable(self.what) }
        return text
    }

    mutating func position() throws(StoreError) -> Position {
        guard let position = Position(try self.text()) else { throw .unreadable(self.what) }
        return position
    }

    mutating func timestamp() throws(StoreError) -> Timestamp {
        Timestamp(milliseconds: try self.number())
    }

    /// What is never negative.
    mutating func unsigned() throws(StoreError) -> UInt64 {
        guard let number = UInt64(exactly: try self.number()) else { throw .unreadable(self.what) }
        return number
    }

    /// What holds bytes that may not be missing.
    mutating func blob() throws(StoreError) -> [UInt8] {
        guard let bytes = try self.bytes() else { throw .unreadable(self.what) }
        return bytes
    }
}

// MARK: - Rows

/// The columns that a list of letters and a whole letter share, in this order: id, trigger, function, partition, position,
/// timestamp, tag, reason, at, attempt_count, last_error_type, last_error_message, invocation, key.
private struct LetterColumns {
    var id: DeadLetterID
    var letter: DeadLetter
    var lastFailure: Failure?

    init(_ columns: inout some StoredColumns) throws(StoreError) {
        self.id = DeadLetterID(try columns.number())
        let trigger = try columns.text()
        let function = try columns.text()
        let partition = try columns.text()
        let position = try columns.position()
        let timestamp = try columns.timestamp()
        guard let tag = UInt8(exactly: try columns.number()) else { throw .unreadable(columns.what) }
        guard let reason = DeadLetterReason(rawValue: try columns.text()) else {
            throw .unreadable(columns.what)
        }
        let at = try columns.timestamp()
        let attemptCount = Int(try columns.number())
        let type = try columns.optionalText()
        let message = try columns.optionalText()
        self.lastFailure = type.map { type in
            var failure = Failure(type: type, message: "")
            failure.message = message ?? ""
            return failure
        }
        let verdict = DeadLetterVerdict(
            trigger: trigger,
            function: function,
            reason: reason,
            at: at,
            attempts: [],
            attemptCount: attemptCount,
            invocation: try columns.text()
        )
        self.letter = DeadLetter(
            partition: partition,
            position: position,
            timestamp: timestamp,
            verdict: verdict
        )
        self.letter.tag = tag
        self.letter.key = try columns.bytes()
    }
}

extension StoredDeadLetter.Summary {
    /// From the columns of a list, and the length of the body.
    init(_ columns: inout some StoredColumns) throws(StoreError) {
        let common = try LetterColumns(&columns)
        self.init(id: common.id, letter: common.letter)
        self.bodyBytes = Int(try columns.optionalNumber() ?? 0)
        self.lastFailure = common.lastFailure
    }
}

extension StoredDeadLetter {
    /// From the columns of a list, then attempts, attributes and body.
    init(_ columns: inout some StoredColumns) throws(StoreError) {
        let common = try LetterColumns(&columns)
        var letter = common.letter
        letter.attempts = try LetterCoding.attempts(try columns.blob())
        letter.attributes = try LetterCoding.attributes(try columns.blob())
        letter.body = try columns.bytes()
        self.init(id: common.id, letter: letter)
    }
}

extension StoredDeadLetter.Age {
    /// From id, trigger, at and bytes.
    init(_ columns: inout some StoredColumns) throws(StoreError) {
        let id = DeadLetterID(try columns.number())
        let trigger = try columns.text()
        let at = try columns.timestamp()
        self.init(id: id, trigger: trigger, at: at, bytes: Int(try columns.number()))
    }
}

extension DeadLetterCount {
    /// Of no letters.
    static let none = DeadLetterCount(count: 0, oldest: nil, bytes: 0, last: nil)

    /// From count, the smallest at, the sum of bytes and the largest id.
    init(_ columns: inout some StoredColumns) throws(StoreError) {
        let count = Int(try columns.number())
        let oldest = try columns.optionalNumber().map { Timestamp(milliseconds: $0) }
        let bytes = Int(try columns.optionalNumber() ?? 0)
        let last = try columns.optionalNumber().map { DeadLetterID($0) }
        self.init(count: count, oldest: oldest, bytes: bytes, last: last)
    }
}

extension StoredJournalEntry {
    /// From id, key, timestamp, body and attributes.
    init(_ columns: inout some StoredColumns) throws(StoreError) {
        let position = try columns.unsigned()
        let key = try columns.text()
        let timestamp = try columns.timestamp()
        let body = try columns.blob()
        let attributes = try columns.bytes().map { (bytes) throws(StoreError) in
            try LetterCoding.attributes(bytes)
        }
        let entry = JournalEntry(key: key, timestamp: timestamp, body: body, attributes: attributes ?? [])
        self.init(position: position, entry: entry)
    }
}

extension TimedEntry {
    /// From id and key.
    init(_ columns: inout some StoredColumns) throws(StoreError) {
        let position = try columns.unsigned()
        self.init(position: position, key: try columns.text())
    }
}

extension JournalMember {
    /// From name and mark.
    init(_ columns: inout some StoredColumns) throws(StoreError) {
        let name = try columns.text()
        self.init(name: name, mark: try columns.text())
    }
}

extension StoredFire {
    /// From number, key, scheduled, at, outcome, settled and is_ordered, which is 0 or 1.
    init(_ columns: inout some StoredColumns) throws(StoreError) {
        let number = try columns.unsigned()
        let key = try columns.text()
        let scheduled = try columns.timestamp()
        let at = try columns.timestamp()
        guard let outcome = ScheduleFire.Outcome(rawValue: try columns.text()) else {
            throw .unreadable(columns.what)
        }
        let settled = try columns.optionalNumber().map { Timestamp(milliseconds: $0) }
        let fire = ScheduleFire(
            key: key,
            scheduled: scheduled,
            at: at,
            outcome: outcome,
            settled: settled,
            isOrdered: try columns.number() != 0
        )
        self.init(number: number, fire: fire)
    }
}

extension FireCount {
    /// Adds a row of outcome, count and the largest scheduled.
    mutating func add(_ columns: inout some StoredColumns) throws(StoreError) {
        guard let outcome = ScheduleFire.Outcome(rawValue: try columns.text()) else {
            throw .unreadable(columns.what)
        }
        self.outcomes[outcome] = Int(try columns.number())
        let last = try columns.timestamp()
        if outcome.hasFired { self.last = max(self.last ?? last, last) }
    }
}

extension StoreError {
    /// A stored value that cannot be read back.
    static func unreadable(_ what: String) -> StoreError {
        StoreError(.corrupt, "the store is damaged: \(what) cannot be read; restore a backup")
    }
}
