// SPDX-License-Identifier: Apache-2.0

/// When a schedule fires, as somebody wrote it: one of the grammars, read.
///
/// It has no time zone; ``Schedule`` puts it into one.
package struct ScheduleExpression: Hashable, Sendable {
    /// The grammars, told apart by how a text begins and by its number of fields.
    package enum Grammar: String, Sendable {
        /// `cron(0 2 * * ? *)`: the six fields of AWS.
        case aws = "aws cron"
        /// `rate(5 minutes)`
        case rate
        /// `at(2026-11-20T13:00:00)`
        case at
        /// `0 2 * * 1-5`: the five fields of Unix.
        case unix = "unix cron"
        /// `30 0 2 * * 1-5`: the same with seconds before them.
        case unixWithSeconds = "unix cron with seconds"
        /// `@daily` and its like.
        case nickname
        /// `@every 90s`
        case every
    }

    enum Timing: Hashable, Sendable {
        /// At the local times that match.
        case calendar(CronFields)
        /// Each so many seconds, from an anchor.
        case interval(Int)
        /// Once, at this local time.
        case once(Int)
    }

    /// As it was written, without space around it.
    package let text: String

    /// The grammar it is in.
    package let grammar: Grammar

    let timing: Timing

    init(text: String, grammar: Grammar, timing: Timing) {
        self.text = text
        self.grammar = grammar
        self.timing = timing
    }

    /// Reads an expression of any of the grammars.
    package init(_ text: String) throws(ScheduleProblem) {
        self = try ExpressionParser(text).expression()
    }

    /// Each midnight.
    package static let daily: ScheduleExpression = {
        var fields = CronFields()
        (fields.minutes, fields.hours, fields.months) = (1, 1, 0x1FFE)
        return ScheduleExpression(text: "@daily", grammar: .nickname, timing: .calendar(fields))
    }()

    /// Whether it fires at equal distances from an anchor, and not by the calendar.
    package var isInterval: Bool {
        if case .interval = self.timing { true } else { false }
    }

    /// Whether it fires once.
    package var isOnce: Bool {
        if case .once = self.timing { true } else { false }
    }
}

/// Tells the grammars apart and reads each.
private struct ExpressionParser {
    let text: String
    let bytes: [UInt8]

    private static let parenthesized = ["cron(", "rate(", "at("]
    private static let nicknames: [(name: String, fields: String)] = [
        ("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"), ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ]
    private static let awsFields: [CronField] = [.minute, .hour, .dayOfMonth, .month, .awsDayOfWeek, .year]
    private static let unixFields: [CronField] = [.minute, .hour, .dayOfMonth, .month, .unixDayOfWeek]

    init(_ text: String) {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        var bytes = text.utf8.drop(while: isSpace)
        while let last = bytes.last, isSpace(last) { bytes = bytes.dropLast() }
        self.bytes = Array(bytes)
        self.text = String(decoding: self.bytes, as: UTF8.self)
    }

    private var whole: Range<Int> { 0..<self.bytes.count }

    private func problem(_ range: Range<Int>? = nil, _ message: String) -> ScheduleProblem {
        ScheduleProblem(self.text, range ?? self.whole, message)
    }

    func expression() throws(ScheduleProblem) -> ScheduleExpression {
        guard !self.bytes.isEmpty else {
            throw self.problem(nil, "is empty; write one such as 0 2 * * * or rate(5 minutes)")
        }
        guard self.bytes.count <= 1024 else {
            throw self.problem(0..<1024, "is longer than 1024 bytes; split it into several schedules")
        }
        guard self.bytes.allSatisfy({ (0x20...0x7E).contains($0) || $0 == 0x09 }) else {
            throw self.problem(nil, "has characters beyond ASCII, or a line break; type it anew on one line")
        }
        if self.text.hasPrefix("@") { return try self.nickname() }
        let lower = self.text.lowercased()
        for word in Self.parenthesized where lower.hasPrefix(word) || lower.hasPrefix(word.dropLast() + " (")
        {
            return try self.parenthesized(word)
        }
        if lower.hasPrefix("tz=") || lower.hasPrefix("cron_tz=") {
            let end = self.bytes.firstIndex(of: 0x20) ?? self.bytes.count
            throw self.problem(0..<end, "names its zone; take that away and give the zone as \"timezone\"")
        }
        return try self.bareFields()
    }

