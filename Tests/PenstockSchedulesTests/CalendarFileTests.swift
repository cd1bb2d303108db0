// SPDX-License-Identifier: Apache-2.0

import PenstockSchedules
import Testing

/// iCalendar files, and what they leave out of a schedule.
@Suite struct CalendarFileTests {
    /// A calendar of one event with these lines.
    private static func calendar(_ lines: String) -> [UInt8] {
        Array(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n\(lines)\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
                .utf8
        )
    }

    /// The first events, from begin to end.
    private static func spans(_ lines: String, _ zone: String = "UTC", first: Int = 3) throws -> [String] {
        let rules = try ZoneDatabase.system.zone(zone)
        let spans = try CalendarFile(Self.calendar(lines.replacing("\n", with: "\r\n"))).spans(in: rules)
        return spans.prefix(first).map { "\(rules.text($0.lowerBound)) \(rules.text($0.upperBound))" }
    }

    @Test("A day is a day of the schedule's zone; the end is not part of it")
    func days() throws {
        #expect(
            try Self.spans("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227", "Europe/Berlin")
                == ["2026-12-24T00:00:00+01:00 2026-12-27T00:00:00+01:00"]
        )
        #expect(
            try Self.spans("DTSTART;VALUE=DATE:20261025", "Europe/Berlin")
                == ["2026-10-25T00:00:00+02:00 2026-10-26T00:00:00+01:00"]
        )
        #expect(
            try Self.spans("DTSTART:20261224\nDURATION:P2D")
                == ["2026-12-24T00:00:00+00:00 2026-12-26T00:00:00+00:00"]
        )
    }

    @Test("A time is of UTC, of the zone that is named, or of the schedule's")
    func times() throws {
        #expect(
            try Self.spans("DTSTART:20261224T120000Z\nDTEND:20261224T130000Z", "Europe/Berlin")
                == ["2026-12-24T13:00:00+01:00 2026-12-24T14:00:00+01:00"]
        )
        let named =
            "DTSTART;TZID=America/New_York:20261224T120000\nDTEND;TZID=\"Europe/Berlin\":20261224T200000"
        #expect(try Self.spans(named) == ["2026-12-24T17:00:00+00:00 2026-12-24T19:00:00+00:00"])
        #expect(
            try Self.spans("DTSTART:20261224T120000\nDURATION:PT1H30M", "Asia/Tokyo")
                == ["2026-12-24T12:00:00+09:00 2026-12-24T13:30:00+09:00"]
        )
        #expect(
            try Self.spans("DTSTART:20261224T120000Z") == [
                "2026-12-24T12:00:00+00:00 2026-12-24T12:00:01+00:00"
            ]
        )
    }

    @Test(
        "A rule tells the days on which an event comes again",
        arguments: [
            ("20201225", "FREQ=YEARLY", "2020-12-25 2021-12-25 2022-12-25 2023-12-25"),
            ("20201225", "FREQ=YEARLY;INTERVAL=2;COUNT=2", "2020-12-25 2022-12-25"),
            ("20240229", "FREQ=YEARLY", "2024-02-29 2028-02-29 2032-02-29 2036-02-29"),
            ("20251127", "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "2025-11-27 2026-11-26 2027-11-25 2028-11-23"),
            ("20250526", "FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO", "2025-05-26 2026-05-25 2027-05-31 2028-05-29"),
            (
                "20260101", "FREQ=YEARLY;BYMONTH=1,6;BYMONTHDAY=1,-1;COUNT=6",
                "2026-01-01 2026-01-31 2026-06-01 2026-06-30"
            ),
            ("20260103", "FREQ=WEEKLY;BYDAY=SA,SU", "2026-01-03 2026-01-04 2026-01-10 2026-01-11"),
            ("20260106", "FREQ=WEEKLY", "2026-01-06 2026-01-13 2026-01-20 2026-01-27"),
            (
                "19970805", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
                "1997-08-05 1997-08-10 1997-08-19 1997-08-24"
            ),
            (
                "19970805", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
                "1997-08-05 1997-08-17 1997-08-19 1997-08-31"
            ),
            ("20260131", "FREQ=MONTHLY", "2026-01-31 2026-03-31 2026-05-31 2026-07-31"),
            ("20260131", "FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-31 2026-02-28 2026-03-31 2026-04-30"),
            ("20260113", "FREQ=MONTHLY;BYDAY=2TU;INTERVAL=3", "2026-01-13 2026-04-14 2026-07-14 2026-10-13"),
            ("20260130", "FREQ=DAILY;INTERVAL=2;UNTIL=20260203", "2026-01-30 2026-02-01 2026-02-03"),
            ("20260130", "FREQ=DAILY;BYDAY=FR,MO;BYMONTH=1,2", "2026-01-30 2026-02-02 2026-02-06 2026-02-09"),
            ("19600704", "FREQ=YEARLY;COUNT=12", "1960-07-04 1961-07-04 1962-07-04 1963-07-04"),
        ]
    )
    func rules(start: String, rule: String, days: String) throws {
        let spans = try Self.spans("DTSTART;VALUE=DATE:\(start)\nRRULE:\(rule)", first: 4)
        #expect(spans.map { String($0.prefix(10)) }.joined(separator: " ") == days)
    }

    @Test("Single days are left out of a rule, and its end may be a moment")
    func exceptions() throws {
        let event = """
            DTSTART;TZID=Europe/Berlin:20261023T180000
            DURATION:PT12H
            RRULE:FREQ=WEEKLY;UNTIL=20261113T170000Z
            EXDATE;TZID=Europe/Berlin:20261030T180000
            """
        #expect(
            try Self.spans(event, "Europe/Berlin", first: 9) == [
                "2026-10-23T18:00:00+02:00 2026-10-24T06:00:00+02:00",
                "2026-11-06T18:00:00+01:00 2026-11-07T06:00:00+01:00",
                "2026-11-13T18:00:00+01:00 2026-11-14T06:00:00+01:00",
            ]
        )
        let days =
            "DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE;VALUE=DATE:20260102,20260103"
        #expect(try Self.spans(days).map { String($0.prefix(10)) } == ["2026-01-01", "2026-01-04"])
    }

    @Test("Folded lines, alarms, zone definitions and cancelled events are no trouble")
    func surroundings() throws {
        let text = """
            BEGIN:VCALENDAR
            BEGIN:VTIMEZONE
            TZID:Europe/Berlin
            BEGIN:STANDARD
            DTSTART:19701025T030000
            RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
            END:STANDARD
            END:VTIMEZONE
            BEGIN:VEVENT
            SUMMARY;LANGUAGE=de:Weih
             nachten\\, alle: "frei"
            DTSTART;VALUE=D
             ATE:20261225
            BEGIN:VALARM
            DURATION:nonsense
            END:VALARM
            END:VEVENT
            begin:vevent
            STATUS:CANCELLED
            DTSTART:20270101
            END:VEVENT
            END:VCALENDAR
            """
        #expect(try CalendarFile(Array(text.utf8)).spans(in: .utc) == [1_798_156_800..<1_798_243_200])
        #expect(try CalendarFile(Array("BEGIN:VCALENDAR\nEND:VCALENDAR".utf8)).spans(in: .utc) == [])
    }

    @Test(
        "What is not supported is refused with its line",
        arguments: [
            ("", 3, "no DTSTART"),
            ("DTSTART:20260230", 4, "is no date"),
            ("DTSTART:20260101\nDTEND:20260101T120000", 3, "one of DTSTART and DTEND is a day"),
            ("DTSTART:20260102\nDTEND:20260101", 3, "DTEND is before DTSTART"),
            (
                "DTSTART;TZID=Asia/Tokyo:20260102T000000\nDTEND:20260101T120000", 3,
                "DTEND is before DTSTART in the time zone UTC"
            ),
            ("DTSTART;TZID=W. Europe Standard Time:20260101T000000", 4, "TZID cannot be used"),
            ("DTSTART;VALUE=PERIOD:20260101", 4, "VALUE=PERIOD"),
            ("DTSTART:20260101\nRDATE:20260102", 5, "RDATE is not supported"),
            ("DTSTART:20260101\nRECURRENCE-ID:20260102", 5, "RECURRENCE-ID is not supported"),
            ("DTSTART:20260101\nRRULE:FREQ=HOURLY", 5, "FREQ=HOURLY is not supported"),
            ("DTSTART:20260101\nRRULE:COUNT=3", 5, "has no FREQ"),
            ("DTSTART:20260101\nRRULE:FREQ=MONTHLY;BYDAY=MO;BYSETPOS=-1", 5, "RRULE with BYSETPOS"),
            ("DTSTART:20260101\nRRULE:FREQ=YEARLY;BYDAY=20MO", 5, "holds \"20MO\""),
            ("DTSTART:20260101\nRRULE:FREQ=YEARLY;BYMONTHDAY=1", 5, "needs BYMONTH"),
            ("DTSTART:20260101\nRRULE:FREQ=YEARLY;BYMONTH=13", 5, "is not within 1 to 12"),
            ("DTSTART:20260101\nRRULE:FREQ=WEEKLY;BYDAY=1MO", 5, "goes with BYDAY such as MO,TU"),
            ("DTSTART:20260101\nRRULE:FREQ=DAILY;COUNT=1;UNTIL=20270101", 5, "COUNT and UNTIL"),
            ("DTSTART:20260101\nDURATION:1D", 5, "is no duration"),
            ("DTSTART:20260101\nDURATION:PT1H", 3, "not a number of days"),
            ("DTSTART:20260101\nnonsense", 5, "no line NAME:value"),
            ("DTSTART:20260101\nEND:VTODO", 5, "does not end what was begun last"),
            (
                "DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY\nEND:VEVENT\nBEGIN:VEVENT\nDTSTART:20260101\nRRULE:FREQ=DAILY",
                7, "more than 100000 occurrences"
            ),
        ]
    )
    func refused(lines: String, line: Int, words: String) {
        let problem = #expect(throws: CalendarFile.Problem.self) {
            _ = try CalendarFile(Self.calendar(lines.replacing("\n", with: "\r\n"))).spans(in: .utc)
        }
        #expect(
            problem?.line == line && problem?.message.contains(words) == true,
            "\(String(describing: problem))"
        )
    }

    @Test(
        "A text that is no calendar, or ends early, is refused",
        arguments: ["", "{}", "BEGIN:VEVENT\n", "BEGIN:VCALENDAR\n"]
    )
    func broken(text: String) {
        #expect(throws: CalendarFile.Problem.self) { try CalendarFile(Array(text.utf8)) }
        #expect(throws: CalendarFile.Problem.self) { try CalendarFile([0xFF]) }
    }

    @Test("A line may be folded within a character, the file may have a mark, and odd line ends are text")
    func folding() throws {
        func calendar(_ lines: [UInt8]) -> [UInt8] {
            Self.calendar("X").split(separator: [0x58]).joined(separator: lines) + []
        }
        let day = Array("DTSTART:20260101".utf8)
        let title = Array("SUMMARY:Dreik\u{F6}nig \u{2028}DTSTART:19990101\u{85}".utf8)
        let plain = [1_767_225_600..<1_767_312_000]
        #expect(try CalendarFile(calendar(title + [0x0D, 0x0A] + day)).spans(in: .utc) == plain)
        for place in 1..<title.count {
            let folded = title[..<place] + [0x0D, 0x0A, 0x20] + title[place...] + [0x0A]
            #expect(try CalendarFile(calendar(folded + day)).spans(in: .utc) == plain, "folded at \(place)")
        }
        #expect(try CalendarFile([0xEF, 0xBB, 0xBF] + calendar(day)).spans(in: .utc) == plain)
        #expect(try CalendarFile(calendar(day[..<9] + [0x0D, 0x09] + day[9...])).spans(in: .utc) == plain)
    }

    @Test("A file in another encoding is refused with its line and the way out")
    func encodings() {
        var problem = #expect(throws: CalendarFile.Problem.self) {
            try CalendarFile([0xFF, 0xFE] + "BEGIN".utf8.flatMap { [$0, 0] })
        }
        #expect(problem?.description == "line 1: the file is UTF-16; save the calendar as UTF-8")
        problem = #expect(throws: CalendarFile.Problem.self) {
            try CalendarFile(Array("BEGIN:VCALENDAR\r\nX-A:".utf8) + [0xE4, 0x0D, 0x0A])
        }
        #expect(problem?.description == "line 2: the line is not UTF-8; save the calendar as UTF-8")
    }

    @Test("An end without a zone is before or behind its begin by the schedule's zone")
    func zoneless() throws {
        let lines = "DTSTART:20260102T000000Z\nDTEND:20260101T210000"
        #expect(
            try Self.spans(lines, "America/New_York")
                == ["2026-01-01T19:00:00-05:00 2026-01-01T21:00:00-05:00"]
        )
        #expect(throws: CalendarFile.Problem.self) { try Self.spans(lines, "Europe/Berlin") }
    }

    @Test("Spans that touch are one, and a look finds the one that a time is in")
    func exclusions() {
        let exclusions = Exclusions([50..<60, 10..<20, 20..<25, 15..<18, 30..<30])
        #expect(
            [9, 10, 24, 25, 30, 49, 50, 59, 60].map { exclusions.end(at: $0) } == [
                nil, 25, 25, nil, nil, nil, 60, 60, nil,
            ]
        )
        #expect(Exclusions().end(at: 5) == nil)
    }

    @Test("A day that a zone left out excludes nothing, and a day with a change is whole")
    func oddDays() throws {
        let apia = try ZoneDatabase.system.zone("Pacific/Apia")
        let day = try #require(LocalTime.seconds("2011-12-30".utf8)) / 86_400
        #expect(apia.span(ofLocalDay: day).isEmpty)
        let berlin = try ZoneDatabase.system.zone("Europe/Berlin")
        let spring = try #require(LocalTime.seconds("2026-03-29".utf8)) / 86_400
        #expect(berlin.span(ofLocalDay: spring).count == 23 * 3600)
    }
}
