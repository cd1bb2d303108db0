// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

@testable import PenstockStore

/// How the write-ahead log goes into the file, and an older file becomes a newer one.
@Suite(.timeLimit(.minutes(2))) struct StoreLogTests {
    private static let min = CheckpointTurns.pagesMin

    @Test("A helper carries a long log, the writer what came meanwhile, and then the log begins anew")
    func turns() {
        var turns = CheckpointTurns()
        #expect(turns.committed(pages: Self.min - 1) == nil)
        #expect(turns.committed(pages: Self.min) == .helper)
        #expect(turns.committed(pages: 3 * Self.min) == nil, "one at a time")
        turns.carried()
        #expect(turns.committed(pages: 3 * Self.min + 5) == .writer)
        #expect(turns.committed(pages: 10) == nil)
        #expect(turns.committed(pages: Self.min) == .helper)
        turns.carried()
        #expect(turns.committed(pages: Self.min + 1) == .writer)
        // Somebody reads: it does not begin anew.
        #expect(turns.committed(pages: Self.min + 2) == nil)
        #expect(turns.committed(pages: 2 * Self.min) == nil)
        #expect(turns.committed(pages: 2 * Self.min + 1) == .helper)
    }

    @Test("The log stays short while much is written")
    func bounded() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let store = try SQLiteStore.open(path: path)
            let body = [UInt8](repeating: 7, count: 64 << 10)
            for round in 0..<24 {
                let entries = (0..<64).map {
                    JournalEntry(key: "\(round) \($0)", timestamp: Timestamp(milliseconds: 0), body: body)
                }
                #expect(try await store.append(entries, to: "t", mark: nil) == 64)
                try await store.removeEntries(of: "t", through: .max)
            }
            let log = try FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int ?? 0
            #expect(log > 0 && log < 64 << 20, "\(log) bytes of some 100 MB")
            await store.close()
        }
    }

    /// What the store had before its fire log was by number.
    private static let before = [
        "DROP TABLE journal", "DROP TABLE schedule_fires",
        "DELETE FROM grdb_migrations WHERE identifier = '0008-fires-by-number'",
        """
        CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, journal TEXT NOT NULL, key TEXT NOT NULL,
            timestamp INTEGER NOT NULL, body BLOB NOT NULL, attributes BLOB, UNIQUE (journal, key))
        """,
        "CREATE INDEX journal_in_order ON journal (journal, id)",
        """
        CREATE TABLE schedule_fires (journal TEXT NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL,
            scheduled INTEGER NOT NULL, at INTEGER NOT NULL, outcome TEXT NOT NULL, settled INTEGER,
            is_ordered INTEGER NOT NULL, PRIMARY KEY (journal, key)) WITHOUT ROWID
        """,
        "CREATE UNIQUE INDEX schedule_fires_in_order ON schedule_fires (journal, number)",
        """
        INSERT INTO journal (journal, key, timestamp, body)
        VALUES ('t', 'b', 1, x'01'), ('t', 'a', 1, x'02'), ('u', 'a', 1, x''), ('t', 'gone', 1, x'')
        """,
        "DELETE FROM journal WHERE key = 'gone'",
        """
        INSERT INTO schedule_fires VALUES ('t', 'z', 1, 1, 1, 'settled', 5, 0), ('t', 'b', 2, 1, 1, 'waiting', NULL, 0),
            ('t', 'm', 3, 1, 1, 'missed', NULL, 0)
        """,
    ]

    @Test("A store of before keeps its entries and its fire log, and positions go on growing")
    func upgrade() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let old = try SQLiteStore.open(path: path)
            for sql in Self.before { try await old.execute(sql) }
            await old.close()
            let store = try SQLiteStore.open(path: path)
            let entries = try await store.entries(of: "t", after: 0, limit: 9)
            #expect(entries.map(\.entry.key) == ["b", "a"] && entries.map(\.position) == [1, 2])
            func lines() async throws -> [String] {
                try await store.fires(of: "t", before: nil, limit: 9)
                    .map { "\($0.number) \($0.fire.key) \($0.fire.outcome.rawValue)" }
            }
            #expect(try await lines() == ["3 m missed", "2 b waiting", "1 z settled"])
            // What is there, or has fired, is known: by its line, or by itself.
            let time = Timestamp(milliseconds: 1)
            let keys = ["a", "b", "z", "m", "new"]
            let fires = ["b", "z", "m", "new"].map {
                ScheduleFire(key: $0, scheduled: time, at: time, outcome: .waiting)
            }
            let again = keys.map { JournalEntry(key: $0, timestamp: time, body: []) }
            #expect(try await store.append(again, to: "t", mark: nil, fires: fires) == 2)
            let new = try await store.entries(of: "t", after: 2, limit: 9)
            #expect(new.map(\.entry.key) == ["m", "new"])
            let position = try #require(new.first?.position)
            #expect(position > 4, "a position is never given twice")
            #expect(try await store.removeEntries(of: "t", through: position) == 3)
            #expect(try await lines() == ["5 new waiting", "4 m settled", "2 b settled", "1 z settled"])
            #expect(try await store.countEntries(of: "u") == 1)
            await store.close()
        }
    }
}
