// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import PenstockCore

/// One caller's write, as data: it may be carried out twice (see ``GroupWriter``), each time with the same
/// effect.
enum WriteOperation: Sendable {
    case save([Checkpoint])
    case append([DeadLetter])
    case remove([DeadLetterID])
    case recordRedrive([DeadLetterID], Attempt)
    case setPaused(Bool, trigger: String)
    case journal([JournalEntry], journal: String, mark: String?)
    case removeEntries(journal: String, through: UInt64)
    /// A statement of the store's own, such as a pragma. Never text from outside.
    case execute(String)

    /// About how many bytes it writes; bounds the size of a commit.
    var bytes: Int {
        switch self {
        case .save(let checkpoints): checkpoints.count * 128
        case .append(let letters):
            letters.reduce(0) { sum, letter in
                sum + 512 + (letter.body?.count ?? 0) + (letter.key?.count ?? 0)
                    + letter.attributes.reduce(0) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) }
            }
        case .remove(let ids), .recordRedrive(let ids, _): ids.count * 64
        case .journal(let entries, _, _): entries.reduce(128) { $0 + 128 + $1.body.count }
        case .setPaused, .removeEntries, .execute: 128
        }
    }
}

/// Carries out writes on the writer's connection, inside the transaction that the caller opened.
struct WriteSession {
    private let database: Database
    private let now: Int64
    private var checkpointStatement: CheckpointStatement?
    private var statements = [Statement?](repeating: nil, count: Query.allCases.count)

    /// A session for one transaction, whose time is `now` (Unix milliseconds).
    init(_ database: Database, now: Int64) {
        self.database = database
        self.now = now
    }

    /// Carries out one write; returns how many rows it concerned.
    mutating func run(_ operation: WriteOperation) throws -> Int {
        switch operation {
        case .save(let checkpoints):
            let statement = try self.checkpointStatement ?? CheckpointStatement(self.database)
            self.checkpointStatement = statement
            for checkpoint in checkpoints { try statement.save(checkpoint, at: self.now) }
            return checkpoints.count
        case .append(let letters):
            try self.append(letters)
            return letters.count
        case .remove(let ids):
            return try ids.reduce(0) { count, id in
                try self.run(.removeLetter, [id.rawValue])
                return count + self.database.changesCount
            }
        case .recordRedrive(let ids, let attempt):
            return try ids.reduce(0) { try $0 + self.recordRedrive($1, attempt) }
        case .setPaused(let paused, let trigger):
            try self.run(paused ? .pause : .resume, [Bound.text(trigger)])
            return 1
        case .journal(let entries, let journal, let mark):
            return try self.append(entries, to: journal, mark: mark)
        case .removeEntries(let journal, let position):
            try self.run(.removeEntries, [Bound.text(journal), Int64(clamping: position)])
            return self.database.changesCount
        case .execute(let sql):
            return try Self.execute(sql, self.database)
        }
    }

    /// Runs one statement to its end; returns the first number of its result, 0 when there is none.
    static func execute(_ sql: String, _ database: Database) throws -> Int {
        let rows = try Row.fetchCursor(database, sql: sql)
        let first = try rows.next().flatMap { Int.fromDatabaseValue($0.databaseValues.first ?? .null) }
        while try rows.next() != nil {}
        return first ?? 0
    }

    private mutating func append(_ letters: [DeadLetter]) throws {
        // Letters of one batch share their attempts; equal arrays that share storage compare in constant
        // time.
        var attempts: [Attempt] = []
        var encoded = LetterCoding.encode(attempts)
        for letter in letters {
            if letter.attempts != attempts {
                attempts = letter.attempts
                encoded = LetterCoding.encode(attempts)
            }
            let last = attempts.last?.failure
            let attributes = LetterCoding.encode(letter.attributes)
            let bytes =
                (letter.key?.count ?? 0) + encoded.count + attributes.count + (letter.body?.count ?? 0)
            try self.run(
                .appendLetter,
                [
                    Bound.text(letter.trigger), Bound.text(letter.function), Bound.text(letter.partition),
                    letter.position.description, letter.timestamp.milliseconds, Int64(letter.tag),
                    letter.reason.rawValue, letter.at.milliseconds, letter.attemptCount,
                    last.map { Bound.text($0.type) } ?? nil, last.map { Bound.text($0.message) } ?? nil,
                    Bound.text(letter.invocation), letter.key.map { Bound.bytes($0) } ?? nil, encoded,
                    attributes, letter.body.map { Bound.bytes($0) } ?? nil, bytes,
                ]
            )
        }
    }

    private mutating func append(
        _ entries: [JournalEntry],
        to journal: String,
        mark: String?
    ) throws -> Int {
        let new = try entries.reduce(0) { count, entry in
            try self.run(
                .appendEntry,
                [
                    Bound.text(journal), Bound.text(entry.key), entry.timestamp.milliseconds,
                    Bound.bytes(entry.body),
                ]
            )
            return count + self.database.changesCount
        }
        if let mark { try self.run(.mark, [Bound.text(journal), Bound.text(mark)]) }
        return new
    }

