// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// What is read from the store; the rows come in binary, for ``PostgresColumns``.
enum PostgresQueries {
    private static func query(_ sql: String, _ parameters: [PostgresValue] = []) -> PostgresQuery {
        PostgresQuery(sql, parameters, format: .binary)
    }

    private static func text(_ text: String) -> PostgresValue { .text(PostgresText.stored(text)) }

    private static func limit(_ limit: Int) -> PostgresValue { .integer(Int64(max(0, limit))) }

    // MARK: - Checkpoints and paused triggers

    static func checkpoints(of trigger: String) -> PostgresQuery {
        self.query(
            "SELECT partition, position FROM checkpoints WHERE \"trigger\" = $1",
            [self.text(trigger)]
        )
    }

    static func windows(of trigger: String) -> PostgresQuery {
        self.query(
            "SELECT partition, position, \"window\" FROM checkpoints WHERE \"trigger\" = $1 AND \"window\" IS NOT NULL",
            [self.text(trigger)]
        )
    }

    static let pausedTriggers = Self.query("SELECT \"trigger\" FROM paused")

    // MARK: - Dead letters

    private static let common = """
        id, "trigger", function, partition, position, "timestamp", tag, reason, at, attempt_count,
        last_error_type, last_error_message, invocation, key
        """

    static func deadLetters(matching query: DeadLetterQuery) -> PostgresQuery {
        let (condition, parameters) = Self.condition(query)
        return self.query(
            """
            SELECT \(Self.common), length(body) FROM dead_letters WHERE \(condition)
            ORDER BY id LIMIT \(query.limit.map { "\(max(0, $0))" } ?? "ALL")
            """,
            parameters
        )
    }

    static func deadLetter(_ id: DeadLetterID) -> PostgresQuery {
        self.query(
            "SELECT \(Self.common), attempts, attributes, body FROM dead_letters WHERE id = $1",
            [.integer(id.rawValue)]
        )
    }

    static func countDeadLetters(matching query: DeadLetterQuery) -> PostgresQuery {
        let (condition, parameters) = Self.condition(query)
        let source =
            if let limit = query.limit {
                "(SELECT id, at, bytes FROM dead_letters WHERE \(condition) ORDER BY id LIMIT \(max(0, limit))) AS some"
            } else {
                "dead_letters WHERE \(condition)"
            }
        return self.query("SELECT count(*), min(at), sum(bytes)::bigint, max(id) FROM \(source)", parameters)
    }

    static func oldestDeadLetters(limit: Int) -> PostgresQuery {
        self.query(
            "SELECT id, \"trigger\", at, bytes FROM dead_letters ORDER BY at, id LIMIT $1::bigint",
            [self.limit(limit)]
        )
    }

    static func history(of id: DeadLetterID) -> PostgresQuery {
        self.query("SELECT attempts FROM dead_letters WHERE id = $1", [.integer(id.rawValue)])
    }

    private static func condition(_ query: DeadLetterQuery) -> (String, [PostgresValue]) {
        var conditions: [String] = []
        var parameters: [PostgresValue] = []
        func bound(_ value: PostgresValue) -> String {
            parameters.append(value)
            return "$\(parameters.count)"
        }
        if let trigger = query.trigger { conditions.append("\"trigger\" = \(bound(self.text(trigger)))") }
        if let since = query.since { conditions.append("at >= \(bound(.integer(since.milliseconds)))") }
        if let error = query.error, !error.isEmpty {
            // Exactly this text, so no LIKE: a percent sign in an error message is a percent sign.
            let text = bound(self.text(error))
            conditions.append(
                "(strpos(last_error_type, \(text)) > 0 OR strpos(last_error_message, \(text)) > 0)"
            )
        }
        if let key = query.key { conditions.append("key = \(bound(.bytes(key)))") }
        if let partition = query.partition { conditions.append("partition = \(bound(self.text(partition)))") }
        if let position = query.position {
            conditions.append("position = \(bound(self.text(position.description)))")
        }
        if let ids = query.ids {
            let list = ids.map { "\($0.rawValue)" }.joined(separator: ",")
            conditions.append("id = ANY(\(bound(.text("{\(list)}")))::bigint[])")
        }
        if let after = query.after { conditions.append("id > \(bound(.integer(after.rawValue)))") }
        return (conditions.isEmpty ? "true" : conditions.joined(separator: " AND "), parameters)
    }

    // MARK: - Journals

    static func mark(of journal: String) -> PostgresQuery {
        self.query("SELECT mark FROM journal_marks WHERE journal = $1", [self.text(journal)])
    }

    static func members(of journal: String) -> PostgresQuery {
        self.query(
            "SELECT name, mark FROM journal_members WHERE journal = $1 ORDER BY name",
            [self.text(journal)]
        )
    }

    static func entries(of journal: String, after position: UInt64, limit: Int) -> PostgresQuery {
        self.query(
            """
            SELECT id, key, "timestamp", body, attributes FROM journal AS entry
            WHERE entry.journal = $1 AND id > $2 ORDER BY id LIMIT $3::bigint
            """,
            [self.text(journal), .integer(Int64(clamping: position)), self.limit(limit)]
        )
    }

    static func countEntries(of journal: String) -> PostgresQuery {
        self.query("SELECT count(*) FROM journal AS entry WHERE entry.journal = $1", [self.text(journal)])
    }

    static func entryKeys(of journal: String) -> PostgresQuery {
        self.query(
            "SELECT key FROM journal AS entry WHERE entry.journal = $1 ORDER BY id",
            [self.text(journal)]
        )
    }

    static func timedEntries(of journal: String) -> PostgresQuery {
        self.query(
            """
            SELECT entry.id, entry.key FROM journal AS entry JOIN schedule_fires AS fire
                ON fire.journal = entry.journal AND fire.key = entry.key AND NOT fire.is_ordered
            WHERE entry.journal = $1 ORDER BY entry.id
            """,
            [self.text(journal)]
        )
    }

    static func fires(
        of journal: String,
        member: String?,
        before number: UInt64?,
        limit: Int
    ) -> PostgresQuery {
        var parameters = [
            self.text(journal), .integer(number.map { Int64(clamping: $0) } ?? .max), self.limit(limit),
        ]
        var condition = "true"
        if let member {
            parameters.append(self.text(member))
            condition = "strpos(key, ' ') > 0 AND substr(key, strpos(key, ' ') + 1) = $4"
        }
        return self.query(
            """
            SELECT number, key, scheduled, at, outcome, settled, is_ordered::int FROM schedule_fires
            WHERE journal = $1 AND number < $2 AND \(condition) ORDER BY number DESC LIMIT $3::bigint
            """,
            parameters
        )
    }

    static func countFires(of journal: String) -> PostgresQuery {
        self.query(
            "SELECT outcome, count(*), max(scheduled) FROM schedule_fires WHERE journal = $1 GROUP BY outcome",
            [self.text(journal)]
        )
    }
}
