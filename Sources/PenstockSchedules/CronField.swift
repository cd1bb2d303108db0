// SPDX-License-Identifier: Apache-2.0

/// One of the fields of a cron expression: its name, its numbers, its words.
struct CronField: Sendable {
    /// What the field is about.
    enum Unit: Sendable {
        case second, minute, hour, dayOfMonth, month, dayOfWeek, year
    }

    var unit: Unit

    /// As messages name it.
    var name: String

    /// The numbers that can be written in it.
    var range: ClosedRange<Int>

    /// Words for its numbers, the first one for `firstWord`.
    var words: [String] = []

    /// The number of the first word.
    var firstWord = 0

    static let second = CronField(unit: .second, name: "second", range: 0...59)
    static let minute = CronField(unit: .minute, name: "minute", range: 0...59)
    static let hour = CronField(unit: .hour, name: "hour", range: 0...23)
    static let dayOfMonth = CronField(unit: .dayOfMonth, name: "day of month", range: 1...31)
    static let month = CronField(
        unit: .month,
        name: "month",
        range: 1...12,
        words: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
        firstWord: 1
    )
    /// 0 is Sunday, and so is 7.
    static let unixDayOfWeek = CronField(
        unit: .dayOfWeek,
        name: "day of week",
        range: 0...7,
        words: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        firstWord: 0
    )
    /// 1 is Sunday.
    static let awsDayOfWeek = CronField(
        unit: .dayOfWeek,
        name: "day of week",
        range: 1...7,
        words: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        firstWord: 1
    )
    static let year = CronField(unit: .year, name: "year", range: 1970...2199)

    /// What stands behind a name in a message: what its numbers mean.
    var rangeText: String {
        let numbers = "\(self.range.lowerBound)-\(self.range.upperBound)"
        switch self.unit {
        case .dayOfWeek where self.firstWord == 1: return "\(numbers), 1 for Sunday"
        case .dayOfWeek: return "\(numbers), 0 and 7 for Sunday"
        case .second, .minute, .hour, .dayOfMonth, .month, .year: return numbers
        }
    }

    /// The number that a step ends at: 7 is Sunday a second time.
    var last: Int { self.range.upperBound - (self.range == 0...7 ? 1 : 0) }

    /// How many numbers there are until they begin anew, as minutes do in the next hour; years never do.
    var period: Int { self.last - self.range.lowerBound + 1 }

    /// The number as the bit sets have it: Sunday is 0, and what runs over the end is counted from the beginning.
    func bit(_ number: Int) -> Int {
        if self.unit == .dayOfWeek { return (number - self.firstWord + 7) % 7 }
        return number <= self.last ? number : number - self.period
    }

    /// The number of a word in any case.
    func number(ofWord word: String) -> Int? {
        self.words.firstIndex(of: word.uppercased()).map { $0 + self.firstWord }
    }
}

/// One element of a field's list.
enum CronTerm: Hashable, Sendable {
    /// `?`
    case unspecified
    /// `*`
    case all
    /// Numbers of the field from the first to the last by a step; hours of `22-26` run into the next day.
    case numbers(first: Int, last: Int, step: Int)
    /// `L`, `L-3`: this many days before the last day of the month.
    case lastDay(before: Int)
    /// `15W`
    case weekdayNearest(Int)
    /// `LW`, `L-3W`: the weekday nearest to the day that is this many days before the last one.
    case weekdayNearestLast(before: Int)
    /// `6L`: the last one of that day of the week in the month.
    case lastOf(Int)
    /// `3#2`: the second one of that day of the week in the month.
    case nth(Int, Int)
}

/// Reads one field of an expression.
struct CronFieldParser {
    /// The whole expression.
    let text: String
    let bytes: [UInt8]
    let field: CronField
    /// Where the field stands.
    let range: Range<Int>
    /// What to add when a mark stands in a field that cannot have it: which grammar was likely meant.
    var advice = ""

