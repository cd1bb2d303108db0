// SPDX-License-Identifier: Apache-2.0

extension ScheduleExpression {
    /// What it means in words, without the zone: `every weekday at 02:00`.
    package var words: String {
        switch self.timing {
        case .interval(let seconds): "every \(Words.length(seconds))"
        case .once(let local): "once at \(LocalTime.text(local: local, offset: 0).dropLast(6))"
        case .calendar(let fields): fields.words
        }
    }
}

extension CronFields {
    fileprivate var words: String {
        let months =
            self.months & 0x1FFE == 0x1FFE
            ? nil : Words.runs(Words.numbers(UInt64(self.months))) { Words.months[$0 - 1] }
        // Days that are counted in a month name it; others are in it.
        let isPlace = self.days.isCountedInMonth
        let days = self.days.words(of: isPlace ? months ?? "the month" : "the month")
        var text: String
        if let times = self.namedTimes {
            text = "\(days ?? "every day") at \(Words.list(times))"
        } else {
            text = self.rhythm + (days.map { ", \($0)" } ?? "")
        }
        if let months, !isPlace { text += " in \(months)" }
        if self.years != .all {
            let years = YearSet.range.filter { self.years.contains($0) }
            text += ", in " + Words.runs(years) { "\($0)" }
        }
        return text
    }

    /// The times of day when they are few: `02:00`, `14:30:10`.
    private var namedTimes: [String]? {
        let count = self.hours.nonzeroBitCount * self.minutes.nonzeroBitCount
        guard !self.isHourly, count <= 4, self.seconds.nonzeroBitCount == 1 else { return nil }
        let second = self.seconds.trailingZeroBitCount
        return Words.numbers(UInt64(self.hours)).flatMap { hour in
            Words.numbers(self.minutes).map { minute in
                "\(LocalTime.two(hour)):\(LocalTime.two(minute))"
                    + (second == 0 ? "" : ":\(LocalTime.two(second))")
            }
        }
    }

    /// How it repeats within the day: `every 15 minutes`, `every minute of the hours 9 to 17`.
    private var rhythm: String {
        var parts: [String] = []
        if self.seconds != 1 { parts.append(Self.part(self.seconds, "second", isOuter: false)) }
        let isEveryMinute = self.minutes.nonzeroBitCount == 60
        if self.minutes == 1, self.isHourly, self.seconds == 1 { return "every hour" }
        if self.minutes.nonzeroBitCount == 1, self.seconds == 1, let step = Words.hourStep(self.hours) {
            return "every \(step) hours from 00:\(LocalTime.two(self.minutes.trailingZeroBitCount))"
        }
        if !isEveryMinute || self.seconds.nonzeroBitCount < 60 || !self.isHourly {
            let isRest = !parts.isEmpty && isEveryMinute && self.seconds.nonzeroBitCount > 1
            if !isRest { parts.append(Self.part(self.minutes, "minute", isOuter: !parts.isEmpty)) }
        }
        if !self.isHourly {
            let hours = Words.numbers(UInt64(self.hours))
            parts.append("the hour\(hours.count == 1 ? "" : "s") " + Words.runs(hours) { "\($0)" })
        } else if !isEveryMinute, Words.step(self.minutes) == nil {
            parts.append("every hour")
        }
        return parts.joined(separator: " of ")
    }

    /// `every minute`, `every 15 minutes`, `at minute 30`, `at minutes 0 to 5 and 30`.
    private static func part(_ set: UInt64, _ unit: String, isOuter: Bool) -> String {
        if set.nonzeroBitCount == 60 { return "every \(unit)" }
        if let step = Words.step(set) { return "every \(step) \(unit)s" }
        let numbers = Words.numbers(set)
        let name = "\(unit)\(numbers.count == 1 ? "" : "s") " + Words.runs(numbers) { "\($0)" }
        return isOuter ? name : "at \(name)"
    }
}

extension CronDays {
    /// Whether each of the days is counted in its month, as the 13th and the last Friday are.
    fileprivate var isCountedInMonth: Bool {
        (!self.isAnyDayOfMonth || !self.isAnyDayOfWeek) && (self.isAnyDayOfWeek || self.daysOfWeek == 0)
    }

    /// Which days of a month; nil for every day.
    fileprivate func words(of place: String) -> String? {
        if self.isAnyDayOfMonth, self.isAnyDayOfWeek { return nil }
        let month = self.isAnyDayOfMonth ? nil : self.dayOfMonthWords(of: place)
        let week = self.isAnyDayOfWeek ? nil : self.dayOfWeekWords(of: place)
        return [month, week].compactMap(\.self).joined(separator: " and ")
    }

