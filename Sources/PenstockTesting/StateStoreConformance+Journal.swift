// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore

// Journals.
extension StateStoreConformance {
    private static func entry(_ key: String, _ body: String = "{}") -> JournalEntry {
        JournalEntry(
            key: key,
            timestamp: Timestamp(milliseconds: 1_700_000_000_123),
            body: Array(body.utf8),
            attributes: body.isEmpty
                ? []
                : [
                    .init(name: "a", value: nil), .init(name: "ü", value: [0, 255]),
                    .init(name: "a", value: []),
                ]
        )
    }

    static func journalOrder(_ store: any StateStore) async throws {
        let keys = ["b", "a", "", "with\0null", "ü"]
        for key in keys {
            let count = try await store.append([Self.entry(key, "body \(key)")], to: "nightly", mark: nil)
            try Self.expect(count, 1, "a new entry counts")
        }
        try await store.append([Self.entry("x"), Self.entry("y", "")], to: "other", mark: nil)
        let entries = try await store.entries(of: "nightly", after: 0, limit: 100)
        try Self.expect(
            entries.map(\.entry),
            keys.map { Self.entry($0, "body \($0)") },
            "entries come back whole"
        )
        try Self.isTrue(
            zip(entries, entries.dropFirst()).allSatisfy { $0.position < $1.position },
            "positions grow"
        )
        let page = try await store.entries(of: "nightly", after: entries[1].position, limit: 2)
        try Self.expect(page, Array(entries[2...3]), "a page begins behind its position")
        let other = try await store.entries(of: "other", after: 0, limit: 100)
        try Self.expect(other.map(\.entry), [Self.entry("x"), Self.entry("y", "")], "journals are apart")
        try Self.expect(
            try await store.entries(of: "unknown", after: 0, limit: 9),
            [],
            "an unknown one is empty"
        )
        try Self.expect(
            try await store.entries(of: "nightly", after: .max, limit: 9),
            [],
            "nothing is behind the end"
        )
    }

    static func journalKeys(_ store: any StateStore) async throws {
        try await store.append([Self.entry("1", "first")], to: "t", mark: nil)
        let count = try await store.append([Self.entry("1", "again"), Self.entry("2")], to: "t", mark: nil)
        try Self.expect(count, 1, "only the new entry counts")
        let entries = try await store.entries(of: "t", after: 0, limit: 9)
        try Self.expect(
            entries.map(\.entry),
            [Self.entry("1", "first"), Self.entry("2")],
            "the first one stays"
        )
        let elsewhere = try await store.append([Self.entry("1")], to: "u", mark: nil)
        try Self.expect(elsewhere, 1, "keys are those of one journal")
    }

    static func journalRemoval(_ store: any StateStore) async throws {
        try await store.append(["1", "2", "3"].map { Self.entry($0) }, to: "t", mark: nil)
        try await store.append([Self.entry("1")], to: "u", mark: nil)
        let before = try await store.entries(of: "t", after: 0, limit: 9)
        let removed = try await store.removeEntries(of: "t", through: before[1].position)
        try Self.expect(removed, 2, "removing counts")
        try Self.expect(try await store.countEntries(of: "t"), 1, "one is left")
        try Self.expect(try await store.countEntries(of: "u"), 1, "the other journal keeps its own")
        try await store.removeEntries(of: "t", through: before[2].position)
        let again = try await store.removeEntries(of: "t", through: before[2].position)
        try Self.expect(again, 0, "removing again finds nothing")
        try await store.append([Self.entry("4")], to: "t", mark: nil)
        let after = try await store.entries(of: "t", after: before[2].position, limit: 9)
        try Self.expect(after.map(\.entry.key), ["4"], "a new entry stands behind all that were removed")
    }

    static func journalMark(_ store: any StateStore) async throws {
        try Self.expect(try await store.mark(of: "t"), nil, "a new journal has no mark")
        try await store.append([Self.entry("1")], to: "t", mark: "a\0b")
        try await store.append([Self.entry("2")], to: "t", mark: nil)
        try Self.expect(try await store.mark(of: "t"), "a\0b", "the mark stays without another one")
        try await store.append([], to: "t", mark: "later")
        try Self.expect(try await store.mark(of: "t"), "later", "a mark can come alone")
        try await store.removeEntries(of: "t", through: .max)
        try Self.expect(try await store.mark(of: "t"), "later", "and outlives the entries")
        try Self.expect(try await store.mark(of: "u"), nil, "marks are those of one journal")
    }
}
