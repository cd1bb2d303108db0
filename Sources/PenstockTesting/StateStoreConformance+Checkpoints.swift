// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore

// Checkpoints, paused triggers, and what all writes have in common.
extension StateStoreConformance {
    static func checkpoints(_ store: any StateStore) async throws {
        try await store.save([
            Checkpoint(trigger: "orders", partition: "orders-0", position: Position(1)),
            Checkpoint(trigger: "orders", partition: "orders-1", position: Position(2)),
            Checkpoint(trigger: "other", partition: "orders-0", position: Position(3)),
        ])
        try Self.expect(
            try await store.checkpoints(of: "orders"),
            ["orders-0": Position(1), "orders-1": Position(2)],
            "checkpoints are kept by trigger"
        )
        try Self.expect(
            try await store.checkpoints(of: "other"),
            ["orders-0": Position(3)],
            "and by partition"
        )
        try Self.expect(try await store.checkpoints(of: "unknown"), [:], "an unknown trigger has none")
    }

    static func windows(_ store: any StateStore) async throws {
        var between = KeptWindow(position: Position(8), closed: Position(8))
        between.floor = Timestamp(milliseconds: -1)
        var open = KeptWindow(position: Position(9), closed: Position(5))
        open.open = OpenWindow(WindowSpan(holding: Timestamp(milliseconds: 12_345), length: .seconds(10)))
        open.open?.state = Array(#"{ "early": [true], "start":"€\"", "n": 1.50 }"#.utf8)
        var early = open
        early.open?.isEndingEarly = true
        for window in [between, open, early] {
            try await store.save([
                Checkpoint(trigger: "t", partition: "p", position: window.closed, window: window),
                Checkpoint(trigger: "t", partition: "q", position: Position(1)),
                Checkpoint(trigger: "u", partition: "p", position: Position(2)),
            ])
            try Self.expect(try await store.windows(of: "t"), ["p": window], "a window is kept exactly")
            try Self.expect(
                try await store.checkpoints(of: "t"),
                ["p": window.closed, "q": Position(1)],
                "and its checkpoint beside it"
            )
        }
        try await store.save([Checkpoint(trigger: "t", partition: "p", position: Position(9))])
        try Self.expect(try await store.windows(of: "t"), [:], "a checkpoint without a window replaces it")
    }

    static func replacement(_ store: any StateStore) async throws {
        for offset: UInt64 in [5, 1000, 6] {
            try await store.save([Checkpoint(trigger: "t", partition: "p", position: Position(offset))])
            try Self.expect(
                try await store.checkpoints(of: "t"),
                ["p": Position(offset)],
                "the latest save wins"
            )
        }
        try await store.save([
            Checkpoint(trigger: "t", partition: "p", position: Position(8)),
            Checkpoint(trigger: "t", partition: "p", position: Position(7)),
        ])
        try Self.expect(try await store.checkpoints(of: "t"), ["p": Position(7)], "also within one save")
    }

    static func checkpointRemoval(_ store: any StateStore) async throws {
        let names = ["a", "b", "b\0", "c"]
        for trigger in ["t", "u"] {
            try await store.save(
                names.map { Checkpoint(trigger: trigger, partition: $0, position: Position(1)) }
            )
        }
        let window = KeptWindow(position: Position(8), closed: Position(8))
        try await store.save([
            Checkpoint(trigger: "t", partition: "c", position: Position(8), window: window)
        ])
        try await store.removeCheckpoints(of: "t", partitions: ["b", "c", "never"])
        try await store.removeCheckpoints(of: "t", partitions: [])
        try await store.removeCheckpoints(of: "nobody", partitions: ["a"])
        let left = try await store.checkpoints(of: "t")
        try Self.expect(
            left,
            ["a": Position(1), "b\0": Position(1)],
            "what was named is gone, and nothing else"
        )
        try Self.expect(try await store.windows(of: "t"), [:], "a checkpoint takes its window with it")
        try Self.expect(try await store.checkpoints(of: "u").count, 4, "other triggers keep theirs")
        try await store.save([Checkpoint(trigger: "t", partition: "b", position: Position(2))])
        try Self.expect(
            try await store.checkpoints(of: "t")["b"],
            Position(2),
            "a partition that was removed can come again"
        )
    }

    static func checkpointReplacement(_ store: any StateStore) async throws {
        let names = ["a", "b", "b\0", "c"]
        for trigger in ["t", "u"] {
            try await store.save(
                names.map { Checkpoint(trigger: trigger, partition: $0, position: Position(1000)) }
            )
        }
        let window = KeptWindow(position: Position(1008), closed: Position(1008))
        try await store.save(
            ["a", "b"].map {
                Checkpoint(trigger: "t", partition: $0, position: Position(1008), window: window)
            }
        )
        let earlier = [
            Checkpoint(trigger: "t", partition: "a", position: Position(7)),
            Checkpoint(trigger: "t", partition: "new", position: Position(2000)),
        ]
        for _ in 0..<2 {
            try await store.replaceCheckpoints(of: "t", with: earlier, removing: ["b", "never"])
            try Self.expect(
                try await store.checkpoints(of: "t"),
                ["a": Position(7), "b\0": Position(1000), "c": Position(1000), "new": Position(2000)],
                "earlier and later ones replace, what was named is gone, and the others stay"
            )
        }
        try Self.expect(try await store.windows(of: "t"), [:], "the windows of all of these are gone")
        try Self.expect(try await store.checkpoints(of: "u").count, 4, "other triggers keep theirs")
        try await store.replaceCheckpoints(of: "t", with: [], removing: [])
        try await store.replaceCheckpoints(of: "t", with: [], removing: ["a", "c", "new", "b\0"])
        try Self.expect(try await store.checkpoints(of: "t"), [:], "all of them can be removed")
        try await store.replaceCheckpoints(of: "t", with: earlier, removing: [])
        try Self.expect(try await store.checkpoints(of: "t").count, 2, "and come again")
    }

    static func widePositions(_ store: any StateStore) async throws {
        let texts = [
            "0", "18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211456",
            "6277101735386680763835789423207666416102355444464034512895",
        ]
        for (index, text) in texts.enumerated() {
            guard let position = Position(text) else { throw Violation(description: "\(text) is a position") }
            try await store.save([Checkpoint(trigger: "t", partition: "\(index)", position: position)])
            var letter = DeadLetter.fixture()
            letter.position = position
            try await store.append([letter])
        }
        let checkpoints = try await store.checkpoints(of: "t")
        let letters = try await store.deadLetters(matching: DeadLetterQuery())
        for (index, text) in texts.enumerated() {
            try Self.expect(checkpoints["\(index)"]?.description, text, "a checkpoint's position is exact")
        }
        try Self.expect(letters.map(\.position.description), texts, "a letter's position is exact")
    }

    static func names(_ store: any StateStore) async throws {
        let names = ["a", "a\0b", "a\0c", "a'b", "a%", "ä/日本", "", " a ", "A"]
        try await store.save(
            names.enumerated().map {
                Checkpoint(trigger: "t\0", partition: $1, position: Position(UInt64($0)))
            }
        )
        let expected = Dictionary(
            uniqueKeysWithValues: names.enumerated().map { ($1, Position(UInt64($0))) }
        )
        try Self.expect(try await store.checkpoints(of: "t\0"), expected, "partition names are kept exactly")
        try Self.expect(try await store.checkpoints(of: "t"), [:], "trigger names are compared exactly")
        try await store.append(names.map { DeadLetter.fixture(1, partition: $0) })
        let letters = try await store.deadLetters(matching: DeadLetterQuery())
        try Self.expect(
            letters.map(\.partition),
            names,
            "records of different partitions are different records"
        )
    }

    static func paused(_ store: any StateStore) async throws {
        try Self.expect(try await store.pausedTriggers(), [], "nothing is paused at first")
        try await store.setPaused(true, trigger: "a")
        try await store.setPaused(true, trigger: "a")
        try await store.setPaused(true, trigger: "b")
        try Self.expect(try await store.pausedTriggers(), ["a", "b"], "paused triggers are remembered")
        try await store.setPaused(false, trigger: "a")
        try await store.setPaused(false, trigger: "never")
        try Self.expect(try await store.pausedTriggers(), ["b"], "a trigger that goes on is forgotten")
    }

    static func emptyWrites(_ store: any StateStore) async throws {
        try await store.save([])
        try await store.append([])
        try Self.expect(try await store.removeDeadLetters([]), 0, "no ids, no letters")
        try await store.recordRedrive([], attempt: DeadLetter.fixture().attempts[0])
        let count = try await store.countDeadLetters(matching: DeadLetterQuery())
        try Self.expect(
            count,
            DeadLetterCount(count: 0, oldest: nil, bytes: 0, last: nil),
            "an empty store has no letters"
        )
        try Self.expect(try await store.deadLetter(DeadLetterID(1)), nil, "nor one with any id")
    }

    static func manyWriters(_ store: any StateStore) async throws {
        try await withThrowingTaskGroup { group in
            for writer in 0..<16 {
                group.addTask {
                    for offset: UInt64 in 0..<20 {
                        let checkpoint = Checkpoint(
                            trigger: "t",
                            partition: "\(writer)",
                            position: Position(offset)
                        )
                        try await store.save([checkpoint])
                        try await store.append([.fixture(offset, partition: "\(writer)")])
                        let kept = try await store.checkpoints(of: "t")["\(writer)"]
                        try Self.expect(kept, Position(offset), "a write that returned can be read")
                    }
                }
            }
            try await group.waitForAll()
        }
        let count = try await store.countDeadLetters(matching: DeadLetterQuery()).count
        try Self.expect(count, 16 * 20, "each letter of each writer is kept")
    }

    static func cancelledCaller(_ store: any StateStore) async throws {
        let failures = await withTaskGroup { group in
            for partition in 0..<8 {
                group.addTask { () -> String? in
                    do throws(StoreError) {
                        let checkpoint = Checkpoint(
                            trigger: "t",
                            partition: "\(partition)",
                            position: Position(1)
                        )
                        try await store.save([checkpoint])
                        return nil
                    } catch {
                        return error.detail
                    }
                }
            }
            group.cancelAll()
            return await group.reduce(into: []) { $0 += $1.map { [$0] } ?? [] }
        }
        try Self.expect(failures, [], "cancellation does not fail a write")
        let kept = try await store.checkpoints(of: "t").count
        try Self.expect(kept, 8, "a write that returned happened, though its caller was cancelled")
    }

    static func closed(_ store: any StateStore) async throws {
        try await store.save([Checkpoint(trigger: "t", partition: "p", position: Position(1))])
        await store.close()
        await store.close()
        let letter = DeadLetter.fixture()
        let id = DeadLetterID(1)
        let all = DeadLetterQuery()
        try await Self.refused("checkpoints") { _ = try await store.checkpoints(of: "t") }
        try await Self.refused("windows") { _ = try await store.windows(of: "t") }
        try await Self.refused("save") { try await store.save([]) }
        try await Self.refused("replaceCheckpoints") {
            try await store.replaceCheckpoints(of: "t", with: [], removing: ["p"])
        }
        try await Self.refused("append") { try await store.append([letter]) }
        try await Self.refused("deadLetters") { _ = try await store.deadLetters(matching: all) }
        try await Self.refused("deadLetter") { _ = try await store.deadLetter(id) }
        try await Self.refused("countDeadLetters") { _ = try await store.countDeadLetters(matching: all) }
        try await Self.refused("removeDeadLetters") { _ = try await store.removeDeadLetters([id]) }
        try await Self.refused("recordRedrive") {
            try await store.recordRedrive([id], attempt: letter.attempts[0])
        }
        try await Self.refused("pausedTriggers") { _ = try await store.pausedTriggers() }
        try await Self.refused("setPaused") { try await store.setPaused(true, trigger: "t") }
        try await Self.refused("append to a journal") { try await store.append([], to: "t", mark: "m") }
        try await Self.refused("mark") { _ = try await store.mark(of: "t") }
        try await Self.refused("entries") { _ = try await store.entries(of: "t", after: 0, limit: 1) }
        try await Self.refused("countEntries") { _ = try await store.countEntries(of: "t") }
        try await Self.refused("removeEntries") { try await store.removeEntries(of: "t", through: 1) }
    }

    private static func refused(_ name: String, _ call: () async throws -> Void) async throws {
        do {
            try await call()
        } catch let error as StoreError {
            return try Self.expect(error.code, .closed, "\(name) of a closed store names the reason")
        }
        throw Violation(description: "\(name) of a closed store throws")
    }
}
