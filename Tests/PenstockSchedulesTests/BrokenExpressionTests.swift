// SPDX-License-Identifier: Apache-2.0

import PenstockSchedules
import Testing

/// What is told about texts that are no schedule.
@Suite struct BrokenExpressionTests {
    /// The text, the part that is marked, and what is said of it.
    private static let table: [(text: String, part: String, message: String)] = [
        ("", "", "is empty"),
        ("   ", "", "is empty"),
        ("* * * *", "* * * *", "has 4 fields; write five"),
        ("hello", "hello", "has 1 field; write five"),
        ("0 0 2 * * 1 2026", "0 0 2 * * 1 2026", "has 7 fields"),
        ("60 * * * *", "60", "the minute \"60\" is not within 0-59"),
        ("* 24 * * *", "24", "the hour \"24\" is not within 0-23"),
        ("* * 0 * *", "0", "the day of month \"0\" is not within 1-31"),
        ("* * 32 * *", "32", "is not within 1-31"),
        ("* * * 13 *", "13", "the month \"13\" is not within 1-12"),
        ("* * * * 8", "8", "is not within 0-7, 0 and 7 for Sunday"),
        ("* * * foo *", "foo", "is neither a number (1-12) nor one of JAN-DEC"),
        ("* * * * monday", "monday", "nor one of SUN-SAT"),
        ("a * * * *", "a", "the minute \"a\" is not a number of 0-59"),
        ("-1 * * * *", "-1", "is not a number of 0-59"),
        ("1.5 * * * *", "1.5", "is not a number"),
        ("1,,2 * * * *", "1,,2", "has an empty place in its list"),
        (",1 * * * *", ",1", "has an empty place in its list"),
        ("1, * * * *", "1,", "has an empty place in its list"),
        ("cron(0 0 * * ? 2030-2027)", "2030-2027", "runs backwards; write 2027-2030"),
        ("0 0 L-W * *", "L-W", "or L-1W to L-30W"),
        ("1-2-3 * * * *", "1-2-3", "has more than one -"),
        ("1/2/3 * * * *", "1/2/3", "has more than one /"),
        ("*/0 * * * *", "*/0", "has no step behind the /; write a number from 1 to 59"),
        ("*/ * * * *", "*/", "has no step"),
        ("*/x * * * *", "*/x", "has no step"),
        ("*/60 * * * *", "*/60", "has a step beyond 59"),
        ("0 */24 * * *", "*/24", "has a step beyond 23"),
        ("**  * * * *", "**", "is not a number"),
        ("? * * * *", "?", "the minute \"?\" cannot be ?: only the two day fields can"),
        ("0 0 1,? * *", "1,?", "has ? in a list"),
        ("0 L * * *", "L", "cannot have L, W or #"),
        ("0 0 1#2 * *", "1#2", "write # in the day of week"),
        ("0 0 * * 15W", "15W", "write W in the day of month"),
        ("0 0 32W * *", "32W", "write 1W to 31W"),
        ("0 0 L-31 * *", "L-31", "write L-1 to L-30"),
        ("0 0 * * MON#6", "MON#6", "with N from 1 to 5"),
        ("0 0 * * MON#0", "MON#0", "with N from 1 to 5"),
        ("0 0 * * L", "L", "does not say which day"),
        ("0 12 * * ? *", "?", "six fields with a year, as on AWS, are written cron(…)"),
        ("15 10 ? * 6L 2002", "?", "written cron(…)"),
        ("0 2 * * 1 2026", "2026", "the first is seconds"),
        ("99999999999999999999 * * * *", "99999999999999999999", "is not a number"),
        ("@reboot", "@reboot", "has no time"),
        ("@fortnightly", "@fortnightly", "is none of @hourly"),
        ("@daily 5", "@daily 5", "is none of"),
        ("@every", "@every", "has one duration"),
        ("@every 5", "5", "is no duration of 1s or more"),
        ("@every 0s", "0s", "is no duration of 1s or more"),
        ("@every 500ms", "500ms", "is no duration"),
        ("@every 1m1h", "1m1h", "is no duration"),
        ("@every -5s", "-5s", "is no duration"),
        ("@every 99999999999999999999s", "99999999999999999999s", "is no duration"),
        ("@every 40000d", "40000d", "is longer than 36500 days"),
        ("cron()", "cron()", "has 0 fields instead of six"),
        ("cron(* * * * *)", "* * * * *", "the five fields of Unix are written without cron()"),
        ("cron(0 2 * * * *)", "* * *", "one of day of month and day of week must be ?"),
        ("cron(0 2 ? * ? *)", "? * ?", "are both ?"),
        ("cron(0 2 1 * 2 *)", "1 * 2", "must be ?"),
        ("cron(0 2 ? * 0 *)", "0", "is not within 1-7, 1 for Sunday"),
        ("cron(0 2 ? * 8 *)", "8", "is not within 1-7"),
        ("cron(0 2 ? * 2#1,3#1 *)", "2#1,3#1", "has more than one #"),
        ("cron(0 2 * * ? 1969)", "1969", "is not within 1970-2199"),
        ("cron(0 2 * * ? 2200)", "2200", "is not within 1970-2199"),
        ("cron(? 2 * * ? *)", "?", "only the two day fields can"),
        ("cron(0 2 * * ? *", "*", "must end with )"),
        ("cron(0 2 * * ? *) x", "x", "must end with )"),
        ("Cron(0 2 * * ? *)", "Cron(", "must begin with cron("),
        ("cron (0 2 * * ? *)", "cron (", "must begin with cron("),
        ("rate()", "rate()", "has a number and a unit"),
        ("rate(5)", "5", "has a number and a unit"),
        ("rate(0 minutes)", "0", "is a whole one from 1"),
        ("rate(-1 minutes)", "-1", "is a whole one from 1"),
        ("rate(1.5 hours)", "1.5", "is a whole one from 1"),
        ("rate(30 seconds)", "seconds", "write @every 30s"),
        ("rate(5 weeks)", "weeks", "is no unit of rate()"),
        ("rate(5 minutes", "s", "must end with )"),
        ("rate(999999999 days)", "999999999", "is longer than 36500 days"),
        ("at()", "at()", "write at(2026-11-20T13:00:00)"),
        ("at(2026-11-20)", "2026-11-20", "write at(2026-11-20T13:00:00)"),
        ("at(2026-11-20T13:00)", "2026-11-20T13:00", "write at("),
        ("at(2026-11-20T13:00:00Z)", "2026-11-20T13:00:00Z", "without an offset"),
        ("at(2026-02-30T00:00:00)", "2026-02-30T00:00:00", "write at("),
        ("at(2026-11-20T24:00:00)", "2026-11-20T24:00:00", "write at("),
        ("at(1969-12-31T23:59:59)", "1969-12-31T23:59:59", "is not within the years 1970 to 2199"),
        ("at(2200-01-01T00:00:00)", "2200-01-01T00:00:00", "is not within the years"),
        ("CRON_TZ=Europe/Berlin 0 2 * * *", "CRON_TZ=Europe/Berlin", "give the zone as \"timezone\""),
        ("TZ=UTC 0 2 * * *", "TZ=UTC", "give the zone as \"timezone\""),
        ("０ 2 * * *", "０ 2 * * *", "has characters beyond ASCII"),
        ("0 2 * * *\n", "0 2 * * *\n", "or a line break"),
    ]

