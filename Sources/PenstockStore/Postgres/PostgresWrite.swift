// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// One caller's write, as statements that are carried out in one transaction, maybe with those of others.
///
/// It may be carried out twice, each time with the same effect.
struct PostgresWrite: Sendable {
    /// A statement with its values in it.
    struct Statement: Sendable {
        var sql: String
        /// Whether its rows are those that the caller is told of.
        var counts: Bool

        init(_ sql: String, counts: Bool = false) {
            self.sql = sql
            self.counts = counts
        }
    }

    /// What it does, in order; nothing when empty.
    var statements: [Statement]

    /// The leases that it is made under.
    var fences: [Fence] = []

    /// A write.
    init(_ statements: [Statement]) {
        self.statements = statements
    }

    /// What it takes on its way.
    var bytes: Int { self.statements.reduce(0) { $0 + $1.sql.utf8.count } }
}

// MARK: - Checkpoints, letters, paused triggers

extension PostgresWrite {
    private typealias Text = PostgresText

    /// The server's time in Unix milliseconds.
    private static let now = "(extract(epoch FROM statement_timestamp()) * 1000)::bigint"

    /// Keeps checkpoints; of several for one partition the last.
    static func save(_ checkpoints: [Checkpoint]) -> PostgresWrite {
        // By bytes: names that look alike are not one.
        struct Place: Hashable {
            var trigger: [UInt8]
            var partition: [UInt8]
        }
        var last: [Place: Int] = [:]
        for (index, checkpoint) in checkpoints.enumerated() {
            let place = Place(
                trigger: Array(checkpoint.trigger.utf8),
                partition: Array(checkpoint.partition.utf8)
            )
            last[place] = index
        }
        // In one order, whoever writes: two that write the same partitions wait for each other, and do not block each other.
        let kept = last.sorted { one, other in
            one.key.trigger == other.key.trigger
                ? one.key.partition.lexicographicallyPrecedes(other.key.partition)
                : one.key.trigger.lexicographicallyPrecedes(other.key.trigger)
        }
        let rows = kept.map { entry in
            let checkpoint = checkpoints[entry.value]
            return "(\(Text.literal(checkpoint.trigger)), \(Text.literal(checkpoint.partition)), "
                + "\(Text.literal(checkpoint.position.description)), \(Self.now), "
                + "\(Text.literal(checkpoint.window.map { WindowCoding.encode($0) })))"
        }
        guard !rows.isEmpty else { return PostgresWrite([]) }
        return PostgresWrite([
            Statement(
                """
                INSERT INTO checkpoints ("trigger", partition, position, updated_at, "window")
                VALUES \(rows.joined(separator: ",\n"))
                ON CONFLICT ("trigger", partition) DO UPDATE
                SET position = excluded.position, updated_at = excluded.updated_at, "window" = excluded."window"
                """,
                counts: true
            )
        ])
    }

    /// Removes checkpoints.
    static func removeCheckpoints(of trigger: String, partitions: [String]) -> PostgresWrite {
        guard !partitions.isEmpty else { return PostgresWrite([]) }
        return PostgresWrite([
            Statement(
                """
                DELETE FROM checkpoints
                WHERE "trigger" = \(Text.literal(trigger)) AND partition IN \(Text.list(partitions))
                """,
                counts: true
            )
        ])
    }

    /// The columns of a letter that are written, but for the id and the digest.
    private static let letterColumns = [
        "\"trigger\"", "function", "partition", "position", "\"timestamp\"", "tag", "reason", "at",
        "attempt_count", "last_error_type", "last_error_message", "invocation", "key", "attempts",
        "attributes", "body", "bytes",
    ]

    /// Keeps letters; of several of one record the last, under a new id.
    static func append(_ letters: [DeadLetter]) -> PostgresWrite {
        var last: [[UInt8]: Int] = [:]
        for (index, letter) in letters.enumerated() { last[Self.record(of: letter)] = index }
        // Letters of one batch share their attempts; equal arrays that share storage compare in constant time.
        var attempts: [Attempt] = []
        var encoded = LetterCoding.encode(attempts)
        var rows: [String] = []
        for (index, letter) in letters.enumerated() {
            let record = Self.record(of: letter)
            guard last[record] == index else { continue }
            if letter.attempts != attempts {
                attempts = letter.attempts
                encoded = LetterCoding.encode(attempts)
            }
            rows.append("(sha256(\(Text.literal(record))), \(Self.values(of: letter, encoded)))")
        }
        guard !rows.isEmpty else { return PostgresWrite([]) }
        let columns = Self.letterColumns
        return PostgresWrite([
            Statement(
                """
                INSERT INTO dead_letters (record, \(columns.joined(separator: ", ")))
                VALUES \(rows.joined(separator: ",\n"))
                ON CONFLICT (record) DO UPDATE
                SET id = excluded.id, \(columns.map { "\($0) = excluded.\($0)" }.joined(separator: ", "))
                """,
                counts: true
            )
        ])
    }

