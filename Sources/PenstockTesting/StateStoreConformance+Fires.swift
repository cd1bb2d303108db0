// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore

// The fire log.
extension StateStoreConformance {
    private static let time = Timestamp(milliseconds: 1_700_000_000_000)

    private static func fire(_ key: String, _ outcome: ScheduleFire.Outcome = .waiting) -> ScheduleFire {
        ScheduleFire(
            key: key,
            scheduled: Self.time,
            at: Timestamp(milliseconds: Self.time.milliseconds + 5),
            outcome: outcome,
            isOrdered: key.isEmpty
        )
    }

    private static func entry(_ key: String) -> JournalEntry {
        JournalEntry(key: key, timestamp: Self.time, body: [])
    }

    private static func outcomes(_ store: any StateStore, _ journal: String) async throws -> [String] {
        try await store.fires(of: journal, before: nil, limit: 100)
            .map { "\($0.fire.key) \($0.fire.outcome.rawValue)" }
    }

    static func fireOnce(_ store: any StateStore) async throws {
        func append(_ keys: [String]) async throws -> Int {
            try await store.append(
                keys.map { Self.entry($0) },
                to: "t",
                mark: nil,
                fires: keys.map { Self.fire($0) }
            )
        }
        try await store.append(
            [],
            to: "t",
            mark: nil,
            fires: [Self.fire("1", .missed), Self.fire("2", .skipped)]
        )
        try Self.expect(try await append(["1", "2", "3"]), 3, "what was missed or skipped may fire")
        try Self.expect(try await append(["3"]), 0, "what waits does not fire again")
        try await store.removeEntries(of: "t", through: .max)
        try Self.expect(try await append(["1", "2", "3"]), 0, "nor does what is settled")
        try Self.expect(try await store.countEntries(of: "t"), 0, "nothing of it is kept")
        try await store.append([], to: "t", mark: nil, fires: [Self.fire("3", .missed)])
        try Self.expect(
            try await Self.outcomes(store, "t"),
            ["3 settled", "2 settled", "1 settled"],
            "a fire cannot become missed"
        )
        try Self.expect(try await store.append([Self.entry("1")], to: "u", mark: nil), 1, "logs are apart")
    }

    static func fireOutcomes(_ store: any StateStore) async throws {
        let keys = ["a\0b", "", "ü"]
        try await store.append(
            keys.map { Self.entry($0) },
            to: "t",
            mark: nil,
            fires: keys.map { Self.fire($0) } + [Self.fire("m", .missed), Self.fire("s", .skipped)]
        )
        try Self.expect(
            try await store.fires(of: "t", before: nil, limit: 9).suffix(2),
            [
                StoredFire(number: 2, fire: Self.fire(keys[1])),
                StoredFire(number: 1, fire: Self.fire(keys[0])),
            ],
            "a line comes back whole"
        )
        try await store.note(.deadLetter, of: [keys[0], "m", "none"], in: "t")
        let entries = try await store.entries(of: "t", after: 0, limit: 9)
        try Self.expect(
            try await store.timedEntries(of: "t"),
            [entries[0], entries[2]].map { TimedEntry(position: $0.position, key: $0.entry.key) },
            "what was ordered is not of the timetable"
        )
        try await store.removeEntries(of: "t", through: entries[1].position)
        try Self.expect(
            try await Self.outcomes(store, "t"),
            ["s skipped", "m missed", "ü waiting", " settled", "a\0b dead_letter"],
            "what is removed is settled, or what was noted"
        )
        try await store.note(.deadLetter, of: [keys[1]], in: "t")
        try Self.expect(
            try await store.countFires(of: "t").outcomes[.settled],
            1,
            "what is settled stays what it is"
        )
        try Self.expect(
            try await store.timedEntries(of: "t"),
            [TimedEntry(position: entries[2].position, key: keys[2])],
            "an entry that waits and was not ordered is told"
        )
        let lines = try await store.fires(of: "t", before: nil, limit: 9)
        try Self.isTrue(
            lines.map { $0.fire.settled != nil } == [false, false, false, true, true],
            "what is settled tells when"
        )
        let page = try await store.fires(of: "t", before: lines[1].number, limit: 2)
        try Self.expect(page, Array(lines[2...3]), "a page goes on before its number")
        let count = try await store.countFires(of: "t")
        try Self.expect(count.last, Self.time, "the last fire is known")
        try Self.expect(
            count.outcomes,
            [.skipped: 1, .missed: 1, .waiting: 1, .settled: 1, .deadLetter: 1],
            "outcomes are counted"
        )
        try Self.expect(try await store.countFires(of: "u"), FireCount(), "an unknown one has none")
    }

