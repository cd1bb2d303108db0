// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// A calendar in the iCalendar format (RFC 5545), of which the times of its events are read.
///
/// Events with `DTSTART`, `DTEND` or `DURATION`, `EXDATE` and `RRULE`, as far as ``RecurrenceRule`` goes. What would change
/// the times and is not read is a problem; titles, alarms, to-dos and zone definitions are left alone.
package struct CalendarFile: Sendable {
    /// Why a text is no calendar that can be read.
    package struct Problem: Error, Sendable, Equatable, CustomStringConvertible {
        /// Counted from 1.
        package var line: Int
        /// What is wrong, and the way out.
        package var message: String

        package var description: String { "line \(self.line): \(self.message)" }
    }

    /// The largest calendar, in bytes.
    package static let bytesMax = 4 << 20

    /// Occurrences of all events until the year 2200, at most.
    package static let occurrencesMax = 100_000

    private let events: [CalendarEvent]

    /// Reads a calendar; zones are taken from `zones` by their IANA names.
    package init(_ bytes: [UInt8], zones: ZoneDatabase = .system) throws(Problem) {
        guard !bytes.starts(with: [0xFF, 0xFE]), !bytes.starts(with: [0xFE, 0xFF]) else {
            throw Problem(line: 1, message: "the file is UTF-16; save the calendar as UTF-8")
        }
        let isMarked = bytes.starts(with: [0xEF, 0xBB, 0xBF])
        let lines = try ContentLine.all(of: isMarked ? Array(bytes.dropFirst(3)) : bytes)
        var events: [CalendarEvent] = []
        var open: [String] = []
        var event = CalendarEvent()
        for line in lines {
            guard !open.isEmpty || (line.name == "BEGIN" && line.value.uppercased() == "VCALENDAR") else {
                throw line.problem("this is no iCalendar file: it does not begin with BEGIN:VCALENDAR")
            }
            let isEvent = open == ["VCALENDAR", "VEVENT"]
            switch line.name {
            case "BEGIN":
                open.append(line.value.uppercased())
                if open == ["VCALENDAR", "VEVENT"] { event = CalendarEvent(line: line.number) }
            case "END":
                guard open.last == line.value.uppercased() else {
                    throw line.problem("END:\(line.value) does not end what was begun last")
                }
                if isEvent, !event.isCancelled { events.append(try event.checked()) }
                open.removeLast()
            default: if isEvent { try event.set(line, zones) }
            }
        }
        guard open.isEmpty, !lines.isEmpty else {
            let end = bytes.count { $0 == UInt8(ascii: "\n") } + 1
            throw Problem(line: end, message: "the file ends before END:\(open.last ?? "VCALENDAR")")
        }
        self.events = events
    }

    /// The times of all events until the year 2200, in Unix seconds; whole days and times without a zone are in `zone`.
    package func spans(in zone: ZoneRules) throws(Problem) -> [Range<Int>] {
        var spans: [Range<Int>] = []
        for event in self.events {
            try event.checkOrder(in: zone)
            event.forEachOccurrence(in: zone) { span in
                spans.append(span)
                return spans.count <= Self.occurrencesMax
            }
            guard spans.count <= Self.occurrencesMax else {
                throw Problem(
                    line: event.line,
                    message:
                        "the events have more than \(Self.occurrencesMax) occurrences; give RRULE a COUNT or UNTIL"
                )
            }
        }
        return spans
    }
}

/// A date, or a date and a time, as a calendar writes it.
struct CalendarMoment: Equatable {
    /// Seconds since 1970-01-01T00:00:00 as its clocks show them.
    var local: Int
    /// The zone of the clocks; nil for the reader's.
    var zone: ZoneRules?
    /// Whether it is a whole day.
    var isDay: Bool

    static func == (lhs: Self, rhs: Self) -> Bool {
        (lhs.local, lhs.zone?.name, lhs.isDay) == (rhs.local, rhs.zone?.name, rhs.isDay)
    }

    /// `20261224`, `20261224T180000` or `20261224T180000Z`; nil for anything else.
    init?(_ text: some StringProtocol, zone: ZoneRules? = nil) {
        var bytes = Array(text.utf8)
        let isUTC = bytes.count == 16 && bytes.last == UInt8(ascii: "Z")
        if isUTC { bytes.removeLast() }
        guard bytes.count == 8 || (bytes.count == 15 && bytes[8] == UInt8(ascii: "T")) else { return nil }
        // As the form with signs between the numbers, which is read elsewhere.
        var form = bytes[0..<4] + [0x2D] + bytes[4..<6] + [0x2D] + bytes[6..<8]
        if bytes.count == 15 {
            form += [0x54] + bytes[9..<11] + [0x3A] + bytes[11..<13] + [0x3A] + bytes[13..<15]
        }
        guard let local = LocalTime.seconds(form) else { return nil }
        self.local = local
        self.zone = isUTC ? .utc : zone
        self.isDay = bytes.count == 8
    }

