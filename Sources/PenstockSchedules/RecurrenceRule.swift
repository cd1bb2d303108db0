// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// On which days an event comes again: an `RRULE` of RFC 5545, as far as holidays and hours of rest need it.
///
/// `FREQ` is `DAILY`, `WEEKLY`, `MONTHLY` or `YEARLY`, with `INTERVAL`, `COUNT`, `UNTIL`, `WKST`, and `BYMONTH`,
/// `BYMONTHDAY` or `BYDAY` where it is plain what they mean. Everything else is a problem.
struct RecurrenceRule {
    enum Frequency: String {
        case daily = "DAILY"
        case weekly = "WEEKLY"
        case monthly = "MONTHLY"
        case yearly = "YEARLY"
    }

    /// A day of the week, 0 for Sunday; with an ordinal the second one, or the last one, of its month.
    struct Weekday: Equatable {
        var day: Int
        var ordinal: Int?
    }

    var frequency = Frequency.yearly
    var interval = 1
    var count: Int?
    var until: CalendarMoment?
    var months: [Int] = []
    var monthDays: [Int] = []
    var weekdays: [Weekday] = []
    /// The day on which weeks begin.
    var weekStart = 1

    private static let names = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"]

    init(_ line: ContentLine) throws(CalendarFile.Problem) {
        var hasFrequency = false
        for part in line.value.uppercased().split(separator: ";") {
            let sides = part.split(separator: "=", maxSplits: 1)
            guard sides.count == 2 else {
                throw line.problem("\"\(part)\" is no part NAME=value of an RRULE")
            }
            let (name, value) = (String(sides[0]), String(sides[1]))
            if name == "FREQ" {
                guard let frequency = Frequency(rawValue: value) else {
                    throw line.problem(
                        "FREQ=\(value) is not supported; there are DAILY, WEEKLY, MONTHLY and YEARLY"
                    )
                }
                (self.frequency, hasFrequency) = (frequency, true)
            } else {
                try self.set(name, value, line)
            }
        }
        guard hasFrequency else { throw line.problem("RRULE has no FREQ") }
        guard self.count == nil || self.until == nil else { throw line.problem("RRULE has COUNT and UNTIL") }
        try self.check(line)
    }

    private mutating func set(
        _ name: String,
        _ value: String,
        _ line: ContentLine
    ) throws(CalendarFile.Problem) {
        func numbers(_ range: ClosedRange<Int>) throws(CalendarFile.Problem) -> [Int] {
            var numbers: [Int] = []
            for text in value.split(separator: ",", omittingEmptySubsequences: false) {
                guard let number = Int(text), range.contains(number), number != 0 else {
                    throw line.problem(
                        "\(name)=\(value) is not within \(range.lowerBound) to \(range.upperBound)"
                    )
                }
                numbers.append(number)
            }
            return numbers
        }
        switch name {
        case "INTERVAL": self.interval = try numbers(1...10_000)[0]
        case "COUNT": self.count = try numbers(1...CalendarFile.occurrencesMax)[0]
        case "UNTIL":
            guard let until = CalendarMoment(value) else {
                throw line.problem(
                    "UNTIL=\(value) is no date such as 20261224 or time such as 20261224T180000Z"
                )
            }
            self.until = until
        case "BYMONTH": self.months = try numbers(1...12)
        case "BYMONTHDAY": self.monthDays = try numbers(-31...31)
        case "BYDAY":
            for text in value.split(separator: ",", omittingEmptySubsequences: false) {
                let ordinal = Int(text.dropLast(2))
                guard let day = Self.names.firstIndex(of: String(text.suffix(2))),
                    text.count == 2 || ordinal.map({ (-5...5).contains($0) && $0 != 0 }) == true
                else {
                    throw line.problem(
                        "BYDAY=\(value) holds \"\(text)\", which is no day such as MO, 2MO or -1MO"
                    )
                }
                self.weekdays.append(Weekday(day: day, ordinal: ordinal))
            }
        case "WKST":
            guard let day = Self.names.firstIndex(of: value) else {
                throw line.problem("WKST=\(value) is no day")
            }
            self.weekStart = day
        default:
            throw line.problem("RRULE with \(name) is not supported; write the dates as events of their own")
        }
    }