    /// All elements of the list.
    func terms() throws(ScheduleProblem) -> [CronTerm] {
        var terms: [CronTerm] = []
        var start = self.range.lowerBound
        for index in self.range.lowerBound...self.range.upperBound
        where index == self.range.upperBound || self.bytes[index] == UInt8(ascii: ",") {
            let element = start..<index
            guard !element.isEmpty else {
                throw self.problem(
                    self.range,
                    "has an empty place in its list; write values with single commas"
                )
            }
            terms.append(try self.term(element))
            start = index + 1
        }
        if terms.count > 1, terms.contains(.unspecified) {
            throw self.problem(self.range, "has ? in a list; ? stands alone")
        }
        return terms
    }

    func problem(_ range: Range<Int>, _ rest: String) -> ScheduleProblem {
        let part = String(decoding: self.bytes[range], as: UTF8.self)
        return ScheduleProblem(self.text, range, "the \(self.field.name) \"\(part)\" \(rest)")
    }

    private func term(_ range: Range<Int>) throws(ScheduleProblem) -> CronTerm {
        let parts = self.split(range, at: UInt8(ascii: "/"))
        guard parts.count <= 2 else { throw self.problem(range, "has more than one /; write START/STEP") }
        if parts.count == 2 { return try self.stepped(range, parts[0], by: parts[1]) }
        let word = String(decoding: self.bytes[range], as: UTF8.self).uppercased()
        if word == "*" { return .all }
        if word == "?" {
            guard self.isDay else {
                throw self.problem(
                    range,
                    "cannot be ?: only the two day fields can\(self.advice); write * for every \(self.field.name)"
                )
            }
            return .unspecified
        }
        if let term = try self.special(range, word) { return term }
        let ends = self.split(range, at: UInt8(ascii: "-"))
        guard ends.count <= 2 else { throw self.problem(range, "has more than one -; write FIRST-LAST") }
        let first = try self.number(ends[0], in: range)
        guard ends.count == 2 else { return .numbers(first: first, last: first, step: 1) }
        return try self.span(range, first, self.number(ends[1], in: range), step: 1)
    }

    private func stepped(
        _ range: Range<Int>,
        _ base: Range<Int>,
        by step: Range<Int>
    ) throws(ScheduleProblem)
        -> CronTerm
    {
        let limit = self.field.last - self.field.range.lowerBound
        guard let count = self.digits(step), count >= 1 else {
            throw self.problem(range, "has no step behind the /; write a number from 1 to \(limit)")
        }
        guard count <= limit else {
            throw self.problem(
                range,
                "has a step beyond \(limit), which would fire only at its start; for longer times write @every"
            )
        }
        if self.bytes[base].elementsEqual([UInt8(ascii: "*")]) {
            if count == 1 { return .all }
            return .numbers(first: self.field.range.lowerBound, last: self.field.last, step: count)
        }
        let ends = self.split(base, at: UInt8(ascii: "-"))
        guard ends.count <= 2 else { throw self.problem(range, "has more than one -; write FIRST-LAST/STEP") }
        let first = try self.number(ends[0], in: range)
        guard ends.count == 2 else {
            return .numbers(first: first, last: max(first, self.field.last), step: count)
        }
        return try self.span(range, first, self.number(ends[1], in: range), step: count)
    }

    private func span(
        _ range: Range<Int>,
        _ first: Int,
        _ last: Int,
        step: Int
    ) throws(ScheduleProblem) -> CronTerm {
        if first <= last { return .numbers(first: first, last: last, step: step) }
        guard self.field.unit != .year else {
            throw self.problem(range, "runs backwards; write \(last)-\(first)")
        }
        // All others are circles, and FRI-MON and 22-2 can mean only one thing; steps count on over the end.
        return .numbers(first: first, last: last + self.field.period, step: step)
    }

    /// L, W and # of the day fields; nil when it is something else.
    private func special(_ range: Range<Int>, _ word: String) throws(ScheduleProblem) -> CronTerm? {
        guard self.isDay else {
            guard
                word.contains("#") || (word.count < 4 && word.hasSuffix("W"))
                    || (word.count < 3 && word.hasSuffix("L"))
            else { return nil }
            throw self.problem(range, "cannot have L, W or #: only the day fields can\(self.advice)")
        }
        return self.field.unit == .dayOfMonth
            ? try self.specialDay(range, word) : try self.specialWeekday(range, word)
    }