    /// What tells the record of a letter from all others: names may hold any characters, so each tells its length.
    private static func record(of letter: DeadLetter) -> [UInt8] {
        let (trigger, partition) = (Array(letter.trigger.utf8), Array(letter.partition.utf8))
        let lengths = Array("\(trigger.count) \(partition.count) ".utf8)
        return lengths + trigger + partition + Array(letter.position.description.utf8)
    }

    private static func values(of letter: DeadLetter, _ attempts: [UInt8]) -> String {
        let last = letter.attempts.last?.failure
        let attributes = LetterCoding.encode(letter.attributes)
        let bytes =
            (letter.key?.count ?? 0) + attempts.count + attributes.count + (letter.body?.count ?? 0)
        return [
            Text.literal(letter.trigger), Text.literal(letter.function), Text.literal(letter.partition),
            Text.literal(letter.position.description), "\(letter.timestamp.milliseconds)", "\(letter.tag)",
            Text.literal(letter.reason.rawValue), "\(letter.at.milliseconds)", "\(letter.attemptCount)",
            Text.literal(last?.type), Text.literal(last?.message), Text.literal(letter.invocation),
            Text.literal(letter.key), Text.literal(attempts), Text.literal(attributes),
            Text.literal(letter.body), "\(bytes)",
        ].joined(separator: ", ")
    }

    /// Removes letters.
    static func remove(_ ids: [DeadLetterID]) -> PostgresWrite {
        guard !ids.isEmpty else { return PostgresWrite([]) }
        let list = ids.map { "\($0.rawValue)" }.joined(separator: ", ")
        return PostgresWrite([Statement("DELETE FROM dead_letters WHERE id IN (\(list))", counts: true)])
    }

    /// Puts a history in the place of another one, unless that is another one by now; tells whether it did by its rows.
    static func replaceHistory(
        _ old: [UInt8],
        by new: [UInt8],
        _ failure: Failure,
        of id: DeadLetterID
    ) -> PostgresWrite {
        PostgresWrite([
            Statement(
                """
                UPDATE dead_letters SET bytes = bytes + \(new.count - old.count), attempts = \(Text.literal(new)),
                    attempt_count = attempt_count + 1, last_error_type = \(Text.literal(failure.type)),
                    last_error_message = \(Text.literal(failure.message))
                WHERE id = \(id.rawValue) AND attempts = \(Text.literal(old))
                """,
                counts: true
            )
        ])
    }

    /// Notes that a trigger is paused, or that it is not.
    static func setPaused(_ paused: Bool, trigger: String) -> PostgresWrite {
        let name = Text.literal(trigger)
        return PostgresWrite([
            Statement(
                paused
                    ? "INSERT INTO paused (\"trigger\") VALUES (\(name)) ON CONFLICT DO NOTHING"
                    : "DELETE FROM paused WHERE \"trigger\" = \(name)"
            )
        ])
    }
}

// MARK: - Journals

extension PostgresWrite {
    /// The outcomes of times that did not fire.
    private static let unfired = PostgresText.list(
        ScheduleFire.Outcome.allCases.filter { !$0.hasFired }.map(\.rawValue)
    )

    /// Whether the time of the row `given` has fired by the log of a journal.
    private static func hasFired(_ journal: String) -> String {
        """
        EXISTS (
            SELECT 1 FROM schedule_fires AS fire WHERE fire.journal = \(journal) AND fire.key = given.key
                AND fire.outcome NOT IN \(Self.unfired)
        )
        """
    }

    /// Carries out a write of a journal; counts its new entries.
    static func journal(_ write: JournalWrite, journal: String) -> PostgresWrite {
        let name = Text.literal(journal)
        var statements: [Statement] = []
        if !write.entries.isEmpty { statements.append(Self.append(write.entries, name)) }
        if let mark = write.mark {
            statements.append(
                Statement(
                    """
                    INSERT INTO journal_marks (journal, mark) VALUES (\(name), \(Text.literal(mark)))
                    ON CONFLICT (journal) DO UPDATE SET mark = excluded.mark
                    """
                )
            )
        }
        if !write.fires.isEmpty { statements += Self.log(write.fires, kept: write.firesKept, name) }
        if !write.members.isEmpty {
            let last = Dictionary(write.members.map { (Array($0.name.utf8), $0) }) { _, last in last }
            let rows = last.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map {
                "(\(name), \(Text.literal($0.value.name)), \(Text.literal($0.value.mark)))"
            }
            statements.append(
                Statement(
                    """
                    INSERT INTO journal_members (journal, name, mark) VALUES \(rows.joined(separator: ",\n"))
                    ON CONFLICT (journal, name) DO UPDATE SET mark = excluded.mark
                    """
                )
            )
        }
        if !write.removedMembers.isEmpty {
            let names = Text.list(write.removedMembers)
            statements.append(
                Statement("DELETE FROM journal_members WHERE journal = \(name) AND name IN \(names)")
            )
        }
        return PostgresWrite(statements)
    }

