// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore

/// A zone's offsets as Foundation knows them, for each quarter of an hour of some years.
struct QuarterOffsets {
    let start: Int
    let offsets: [Int32]

    static let quarter = 900

    init?(_ name: String, years: ClosedRange<Int>) {
        guard let zone = TimeZone(identifier: name) else { return nil }
        self.start = CivilDate(year: years.lowerBound, month: 1, day: 1).daysSinceEpoch * 86_400
        let end = CivilDate(year: years.upperBound + 1, month: 1, day: 1).daysSinceEpoch * 86_400
        func offset(_ time: Int) -> Int32 {
            Int32(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(time))))
        }
        // Asked for each quarter only on days on which it changes: Foundation takes its time to answer.
        self.offsets = stride(from: self.start, to: end, by: 86_400).flatMap { day in
            let first = offset(day)
            if first == offset(day + 86_400) { return [Int32](repeating: first, count: 96) }
            return (0..<96).map { offset(day + $0 * Self.quarter) }
        }
    }
}

/// When an expression fires, found by looking at each minute in turn.
///
/// It knows nothing of spans, bit sets and months: it watches a clock on a wall, which now and then jumps.
struct BruteForce {
    private let expression: RandomExpression
    private let isHourly: Bool
    private let isHour: [Bool]
    private let skipsGaps: Bool
    private var day = Int.min
    private var isDay = false

    init(_ expression: RandomExpression, skipsGaps: Bool = false) {
        self.expression = expression
        self.isHourly = expression.hours.count == 24
        self.isHour = (0..<24).map { expression.hours.contains($0) }
        self.skipsGaps = skipsGaps
    }

    /// All times within the years of the offsets, but for their first two days.
    mutating func fires(_ offsets: QuarterOffsets) -> [Int] {
        var fires: [Int] = []
        // The latest minute that the clock has shown so far.
        var latest = offsets.start + Int(offsets.offsets[0]) - 60
        for (index, offset) in offsets.offsets.enumerated() {
            let time = offsets.start + index * QuarterOffsets.quarter
            let local = time + Int(offset)
            if local > latest + 60, !self.isHourly, !self.skipsGaps,
                stride(from: latest + 60, to: local, by: 60).contains(where: { self.matches($0) })
            {
                fires.append(time)
            }
            guard self.couldMatch(local, local + QuarterOffsets.quarter) else {
                latest = max(latest, local + QuarterOffsets.quarter - 60)
                continue
            }
            for minute in stride(from: 0, to: QuarterOffsets.quarter, by: 60) {
                let shown = local + minute
                let isRepeated = shown <= latest
                latest = max(latest, shown)
                guard self.isHourly || !isRepeated, self.matches(shown) else { continue }
                for second in self.expression.seconds where fires.last != time + minute + second {
                    fires.append(time + minute + second)
                }
            }
        }
        return fires.filter { $0 > offsets.start + 2 * 86_400 }
    }

    /// Whether a quarter of an hour touches a day and an hour that match.
    private mutating func couldMatch(_ start: Int, _ end: Int) -> Bool {
        guard self.isHour[start / 3600 % 24] || self.isHour[(end - 60) / 3600 % 24] else { return false }
        return self.matchesDay(start) || self.matchesDay(end - 60)
    }

    private mutating func matches(_ local: Int) -> Bool {
        self.expression.minutes.contains(local / 60 % 60) && self.expression.hours.contains(local / 3600 % 24)
            && self.matchesDay(local)
    }

    private mutating func matchesDay(_ local: Int) -> Bool {
        guard local / 86_400 != self.day else { return self.isDay }
        self.day = local / 86_400
        let date = CivilDate(daysSinceEpoch: self.day)
        self.isDay =
            self.expression.years?.contains(date.year) != false && self.expression.months.contains(date.month)
            && self.expression.matchesDay(date)
        return self.isDay
    }
}