    private func specialDay(_ range: Range<Int>, _ word: String) throws(ScheduleProblem) -> CronTerm? {
        if word == "L" { return .lastDay(before: 0) }
        if word == "LW" || word == "WL" { return .weekdayNearestLast(before: 0) }
        if word.hasPrefix("L-") {
            let isWeekday = word.hasSuffix("W")
            guard let count = Int(word.dropFirst(2).dropLast(isWeekday ? 1 : 0)), (1...30).contains(count)
            else {
                throw self.problem(
                    range,
                    "has no number behind L-; write L-1 to L-30, days before the last one, or L-1W to L-30W"
                )
            }
            return isWeekday ? .weekdayNearestLast(before: count) : .lastDay(before: count)
        }
        if word.hasSuffix("W") {
            guard let day = Int(word.dropLast()), (1...31).contains(day) else {
                throw self.problem(range, "has W behind something else than one day; write 1W to 31W, or LW")
            }
            return .weekdayNearest(day)
        }
        if word.contains("#") {
            throw self.problem(range, "cannot have #: write # in the day of week, as in MON#2")
        }
        return nil
    }

    private func specialWeekday(_ range: Range<Int>, _ word: String) throws(ScheduleProblem) -> CronTerm? {
        if word.contains("#") {
            let parts = self.split(range, at: UInt8(ascii: "#"))
            guard parts.count == 2, let count = self.digits(parts[1]), (1...5).contains(count) else {
                throw self.problem(
                    range,
                    "is not one of a month; write DAY#N with N from 1 to 5, as in MON#2"
                )
            }
            return .nth(self.field.bit(try self.number(parts[0], in: range)), count)
        }
        if word == "L" {
            guard self.field.firstWord == 1 else {
                throw self.problem(range, "does not say which day; write the last Friday of a month as FRIL")
            }
            return .numbers(first: 7, last: 7, step: 1)
        }
        if word.hasSuffix("L"), word.count > 1 {
            let day = range.lowerBound..<range.upperBound - 1
            return .lastOf(self.field.bit(try self.number(day, in: range)))
        }
        // As croniter writes it.
        if word.hasPrefix("L"), word.count > 1 {
            let day = range.lowerBound + 1..<range.upperBound
            return .lastOf(self.field.bit(try self.number(day, in: range)))
        }
        if word.hasSuffix("W") {
            throw self.problem(range, "cannot have W: write W in the day of month, as in 15W")
        }
        return nil
    }

    private var isDay: Bool { self.field.unit == .dayOfMonth || self.field.unit == .dayOfWeek }

    private func number(_ part: Range<Int>, in whole: Range<Int>) throws(ScheduleProblem) -> Int {
        let word = String(decoding: self.bytes[part], as: UTF8.self)
        if let number = self.field.number(ofWord: word) { return number }
        guard let number = self.digits(part) else {
            if self.field.words.isEmpty {
                throw self.problem(whole, "is not a number of \(self.field.rangeText)")
            }
            let words = "\(self.field.words[0])-\(self.field.words[self.field.words.count - 1])"
            throw self.problem(whole, "is neither a number (\(self.field.rangeText)) nor one of \(words)")
        }
        guard self.field.range.contains(number) else {
            let advice = number >= 1970 && self.field.unit != .year ? self.advice : ""
            throw self.problem(whole, "is not within \(self.field.rangeText)\(advice)")
        }
        return number
    }

    /// At most nine digits and nothing else.
    private func digits(_ range: Range<Int>) -> Int? {
        guard (1...9).contains(range.count) else { return nil }
        var number = 0
        for byte in self.bytes[range] {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            number = number * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return number
    }

    private func split(_ range: Range<Int>, at separator: UInt8) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var start = range.lowerBound
        for index in range where self.bytes[index] == separator {
            parts.append(start..<index)
            start = index + 1
        }
        parts.append(start..<range.upperBound)
        return parts
    }
}