    private static func append(_ entries: [JournalEntry], _ journal: String) -> Statement {
        let rows = entries.enumerated().map { index, entry in
            let attributes = entry.attributes.isEmpty ? nil : LetterCoding.encode(entry.attributes)
            return "(\(index), \(Text.literal(entry.key)), \(Text.literal(entry.timestamp.milliseconds)), "
                + "\(Text.literal(entry.body)), \(Text.literal(attributes)))"
        }
        return Statement(
            """
            INSERT INTO journal (journal, key, "timestamp", body, attributes)
            SELECT \(journal), given.key, given.at, given.body, given.attributes
            FROM (VALUES \(rows.joined(separator: ",\n"))) AS given (place, key, at, body, attributes)
            WHERE NOT \(Self.hasFired(journal)) ORDER BY given.place
            ON CONFLICT (journal, key) DO NOTHING
            """,
            counts: true
        )
    }

    private static func log(_ fires: [ScheduleFire], kept: Int, _ journal: String) -> [Statement] {
        let rows = Self.lines(of: fires).enumerated().map { index, fire in
            "(\(index), \(Text.literal(fire.key)), \(Text.literal(fire.scheduled.milliseconds)), "
                + "\(Text.literal(fire.at.milliseconds)), \(Text.literal(fire.outcome.rawValue)), "
                + "\(Text.literal(fire.settled?.milliseconds)), \(fire.isOrdered))"
        }
        let last = "coalesce((SELECT max(number) FROM schedule_fires WHERE journal = \(journal)), 0)"
        return [
            Statement(
                """
                INSERT INTO schedule_fires (journal, key, number, scheduled, at, outcome, settled, is_ordered)
                SELECT \(journal), given.key, \(last) + row_number() OVER (ORDER BY given.place), given.scheduled,
                    given.at, given.outcome, given.settled, given.is_ordered
                FROM (VALUES \(rows.joined(separator: ",\n")))
                    AS given (place, key, scheduled, at, outcome, settled, is_ordered)
                WHERE NOT \(Self.hasFired(journal))
                ON CONFLICT (journal, key) DO UPDATE
                SET number = excluded.number, scheduled = excluded.scheduled, at = excluded.at,
                    outcome = excluded.outcome, settled = excluded.settled, is_ordered = excluded.is_ordered
                """
            ),
            Statement(
                """
                DELETE FROM schedule_fires WHERE journal = \(journal)
                    AND (settled IS NOT NULL OR outcome IN \(Self.unfired)) AND number <= \(last) - \(kept)
                """
            ),
        ]
    }

    /// One line for each time, as they come about one after the other: what has fired stays, else the last one counts.
    private static func lines(of fires: [ScheduleFire]) -> [ScheduleFire] {
        guard Set(fires.map { Array($0.key.utf8) }).count < fires.count else { return fires }
        var places: [[UInt8]: Int] = [:]
        var lines: [ScheduleFire?] = []
        for fire in fires {
            let key = Array(fire.key.utf8)
            if let place = places[key] {
                if lines[place]?.outcome.hasFired == true { continue }
                lines[place] = nil
            }
            places[key] = lines.count
            lines.append(fire)
        }
        return lines.compactMap(\.self)
    }

    /// Removes the entries up to a position.
    static func removeEntries(of journal: String, through position: UInt64) -> PostgresWrite {
        let name = Text.literal(journal)
        let condition = "entry.journal = \(name) AND entry.id <= \(Int64(clamping: position))"
        return PostgresWrite([
            Statement(
                """
                UPDATE schedule_fires AS fire SET settled = \(Self.now),
                    outcome = CASE fire.outcome WHEN 'waiting' THEN 'settled' ELSE fire.outcome END
                WHERE fire.journal = \(name) AND fire.settled IS NULL AND fire.outcome NOT IN \(Self.unfired)
                    AND fire.key IN (SELECT entry.key FROM journal AS entry WHERE \(condition))
                """
            ),
            Statement("DELETE FROM journal AS entry WHERE \(condition)", counts: true),
        ])
    }

    /// Removes all of a journal that has no entries.
    static func forget(_ journal: String, partition: String) -> PostgresWrite {
        let name = Text.literal(journal)
        let isEmpty = "NOT EXISTS (SELECT 1 FROM journal AS entry WHERE entry.journal = \(name))"
        let checkpoint = """
            DELETE FROM checkpoints WHERE "trigger" = \(name) AND partition = \(Text.literal(partition))
                AND \(isEmpty)
            """
        let tables = ["journal_marks", "journal_members", "schedule_fires"]
        return PostgresWrite(
            [Statement(checkpoint)]
                + tables.map {
                    Statement("DELETE FROM \($0) AS own WHERE own.journal = \(name) AND \(isEmpty)")
                }
        )
    }

    /// Notes what becomes of entries.
    static func note(_ outcome: ScheduleFire.Outcome, of keys: [String], in journal: String) -> PostgresWrite
    {
        guard !keys.isEmpty else { return PostgresWrite([]) }
        return PostgresWrite([
            Statement(
                """
                UPDATE schedule_fires SET outcome = \(Text.literal(outcome.rawValue))
                WHERE journal = \(Text.literal(journal)) AND key IN \(Text.list(keys)) AND settled IS NULL
                    AND outcome NOT IN \(Self.unfired)
                """,
                counts: true
            )
        ])
    }
}
