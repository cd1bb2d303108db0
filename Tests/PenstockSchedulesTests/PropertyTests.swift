// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockSchedules
import Testing

/// Random expressions against ``BruteForce``.
@Suite struct PropertyTests {
    /// Zones of whole hours and parts of them, north and south, and one that gave its summer time up within the years.
    static let zones = [
        "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Chatham",
        "Pacific/Apia",
    ]
    private static let years = 2019...2028
    /// So many of each grammar in each zone, for each rule; the seeds make each run the same.
    private static let count = 6

    @Test("A fresh seed in each run finds what the fixed ones do not")
    func freshSeed() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        let name = try #require(Self.zones.randomElement(using: &random))
        try Self.compareTenYears(name, &random, "seed \(seed)")
    }

    @Test("Ten years of a random expression are those of the brute force", arguments: Self.zones)
    func tenYears(name: String) throws {
        var random = SeededRandom(seed: name.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) })
        try Self.compareTenYears(name, &random)
    }

    private static func compareTenYears(
        _ name: String,
        _ random: inout SeededRandom,
        _ note: String = ""
    ) throws {
        let zone = try ZoneDatabase.system.zone(name)
        let offsets = try #require(QuarterOffsets(name, years: Self.years))
        let end = offsets.start + offsets.offsets.count * QuarterOffsets.quarter
        for grammar in RandomExpression.Grammar.allCases {
            for number in 0..<Self.count {
                let expression = RandomExpression(grammar, &random)
                let rule: Schedule.GapRule = number.isMultiple(of: 3) ? .aws : .runAfter
                var brute = BruteForce(expression, skipsGaps: rule == .aws)
                let expected = brute.fires(offsets)
                let schedule = Schedule(try ScheduleExpression(expression.text), in: zone, gapRule: rule)
                Self.compare(schedule, expected, from: offsets.start + 2 * 86_400, end: end, &random, note)
            }
        }
    }

    /// One after the other when they are few, and at random places when they are many.
    private static func compare(
        _ schedule: Schedule,
        _ expected: [Int],
        from: Int,
        end: Int,
        _ random: inout SeededRandom,
        _ note: String
    ) {
        let what = "\(schedule.expression.text) in \(schedule.zone.name), \(schedule.gapRule), \(note)"
        func check(_ index: Int, after time: Int) -> Bool {
            let next = schedule.next(after: time)
            let wanted: Int? = index < expected.count ? expected[index] : nil
            if wanted == nil, let next, next >= end { return true }
            guard next != wanted else { return true }
            Issue.record(
                "\(what): after \(schedule.zone.text(time)) \(next.map { schedule.zone.text($0) } ?? "never"), not \(wanted.map { schedule.zone.text($0) } ?? "never")"
            )
            return false
        }
        let limit = 3000
        if expected.count <= limit {
            for index in 0...expected.count {
                guard check(index, after: index == 0 ? from : expected[index - 1]) else { return }
            }
            return
        }
        for _ in 0..<limit {
            let index = Int.random(in: 1..<expected.count, using: &random)
            let between = Int.random(in: expected[index - 1]..<expected[index], using: &random)
            guard check(index, after: expected[index - 1]), check(index, after: between) else { return }
        }
    }

    @Test(
        "Around changes of the clocks, each minute has the next fire of the brute force",
        arguments: Self.zones
    )
    func changes(name: String) throws {
        let zone = try ZoneDatabase.system.zone(name)
        let offsets = try #require(QuarterOffsets(name, years: 2019...2020))
        var random = SeededRandom(seed: 99)
        let changes = (1..<offsets.offsets.count).filter { offsets.offsets[$0] != offsets.offsets[$0 - 1] }
        for _ in 0..<4 {
            let expression = RandomExpression(.unix, &random)
            var brute = BruteForce(expression)
            let expected = brute.fires(offsets)
            let schedule = Schedule(try ScheduleExpression(expression.text), in: zone)
            for change in changes.prefix(4) where change > 1000 {
                let start = offsets.start + change * QuarterOffsets.quarter - 3 * 3600
                var index = expected.firstIndex { $0 > start } ?? expected.count
                for time in stride(from: start, to: start + 6 * 3600, by: 60) where index < expected.count {
                    while index < expected.count, expected[index] <= time { index += 1 }
                    guard index < expected.count else { break }
                    let next = schedule.next(after: time)
                    #expect(next == expected[index], "\(expression.text) after \(zone.text(time))")
                    guard next == expected[index] else { return }
                }
            }
        }
    }

    @Test("What one zone's files say of a time reads back from the local time", arguments: Self.zones)
    func roundTrip(name: String) throws {
        let zone = try ZoneDatabase.system.zone(name)
        var random = SeededRandom(seed: 5)
        for _ in 0..<2000 {
            let time = Int.random(in: 0..<7_258_118_400, using: &random)
            let local = time + zone.offset(at: time)
            let back = zone.time(ofLocal: local)
            // Earlier only when clocks showed it before.
            #expect(back == time || (back < time && back + zone.offset(at: back) == local))
        }
    }
}
