// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore

// Dead letters.
extension StateStoreConformance {
    static func wholeLetter(_ store: any StateStore) async throws {
        var letter = DeadLetter.fixture()
        letter.attempts[1].failure.message = "NUL \0, 日本, 'quoted' \"twice\" 100%"
        letter.attempts[2].failure = Failure(type: "E\0x", message: String(repeating: "é", count: 5000))
        letter.attempts[2].duration = .seconds(900) + .nanoseconds(1)
        letter.attemptCount = 40
        letter.body = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        letter.reason = .payloadTooLarge
        try await store.append([letter])
        let summaries = try await store.deadLetters(matching: DeadLetterQuery())
        try Self.expect(summaries.count, 1, "one letter, one summary")
        try Self.expect(
            summaries[0],
            StoredDeadLetter.Summary(id: summaries[0].id, letter: letter),
            "a summary is that of the letter"
        )
        let stored = try await store.deadLetter(summaries[0].id)
        try Self.expect(
            stored,
            StoredDeadLetter(id: summaries[0].id, letter: letter),
            "a letter is kept whole"
        )
        for (offset, reason) in DeadLetterReason.allCases.enumerated() {
            var other = DeadLetter.fixture(UInt64(offset), trigger: "reasons")
            other.reason = reason
            try await store.append([other])
        }
        var query = DeadLetterQuery()
        query.trigger = "reasons"
        let reasons = try await store.deadLetters(matching: query).map(\.reason)
        try Self.expect(reasons, DeadLetterReason.allCases, "each reason comes back")
    }

    static func nullAndEmpty(_ store: any StateStore) async throws {
        var null = DeadLetter.fixture(1)
        null.key = nil
        null.body = nil
        null.attributes = []
        null.attempts = []
        null.attemptCount = 0
        null.invocation = ""
        var empty = DeadLetter.fixture(2, failure: Failure(type: "", message: ""))
        empty.key = []
        empty.body = []
        empty.attributes = [.init(name: "", value: []), .init(name: "", value: nil)]
        empty.function = ""
        try await store.append([null, empty])
        let summaries = try await store.deadLetters(matching: DeadLetterQuery())
        try Self.expect(summaries.count, 2, "both are kept")
        for (summary, letter) in zip(summaries, [null, empty]) {
            try Self.expect(summary, .init(id: summary.id, letter: letter), "a summary tells null from empty")
            try Self.expect(try await store.deadLetter(summary.id)?.letter, letter, "null is not empty")
        }
        var query = DeadLetterQuery()
        query.key = []
        let found = try await store.deadLetters(matching: query).map(\.position)
        try Self.expect(found, [Position(2)], "an empty key is found as an empty key")
    }

    static func thousandLetters(_ store: any StateStore) async throws {
        let letters = (0..<1000).map { DeadLetter.fixture(UInt64($0)) }
        try await store.append(letters)
        let summaries = try await store.deadLetters(matching: DeadLetterQuery())
        try Self.expect(summaries.map(\.position), letters.map(\.position), "letters are in order")
        try Self.isTrue(
            zip(summaries, summaries.dropFirst()).allSatisfy { $0.id < $1.id },
            "ids grow in the order of the append"
        )
        let last = try await store.deadLetter(summaries[999].id)
        try Self.expect(last?.letter, letters[999], "the last letter is whole")
    }

    static func sameRecord(_ store: any StateStore) async throws {
        let others: [DeadLetter] = [
            .fixture(7, trigger: "other"), .fixture(7, partition: "orders-4"), .fixture(8),
        ]
        try await store.append([.fixture(7)] + others)
        var again = DeadLetter.fixture(7, at: 1_800_000_000_000)
        again.attemptCount = 9
        again.body = nil
        try await store.append([again])
        try await store.append([again, again])
        let summaries = try await store.deadLetters(matching: DeadLetterQuery())
        try Self.expect(summaries.count, 4, "a record given up again leaves one letter")
        var query = DeadLetterQuery()
        query.since = again.at
        let latest = try await store.deadLetters(matching: query)
        try Self.expect(latest.count, 1, "the letter is the latest one")
        try Self.expect(try await store.deadLetter(latest[0].id)?.letter, again, "with all it holds")
    }

