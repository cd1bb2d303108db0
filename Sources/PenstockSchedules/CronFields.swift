// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// A cron expression as bit sets, and the arithmetic that finds its next local time.
///
/// Local times are seconds since 1970-01-01T00:00:00 as if there were no time zones.
struct CronFields: Hashable, Sendable {
    /// Bit n for second n.
    var seconds: UInt64 = 1
    /// Bit n for minute n.
    var minutes: UInt64 = 0
    /// Bit n for hour n.
    var hours: UInt32 = 0
    /// Bit n for month n.
    var months: UInt32 = 0
    var days = CronDays()
    var years = YearSet.all

    /// Whether it fires in each hour of its days, so that no hour is one it was told to fire in.
    var isHourly: Bool { self.hours == 0xFF_FFFF }

    /// The first local time at or after `start` and before `end`; nil when there is none.
    func next(from start: Int, before end: Int) -> Int? {
        let secondsOfDay = 86_400
        let start = max(start, YearSet.startLocal)
        let end = min(end, YearSet.endLocal)
        guard start < end else { return nil }
        var date = CivilDate(daysSinceEpoch: start / secondsOfDay)
        // Only the first day begins later than at its beginning.
        var time = start % secondsOfDay
        let lastYear = CivilDate(daysSinceEpoch: (end - 1) / secondsOfDay).year
        while true {
            guard let year = self.years.next(from: date.year), year <= lastYear else { return nil }
            if year != date.year { (date, time) = (CivilDate(year: year, month: 1, day: 1), 0) }
            guard let month = Self.lowestBit(UInt64(self.months), from: date.month) else {
                (date, time) = (CivilDate(year: year + 1, month: 1, day: 1), 0)
                continue
            }
            if month != date.month { (date, time) = (CivilDate(year: year, month: month, day: 1), 0) }
            let mask = UInt64(self.days.mask(year: year, month: month))
            while let day = Self.lowestBit(mask, from: date.day) {
                if day != date.day { (date.day, time) = (day, 0) }
                if let found = self.timeOfDay(from: time) {
                    let local = date.daysSinceEpoch * secondsOfDay + found
                    return local < end ? local : nil
                }
                (date.day, time) = (day + 1, 0)
            }
            date =
                month == 12
                ? CivilDate(year: year + 1, month: 1, day: 1)
                : CivilDate(year: year, month: month + 1, day: 1)
            time = 0
        }
    }

    /// The first second of a day at or after `start`.
    private func timeOfDay(from start: Int) -> Int? {
        let (hour, minute, second) = (start / 3600, start / 60 % 60, start % 60)
        if self.hours >> UInt32(hour) & 1 == 1 {
            if self.minutes >> UInt64(minute) & 1 == 1, let next = Self.lowestBit(self.seconds, from: second)
            {
                return hour * 3600 + minute * 60 + next
            }
            if let next = Self.lowestBit(self.minutes, from: minute + 1) {
                return hour * 3600 + next * 60 + self.seconds.trailingZeroBitCount
            }
        }
        guard let next = Self.lowestBit(UInt64(self.hours), from: hour + 1) else { return nil }
        return next * 3600 + self.minutes.trailingZeroBitCount * 60 + self.seconds.trailingZeroBitCount
    }

    /// The lowest bit that is set, at or above `start`, which is at most 63.
    private static func lowestBit(_ set: UInt64, from start: Int) -> Int? {
        let rest = (set >> UInt64(start)) << UInt64(start)
        return rest == 0 ? nil : rest.trailingZeroBitCount
    }
}

/// The two day fields.
struct CronDays: Hashable, Sendable {
    /// Whether the day of month is `*` or `?`.
    var isAnyDayOfMonth = true
    /// Whether the day of week is `*` or `?`.
    var isAnyDayOfWeek = true
    /// Bit n for day n.
    var daysOfMonth: UInt32 = 0
    /// Bit n for the day n days before the last one.
    var lastDays: UInt32 = 0
    /// Bit n for the weekday nearest to day n.
    var nearestWeekdays: UInt32 = 0
    /// Bit n for the weekday nearest to the day n days before the last one.
    var nearestLastWeekdays: UInt32 = 0
    /// Bit n for day n of the week, 0 for Sunday.
    var daysOfWeek: UInt8 = 0
    /// Bit n for the last such day of the month.
    var lastDaysOfWeek: UInt8 = 0
    /// Bit 7 × (k - 1) + n for the k-th such day of the month.
    var nthDaysOfWeek: UInt64 = 0