    static func forgetJournal(_ store: any StateStore) async throws {
        for name in ["t", "u"] {
            var write = JournalWrite(entries: [Self.entry("1")], mark: "m", fires: [Self.fire("1")])
            write.members = [JournalMember(name: "a", mark: "1")]
            try await store.append(write, to: name)
            try await store.save(
                ["journal", "other"].map {
                    Checkpoint(trigger: name, partition: $0, position: Position(1))
                }
            )
        }
        try await store.removeEntries(of: "t", through: .max)
        try await store.forget("t", partition: "journal")
        try await store.forget("u", partition: "journal")
        try Self.expect(
            try await store.checkpoints(of: "t"),
            ["other": Position(1)],
            "the checkpoint of its partition is gone"
        )
        try Self.expect(try await store.checkpoints(of: "u").count, 2, "that of one with entries stays")
        try Self.expect(try await store.members(of: "t"), [], "the members are gone")
        try Self.expect(try await store.members(of: "u").count, 1, "those of one with entries stay")
        try Self.expect(try await store.mark(of: "t"), nil, "the mark is gone")
        try Self.expect(try await Self.outcomes(store, "t"), [], "so is the fire log")
        try Self.expect(try await store.mark(of: "u"), "m", "a journal with entries stays")
        try Self.expect(try await Self.outcomes(store, "u"), ["1 waiting"], "with its fire log")
        try Self.expect(
            try await store.append([Self.entry("1")], to: "t", mark: nil, fires: [Self.fire("1")]),
            1,
            "what was forgotten may fire again"
        )
    }

    static func journalMembers(_ store: any StateStore) async throws {
        func write(_ members: [String: String], removed: [String] = []) async throws {
            var write = JournalWrite(entries: [])
            write.members = members.map { JournalMember(name: $0.key, mark: $0.value) }
            write.removedMembers = removed
            try await store.append(write, to: "t")
        }
        try await write(["b": "1", "a\0x": "2", "ü": "3", "Z": "4", "": "5"])
        try await write(["b": "6"], removed: ["Z", "none"])
        try Self.expect(
            try await store.members(of: "t").map { "\($0.name)=\($0.mark)" },
            ["=5", "a\0x=2", "b=6", "ü=3"],
            "members come back by their names' bytes, with the last mark"
        )
        try Self.expect(try await store.members(of: "u"), [], "another journal has none")
    }

    static func memberFires(_ store: any StateStore) async throws {
        let keys = ["1 a", "1 b", "2 a", "2 a b", "3 ü", "a"]
        try await store.append(
            keys.map { Self.entry($0) },
            to: "t",
            mark: nil,
            fires: keys.map { Self.fire($0) }
        )
        try Self.expect(try await store.entryKeys(of: "t"), keys, "keys come back in order")
        func lines(_ member: String, before: UInt64? = nil, limit: Int = 9) async throws -> [String] {
            try await store.fires(of: "t", member: member, before: before, limit: limit).map(\.fire.key)
        }
        try Self.expect(try await lines("a"), ["2 a", "1 a"], "a member's lines, the latest first")
        try Self.expect(try await lines("a", before: 3, limit: 1), ["1 a"], "page by page")
        try Self.expect(try await lines("a b"), ["2 a b"], "the name is all behind the first space")
        try Self.expect(try await lines("ü"), ["3 ü"], "whatever its characters")
    }

    static func fireRetention(_ store: any StateStore) async throws {
        let kept = ScheduleFire.keptMax
        try await store.append(
            [Self.entry("w")],
            to: "t",
            mark: nil,
            fires: [Self.fire("w"), Self.fire("x", .missed)]
        )
        try await store.append([], to: "u", mark: nil, fires: [Self.fire("other", .missed)])
        let many = (0..<kept).map { Self.fire("\($0)", .missed) }
        try await store.append([], to: "t", mark: nil, fires: many)
        let count = try await store.countFires(of: "t")
        try Self.expect(
            count.outcomes,
            [.waiting: 1, .missed: kept],
            "the oldest that does not wait is dropped"
        )
        try Self.expect(try await Self.outcomes(store, "u"), ["other missed"], "another log is left alone")
        var write = JournalWrite(entries: [], fires: [Self.fire("y", .missed)])
        write.firesKept = 2
        try await store.append(write, to: "t")
        try Self.expect(
            try await store.countFires(of: "t").outcomes,
            [.waiting: 1, .missed: 2],
            "a write says how many are kept"
        )
    }
}
