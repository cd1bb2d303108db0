// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

@testable import PostgresConnector

/// Which numbers of a catch-up query are taken in.
@Suite struct CatchUpWindowTests {
    private static func time(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: seconds * 1000) }

    @Test("A number is taken in once, also when it comes after greater ones, until the overlap has passed")
    func overlap() {
        var window = CatchUpWindow(start: 10)
        #expect(!window.isOpen)
        for id: Int64 in [11, 12, 15] {
            let isNew = window.admit(id, at: Self.time(0))
            #expect(isNew)
        }
        for id: Int64 in [9, 10, 11, 15, .max] {
            let isNew = window.admit(id, at: Self.time(1))
            #expect(!isNew)
        }
        #expect(window.isOpen && window.highest == 15 && window.base == 10)
        // Looked at too early: the base stays.
        window.lookedAgain(began: Self.time(29), overlap: .seconds(30))
        #expect(window.base == 10)
        let late = window.admit(13, at: Self.time(29))
        #expect(late)
        let next = window.admit(20, at: Self.time(31))
        #expect(next)
        window.lookedAgain(began: Self.time(30), overlap: .seconds(30))
        #expect(window.base == 15 && window.highest == 20)
        let tooLate = window.admit(14, at: Self.time(31))
        #expect(!tooLate)
        window.lookedAgain(began: Self.time(61), overlap: .seconds(30))
        #expect(window.base == 20 && !window.isOpen && window.mark == "20:")
    }

    @Test("A mark brings it back", arguments: ["0:", "-5:", "10:11..12,15", "7:9..9223372036854775806"])
    func marks(text: String) throws {
        let window = try #require(CatchUpWindow(mark: text, now: Self.time(0)))
        #expect(window.mark == text)
        #expect(CatchUpWindow(mark: window.mark, now: Self.time(9)) == window)
    }

    @Test(
        "What is no mark is refused",
        arguments: ["", "x", "1", "1:x", "1:3..2", "5:4", "1:2..3..4", "1:,x"]
    )
    func noMarks(text: String) {
        #expect(CatchUpWindow(mark: text, now: Self.time(0)) == nil)
    }

    @Test("Whatever the order in which rows become visible within the overlap, each is taken in once")
    func random() {
        for seed in UInt64(1)...200 {
            var random = SplitMix64(seed: seed)
            var window = CatchUpWindow(start: 0)
            // Each row becomes visible up to nine seconds after its number was drawn; ten numbers a second.
            let visible = (1...300).map { Int64($0 / 10) + Int64.random(in: 0...9, using: &random) }
            var taken: [Int64] = []
            for second in Int64(0)...60 {
                let now = Self.time(second)
                let rows = visible.indices.filter { visible[$0] <= second }.map { Int64($0 + 1) }
                let isAgain = second % 3 == 0
                for id in rows where id > (isAgain ? window.base : window.highest) {
                    if window.admit(id, at: now) { taken.append(id) }
                }
                if isAgain { window.lookedAgain(began: now, overlap: .seconds(10)) }
                if Int.random(in: 0..<8, using: &random) == 0 {
                    guard let restarted = CatchUpWindow(mark: window.mark, now: now) else {
                        Issue.record("no mark: \(window.mark)")
                        return
                    }
                    window = restarted
                }
            }
            #expect(taken.sorted() == Array(1...300), "seed \(seed)")
        }
    }
}