    private func parenthesized(_ word: String) throws(ScheduleProblem) -> ScheduleExpression {
        guard self.text.hasPrefix(word) else {
            let end = self.bytes.firstIndex(of: UInt8(ascii: "(")) ?? word.count - 1
            throw self.problem(0..<end + 1, "must begin with \(word) in small letters and without a space")
        }
        guard self.bytes.last == UInt8(ascii: ")") else {
            throw self.problem(
                self.bytes.count - 1..<self.bytes.count,
                "must end with ) and nothing behind it"
            )
        }
        let inside = word.utf8.count..<self.bytes.count - 1
        switch word {
        case "cron(": return try self.awsCron(inside)
        case "rate(": return try self.rate(inside)
        default: return try self.at(inside)
        }
    }

    // MARK: cron

    private func awsCron(_ inside: Range<Int>) throws(ScheduleProblem) -> ScheduleExpression {
        let ranges = self.words(inside)
        guard ranges.count == 6 else {
            let advice =
                ranges.count == 5
                ? "; the five fields of Unix are written without cron()"
                : ""
            throw self.problem(
                inside.isEmpty ? nil : inside,
                "cron() has \(ranges.count) fields instead of six: minute, hour, day of month, month, day of week, "
                    + "year\(advice)"
            )
        }
        let terms = try self.terms(Self.awsFields, ranges)
        let (month, week) = (terms[2] == [.unspecified], terms[4] == [.unspecified])
        guard month != week else {
            throw self.problem(
                ranges[2].lowerBound..<ranges[4].upperBound,
                month
                    ? "day of month and day of week are both ?; write * for one of them"
                    : "one of day of month and day of week must be ?; write ? for the one that does not matter"
            )
        }
        guard terms[4].count(where: { if case .nth = $0 { true } else { false } }) <= 1 else {
            throw self.problem(ranges[4], "the day of week has more than one #; write a schedule for each")
        }
        return ScheduleExpression(
            text: self.text,
            grammar: .aws,
            timing: .calendar(Self.fields(Self.awsFields, terms))
        )
    }

    private func bareFields() throws(ScheduleProblem) -> ScheduleExpression {
        let ranges = self.words(self.whole)
        switch ranges.count {
        case 5:
            let terms = try self.terms(Self.unixFields, ranges)
            let fields = Self.fields(Self.unixFields, terms)
            return ScheduleExpression(text: self.text, grammar: .unix, timing: .calendar(fields))
        case 6:
            let names = [.second] + Self.unixFields
            let advice =
                " (six fields with a year, as on AWS, are written cron(…); without cron() the first is seconds)"
            let fields = Self.fields(names, try self.terms(names, ranges, advice: advice))
            return ScheduleExpression(text: self.text, grammar: .unixWithSeconds, timing: .calendar(fields))
        default:
            throw self.problem(
                nil,
                "has \(ranges.count) field\(ranges.count == 1 ? "" : "s"); write five (minute, hour, day of month, "
                    + "month, day of week), six with seconds before them, or cron(…), rate(…), at(…), @daily, @every 90s"
            )
        }
    }

    private func terms(
        _ fields: [CronField],
        _ ranges: [Range<Int>],
        advice: String = ""
    ) throws(ScheduleProblem) -> [[CronTerm]] {
        var terms: [[CronTerm]] = []
        for (field, range) in zip(fields, ranges) {
            let parser = CronFieldParser(
                text: self.text,
                bytes: self.bytes,
                field: field,
                range: range,
                advice: advice
            )
            terms.append(try parser.terms())
        }
        return terms
    }

