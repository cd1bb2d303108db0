// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import PenstockCore

/// One caller's write, as data: it may be carried out twice (see ``GroupWriter``), each time with the same
/// effect.
enum WriteOperation: Sendable {
    case save([Checkpoint])
    case removeCheckpoints([String], trigger: String)
    case replaceCheckpoints([Checkpoint], removing: [String], trigger: String)
    case append([DeadLetter])
    case remove([DeadLetterID])
    case recordRedrive([DeadLetterID], Attempt)
    case setPaused(Bool, trigger: String)
    case journal(JournalWrite, journal: String)
    case removeEntries(journal: String, through: UInt64)
    case forget(journal: String, partition: String)
    case note(ScheduleFire.Outcome, keys: [String], journal: String)
    /// A statement of the store's own, such as a pragma. Never text from outside.
    case execute(String)

    /// About how many bytes it writes; bounds the size of a commit.
    var bytes: Int {
        switch self {
        case .save(let checkpoints): Self.bytes(of: checkpoints)
        case .removeCheckpoints(let partitions, _): partitions.count * 64
        case .replaceCheckpoints(let checkpoints, let partitions, _):
            Self.bytes(of: checkpoints) + partitions.count * 64
        case .append(let letters):
            letters.reduce(0) { sum, letter in
                sum + 512 + (letter.body?.count ?? 0) + (letter.key?.count ?? 0)
                    + letter.attributes.reduce(0) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) }
            }
        case .remove(let ids), .recordRedrive(let ids, _): ids.count * 64
        case .note(_, let keys, _): keys.count * 64
        case .journal(let write, _):
            write.entries.reduce(128 + 128 * (write.fires.count + write.members.count)) { sum, entry in
                sum + 128 + entry.body.count
                    + entry.attributes.reduce(0) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) }
            }
        case .setPaused, .removeEntries, .forget, .execute: 128
        }
    }

    private static func bytes(of checkpoints: [Checkpoint]) -> Int {
        checkpoints.reduce(0) { $0 + 128 + ($1.window?.open?.state.count ?? 0) }
    }
}

/// Carries out writes on the writer's connection, inside the transaction that the caller opened.
struct WriteSession {
    private let database: Database
    private let now: Int64
    private var checkpointStatement: CheckpointStatement?
    private var journalStatements: JournalStatements?
    private var statements = [Statement?](repeating: nil, count: Query.allCases.count)

    /// A session for one transaction, whose time is `now` (Unix milliseconds).
    init(_ database: Database, now: Int64) {
        self.database = database
        self.now = now
    }