    private mutating func recordRedrive(_ id: DeadLetterID, _ attempt: Attempt) throws -> Int {
        // Looked up for each letter: a statement that failed is no longer in GRDB's cache.
        let stored = try self.database.cachedStatement(sql: Query.attemptsOfLetter.sql)
        guard let row = try Row.fetchOne(stored, arguments: [id.rawValue]) else { return 0 }
        guard let data = Data.fromDatabaseValue(row.databaseValues.first ?? .null) else {
            throw StoreError.unreadable("the attempts of dead letter \(id.rawValue)")
        }
        var attempts = try LetterCoding.attempts(data)
        if attempts.count >= DeadLetter.attemptsMax {
            // The first half stays, and the latest ones follow it.
            let first = DeadLetter.attemptsMax / 2
            attempts.removeSubrange(first..<(attempts.count - (DeadLetter.attemptsMax - first - 1)))
        }
        attempts.append(attempt)
        try self.run(
            .recordRedrive,
            [
                LetterCoding.encode(attempts), Bound.text(attempt.failure.type),
                Bound.text(attempt.failure.message), id.rawValue,
            ]
        )
        return 1
    }

    private mutating func run(_ query: Query, _ arguments: [Bound.Value]) throws {
        let statement = try self.statement(query)
        statement.setUncheckedArguments(StatementArguments(arguments))
        do {
            try statement.execute()
        } catch {
            // GRDB drops a failed statement from its cache, and traps when it is given arguments again: its
            // reset reports the failure a second time. So must we drop it.
            self.statements[query.rawValue] = nil
            throw error
        }
    }

    private mutating func statement(_ query: Query) throws -> Statement {
        if let statement = self.statements[query.rawValue] { return statement }
        let statement = try self.database.cachedStatement(sql: query.sql)
        self.statements[query.rawValue] = statement
        return statement
    }

    /// The statements of the hot path, prepared once for each connection and looked up once for each
    /// transaction.
    private enum Query: Int, CaseIterable {
        case appendLetter
        case removeLetter
        case attemptsOfLetter
        case recordRedrive
        case pause
        case resume
        case appendEntry
        case removeEntries
        case mark

        // Each text and each key or body is cast, see `Bound`.
        var sql: String {
            switch self {
            case .appendLetter:
                """
                INSERT OR REPLACE INTO dead_letters (
                    "trigger", function, partition, position, timestamp, tag, reason, at, attempt_count,
                    last_error_type, last_error_message, invocation, key, attempts, attributes, body, bytes
                ) VALUES (
                    CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), ?4, ?5, ?6, ?7, ?8, ?9,
                    CAST(?10 AS TEXT), CAST(?11 AS TEXT), CAST(?12 AS TEXT), CAST(?13 AS BLOB), ?14, ?15,
                    CAST(?16 AS BLOB), ?17
                )
                """
            case .removeLetter: "DELETE FROM dead_letters WHERE id = ?1"
            case .attemptsOfLetter: "SELECT attempts FROM dead_letters WHERE id = ?1"
            case .recordRedrive:
                """
                UPDATE dead_letters SET bytes = bytes - length(attempts) + length(?1),
                    attempts = ?1, attempt_count = attempt_count + 1,
                    last_error_type = CAST(?2 AS TEXT), last_error_message = CAST(?3 AS TEXT)
                WHERE id = ?4
                """
            case .pause: "INSERT OR IGNORE INTO paused (\"trigger\") VALUES (CAST(?1 AS TEXT))"
            case .resume: "DELETE FROM paused WHERE \"trigger\" = CAST(?1 AS TEXT)"
            case .appendEntry:
                """
                INSERT INTO journal (journal, key, timestamp, body)
                VALUES (CAST(?1 AS TEXT), CAST(?2 AS TEXT), ?3, CAST(?4 AS BLOB))
                ON CONFLICT (journal, key) DO NOTHING
                """
            case .removeEntries: "DELETE FROM journal WHERE journal = CAST(?1 AS TEXT) AND id <= ?2"
            case .mark:
                """
                INSERT INTO journal_marks (journal, mark) VALUES (CAST(?1 AS TEXT), CAST(?2 AS TEXT))
                ON CONFLICT (journal) DO UPDATE SET mark = excluded.mark
                """
            }
        }
    }
}

/// Values from outside as they are bound; the statement casts each of them, `CAST(? AS TEXT)` or `AS BLOB`.
///
/// GRDB binds a `String` only up to its first NUL, and an empty `Data` as NULL. So texts and blobs are bound
/// as bytes, and empty ones as an empty string: nothing is cut, and no two partitions become one.
enum Bound {
    typealias Value = (any DatabaseValueConvertible)?

    static func text(_ text: String) -> Value {
        text.isEmpty ? "" : Data(text.utf8)
    }

    static func bytes(_ bytes: [UInt8]) -> Value {
        bytes.isEmpty ? "" : Data(bytes)
    }
}