    private static func fields(_ fields: [CronField], _ terms: [[CronTerm]]) -> CronFields {
        var result = CronFields()
        for (field, terms) in zip(fields, terms) { result.set(field, terms) }
        return result
    }

    private func nickname() throws(ScheduleProblem) -> ScheduleExpression {
        let words = self.words(self.whole)
        let name = String(decoding: self.bytes[words[0]], as: UTF8.self).lowercased()
        if name == "@every" { return try self.every(words) }
        guard words.count == 1, let fields = Self.nicknames.first(where: { $0.name == name })?.fields else {
            if name == "@reboot" {
                throw self.problem(nil, "@reboot has no time; a trigger runs as long as penstock does")
            }
            let names = Self.nicknames.map(\.name).joined(separator: ", ")
            throw self.problem(nil, "is none of \(names) and @every 90s")
        }
        let meaning = try ExpressionParser(fields).bareFields()
        return ScheduleExpression(text: self.text, grammar: .nickname, timing: meaning.timing)
    }

    // MARK: rate, at, every

    private func rate(_ inside: Range<Int>) throws(ScheduleProblem) -> ScheduleExpression {
        let way = "write rate(5 minutes), with minutes, hours or days"
        let words = self.words(inside)
        guard words.count == 2 else {
            throw self.problem(inside.isEmpty ? nil : inside, "rate() has a number and a unit; \(way)")
        }
        guard let count = self.number(words[0]), count >= 1 else {
            throw self.problem(words[0], "the number of rate() is a whole one from 1; \(way)")
        }
        let unit = String(decoding: self.bytes[words[1]], as: UTF8.self)
        let seconds: Int
        switch unit {
        case "minute", "minutes": seconds = 60
        case "hour", "hours": seconds = 3600
        case "day", "days": seconds = 86_400
        case "second", "seconds":
            throw self.problem(words[1], "rate() has no seconds; write @every \(count)s")
        default: throw self.problem(words[1], "\"\(unit)\" is no unit of rate(); \(way)")
        }
        guard count <= Self.longestInterval / seconds else {
            throw self.problem(words[0], "is longer than 36500 days; write a shorter one, or at(…)")
        }
        return ScheduleExpression(text: self.text, grammar: .rate, timing: .interval(count * seconds))
    }

    private func every(_ words: [Range<Int>]) throws(ScheduleProblem) -> ScheduleExpression {
        let way = "write @every 90s or @every 1h30m, with d, h, m and s from large to small"
        guard words.count == 2 else { throw self.problem(nil, "@every has one duration; \(way)") }
        var seconds = 0
        var number: Int?
        var smallest = Int.max
        for byte in self.bytes[words[1]] {
            if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
                number = (number ?? 0) * 10 + Int(byte - UInt8(ascii: "0"))
                guard number ?? 0 <= Self.longestInterval else { break }
                continue
            }
            let unit: Int? =
                switch byte {
                case UInt8(ascii: "d"): 86_400
                case UInt8(ascii: "h"): 3600
                case UInt8(ascii: "m"): 60
                case UInt8(ascii: "s"): 1
                default: nil
                }
            guard let unit, unit < smallest, let count = number else {
                throw self.problem(words[1], "is no duration; \(way)")
            }
            guard count <= (Self.longestInterval - seconds) / unit else {
                throw self.problem(words[1], "is longer than 36500 days; write a shorter one, or at(…)")
            }
            seconds += count * unit
            (smallest, number) = (unit, nil)
        }
        guard number == nil, seconds > 0 else {
            throw self.problem(words[1], "is no duration of 1s or more; \(way)")
        }
        return ScheduleExpression(text: self.text, grammar: .every, timing: .interval(seconds))
    }

    private func at(_ inside: Range<Int>) throws(ScheduleProblem) -> ScheduleExpression {
        guard let local = LocalTime.seconds(self.bytes[inside], needsSeconds: true) else {
            throw self.problem(
                inside.isEmpty ? nil : inside,
                "at() has a local time without an offset; write at(2026-11-20T13:00:00), and the zone as \"timezone\""
            )
        }
        guard local >= YearSet.startLocal, local < YearSet.endLocal else {
            throw self.problem(inside, "is not within the years 1970 to 2199")
        }
        return ScheduleExpression(text: self.text, grammar: .at, timing: .once(local))
    }

    private static let longestInterval = 36_500 * 86_400

    // MARK: text

    private func words(_ range: Range<Int>) -> [Range<Int>] {
        var words: [Range<Int>] = []
        var start: Int?
        for index in range {
            if self.bytes[index] == 0x20 || self.bytes[index] == 0x09 {
                if let begin = start { words.append(begin..<index) }
                start = nil
            } else if start == nil {
                start = index
            }
        }
        if let start { words.append(start..<range.upperBound) }
        return words
    }

    private func number(_ range: Range<Int>) -> Int? {
        let digits = self.bytes[range]
        guard (1...9).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
}

