// SPDX-License-Identifier: Apache-2.0

import PenstockSchedules
import Testing

/// Times worked out by hand.
@Suite struct CaseTests {
    @Test("Each expression of the table fires at its times", arguments: [UnixCases.text, AWSCases.text])
    func table(text: String) throws {
        let lines = text.split(separator: "\n")
        #expect(lines.count > 40)
        for line in lines {
            let parts = line.split(separator: "|").map { String($0.trimmed) }
            try #require(parts.count == 4, "\(line)")
            let zone = try ZoneDatabase.system.zone(parts[1])
            let from = try #require(LocalTime.seconds(parts[2].utf8), "\(line)")
            let schedule = Schedule(try ScheduleExpression(parts[0]), in: zone, anchor: from)
            var last = from
            for expected in parts[3].split(separator: " ") {
                let next = try #require(schedule.next(after: last), "\(line)")
                #expect(zone.text(next) == String(expected), "\(line)")
                last = next
            }
        }
    }

    @Test("The table has a hundred and fifty lines at least")
    func size() {
        let lines = (UnixCases.text + "\n" + AWSCases.text).split(separator: "\n")
        #expect(Set(lines).count == lines.count)
        #expect(lines.count >= 150)
    }

    @Test(
        "With the rule of AWS a time in a gap does not fire that day, and one in a repeat fires once",
        arguments: [
            ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-30T02:30:00+02:00"),
            ("30 2 29 3 *", "Europe/Berlin", "2026-03-28T12:00", "2027-03-29T02:30:00+02:00"),
            ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T03:00:00+02:00"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45", "2026-10-26T02:30:00+01:00"),
            ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-05T02:15:00+11:00"),
            ("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00", "2012-12-30T12:00:00+14:00"),
            ("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30", "2026-03-29T03:00:00+02:00"),
        ]
    )
    func awsGap(expression: String, name: String, from: String, expected: String) throws {
        let zone = try ZoneDatabase.system.zone(name)
        let schedule = Schedule(try ScheduleExpression(expression), in: zone, gapRule: .aws)
        let start = try #require(LocalTime.seconds(from.utf8))
        let next = try #require(schedule.next(after: start))
        #expect(zone.text(next) == expected)
    }

    @Test("A single time in a gap never fires with the rule of AWS, and right after the gap without")
    func onceInGap() throws {
        let zone = try ZoneDatabase.system.zone("Europe/Berlin")
        let expression = try ScheduleExpression("at(2026-03-29T02:30:00)")
        #expect(Schedule(expression, in: zone, gapRule: .aws).next(after: 0) == nil)
        #expect(
            Schedule(expression, in: zone).next(after: 0).map { zone.text($0) } == "2026-03-29T03:00:00+02:00"
        )
    }

    @Test(
        "What never fires ends, long before it has looked at each second of the centuries",
        .timeLimit(.minutes(1)),
        arguments: [
            "0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "cron(0 0 31 6 ? *)", "cron(0 0 29 2 ? 2100)",
            "cron(0 0 ? 2 2#5 2026)", "0 0 31W 4 *", "0 0 L-30 2 *", "* * * 30 2 *",
        ]
    )
    func neverFires(text: String) throws {
        let expression = try ScheduleExpression(text)
        let zones = try ["UTC", "Europe/Berlin", "Australia/Lord_Howe"].map {
            try ZoneDatabase.system.zone($0)
        }
        for zone in zones { #expect(Schedule(expression, in: zone).next(after: 0) == nil) }
    }

    @Test("Nothing fires before 1970 or after 2199, and the last fire is followed by none")
    func ends() throws {
        let last = try #require(LocalTime.seconds("2199-12-31T23:59:00".utf8))
        for text in ["* * * * *", "59 23 * * *", "cron(59 23 31 12 ? 2199)"] {
            let schedule = Schedule(try ScheduleExpression(text), in: .utc)
            #expect(schedule.next(after: last - 1) == last, "\(text)")
            #expect(schedule.next(after: last) == nil, "\(text)")
            #expect(schedule.next(after: .max / 4) == nil, "\(text)")
        }
        let first = Schedule(try ScheduleExpression("0 0 * * *"), in: .utc)
        #expect(first.next(after: -1) == 0)
        #expect(first.next(after: .min / 4) == 0)
    }

    @Test("An interval is counted from its anchor, at which it fires for the first time")
    func anchor() throws {
        let schedule = Schedule(try ScheduleExpression("@every 90s"), in: .utc, anchor: 1000)
        #expect(schedule.next(after: 0) == 1000)
        #expect(schedule.next(after: 999) == 1000)
        #expect(schedule.next(after: 1000) == 1090)
        #expect(schedule.next(after: 1100) == 1180)
    }

    @Test(
        "An expression is told in words",
        arguments: [
            ("0 2 * * 1-5", "every weekday at 02:00"),
            ("0 2 * * *", "every day at 02:00"),
            ("cron(0 2 * * ? *)", "every day at 02:00"),
            ("*/15 * * * *", "every 15 minutes"),
            ("* * * * *", "every minute"),
            ("0 * * * *", "every hour"),
            ("@hourly", "every hour"),
            ("30 * * * *", "at minute 30 of every hour"),
            ("0 */2 * * *", "every 2 hours from 00:00"),
            ("*/10 9-17 * * 1-5", "every 10 minutes of the hours 9 to 17, every weekday"),
            ("0 9,18 * * 6,0", "every Saturday and Sunday at 09:00 and 18:00"),
            ("0 0 1 1 *", "on the 1st of January at 00:00"),
            ("0 0 1,15 * *", "on the 1st and 15th of the month at 00:00"),
            ("0 0 13 * 5", "on the 13th of the month and every Friday at 00:00"),
            ("0 0 L * *", "on the last day of the month at 00:00"),
            ("0 0 LW * *", "on the last weekday of the month at 00:00"),
            ("0 0 L-3W * *", "on the weekday nearest the day 3 before the last of the month at 00:00"),
            ("0 0 15W 3 *", "on the weekday nearest the 15th of March at 00:00"),
            ("cron(0 18 ? * 6L *)", "on the last Friday of the month at 18:00"),
            ("cron(0 9 ? * 3#2 *)", "on the 2nd Tuesday of the month at 09:00"),
            ("cron(0 9 ? JUN-AUG MON 2026-2028)", "every Monday at 09:00 in June to August, in 2026 to 2028"),
            ("*/10 * * * * *", "every 10 seconds"),
            ("* * * * * *", "every second"),
            ("30 0 2 * * *", "every day at 02:00:30"),
            ("rate(5 minutes)", "every 5 minutes"),
            ("rate(1 day)", "every day"),
            ("@every 1h30m", "every 1 hour and 30 minutes"),
            ("at(2026-11-20T13:00:00)", "once at 2026-11-20T13:00:00"),
        ]
    )
    func words(text: String, words: String) throws {
        #expect(try ScheduleExpression(text).words == words)
    }
}

extension Substring {
    /// Without spaces around it.
    var trimmed: Substring {
        var text = self.drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return text
    }
}
