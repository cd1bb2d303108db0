// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import PenstockCore

/// What is read from the store, on whichever connection is given.
enum Queries {
    static func checkpoints(of trigger: String, _ database: Database) throws -> [String: Position] {
        let statement = try database.cachedStatement(
            sql: """
                SELECT CAST(partition AS BLOB), position FROM checkpoints WHERE "trigger" = CAST(?1 AS TEXT)
                """
        )
        var checkpoints: [String: Position] = [:]
        let rows = try Row.fetchCursor(statement, arguments: [Bound.text(trigger)])
        while let row = try rows.next() {
            var columns = Columns(row, "a checkpoint")
            let partition = try columns.text()
            checkpoints[partition] = try columns.position()
        }
        return checkpoints
    }

    static func windows(of trigger: String, _ database: Database) throws -> [String: KeptWindow] {
        let statement = try database.cachedStatement(
            sql: """
                SELECT CAST(partition AS BLOB), position, window FROM checkpoints
                WHERE "trigger" = CAST(?1 AS TEXT) AND window IS NOT NULL
                """
        )
        var windows: [String: KeptWindow] = [:]
        let rows = try Row.fetchCursor(statement, arguments: [Bound.text(trigger)])
        while let row = try rows.next() {
            var columns = Columns(row, "the window of a checkpoint")
            let partition = try columns.text()
            let closed = try columns.position()
            windows[partition] = try WindowCoding.decode(try columns.bytes() ?? [], closed: closed)
        }
        return windows
    }

    static func pausedTriggers(_ database: Database) throws -> Set<String> {
        let statement = try database.cachedStatement(sql: "SELECT CAST(\"trigger\" AS BLOB) FROM paused")
        var names: Set<String> = []
        let rows = try Row.fetchCursor(statement)
        while let row = try rows.next() {
            var columns = Columns(row, "the name of a paused trigger")
            names.insert(try columns.text())
        }
        return names
    }

    static func deadLetters(
        matching query: DeadLetterQuery,
        _ database: Database
    ) throws -> [StoredDeadLetter.Summary] {
        let (condition, arguments) = Self.condition(query)
        let statement = try database.cachedStatement(
            sql: """
                SELECT \(Self.common), length(body) FROM dead_letters WHERE \(condition)
                ORDER BY id LIMIT \(query.limit.map { max(0, $0) } ?? -1)
                """
        )
        var summaries: [StoredDeadLetter.Summary] = []
        let rows = try Row.fetchCursor(statement, arguments: StatementArguments(arguments))
        while let row = try rows.next() {
            var columns = Columns(row, "a dead letter")
            summaries.append(try StoredDeadLetter.Summary(&columns))
        }
        return summaries
    }

    static func deadLetter(_ id: DeadLetterID, _ database: Database) throws -> StoredDeadLetter? {
        let statement = try database.cachedStatement(
            sql: "SELECT \(Self.common), attempts, attributes, body FROM dead_letters WHERE id = ?1"
        )
        guard let row = try Row.fetchOne(statement, arguments: [id.rawValue]) else { return nil }
        var columns = Columns(row, "dead letter \(id.rawValue)")
        return try StoredDeadLetter(&columns)
    }

    static func countDeadLetters(
        matching query: DeadLetterQuery,
        _ database: Database
    ) throws -> DeadLetterCount {
        let (condition, arguments) = Self.condition(query)
        let source =
            if let limit = query.limit {
                "(SELECT id, at, bytes FROM dead_letters WHERE \(condition) ORDER BY id LIMIT \(max(0, limit)))"
            } else {
                "dead_letters WHERE \(condition)"
            }
        let statement = try database.cachedStatement(
            sql: "SELECT count(*), min(at), sum(bytes), max(id) FROM \(source)"
        )
        guard let row = try Row.fetchOne(statement, arguments: StatementArguments(arguments)) else {
            return .none
        }
        var columns = Columns(row, "the number of dead letters")
        return try DeadLetterCount(&columns)
    }

    static func oldestDeadLetters(limit: Int, _ database: Database) throws -> [StoredDeadLetter.Age] {
        let statement = try database.cachedStatement(
            sql: """
                SELECT id, CAST("trigger" AS BLOB), at, bytes FROM dead_letters ORDER BY at, id LIMIT ?1
                """
        )
        var ages: [StoredDeadLetter.Age] = []
        let rows = try Row.fetchCursor(statement, arguments: [max(0, limit)])
        while let row = try rows.next() {
            var columns = Columns(row, "the age of a dead letter")
            ages.append(try StoredDeadLetter.Age(&columns))
        }
        return ages
    }

    private static let common = """
        id, CAST("trigger" AS BLOB), CAST(function AS BLOB), CAST(partition AS BLOB), position, timestamp,
        tag, reason, at, attempt_count, CAST(last_error_type AS BLOB), CAST(last_error_message AS BLOB),
        CAST(invocation AS BLOB), key
        """

    private static func condition(_ query: DeadLetterQuery) -> (String, [Bound.Value]) {
        var conditions: [String] = []
        var arguments: [Bound.Value] = []
        if let trigger = query.trigger {
            conditions.append("\"trigger\" = CAST(? AS TEXT)")
            arguments.append(Bound.text(trigger))
        }
        if let since = query.since {
            conditions.append("at >= ?")
            arguments.append(since.milliseconds)
        }
        if let error = query.error, !error.isEmpty {
            // Exactly this text, so no LIKE: a percent sign in an error message is a percent sign.
            conditions.append(
                "(instr(last_error_type, CAST(? AS TEXT)) > 0"
                    + " OR instr(last_error_message, CAST(? AS TEXT)) > 0)"
            )
            arguments.append(contentsOf: [Bound.text(error), Bound.text(error)])
        }
        if let key = query.key {
            conditions.append("key = CAST(? AS BLOB)")
            arguments.append(Bound.bytes(key))
        }
        if let partition = query.partition {
            conditions.append("partition = CAST(? AS TEXT)")
            arguments.append(Bound.text(partition))
        }
        if let position = query.position {
            conditions.append("position = CAST(? AS TEXT)")
            arguments.append(Bound.text(position.description))
        }
        if let ids = query.ids {
            // One argument, however many there are.
            conditions.append("id IN (SELECT value FROM json_each(?))")
            arguments.append("[\(ids.map { "\($0.rawValue)" }.joined(separator: ","))]")
        }
        if let after = query.after {
            conditions.append("id > ?")
            arguments.append(after.rawValue)
        }
        return (conditions.isEmpty ? "TRUE" : conditions.joined(separator: " AND "), arguments)
    }
}

/// The columns of a row of SQLite.
struct Columns: StoredColumns {
    let what: String
    private let values: [DatabaseValue]
    private var index = 0

    init(_ row: Row, _ what: String) {
        self.values = Array(row.databaseValues)
        self.what = what
    }

    mutating func optionalNumber() throws(StoreError) -> Int64? {
        switch self.next().storage {
        case .null: nil
        case .int64(let number): number
        default: throw .unreadable(self.what)
        }
    }

    mutating func optionalText() throws(StoreError) -> String? {
        try self.bytes().map { String(decoding: $0, as: UTF8.self) }
    }

    mutating func bytes() throws(StoreError) -> [UInt8]? {
        switch self.next().storage {
        case .null: nil
        case .blob(let data): Array(data)
        case .string(let text): Array(text.utf8)
        default: throw .unreadable(self.what)
        }
    }

    private mutating func next() -> DatabaseValue {
        guard self.index < self.values.count else { return .null }
        defer { self.index += 1 }
        return self.values[self.index]
    }
}