    @Test("Each broken text is refused, with the field, its place and the way out")
    func table() {
        for row in Self.table {
            do {
                let expression = try ScheduleExpression(row.text)
                Issue.record("\(row.text) was read as \(expression.words)")
            } catch {
                let bytes = Array(error.text.utf8)
                #expect(error.message.contains(row.message), "\(row.text): \(error.message)")
                #expect(error.range.upperBound <= bytes.count || bytes.isEmpty, "\(row.text)")
                #expect(String(decoding: bytes[error.range], as: UTF8.self) == row.part, "\(row.text)")
            }
        }
    }

    @Test("The part that is wrong is marked below the text")
    func marked() {
        #expect(throws: ScheduleProblem("0 25 * * *", 2..<4, "the hour \"25\" is not within 0-23")) {
            try ScheduleExpression("  0 25 * * *")
        }
        #expect(ScheduleProblem("0 25 * * *", 2..<4, "").marked == "0 25 * * *\n  ^^")
    }

    @Test("Whatever text it gets, it answers")
    func anyText() {
        var random = SeededRandom(seed: 20_261_124)
        let words = [
            "*", "?", "L", "W", "#", "-", "/", ",", "5", "MON", "cron(", ")", "rate(", "at(", "@every", "s",
            " ", "é",
        ]
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...14, using: &random)).map { _ in
                words.randomElement(using: &random) ?? ""
            }
            .joined()
            do {
                _ = try ScheduleExpression(text).words
            } catch {
                #expect(!error.marked.isEmpty && !error.description.isEmpty)
            }
        }
    }
}
