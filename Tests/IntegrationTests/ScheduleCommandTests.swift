// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// `penstock schedule next`.
@Suite(.ownThreads, .timeLimit(.minutes(2)))
struct ScheduleCommandTests {
    private static func next(_ arguments: String..., environment: [String: String] = [:]) throws -> CommandRun
    {
        try CommandRun(["schedule", "next"] + arguments, configuration: nil, environment: environment)
    }

    @Test("It prints one time with its offset a line, and nothing else")
    func lines() throws {
        let run = try Self.next(
            "30 2 * * *",
            "--timezone",
            "Europe/Berlin",
            "--from",
            "2026-03-28T00:00:00Z",
            "--count",
            "3"
        )
        #expect(run.status == 0)
        #expect(
            run.output
                == "2026-03-28T02:30:00+01:00\n2026-03-29T03:00:00+02:00\n2026-03-30T02:30:00+02:00\n"
        )
        #expect(run.errors == "")
    }

    @Test("The zone of the machine has no influence")
    func machineZone() throws {
        let run = try Self.next(
            "0 2 * * *",
            "--from",
            "2026-10-24T12:00",
            "--count",
            "2",
            environment: ["TZ": "Europe/Berlin"]
        )
        #expect(run.output == "2026-10-25T02:00:00+00:00\n2026-10-26T02:00:00+00:00\n")
    }

    @Test("In JSON it tells the grammar and the meaning in words, too")
    func json() throws {
        let run = try Self.next(
            "cron(0 2 ? * MON-FRI *)",
            "--from",
            "2026-11-27T02:00:00Z",
            "--count",
            "1",
            "--format",
            "json"
        )
        let document = try run.document()
        let result = try #require(document["result"] as? [String: Any])
        #expect(document["ok"] as? Bool == true)
        #expect(result["description"] as? String == "every weekday at 02:00")
        #expect(result["grammar"] as? String == "aws cron")
        #expect(result["timezone"] as? String == "UTC")
        #expect(result["times"] as? [String] == ["2026-11-30T02:00:00+00:00"])
    }

    @Test("What never fires exits with 1 and says so")
    func never() throws {
        let impossible = try Self.next("0 0 30 2 *")
        #expect(impossible.status == 1)
        #expect(impossible.output == "")
        #expect(impossible.errors.contains("never fires: there is no such day"))
        let past = try Self.next("at(2020-01-01T00:00:00)", "--from", "2026-01-01", "--format", "json")
        #expect(past.status == 1)
        let error = try #require(try past.document()["error"] as? [String: Any])
        #expect(error["code"] as? String == "never-fires")
        let skipped = try Self.next("at(2026-03-29T02:30:00)", "--timezone", "Europe/Berlin", "--dst", "aws")
        #expect(skipped.status == 1)
    }

    @Test(
        "What is invalid exits with 2 and is told with its place",
        arguments: [
            (
                ["0 25 * * *"],
                "0 25 * * *\n  ^^\npenstock: schedule \"0 25 * * *\": the hour \"25\" is not within 0-23"
            ),
            (["0 2 * * *", "--timezone", "Berlin"], "did you mean \"Europe/Berlin\"?"),
            (["0 2 * * *", "--timezone", "localtime"], "there is no time zone \"localtime\""),
            (["0 2 * * *", "--from", "yesterday"], "--from \"yesterday\" is no time"),
            (["0 2 * * *", "--count", "0"], "--count must be 1 to 1000000"),
            (["0 2 * * *", "--dst", "skip"], "--dst must be one of run_after, aws"),
            ([], "Missing expected argument"),
        ]
    )
    func invalid(arguments: [String], text: String) throws {
        let run = try CommandRun(["schedule", "next"] + arguments, configuration: nil)
        #expect(run.status == 2)
        #expect(run.output == "")
        #expect(run.errors.contains(text), "\(run.errors)")
    }

    @Test("A century of days is told at once")
    func century() throws {
        let run = try Self.next(
            "0 2 * * *",
            "--timezone",
            "Europe/Berlin",
            "--from",
            "2026-01-01",
            "--count",
            "36525"
        )
        #expect(run.status == 0)
        #expect(run.output.utf8.count == 36_525 * 26)
        #expect(
            run.output.hasSuffix("2126-01-01T02:00:00+01:00\n")
                || run.output.contains("\n2125-12-31T02:00:00+01:00\n")
        )
    }
}
