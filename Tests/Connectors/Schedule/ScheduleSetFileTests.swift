// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockSchedules
import PenstockStore
import PenstockTesting
import Testing

@testable import ScheduleConnector

/// Many schedules as they are written.
@Suite struct ScheduleSetFileTests {
    private static func read(_ text: String, _ path: String) -> (set: ScheduleSet, problems: [String]) {
        var builder = ScheduleSetBuilder(zone: .utc, gapRule: .runAfter)
        let problems = ScheduleSetFile.read(Array(text.utf8), path: path, into: &builder)
        return (builder.finish().set, problems)
    }

    private static func lines(_ set: ScheduleSet) -> [String] {
        (0..<set.count).map { number in
            let schedule = set.schedule(number)
            let input = set.input(of: number).map { String(decoding: $0, as: UTF8.self) } ?? "-"
            return "\(set.name(number))|\(schedule.expression.text)|\(schedule.zone.name)|\(input)"
        }
    }

    @Test("JSON lines: an input is any JSON, or a text that holds JSON; blank lines are nothing")
    func jsonLines() {
        let (set, problems) = Self.read(
            """
            \u{FEFF}{"name": "b", "expression": "@daily", "input": {"user": [1, "<schedule.name>"]}}\r

            {"expression":"0 7 * * *","name":"a","timezone":"Europe/Berlin"}
            {"name": "c \\"x\\"", "expression": "@daily", "input": "{\\"n\\": <aws.scheduler.attempt-number>}"}
            {"name": "d", "expression": "@daily", "input": 5}
            """,
            "s.JSONL"
        )
        #expect(problems == [])
        #expect(
            Self.lines(set) == [
                "a|0 7 * * *|Europe/Berlin|-", "b|@daily|UTC|{\"user\": [1, \"<schedule.name>\"]}",
                "c \"x\"|@daily|UTC|{\"n\": <aws.scheduler.attempt-number>}", "d|@daily|UTC|5",
            ]
        )
        #expect(set.rules.count == 2, "what is written alike is read once")
    }

    @Test("CSV: columns by the header, quotes, and an empty field is none")
    func csv() {
        let (set, problems) = Self.read(
            "input,name,expression,timezone\r\n"
                + "\"{\"\"a\"\": \"\"x,y\"\"}\",b,\"0 7 * * 1,2\",\r\n,\"a\nx\"\"\",@daily,Asia/Tokyo\n\n,c,@daily,",
            "s.csv"
        )
        #expect(
            problems == [
                "line 3 has the name \"a\nx\"\"; a name has 1 to 128 bytes and no control characters"
            ]
        )
        #expect(Self.lines(set) == ["b|0 7 * * 1,2|UTC|{\"a\": \"x,y\"}", "c|@daily|UTC|-"])
    }

    @Test(
        "What is wrong is told with its line and the way out",
        arguments: [
            (
                ".jsonl", "{\"name\": \"a\", \"expression\": \"0 25 * * *\"}",
                "line 1 has the expression \"0 25 * * *\": the hour"
            ),
            (".jsonl", "\n{\"name\": \"a\"}", "line 2 has no \"expression\""),
            (
                ".jsonl", "{\"name\": \"a\", \"expression\": \"@daily\", \"zone\": \"UTC\"}",
                "line 1 has the unknown key \"zone\""
            ),
            (".jsonl", "{\"name\": 1, \"expression\": \"@daily\"}", "that is no text; put it in quotes"),
            (
                ".jsonl", "{\"name\": \"a\", \"name\": \"b\", \"expression\": \"@daily\"}",
                "has the key \"name\" twice"
            ),
            (".jsonl", "[]", "line 1 is no JSON object"),
            (".jsonl", "{\"name\": \"a\",", "line 1 is not JSON"),
            (
                ".jsonl", "{\"name\": \"a\", \"expression\": \"@daily\", \"timezone\": \"Berlin\"}",
                "did you mean \"Europe/Berlin\"?"
            ),
            (
                ".jsonl", "{\"name\": \"a\", \"expression\": \"@daily\", \"input\": \"{\"}",
                "has an input that is not JSON"
            ),
            (".jsonl", "{\"name\": \"a\", \"expression\": \"0 0 30 2 *\"}", "which never fires"),
            (".csv", "", "line 1 is missing: the file is empty"),
            (".csv", "name,when\na,@daily", "line 1 has the unknown column \"when\""),
            (".csv", "name\na", "line 1 has no column \"expression\""),
            (".csv", "name,expression\na,@daily,x", "line 2 has 3 fields, and the header 2"),
            (".csv", "name,expression\na,\"@daily", "line 2 has a quote that does not end"),
            (".csv", "name,expression\na,\"@daily\"x\n", "or text behind one"),
        ]
    )
    func refused(ending: String, text: String, words: String) {
        let (_, problems) = Self.read(text, "s" + ending)
        #expect(problems.count == 1 && problems.first?.contains(words) == true, "\(problems)")
    }

    @Test("Of many problems the first ones are told, and how many there are")
    func many() {
        let (_, problems) = Self.read(String(repeating: "{}\n", count: 50), "s.jsonl")
        #expect(problems.count == 21)
        #expect(problems.last == "and 30 more lines are wrong")
    }

    private static func configuration(_ text: String) throws -> ScheduleConfiguration {
        let result = ConfigurationLoader.process.parse(text, file: "t.yaml").read(ScheduleConfiguration.self)
        return try #require(result.value, "\(result.findings)")
    }

    @Test("Files beside the configuration count: what changes in one changes the trigger")
    func filesHash() throws {
        let home = FileManager.default.temporaryDirectory.appendingPathComponent(
            "penstock-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: home) }
        let (set, calendar) = (home.appendingPathComponent("s.csv"), home.appendingPathComponent("h.ics"))
        let event = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261225\nEND:VEVENT\nEND:VCALENDAR\n"
        func write(_ text: String, _ file: URL) throws {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        try write("name,expression\na,@daily\n", set)
        try write(event, calendar)
        let text = "file: \(set.path)\nexcept: [\(calendar.path)]"
        let first = try Self.configuration(text).filesHash
        #expect(try first != nil && Self.configuration(text).filesHash == first)
        try write(event.replacing("1225", with: "1224"), calendar)
        let second = try Self.configuration(text).filesHash
        #expect(second != first)
        try write("name,expression\na,@hourly\n", set)
        #expect(try Self.configuration(text).filesHash != second)
        #expect(try Self.configuration("expression: \"@daily\"").filesHash == nil)
    }

    @Test("A feed's entries are named by time and schedule, and an order is of one of them")
    func feed() throws {
        let configuration = try Self.configuration(
            """
            schedules:
              - { name: "b c", expression: "* * * * *", input: '{"at": "<aws.scheduler.scheduled-time>"}' }
              - { name: a, expression: "* * * * *" }
            overlap: skip
            event: scheduler
            """
        )
        let set = try #require(configuration.set)
        let feed = ScheduleSetFeed(set, configuration, trigger: "t")
        func at(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: (1_795_478_400 + seconds) * 1000) }
        feed.begin(JournalPast(mark: nil), now: at(0))
        let first = feed.due(now: at(60), waiting: 0)?.write
        #expect(first?.members.map(\.name) == ["a", "b c"] && first?.entries == [] && first?.mark != nil)
        let second = try #require(feed.due(now: at(60), waiting: 0)?.write)
        #expect(second.entries.map(\.key) == ["2026-11-24T00:01:00Z a", "2026-11-24T00:01:00Z b c"])
        #expect(second.fires.map(\.key) == second.entries.map(\.key))
        #expect(second.firesKept == ScheduleFire.keptMax)
        let bodies = second.entries.map { String(decoding: $0.body, as: UTF8.self) }
        #expect(bodies[0].contains("\"arn:aws:scheduler:local:000000000000:schedule/t/a\""))
        #expect(bodies[1] == "{\"at\": \"2026-11-24T00:01:00Z\"}")
        #expect(feed.due(now: at(60), waiting: 2) == nil)
        feed.settled(["2026-11-24T00:01:00Z b c"])
        let third = try #require(feed.due(now: at(120), waiting: 1))
        #expect(third.write.entries.map(\.key) == ["2026-11-24T00:02:00Z b c"])
        #expect(third.gap == "fires: 1 left out because of others (see overlap)")
        #expect(feed.next() == at(180) && feed.next(of: "a") == at(180) && feed.next(of: "x") == nil)
        #expect(
            feed.ordered(.now, of: nil, now: at(0)) == nil && feed.ordered(.now, of: "x", now: at(0)) == nil
        )
        let now = feed.ordered(.now, of: "b c", now: at(130))
        #expect(now?.entries.map(\.key) == ["2026-11-24T00:02:10.000Z b c"])
        let past = feed.ordered(.times(from: at(0), through: at(60)), of: "a", now: at(130))
        #expect(past?.entries.map(\.key) == ["2026-11-24T00:00:00Z a", "2026-11-24T00:01:00Z a"])
        #expect(past?.fires.allSatisfy { $0.isOrdered } == true)
        #expect(feed.lane(of: "2026-11-24T00:01:00Z b c") == "b c")
    }
}
