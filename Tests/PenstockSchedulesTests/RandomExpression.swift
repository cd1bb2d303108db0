// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Numbers that come again with the same seed (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// An expression and, made beside it and not from its text, what it matches.
struct RandomExpression {
    enum Grammar: CaseIterable {
        case aws, unix, unixWithSeconds
    }

    var text = ""
    var seconds: [Int] = [0]
    var minutes: Set<Int> = []
    var hours: Set<Int> = []
    var months: Set<Int> = []
    var years: Set<Int>?
    /// Whether a day of a matching month matches.
    var matchesDay: (CivilDate) -> Bool = { _ in true }

    init(_ grammar: Grammar, _ random: inout SeededRandom) {
        let minute = Self.numbers(0...59, &random)
        let hour = Self.numbers(0...23, &random)
        let month = Self.numbers(1...12, words: Self.months, anyOf: 2, &random)
        (self.minutes, self.hours, self.months) = (Set(minute.numbers), Set(hour.numbers), Set(month.numbers))
        let monthDay = Self.monthDay(&random)
        let weekDay = Self.weekDay(isAWS: grammar == .aws, &random)
        var (first, second) = ("*", "*")
        let choice = Int.random(in: 0..<4, using: &random)
        let none = grammar == .aws ? "?" : Bool.random(using: &random) ? "*" : "?"
        switch choice {
        case 0: (first, second) = ("*", none)
        case 1:
            (first, second) = (monthDay.text, none)
            self.matchesDay = monthDay.matches
        case 2:
            (first, second) = (none, weekDay.text)
            self.matchesDay = weekDay.matches
        default:
            if grammar == .aws {
                (first, second) = ("?", weekDay.text)
                self.matchesDay = weekDay.matches
            } else {
                (first, second) = (monthDay.text, weekDay.text)
                self.matchesDay = { monthDay.matches($0) || weekDay.matches($0) }
            }
        }
        let fields = "\(minute.text) \(hour.text) \(first) \(month.text) \(second)"
        switch grammar {
        case .aws:
            let year = Self.numbers(1970...2199, anyOf: 2, &random)
            self.years = Set(year.numbers)
            self.text = "cron(\(fields) \(year.text))"
        case .unix: self.text = fields
        case .unixWithSeconds:
            let second = Self.numbers(0...59, &random)
            self.seconds = Set(second.numbers).sorted()
            self.text = "\(second.text) \(fields)"
        }
    }

    private static let months = [
        "JAN", "feb", "Mar", "APR", "may", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "dec",
    ]
    private static let weekdays = ["SUN", "mon", "TUE", "Wed", "THU", "FRI", "sat"]