    static func replacedID(_ store: any StateStore) async throws {
        try await store.append([.fixture(7)])
        let first = try await store.deadLetters(matching: DeadLetterQuery())
        try await store.append([.fixture(7)])
        let second = try await store.deadLetters(matching: DeadLetterQuery())
        try Self.isTrue(
            first.count == 1 && second.count == 1 && first[0].id < second[0].id,
            "a replaced letter has a new and larger id"
        )
        try Self.expect(
            try await store.removeDeadLetters(first.map(\.id)),
            0,
            "who saw the earlier letter cannot remove the later one"
        )
        let count = try await store.countDeadLetters(matching: DeadLetterQuery()).count
        try Self.expect(count, 1, "the later letter is still there")
    }

    static func filters(_ store: any StateStore) async throws {
        var never = DeadLetter.fixture(5, trigger: "a", at: 500)
        never.attempts = []
        never.key = nil
        try await store.append([
            .fixture(1, trigger: "a", at: 100, failure: Failure(type: "KeyError", message: "no 100% left")),
            .fixture(2, trigger: "a", at: 200, failure: Failure(type: "ValueError", message: "bad_amount")),
            .fixture(3, trigger: "b", at: 300, failure: Failure(type: "Timeout", message: "after KeyError")),
            .fixture(4, trigger: "b", at: 400, failure: Failure(type: "x", message: "a\0late word")),
            never,
        ])
        func found(_ set: (inout DeadLetterQuery) -> Void) async throws -> [String] {
            var query = DeadLetterQuery()
            set(&query)
            let summaries = try await store.deadLetters(matching: query)
            let count = try await store.countDeadLetters(matching: query)
            try Self.expect(count.count, summaries.count, "the count is that of the list")
            try Self.expect(count.oldest, summaries.map(\.at).min(), "the oldest is that of the list")
            try Self.expect(count.last, summaries.last?.id, "the last is that of the list")
            return summaries.map(\.position.description)
        }
        try Self.expect(try await found { $0.trigger = "a" }, ["1", "2", "5"], "by trigger")
        try Self.expect(try await found { $0.trigger = "A" }, [], "a trigger's name is exact")
        try Self.expect(
            try await found { $0.since = Timestamp(milliseconds: 300) },
            ["3", "4", "5"],
            "since includes its moment"
        )
        try Self.expect(try await found { $0.error = "KeyError" }, ["1", "3"], "by error type or message")
        try Self.expect(try await found { $0.error = "0%" }, ["1"], "a percent sign is no wildcard")
        try Self.expect(try await found { $0.error = "d_a" }, ["2"], "nor an underscore")
        try Self.expect(try await found { $0.error = "late" }, ["4"], "a NUL does not end a message")
        try Self.expect(try await found { $0.key = Array("customer-2".utf8) }, ["2"], "by key")
        try Self.expect(try await found { $0.key = Array("customer".utf8) }, [], "a key is exact")
        try Self.expect(
            try await found { $0.partition = "orders-3" },
            ["1", "2", "3", "4", "5"],
            "by partition"
        )
        try Self.expect(try await found { $0.partition = "orders" }, [], "a partition's name is exact")
        try Self.expect(try await found { $0.position = Position(4) }, ["4"], "by position")
        let ids = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
        let some = Set([ids[1], ids[4], DeadLetterID(ids[4].rawValue + 100)])
        try Self.expect(try await found { $0.ids = some }, ["2", "5"], "by ids")
        try Self.expect(try await found { $0.ids = [] }, [], "no ids, no letters")
        try Self.expect(try await found { ($0.ids, $0.after) = (some, ids[1]) }, ["5"], "by ids above one")
        let both = try await found {
            $0.trigger = "b"
            $0.error = "KeyError"
        }
        try Self.expect(both, ["3"], "all conditions hold together")
    }