    /// Carries out one write; returns how many rows it concerned.
    mutating func run(_ operation: WriteOperation) throws -> Int {
        switch operation {
        case .save(let checkpoints): return try self.save(checkpoints)
        case .removeCheckpoints(let partitions, let trigger):
            return try self.removeCheckpoints(partitions, trigger)
        case .replaceCheckpoints(let checkpoints, let partitions, let trigger):
            return try self.removeCheckpoints(partitions, trigger) + self.save(checkpoints)
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
        case .journal(let write, let journal):
            let statements = try self.journalStatements ?? JournalStatements(self.database)
            self.journalStatements = statements
            let new = try statements.append(write, to: journal)
            if let mark = write.mark { try self.run(.mark, [Bound.text(journal), Bound.text(mark)]) }
            if !write.fires.isEmpty {
                let kept = write.firesKept
                try self.run(.dropFires, [Bound.text(journal), kept, Self.lot(of: kept)])
            }
            for member in write.members {
                try self.run(
                    .keepMember,
                    [Bound.text(journal), Bound.text(member.name), Bound.text(member.mark)]
                )
            }
            for name in write.removedMembers {
                try self.run(.removeMember, [Bound.text(journal), Bound.text(name)])
            }
            return new
        case .removeEntries(let journal, let position):
            for query in [Query.settleFires, .settleFiresByKey] {
                try self.run(query, [Bound.text(journal), Int64(clamping: position), self.now])
            }
            try self.run(.removeEntries, [Bound.text(journal), Int64(clamping: position)])
            return self.database.changesCount
        case .forget(let journal, let partition):
            try self.run(.forgetCheckpoint, [Bound.text(journal), Bound.text(partition)])
            return try [Query.forgetMark, .forgetMembers, .forgetFires].reduce(self.database.changesCount) {
                count,
                query in
                try self.run(query, [Bound.text(journal)])
                return count + self.database.changesCount
            }
        case .note(let outcome, let keys, let journal):
            return try keys.reduce(0) { count, key in
                try self.run(.noteFire, [Bound.text(journal), Bound.text(key), outcome.rawValue])
                return count + self.database.changesCount
            }
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

    private mutating func save(_ checkpoints: [Checkpoint]) throws -> Int {
        let statement = try self.checkpointStatement ?? CheckpointStatement(self.database)
        self.checkpointStatement = statement
        for checkpoint in checkpoints { try statement.save(checkpoint, at: self.now) }
        return checkpoints.count
    }

    private mutating func removeCheckpoints(_ partitions: [String], _ trigger: String) throws -> Int {
        try partitions.reduce(0) { count, partition in
            try self.run(.removeCheckpoint, [Bound.text(trigger), Bound.text(partition)])
            return count + self.database.changesCount
        }
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
                    Bound.text(letter.invocation), letter.key.map { Bound.bytes($0) } ?? nil,
                    Bound.bytes(encoded), Bound.bytes(attributes), letter.body.map { Bound.bytes($0) } ?? nil,
                    bytes,
                ]
            )
        }
    }

    /// Lines of the fire log that are dropped together, of so many that are kept: their keys are in no order, so that a page
    /// of an index is written once for many of them.
    private static func lot(of kept: Int) -> Int { kept > ScheduleFire.keptMax ? 512 : 1 }

    private mutating func recordRedrive(_ id: DeadLetterID, _ attempt: Attempt) throws -> Int {
        // Looked up for each letter: a statement that failed is no longer in GRDB's cache.
        let stored = try self.database.cachedStatement(sql: Query.attemptsOfLetter.sql)
        guard let row = try Row.fetchOne(stored, arguments: [id.rawValue]) else { return 0 }
        var columns = Columns(row, "the attempts of dead letter \(id.rawValue)")
        let attempts = try LetterCoding.adding(attempt, to: try columns.blob())
        try self.run(
            .recordRedrive,
            [
                Bound.bytes(attempts), Bound.text(attempt.failure.type),
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
        case removeCheckpoint
        case appendLetter
        case removeLetter
        case attemptsOfLetter
        case recordRedrive
        case pause
        case resume
        case removeEntries
        case mark
        case dropFires
        case settleFires
        case settleFiresByKey
        case noteFire
        case forgetMark
        case forgetFires
        case forgetMembers
        case forgetCheckpoint
        case keepMember
        case removeMember

        // Each text and each key or body is cast, see `Bound`.
        var sql: String {
            switch self {
            case .removeCheckpoint:
                """
                DELETE FROM checkpoints WHERE "trigger" = CAST(?1 AS TEXT) AND partition = CAST(?2 AS TEXT)
                """
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
            case .removeEntries: "DELETE FROM journal WHERE journal = CAST(?1 AS TEXT) AND id <= ?2"
            case .mark:
                """
                INSERT INTO journal_marks (journal, mark) VALUES (CAST(?1 AS TEXT), CAST(?2 AS TEXT))
                ON CONFLICT (journal) DO UPDATE SET mark = excluded.mark
                """
            case .dropFires:
                """
                DELETE FROM schedule_fires WHERE journal = CAST(?1 AS TEXT)
                    AND (settled IS NOT NULL OR outcome IN ('missed', 'skipped'))
                    AND number <= (\(Self.number("max"))) - ?2
                    AND (\(Self.number("max"))) - (\(Self.number("min"))) >= ?2 + ?3 - 1
                """
            case .settleFires:
                Self.settle("number IN (SELECT fire FROM \(Self.settled) AND fire IS NOT NULL)")
            case .settleFiresByKey:
                // By itself SQLite would read all lines of the journal.
                Self.settle(
                    "key IN (SELECT key FROM \(Self.settled) AND fire IS NULL)",
                    by: " INDEXED BY schedule_fires_by_key"
                )
            case .forgetMark: "DELETE FROM journal_marks WHERE journal = CAST(?1 AS TEXT) AND \(Self.isEmpty)"
            case .forgetFires:
                "DELETE FROM schedule_fires WHERE journal = CAST(?1 AS TEXT) AND \(Self.isEmpty)"
            case .forgetMembers:
                "DELETE FROM journal_members WHERE journal = CAST(?1 AS TEXT) AND \(Self.isEmpty)"
            case .forgetCheckpoint:
                """
                DELETE FROM checkpoints WHERE "trigger" = CAST(?1 AS TEXT) AND partition = CAST(?2 AS TEXT)
                    AND \(Self.isEmpty)
                """
            case .keepMember:
                """
                INSERT INTO journal_members (journal, name, mark)
                VALUES (CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT))
                ON CONFLICT (journal, name) DO UPDATE SET mark = excluded.mark
                """
            case .removeMember:
                "DELETE FROM journal_members WHERE journal = CAST(?1 AS TEXT) AND name = CAST(?2 AS TEXT)"
            case .noteFire:
                """
                UPDATE schedule_fires SET outcome = ?3 WHERE journal = CAST(?1 AS TEXT)
                    AND key = CAST(?2 AS TEXT) AND settled IS NULL AND outcome NOT IN ('missed', 'skipped')
                """
            }
        }

        /// Whether a journal has no entries.
        private static let isEmpty =
            "NOT EXISTS (SELECT 1 FROM journal WHERE journal.journal = CAST(?1 AS TEXT))"

        /// The lowest or the highest number of a journal's log.
        private static func number(_ end: String) -> String {
            "SELECT \(end)(number) FROM schedule_fires WHERE journal = CAST(?1 AS TEXT)"
        }

        /// The entries of a journal up to a position.
        private static let settled = "journal WHERE journal = CAST(?1 AS TEXT) AND id <= ?2"

        /// Says of lines that wait that they are settled.
        private static func settle(_ condition: String, by index: String = "") -> String {
            """
            UPDATE schedule_fires\(index) SET settled = ?3,
                outcome = CASE outcome WHEN 'waiting' THEN 'settled' ELSE outcome END
            WHERE journal = CAST(?1 AS TEXT) AND settled IS NULL AND outcome NOT IN ('missed', 'skipped')
                AND \(condition)
            """
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