    /// When it is, for a reader in a zone.
    func time(in zone: ZoneRules) -> Int { (self.zone ?? zone).time(ofLocal: self.local) }
}

/// The times of one event.
struct CalendarEvent {
    /// Where it begins in the file.
    var line = 0
    var start: CalendarMoment?
    var end: CalendarMoment?
    /// In seconds.
    var duration: Int?
    var rule: RecurrenceRule?
    var exceptions: [CalendarMoment] = []
    var isCancelled = false

    init(line: Int = 0) {
        self.line = line
    }

    mutating func set(_ line: ContentLine, _ zones: ZoneDatabase) throws(CalendarFile.Problem) {
        switch line.name {
        case "DTSTART": self.start = try line.moment(line.value, zones)
        case "DTEND": self.end = try line.moment(line.value, zones)
        case "DURATION": self.duration = try line.duration()
        case "RRULE":
            guard self.rule == nil else { throw line.problem("a second RRULE is not supported") }
            self.rule = try RecurrenceRule(line)
        case "EXDATE":
            for text in line.value.split(separator: ",") {
                self.exceptions.append(try line.moment(text, zones))
            }
        case "STATUS": self.isCancelled = line.value.uppercased() == "CANCELLED"
        case "RDATE", "EXRULE", "RECURRENCE-ID":
            throw line.problem("\(line.name) is not supported; write its dates as events of their own")
        default: break
        }
    }

    /// The event, once all of it is known.
    func checked() throws(CalendarFile.Problem) -> CalendarEvent {
        func problem(_ message: String) -> CalendarFile.Problem {
            CalendarFile.Problem(line: self.line, message: message)
        }
        guard let start = self.start else { throw problem("the event has no DTSTART") }
        if let end = self.end {
            guard end.isDay == start.isDay else {
                throw problem("one of DTSTART and DTEND is a day, the other a time")
            }
            guard self.duration == nil else { throw problem("the event has DTEND and DURATION") }
            guard end.time(in: .utc) >= start.time(in: .utc) || (end.zone == nil) != (start.zone == nil)
            else {
                throw problem("DTEND is before DTSTART")
            }
        }
        if start.isDay, let duration = self.duration, !duration.isMultiple(of: 86_400) {
            throw problem("DTSTART is a day, and DURATION is not a number of days")
        }
        return self
    }

    /// Of two times of which one has no zone, the reader's zone says which is first.
    func checkOrder(in zone: ZoneRules) throws(CalendarFile.Problem) {
        guard let start = self.start, let end = self.end, end.time(in: zone) < start.time(in: zone) else {
            return
        }
        throw CalendarFile.Problem(
            line: self.line,
            message:
                "DTEND is before DTSTART in the time zone \(zone.name), in which the one without a zone is; give both the same TZID"
        )
    }

    /// Its times, in order, for as long as `body` returns true.
    func forEachOccurrence(in zone: ZoneRules, _ body: (Range<Int>) -> Bool) {
        guard let start = self.start else { return }
        let own = start.zone ?? zone
        let first = start.time(in: zone)
        let days = max(
            1,
            ((self.end?.local ?? start.local) - start.local) / 86_400,
            (self.duration ?? 0) / 86_400
        )
        // An event that takes no time excludes its second.
        let seconds = max(1, self.duration ?? self.end.map { $0.time(in: zone) - first } ?? 0)
        func span(_ local: Int) -> Range<Int> {
            if start.isDay { return own.span(ofLocalDay: local / 86_400, count: days) }
            let time = own.time(ofLocal: local)
            return time..<time + seconds
        }
        guard let rule = self.rule else {
            _ = body(span(start.local))
            return
        }
        let timeOfDay = start.local - start.day * 86_400
        var count = 0
        rule.forEachDay(from: start.day) { day in
            let local = day * 86_400 + timeOfDay
            if let until = rule.until {
                let isOver =
                    until.isDay
                    ? day > until.day
                    : until.zone == nil
                        ? local > until.local : own.time(ofLocal: local) > until.time(in: zone)
                if isOver { return false }
            }
            count += 1
            if let most = rule.count, count > most { return false }
            let isException = self.exceptions.contains { exception in
                exception.isDay
                    ? exception.day == day : exception.time(in: zone) == own.time(ofLocal: local)
            }
            return isException || body(span(local))
        }
    }
}

extension CalendarMoment {
    /// The day, since 1970-01-01.
    var day: Int { self.local >= 0 ? self.local / 86_400 : (self.local - 86_399) / 86_400 }
}