    /// The days of a month that match, bit n for day n.
    ///
    /// When both fields are restricted, a day matches when either does.
    func mask(year: Int, month: Int) -> UInt32 {
        let count = CivilDate.days(inMonth: month, of: year)
        let all = UInt32((UInt64(1) << UInt64(count + 1)) - 2)
        if self.isAnyDayOfMonth, self.isAnyDayOfWeek { return all }
        let first = CivilDate(year: year, month: month, day: 1).weekday
        var mask: UInt32 = 0
        if !self.isAnyDayOfMonth { mask |= self.dayOfMonthMask(count: count, first: first) }
        if !self.isAnyDayOfWeek { mask |= self.dayOfWeekMask(count: count, first: first) }
        return mask & all
    }

    private func dayOfMonthMask(count: Int, first: Int) -> UInt32 {
        var mask = self.daysOfMonth
        for before in 0..<31 where self.lastDays >> UInt32(before) & 1 == 1 && before < count {
            mask |= 1 << UInt32(count - before)
        }
        guard self.nearestWeekdays | self.nearestLastWeekdays != 0 else { return mask }
        for day in 1...count
        where self.nearestWeekdays >> UInt32(day) & 1 == 1
            || self.nearestLastWeekdays >> UInt32(count - day) & 1 == 1
        {
            mask |= 1 << UInt32(Self.weekday(nearest: day, count: count, first: first))
        }
        return mask
    }

    private func dayOfWeekMask(count: Int, first: Int) -> UInt32 {
        var mask: UInt32 = 0
        for weekday in 0..<7 {
            let earliest = 1 + (weekday - first + 7) % 7
            if self.daysOfWeek >> UInt8(weekday) & 1 == 1 {
                // Every seventh bit; those beyond the month are cut off.
                mask |= UInt32(truncatingIfNeeded: UInt64(0x1020_4081) << UInt64(earliest))
            }
            if self.lastDaysOfWeek >> UInt8(weekday) & 1 == 1 {
                mask |= 1 << UInt32(earliest + (count - earliest) / 7 * 7)
            }
            guard self.nthDaysOfWeek != 0 else { continue }
            for nth in 0..<5 where self.nthDaysOfWeek >> UInt64(7 * nth + weekday) & 1 == 1 {
                let day = earliest + 7 * nth
                if day <= count { mask |= 1 << UInt32(day) }
            }
        }
        return mask
    }

    /// Monday to Friday, in the same month.
    private static func weekday(nearest day: Int, count: Int, first: Int) -> Int {
        switch (first + day - 1) % 7 {
        case 6: day == 1 ? 3 : day - 1
        case 0: day == count ? day - 2 : day + 1
        default: day
        }
    }
}

/// Years from 1970 to 2199.
struct YearSet: Hashable, Sendable {
    /// The years that schedules know.
    static let range = CronField.year.range
    /// The local time at which they begin.
    static let startLocal = 0
    /// The local time at which they end.
    static let endLocal = CivilDate(year: 2200, month: 1, day: 1).daysSinceEpoch * 86_400

    /// All of them.
    static let all = YearSet(words: (.max, .max, .max, (1 << UInt64(range.count - 192)) - 1))

    private var words: (UInt64, UInt64, UInt64, UInt64)

    /// None of them.
    static let none = YearSet(words: (0, 0, 0, 0))

    private init(words: (UInt64, UInt64, UInt64, UInt64)) {
        self.words = words
    }

    mutating func insert(_ year: Int) {
        let index = year - Self.range.lowerBound
        let bit = UInt64(1) << UInt64(index % 64)
        switch index / 64 {
        case 0: self.words.0 |= bit
        case 1: self.words.1 |= bit
        case 2: self.words.2 |= bit
        default: self.words.3 |= bit
        }
    }

    func contains(_ year: Int) -> Bool {
        guard Self.range.contains(year) else { return false }
        let index = year - Self.range.lowerBound
        return self.word(index / 64) >> UInt64(index % 64) & 1 == 1
    }

    /// The first of them at or after a year.
    func next(from year: Int) -> Int? {
        guard year <= Self.range.upperBound else { return nil }
        return (max(year, Self.range.lowerBound)...Self.range.upperBound).first { self.contains($0) }
    }

    private func word(_ index: Int) -> UInt64 {
        switch index {
        case 0: self.words.0
        case 1: self.words.1
        case 2: self.words.2
        default: self.words.3
        }
    }

    static func == (lhs: Self, rhs: Self) -> Bool { lhs.words == rhs.words }

    func hash(into hasher: inout Hasher) {
        hasher.combine(self.words.0)
        hasher.combine(self.words.1)
        hasher.combine(self.words.2)
        hasher.combine(self.words.3)
    }
}