    static func pages(_ store: any StateStore) async throws {
        try await store.append((0..<25).map { DeadLetter.fixture($0, trigger: $0 % 5 == 4 ? "b" : "a") })
        var query = DeadLetterQuery()
        query.trigger = "a"
        query.limit = 8
        var sizes: [Int] = []
        var seen: [Position] = []
        while true {
            let page = try await store.deadLetters(matching: query)
            guard let last = page.last else { break }
            sizes.append(page.count)
            seen += page.map(\.position)
            query.after = last.id
        }
        try Self.expect(sizes, [8, 8, 4], "a page is as long as its limit")
        try Self.expect(seen, (0..<25).filter { $0 % 5 != 4 }.map { Position($0) }, "pages do not overlap")
        query.after = nil
        query.limit = 0
        try Self.expect(try await store.deadLetters(matching: query).count, 0, "a limit of zero is zero")
    }

    static func counts(_ store: any StateStore) async throws {
        try await store.append([
            .fixture(1, at: 300), .fixture(2, at: 100), .fixture(3, trigger: "b", at: 200),
        ])
        func expect(_ trigger: String?, _ count: Int, oldest: Int64?, _ promise: String) async throws {
            var query = DeadLetterQuery()
            query.trigger = trigger
            let found = try await store.countDeadLetters(matching: query)
            try Self.expect(found.count, count, promise)
            try Self.expect(found.oldest, oldest.map { Timestamp(milliseconds: $0) }, promise)
        }
        try await expect(nil, 3, oldest: 100, "all letters are counted")
        try await expect("b", 1, oldest: 200, "or those of a trigger")
        try await expect("c", 0, oldest: nil, "or none")
    }

    static func sizes(_ store: any StateStore) async throws {
        func bytes(_ trigger: String? = nil) async throws -> Int {
            var query = DeadLetterQuery()
            query.trigger = trigger
            return try await store.countDeadLetters(matching: query).bytes
        }
        try Self.expect(try await bytes(), 0, "no letters take nothing")
        var large = DeadLetter.fixture(2, trigger: "b")
        large.body = [UInt8](repeating: 7, count: 100_000)
        try await store.append([.fixture(1, trigger: "a"), large])
        let (a, b) = (try await bytes("a"), try await bytes("b"))
        let own = DeadLetter.fixture(1)
        let least = (own.body?.count ?? 0) + (own.key?.count ?? 0) + 2 * "trace".utf8.count
        try Self.isTrue(
            a >= least && a < 10_000,
            "a letter takes its key, body, headers and history, not \(a)"
        )
        try Self.expect(b - a, 100_000 - (own.body?.count ?? 0), "a larger body takes that much more")
        try Self.expect(try await bytes(), a + b, "all letters take the sum")
        let ages = try await store.oldestDeadLetters(limit: 10)
        try Self.expect(ages.map(\.bytes), [a, b], "each tells its own part")
        let attempt = Attempt(at: own.at, duration: .zero, failure: Failure(type: "E", message: "more words"))
        try await store.recordRedrive([ages[0].id], attempt: attempt)
        try Self.isTrue(try await bytes("a") > a, "a longer history takes more")
        large.body = nil
        try await store.append([large])
        try Self.isTrue(try await bytes("b") < 10_000, "a replaced letter counts as it is now")
        try await store.removeDeadLetters(try await store.deadLetters(matching: DeadLetterQuery()).map(\.id))
        try Self.expect(try await bytes(), 0, "removed letters take nothing")
    }