extension CronFields {
    /// Takes the elements of one field.
    fileprivate mutating func set(_ field: CronField, _ terms: [CronTerm]) {
        switch field.unit {
        case .second: self.seconds = Self.bits(field, terms)
        case .minute: self.minutes = Self.bits(field, terms)
        case .hour: self.hours = UInt32(truncatingIfNeeded: Self.bits(field, terms))
        case .month: self.months = UInt32(truncatingIfNeeded: Self.bits(field, terms))
        case .dayOfMonth, .dayOfWeek: self.days.set(field, terms)
        case .year:
            self.years = .none
            for term in terms { Self.visit(field, term) { self.years.insert($0) } }
        }
    }

    fileprivate static func bits(_ field: CronField, _ terms: [CronTerm]) -> UInt64 {
        var bits: UInt64 = 0
        for term in terms { self.visit(field, term) { bits |= 1 << UInt64($0) } }
        return bits
    }

    /// The plain numbers of an element, as the bit sets have them.
    fileprivate static func visit(_ field: CronField, _ term: CronTerm, _ body: (Int) -> Void) {
        switch term {
        case .all: for number in field.range.lowerBound...field.last { body(field.bit(number)) }
        case .numbers(let first, let last, let step):
            for number in stride(from: first, through: last, by: step) { body(field.bit(number)) }
        case .unspecified, .lastDay, .weekdayNearest, .weekdayNearestLast, .lastOf, .nth: break
        }
    }
}

extension CronDays {
    fileprivate mutating func set(_ field: CronField, _ terms: [CronTerm]) {
        let isAny = terms.contains(.all) || terms.contains(.unspecified)
        if field.unit == .dayOfMonth { self.isAnyDayOfMonth = isAny } else { self.isAnyDayOfWeek = isAny }
        guard !isAny else { return }
        let bits = CronFields.bits(field, terms)
        if field.unit == .dayOfMonth {
            self.daysOfMonth = UInt32(truncatingIfNeeded: bits)
        } else {
            self.daysOfWeek = UInt8(truncatingIfNeeded: bits)
        }
        for term in terms {
            switch term {
            case .lastDay(let before): self.lastDays |= 1 << UInt32(before)
            case .weekdayNearest(let day): self.nearestWeekdays |= 1 << UInt32(day)
            case .weekdayNearestLast(let before): self.nearestLastWeekdays |= 1 << UInt32(before)
            case .lastOf(let day): self.lastDaysOfWeek |= 1 << UInt8(day)
            case .nth(let day, let nth): self.nthDaysOfWeek |= 1 << UInt64(7 * (nth - 1) + day)
            case .unspecified, .all, .numbers: break
            }
        }
    }
}
