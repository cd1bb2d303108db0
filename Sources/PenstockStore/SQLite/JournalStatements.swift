// SPDX-License-Identifier: Apache-2.0

import GRDB
import PenstockCore

/// The writes of a journal's entries and of its fire log: they are run for each record of a source that cannot redeliver.
///
/// An entry whose line is in the same write has the line's number, and is there once because the line is. Other entries have
/// an index of their own for that. What fires at one time has keys in no order, and each index by key is one more in which
/// nearly every entry is on a page of its own, of which each commit writes all.
struct JournalStatements {
    private let appendEntry: DirectStatement
    private let appendFired: DirectStatement
    private let logFire: DirectStatement
    private let database: Database

    /// The statements of the writer's connection, prepared once for it.
    init(_ database: Database) throws {
        self.database = database
        self.appendEntry = try DirectStatement(
            """
            INSERT INTO journal (journal, key, timestamp, body, attributes, fire)
            SELECT ?1, ?2, ?3, ?4, ?5, NULL WHERE NOT EXISTS (\(Self.fired))
            ON CONFLICT (journal, key) WHERE fire IS NULL DO NOTHING
            """,
            database
        )
        self.appendFired = try DirectStatement(
            """
            INSERT INTO journal (journal, key, timestamp, body, attributes, fire)
            SELECT ?1, ?2, ?3, ?4, ?5, (\(Self.lastNumber))
            WHERE NOT EXISTS (SELECT 1 FROM journal WHERE journal = ?1 AND key = ?2 AND fire IS NULL)
            """,
            database
        )
        self.logFire = try DirectStatement(
            """
            INSERT OR REPLACE INTO schedule_fires (
                journal, key, number, scheduled, at, outcome, settled, is_ordered
            )
            SELECT ?1, ?2, 1 + ifnull((\(Self.lastNumber)), 0),
                ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (\(Self.fired))
            """,
            database
        )
    }

    /// The number of the line that was written last.
    private static let lastNumber = "SELECT max(number) FROM schedule_fires WHERE journal = ?1"

    /// Whether the time with this key has fired by the log.
    private static let fired = """
        SELECT 1 FROM schedule_fires WHERE journal = ?1 AND key = ?2 AND outcome NOT IN ('missed', 'skipped')
        """

    /// Adds the entries and the lines of the log, each in order; returns how many entries are new.
    ///
    /// - Throws: `DatabaseError`; the statements can be used again.
    func append(_ write: JournalWrite, to journal: String) throws -> Int {
        try self.logFire.bind(journal, at: 1)
        var new = 0
        var fires = write.fires[...]
        // The first line of a time that fires.
        var firing = fires.firstIndex { $0.outcome.hasFired }
        for entry in write.entries {
            guard let place = firing, fires[place].key == entry.key else {
                new += try self.append(entry, to: journal, by: self.appendEntry)
                continue
            }
            for fire in fires[..<place] { _ = try self.log(fire) }
            if try self.log(fires[place]) > 0 {
                new += try self.append(entry, to: journal, by: self.appendFired)
            }
            fires = fires[(place + 1)...]
            firing = fires.firstIndex { $0.outcome.hasFired }
        }
        for fire in fires { _ = try self.log(fire) }
        return new
    }

    private func append(
        _ entry: JournalEntry,
        to journal: String,
        by statement: DirectStatement
    ) throws -> Int {
        try statement.bind(journal, at: 1)
        try statement.bind(entry.key, at: 2)
        try statement.bind(entry.timestamp.milliseconds, at: 3)
        try statement.bind(entry.body, at: 4)
        try statement.bind(entry.attributes.isEmpty ? nil : LetterCoding.encode(entry.attributes), at: 5)
        try statement.run()
        return self.database.changesCount
    }

    private func log(_ fire: ScheduleFire) throws -> Int {
        try self.logFire.bind(fire.key, at: 2)
        try self.logFire.bind(fire.scheduled.milliseconds, at: 3)
        try self.logFire.bind(fire.at.milliseconds, at: 4)
        try self.logFire.bind(fire.outcome.rawValue, at: 5)
        try self.logFire.bind(fire.settled?.milliseconds, at: 6)
        try self.logFire.bind(fire.isOrdered ? 1 : 0, at: 7)
        try self.logFire.run()
        return self.database.changesCount
    }
}