    private func dayOfMonthWords(of place: String) -> String {
        var parts: [String] = []
        let days = Words.numbers(UInt64(self.daysOfMonth))
        if !days.isEmpty { parts.append("the " + Words.runs(days, Words.ordinal)) }
        for before in Words.numbers(UInt64(self.lastDays)) {
            parts.append(before == 0 ? "the last day" : "the day \(before) before the last")
        }
        for day in Words.numbers(UInt64(self.nearestWeekdays)) {
            parts.append("the weekday nearest the \(Words.ordinal(day))")
        }
        for before in Words.numbers(UInt64(self.nearestLastWeekdays)) {
            parts.append(
                before == 0 ? "the last weekday" : "the weekday nearest the day \(before) before the last"
            )
        }
        return "on \(Words.list(parts)) of \(place)"
    }

    private func dayOfWeekWords(of place: String) -> String {
        var parts: [String] = []
        let days = Words.numbers(UInt64(self.daysOfWeek))
        switch days {
        case []: break
        case [1, 2, 3, 4, 5]: parts.append("every weekday")
        case [0, 1, 2, 3, 4, 5, 6]: parts.append("every day")
        default:
            // Weeks end with Sunday here: Friday to Sunday is one run.
            let circle = days.map { $0 == 0 ? 7 : $0 }.sorted()
            parts.append("every " + Words.runs(circle) { Words.weekdays[$0 % 7] })
        }
        for day in Words.numbers(UInt64(self.lastDaysOfWeek)) {
            parts.append("on the last \(Words.weekdays[day]) of \(place)")
        }
        for bit in Words.numbers(self.nthDaysOfWeek) {
            parts.append("on the \(Words.ordinal(bit / 7 + 1)) \(Words.weekdays[bit % 7]) of \(place)")
        }
        return Words.list(parts)
    }
}

/// English.
private enum Words {
    static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November",
        "December",
    ]
    static let weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

    static func numbers(_ set: UInt64) -> [Int] {
        (0..<64).filter { set >> UInt64($0) & 1 == 1 }
    }

    /// The distance when a set of 0 to 59 is one that goes on evenly from one hour or minute to the next.
    static func step(_ set: UInt64) -> Int? {
        [2, 3, 4, 5, 6, 10, 12, 15, 20, 30].first { step in
            set == stride(from: 0, to: 60, by: step).reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
        }
    }

    /// The same for a set of the hours of a day.
    static func hourStep(_ set: UInt32) -> Int? {
        [2, 3, 4, 6].first { step in
            set == stride(from: 0, to: 24, by: step).reduce(UInt32(0)) { $0 | 1 << UInt32($1) }
        }
    }

    static func ordinal(_ number: Int) -> String {
        let isTeen = (11...13).contains(number % 100)
        switch number % 10 {
        case 1 where !isTeen: return "\(number)st"
        case 2 where !isTeen: return "\(number)nd"
        case 3 where !isTeen: return "\(number)rd"
        default: return "\(number)th"
        }
    }

    /// Joins as people do: `a, b and c`.
    static func list(_ parts: [String]) -> String {
        guard let last = parts.last, parts.count > 1 else { return parts.first ?? "" }
        return parts.dropLast().joined(separator: ", ") + " and " + last
    }

    /// Numbers in order, three and more in a row as `9 to 17`.
    static func runs(_ numbers: [Int], _ name: (Int) -> String) -> String {
        var parts: [String] = []
        var index = 0
        while index < numbers.count {
            var end = index
            while end + 1 < numbers.count, numbers[end + 1] == numbers[end] + 1 { end += 1 }
            if end - index >= 2 {
                parts.append("\(name(numbers[index])) to \(name(numbers[end]))")
            } else {
                parts += numbers[index...end].map(name)
            }
            index = end + 1
        }
        return self.list(parts)
    }

    /// A time span: `minute`, `1 hour and 30 minutes`.
    static func length(_ seconds: Int) -> String {
        let parts = [
            (seconds / 86_400, "day"), (seconds / 3600 % 24, "hour"), (seconds / 60 % 60, "minute"),
            (seconds % 60, "second"),
        ].filter { $0.0 > 0 }
        if parts.count == 1, parts[0].0 == 1 { return parts[0].1 }
        return self.list(parts.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" })
    }
}
