// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// The rule for the years behind a zone's table: `CET-1CEST,M3.5.0,M10.5.0/3` (POSIX TZ, RFC 9636 section 3.3.1).
struct ZoneFooter: Equatable {
    /// A day of each year.
    enum Day: Equatable {
        /// `J60`: 1 to 365, February 29th is never counted.
        case julian(Int)
        /// `59`: 0 to 365, February 29th is counted.
        case ordinal(Int)
        /// `M10.5.0`: a day of a week of a month; week 5 is the last one.
        case weekday(month: Int, week: Int, day: Int)
    }

    /// A day and a time of day on the clock that is in force until then.
    struct Change: Equatable {
        var day: Day
        /// Seconds; may be negative, or beyond a day.
        var time: Int
    }

    /// Seconds ahead of UTC.
    var standard: Int
    /// Seconds ahead of UTC in summer, and when summer begins and ends; nil for zones without.
    var summer: Summer?

    /// Daylight saving time.
    struct Summer: Equatable {
        var offset: Int
        var start: Change
        var end: Change
    }

    /// Reads it; nil when it is not in that form.
    init?(_ bytes: [UInt8]) {
        var scanner = FooterScanner(bytes: bytes)
        guard scanner.name(), let west = scanner.time(hoursMax: 25) else { return nil }
        self.standard = -west
        guard !scanner.isAtEnd else { return }
        guard scanner.name() else { return nil }
        var offset = self.standard + 3600
        if !scanner.isAt(",") {
            guard let west = scanner.time(hoursMax: 25) else { return nil }
            offset = -west
        }
        guard let start = scanner.change(), let end = scanner.change(), scanner.isAtEnd else { return nil }
        self.summer = Summer(offset: offset, start: start, end: end)
    }

    /// The changes of offset after a time and until 2200.
    func spans(after last: Int) -> [ZoneRules.Span] {
        guard let summer = self.summer else {
            return [ZoneRules.Span(start: max(last, .min / 2 + 1), offset: self.standard)]
        }
        let lastYear = last < 0 ? 1970 : CivilDate(daysSinceEpoch: last / 86_400).year
        // One year earlier: its last change may be what holds at `last`.
        var spans: [ZoneRules.Span] = []
        for year in max(1969, lastYear - 1)...YearSet.range.upperBound + 1 {
            let start = ZoneRules.Span(
                start: summer.start.local(in: year) - self.standard,
                offset: summer.offset
            )
            let end = ZoneRules.Span(start: summer.end.local(in: year) - summer.offset, offset: self.standard)
            // Summer begins in the old year's end when it lasts all year.
            spans += end.start < start.start ? [end, start] : [start, end]
        }
        return spans.filter { $0.start > last }
    }
}

extension ZoneFooter.Change {
    /// The local time of the change in a year.
    func local(in year: Int) -> Int {
        let january = CivilDate(year: year, month: 1, day: 1).daysSinceEpoch
        let day: Int
        switch self.day {
        case .julian(let number):
            day = january + number - 1 + (CivilDate.isLeap(year) && number >= 60 ? 1 : 0)
        case .ordinal(let number): day = january + number
        case .weekday(let month, let week, let weekday):
            let first = CivilDate(year: year, month: month, day: 1)
            let earliest = 1 + (weekday - first.weekday + 7) % 7
            let count = CivilDate.days(inMonth: month, of: year)
            let number = week == 5 ? earliest + (count - earliest) / 7 * 7 : earliest + 7 * (week - 1)
            day = first.daysSinceEpoch + number - 1
        }
        return day * 86_400 + self.time
    }
}

/// Reads a footer from left to right; each step is nil or false when the text does not have what it asks for.
private struct FooterScanner {
    let bytes: [UInt8]
    var index = 0

    var isAtEnd: Bool { self.index == self.bytes.count }

    func isAt(_ character: Unicode.Scalar) -> Bool {
        self.index < self.bytes.count && self.bytes[self.index] == UInt8(ascii: character)
    }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard self.isAt(character) else { return false }
        self.index += 1
        return true
    }

    /// `CET` or `<+0330>`.
    mutating func name() -> Bool {
        if self.skip("<") {
            guard let end = self.bytes[self.index...].firstIndex(of: UInt8(ascii: ">")) else { return false }
            self.index = end + 1
            return true
        }
        let start = self.index
        while self.index < self.bytes.count, Self.isLetter(self.bytes[self.index]) { self.index += 1 }
        return self.index - start >= 3
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    /// `3`, `-1`, `10:30`, `-0:44:30`; in seconds.
    mutating func time(hoursMax: Int) -> Int? {
        let isNegative = self.skip("-")
        if !isNegative { _ = self.skip("+") }
        guard let hours = self.number(0...hoursMax) else { return nil }
        var seconds = hours * 3600
        if self.skip(":") {
            guard let minutes = self.number(0...59) else { return nil }
            seconds += minutes * 60
            if self.skip(":") {
                guard let rest = self.number(0...59) else { return nil }
                seconds += rest
            }
        }
        return isNegative ? -seconds : seconds
    }

    /// Reads `,M3.5.0/3`.
    mutating func change() -> ZoneFooter.Change? {
        guard self.skip(","), let day = self.day() else { return nil }
        guard self.skip("/") else { return ZoneFooter.Change(day: day, time: 2 * 3600) }
        guard let time = self.time(hoursMax: 167) else { return nil }
        return ZoneFooter.Change(day: day, time: time)
    }

    private mutating func day() -> ZoneFooter.Day? {
        if self.skip("J") { return self.number(1...365).map { .julian($0) } }
        guard self.skip("M") else { return self.number(0...365).map { .ordinal($0) } }
        guard let month = self.number(1...12), self.skip("."), let week = self.number(1...5), self.skip("."),
            let day = self.number(0...6)
        else { return nil }
        return .weekday(month: month, week: week, day: day)
    }

    private mutating func number(_ range: ClosedRange<Int>) -> Int? {
        let digits = self.bytes[self.index...].prefix { (0x30...0x39).contains($0) }
        guard (1...3).contains(digits.count) else { return nil }
        self.index += digits.count
        let value = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return range.contains(value) ? value : nil
    }
}
