// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The schema of the store, as the list of steps that made it.
///
/// A step that was released is never changed; its name is written in every store.
enum Migrations {
    /// Marks a SQLite file as ours: "Pnst".
    static let applicationID: Int64 = 0x506E_7374

    /// All steps, oldest first.
    static var all: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("0001-checkpoints-dead-letters-paused") { database in
            try database.execute(sql: Self.first)
            try database.execute(sql: "PRAGMA application_id = \(Self.applicationID)")
        }
        migrator.registerMigration("0002-dead-letter-bytes") { database in
            try database.execute(sql: Self.deadLetterBytes)
        }
        migrator.registerMigration("0003-journal") { database in
            try database.execute(sql: Self.journal)
        }
        migrator.registerMigration("0004-schedule-fires") { database in
            try database.execute(sql: Self.scheduleFires)
        }
        migrator.registerMigration("0005-windows") { database in
            // In the form of `WindowCoding`; null without tumbling windows.
            try database.execute(sql: "ALTER TABLE checkpoints ADD COLUMN window BLOB")
        }
        migrator.registerMigration("0006-journal-attributes") { database in
            // In the form of `LetterCoding`; null for none.
            try database.execute(sql: "ALTER TABLE journal ADD COLUMN attributes BLOB")
        }
        migrator.registerMigration("0007-journal-members") { database in
            try database.execute(sql: Self.journalMembers)
        }
        migrator.registerMigration("0008-fires-by-number") { database in
            try database.execute(sql: Self.firesByNumber)
        }
        return migrator
    }

    // Large columns stand last, so that a list does not read through bodies. `attempts` and `attributes` are
    // in the form of `LetterCoding`. AUTOINCREMENT: an id is never given twice, not even after its letter was
    // removed.
    private static let first = """
        CREATE TABLE checkpoints (
            "trigger" TEXT NOT NULL,
            partition TEXT NOT NULL,
            position TEXT NOT NULL,
            updated_at INTEGER NOT NULL,
            PRIMARY KEY ("trigger", partition)
        ) WITHOUT ROWID;

        CREATE TABLE dead_letters (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            "trigger" TEXT NOT NULL,
            function TEXT NOT NULL,
            partition TEXT NOT NULL,
            position TEXT NOT NULL,
            timestamp INTEGER NOT NULL,
            tag INTEGER NOT NULL,
            reason TEXT NOT NULL,
            at INTEGER NOT NULL,
            attempt_count INTEGER NOT NULL,
            last_error_type TEXT,
            last_error_message TEXT,
            invocation TEXT NOT NULL,
            key BLOB,
            attempts BLOB NOT NULL,
            attributes BLOB NOT NULL,
            body BLOB,
            UNIQUE ("trigger", partition, position)
        );
        CREATE INDEX dead_letters_by_trigger ON dead_letters ("trigger");
        CREATE INDEX dead_letters_by_age ON dead_letters ("trigger", at);
        CREATE INDEX dead_letters_by_key ON dead_letters (key) WHERE key IS NOT NULL;

        CREATE TABLE paused (
            "trigger" TEXT NOT NULL PRIMARY KEY
        ) WITHOUT ROWID;
        """

    // `bytes` is what a letter takes, kept in the indexes: sums and the oldest letters are found without reading one.
    private static let deadLetterBytes = """
        ALTER TABLE dead_letters ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
        UPDATE dead_letters SET bytes =
            ifnull(length(key), 0) + length(attempts) + length(attributes) + ifnull(length(body), 0);
        DROP INDEX dead_letters_by_age;
        CREATE INDEX dead_letters_by_age ON dead_letters ("trigger", at, bytes);
        CREATE INDEX dead_letters_by_time ON dead_letters (at, id, bytes);
        """

    // AUTOINCREMENT: positions of a journal only grow, also when it was emptied.
    private static let journal = """
        CREATE TABLE journal (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            journal TEXT NOT NULL,
            key TEXT NOT NULL,
            timestamp INTEGER NOT NULL,
            body BLOB NOT NULL,
            UNIQUE (journal, key)
        );
        CREATE INDEX journal_in_order ON journal (journal, id);

        CREATE TABLE journal_marks (
            journal TEXT NOT NULL PRIMARY KEY,
            mark TEXT NOT NULL
        ) WITHOUT ROWID;
        """

    // In the order in which they are read: by name.
    private static let journalMembers = """
        CREATE TABLE journal_members (
            journal TEXT NOT NULL,
            name TEXT NOT NULL,
            mark TEXT NOT NULL,
            PRIMARY KEY (journal, name)
        ) WITHOUT ROWID;
        """

    // `number` counts the lines of one journal: the oldest are found, and dropped, without looking at others.
    private static let scheduleFires = """
        CREATE TABLE schedule_fires (
            journal TEXT NOT NULL,
            key TEXT NOT NULL,
            number INTEGER NOT NULL,
            scheduled INTEGER NOT NULL,
            at INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            settled INTEGER,
            is_ordered INTEGER NOT NULL,
            PRIMARY KEY (journal, key)
        ) WITHOUT ROWID;
        CREATE UNIQUE INDEX schedule_fires_in_order ON schedule_fires (journal, number);
        """

    // The fire log by number, which is the order in which its lines are written and settled; and entries with the number of
    // their line, which keeps them from being there twice. Keys of one time are in no order: to write each in as few indexes
    // as may be halves what a commit writes. The new table goes on with the numbers of the old one.
    private static let firesByNumber = """
        CREATE TABLE new_fires (
            journal TEXT NOT NULL,
            key TEXT NOT NULL,
            number INTEGER NOT NULL,
            scheduled INTEGER NOT NULL,
            at INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            settled INTEGER,
            is_ordered INTEGER NOT NULL,
            PRIMARY KEY (journal, number)
        ) WITHOUT ROWID;
        INSERT INTO new_fires SELECT journal, key, number, scheduled, at, outcome, settled, is_ordered
        FROM schedule_fires ORDER BY journal, number;

        CREATE TABLE new_journal (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            journal TEXT NOT NULL,
            key TEXT NOT NULL,
            timestamp INTEGER NOT NULL,
            body BLOB NOT NULL,
            attributes BLOB,
            fire INTEGER
        );
        INSERT INTO new_journal SELECT id, journal, key, timestamp, body, attributes, (
            SELECT number FROM schedule_fires AS fire
            WHERE fire.journal = journal.journal AND fire.key = journal.key
                AND fire.outcome NOT IN ('missed', 'skipped')
        ) FROM journal ORDER BY id;
        DELETE FROM sqlite_sequence WHERE name = 'new_journal';
        INSERT INTO sqlite_sequence (name, seq)
        SELECT 'new_journal', seq FROM sqlite_sequence WHERE name = 'journal';

        DROP TABLE schedule_fires;
        ALTER TABLE new_fires RENAME TO schedule_fires;
        CREATE UNIQUE INDEX schedule_fires_by_key ON schedule_fires (journal, key);
        DROP TABLE journal;
        ALTER TABLE new_journal RENAME TO journal;
        CREATE INDEX journal_in_order ON journal (journal, id);
        CREATE UNIQUE INDEX journal_by_key ON journal (journal, key) WHERE fire IS NULL;
        """
}