    static func oldest(_ store: any StateStore) async throws {
        try Self.expect(try await store.oldestDeadLetters(limit: 5), [], "there is none in an empty store")
        try await store.append([
            .fixture(1, at: 300), .fixture(2, at: 100), .fixture(3, trigger: "b", at: 200),
            .fixture(4, at: 100),
        ])
        let ids = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
        let ages = try await store.oldestDeadLetters(limit: 3)
        try Self.expect(
            ages.map(\.id),
            [ids[1], ids[3], ids[2]],
            "by time, and by id where that is the same"
        )
        try Self.expect(ages.map(\.at.milliseconds), [100, 100, 200], "with the time")
        try Self.expect(ages.map(\.trigger), ["orders", "orders", "b"], "and the trigger")
        try Self.expect(try await store.oldestDeadLetters(limit: 0), [], "a limit of zero is zero")
    }

    static func removal(_ store: any StateStore) async throws {
        try await store.append((1...4).map { DeadLetter.fixture($0) })
        let ids = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
        let unknown = DeadLetterID(ids[3].rawValue + 1000)
        let removed = try await store.removeDeadLetters([ids[0], ids[2], ids[0], unknown])
        try Self.expect(removed, 2, "only letters that were there count, once")
        let left = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
        try Self.expect(left, [ids[1], ids[3]], "the others stay")
        try Self.expect(try await store.deadLetter(ids[0]), nil, "a removed letter is gone")
    }

    static func idsAreNotReused(_ store: any StateStore) async throws {
        try await store.append([.fixture(1)])
        let first = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
        try await store.removeDeadLetters(first)
        try await store.append([.fixture(2)])
        let second = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
        try Self.isTrue(
            first.count == 1 && second.count == 1 && first[0] < second[0],
            "a new letter has a new id"
        )
    }

    static func redrive(_ store: any StateStore) async throws {
        let letters: [DeadLetter] = [.fixture(1), .fixture(2), .fixture(3)]
        try await store.append(letters)
        let ids = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
        let attempt = Attempt(
            at: Timestamp(milliseconds: 1_900_000_000_000),
            duration: .milliseconds(3),
            failure: Failure(type: "Again\0", message: "bad\0ly '\u{301} \\\u{301}")
        )
        try await store.recordRedrive([ids[0], ids[2], DeadLetterID(ids[2].rawValue + 9)], attempt: attempt)
        for (index, id) in ids.enumerated() {
            var expected = letters[index]
            if index != 1 {
                expected.attempts.append(attempt)
                expected.attemptCount += 1
            }
            let stored = try await store.deadLetter(id)
            try Self.expect(stored?.letter, expected, "a redrive is one more attempt of its letters")
        }
        let summaries = try await store.deadLetters(matching: DeadLetterQuery())
        try Self.expect(summaries[2].lastFailure, attempt.failure, "and their last failure")
        try Self.expect(summaries[2].attemptCount, 4, "and is counted")
    }

    static func longHistory(_ store: any StateStore) async throws {
        func attempt(_ number: Int) -> Attempt {
            Attempt(
                at: Timestamp(milliseconds: Int64(number)),
                duration: .zero,
                failure: Failure(type: "E", message: "\(number)")
            )
        }
        var letter = DeadLetter.fixture()
        letter.attempts = (0..<DeadLetter.attemptsMax).map(attempt)
        letter.attemptCount = DeadLetter.attemptsMax
        try await store.append([letter])
        let ids = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
        for number in DeadLetter.attemptsMax..<(DeadLetter.attemptsMax + 10) {
            try await store.recordRedrive(ids, attempt: attempt(number))
        }
        let stored = try await store.deadLetter(ids[0])?.letter
        try Self.expect(stored?.attemptCount, DeadLetter.attemptsMax + 10, "each redrive is counted")
        try Self.expect(stored?.attempts.count, DeadLetter.attemptsMax, "a history has a limit")
        try Self.expect(stored?.attempts.first, attempt(0), "the first attempt stays")
        try Self.expect(
            stored?.attempts.last,
            attempt(DeadLetter.attemptsMax + 9),
            "the latest attempt stays"
        )
    }
}