    private func check(_ line: ContentLine) throws(CalendarFile.Problem) {
        guard self.weekdays.isEmpty || self.monthDays.isEmpty else {
            throw line.problem("RRULE with BYDAY and BYMONTHDAY is not supported; write the dates as events")
        }
        switch self.frequency {
        case .daily, .weekly:
            guard self.monthDays.isEmpty, !self.weekdays.contains(where: { $0.ordinal != nil }) else {
                throw line.problem(
                    "FREQ=\(self.frequency.rawValue) goes with BYDAY such as MO,TU and BYMONTH only"
                )
            }
        case .monthly: break
        case .yearly:
            guard !self.months.isEmpty || (self.weekdays.isEmpty && self.monthDays.isEmpty) else {
                throw line.problem("FREQ=YEARLY with BYDAY or BYMONTHDAY needs BYMONTH")
            }
        }
    }

    /// Calls `body` with the days of the rule, since 1970-01-01, from the first one on, in order, until it returns false or
    /// the year 2200 has come.
    func forEachDay(from first: Int, _ body: (Int) -> Bool) {
        let end = YearSet.endLocal / 86_400
        let date = CivilDate(daysSinceEpoch: first)
        /// Whether to go on.
        func visit(_ day: Int) -> Bool { day < first || (day < end && body(day)) }
        switch self.frequency {
        case .daily:
            var day = first
            while day < end {
                if self.isWanted(day), !visit(day) { return }
                day += self.interval
            }
        case .weekly:
            var week = first - (date.weekday - self.weekStart + 7) % 7
            while week < end {
                for day in week..<week + 7 where self.isWanted(day, otherwise: date.weekday) {
                    guard visit(day) else { return }
                }
                week += 7 * self.interval
            }
        case .monthly, .yearly:
            let step = self.frequency == .yearly ? 12 * self.interval : self.interval
            var month = self.frequency == .yearly ? date.year * 12 : date.year * 12 + date.month - 1
            while month / 12 < 2200 {
                for day in self.days(inPeriod: month, like: date) {
                    guard visit(day) else { return }
                }
                month += step
            }
        }
    }

    /// Whether a day is of the months and days of the week that are named.
    private func isWanted(_ day: Int, otherwise weekday: Int? = nil) -> Bool {
        let date = CivilDate(daysSinceEpoch: day)
        guard self.months.isEmpty || self.months.contains(date.month) else { return false }
        if self.weekdays.isEmpty { return weekday.map { $0 == date.weekday } ?? true }
        return self.weekdays.contains { $0.day == date.weekday }
    }

    /// The days of a month, or of the year that it begins.
    private func days(inPeriod month: Int, like first: CivilDate) -> [Int] {
        guard self.frequency == .yearly else {
            let isWanted = self.months.isEmpty || self.months.contains(month % 12 + 1)
            return isWanted ? self.days(of: month / 12, month % 12 + 1, like: first) : []
        }
        let months = self.months.isEmpty ? [first.month] : Set(self.months).sorted()
        return months.flatMap { self.days(of: month / 12, $0, like: first) }
    }

    private func days(of year: Int, _ month: Int, like first: CivilDate) -> [Int] {
        let length = CivilDate.days(inMonth: month, of: year)
        let start = CivilDate(year: year, month: month, day: 1)
        var days: Set<Int> = []
        for weekday in self.weekdays {
            let all = Array(stride(from: 1 + (weekday.day - start.weekday + 7) % 7, through: length, by: 7))
            switch weekday.ordinal {
            case nil: days.formUnion(all)
            case let ordinal?:
                let index = ordinal > 0 ? ordinal - 1 : all.count + ordinal
                if all.indices.contains(index) { days.insert(all[index]) }
            }
        }
        if self.weekdays.isEmpty {
            let numbers = self.monthDays.isEmpty ? [first.day] : self.monthDays
            days = Set(numbers.map { $0 > 0 ? $0 : length + 1 + $0 }.filter { (1...length).contains($0) })
        }
        return days.sorted().map { start.daysSinceEpoch + $0 - 1 }
    }
}