    /// A field of plain numbers; one in `anyOf` is a star.
    private static func numbers(
        _ range: ClosedRange<Int>,
        words: [String] = [],
        anyOf: Int = 5,
        _ random: inout SeededRandom
    ) -> (text: String, numbers: [Int]) {
        func name(_ number: Int, _ random: inout SeededRandom) -> String {
            words.isEmpty || Bool.random(using: &random) ? "\(number)" : words[number - range.lowerBound]
        }
        if Int.random(in: 0..<anyOf, using: &random) == 0 { return ("*", Array(range)) }
        let limit = min(range.upperBound - range.lowerBound, 30)
        var texts: [String] = []
        var numbers: [Int] = []
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let first = Int.random(in: range, using: &random)
            // All but years go round.
            let from = range.upperBound > 100 ? first : range.lowerBound
            let last = Int.random(in: from...range.upperBound, using: &random)
            let step = Int.random(in: 1...limit, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0:
                texts.append("\(name(first, &random))-\(name(last, &random))")
                numbers += Self.circle(range, first, last, by: 1)
            case 1:
                texts.append("\(name(first, &random))-\(name(last, &random))/\(step)")
                numbers += Self.circle(range, first, last, by: step)
            case 2:
                texts.append("\(name(first, &random))/\(step)")
                numbers += stride(from: first, through: range.upperBound, by: step)
            case 3:
                texts.append("*/\(step)")
                numbers += stride(from: range.lowerBound, through: range.upperBound, by: step)
            default:
                texts.append(name(first, &random))
                numbers.append(first)
            }
        }
        return (texts.joined(separator: ","), numbers)
    }

    /// Every so many of the numbers that come one after the other from the first to the last, over the end if need be.
    private static func circle(_ range: ClosedRange<Int>, _ first: Int, _ last: Int, by step: Int) -> [Int] {
        var numbers: [Int] = []
        var (number, isTaken) = (first, 0)
        while true {
            if isTaken == 0 { numbers.append(number) }
            isTaken = (isTaken + 1) % step
            if number == last { return numbers }
            number = number == range.upperBound ? range.lowerBound : number + 1
        }
    }

    private static func monthDay(_ random: inout SeededRandom) -> (text: String, matches: (CivilDate) -> Bool)
    {
        let day = Int.random(in: 1...31, using: &random)
        let plain = self.numbers(1...31, anyOf: .max, &random)
        switch Int.random(in: 0..<8, using: &random) {
        case 0: return ("L", { $0.day == Self.length($0) })
        case 1:
            let before = Int.random(in: 1...30, using: &random)
            return ("L-\(before)", { $0.day == Self.length($0) - before })
        case 2: return ("\(day)W", { Self.isWeekday($0, nearest: day) })
        case 3: return ("LW", { Self.isWeekday($0, nearest: Self.length($0)) })
        case 4:
            let before = Int.random(in: 1...30, using: &random)
            return ("L-\(before)W", { Self.isWeekday($0, nearest: Self.length($0) - before) })
        default:
            // A step of one over the whole range is a star, which this is not to be.
            let numbers = Set(plain.numbers)
            let text = plain.text.replacing("*/1,", with: "1-31,")
            return (
                text.hasSuffix("*/1") ? "1-31" : text, { numbers.contains($0.day) || text.hasSuffix("*/1") }
            )
        }
    }

    private static func weekDay(
        isAWS: Bool,
        _ random: inout SeededRandom
    ) -> (text: String, matches: (CivilDate) -> Bool) {
        let first = Int.random(in: 0...6, using: &random)
        let last = Int.random(in: 0...6, using: &random)
        let useWords = Bool.random(using: &random)
        func name(_ day: Int) -> String { useWords ? Self.weekdays[day] : "\(isAWS ? day + 1 : day)" }
        switch Int.random(in: 0..<5, using: &random) {
        case 0:
            let nth = Int.random(in: 1...5, using: &random)
            return ("\(name(first))#\(nth)", { Self.weekday($0) == first && ($0.day + 6) / 7 == nth })
        case 1: return ("\(name(first))L", { Self.weekday($0) == first && $0.day + 7 > Self.length($0) })
        case 2:
            return (
                "\(name(first))-\(name(last))",
                { date in
                    var day = first
                    while day != last {
                        if day == Self.weekday(date) { return true }
                        day = (day + 1) % 7
                    }
                    return last == Self.weekday(date)
                }
            )
        case 3 where !isAWS:
            return ("7,\(name(first))", { Self.weekday($0) == 0 || Self.weekday($0) == first })
        default: return ("\(name(first)),\(name(last))", { [first, last].contains(Self.weekday($0)) })
        }
    }

    /// Days of a date's month, by the rhyme.
    private static func length(_ date: CivilDate) -> Int {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        let isLeap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0)
        return lengths[date.month - 1] + (date.month == 2 && isLeap ? 1 : 0)
    }

    /// Sakamoto's method; 0 for Sunday.
    private static func weekday(_ date: CivilDate) -> Int {
        let shifts = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4]
        let year = date.month < 3 ? date.year - 1 : date.year
        return (year + year / 4 - year / 100 + year / 400 + shifts[date.month - 1] + date.day) % 7
    }

    /// Whether a date is the weekday of its month that is nearest to a day of it.
    private static func isWeekday(_ date: CivilDate, nearest day: Int) -> Bool {
        guard (1...self.length(date)).contains(day) else { return false }
        let candidates = (1...self.length(date)).filter { candidate in
            let other = CivilDate(year: date.year, month: date.month, day: candidate)
            return (1...5).contains(self.weekday(other)) && abs(candidate - day) <= 2
        }
        // Of two that are equally near, Saturday goes back and Sunday on; both are one day away then.
        let nearest = candidates.min { abs($0 - day) < abs($1 - day) }
        return nearest == date.day
    }
}
