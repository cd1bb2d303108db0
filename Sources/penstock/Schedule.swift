// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockSchedules

/// `penstock schedule`.
struct ScheduleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule",
        abstract: "Schedules: when they fire, what has become of it, and fires by hand.",
        subcommands: [
            ScheduleNext.self, ScheduleList.self, ScheduleHistory.self, ScheduleFireNow.self,
            ScheduleBackfill.self,
        ]
    )
}

/// `penstock schedule next`.
struct ScheduleNext: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "next",
        abstract: "Prints the next times at which a schedule fires.",
        discussion: """
            One ISO 8601 time with its offset a line. docs/SCHEDULES.md has the grammars, and what becomes of times that \
            clocks jump over or show twice.

            Exits with 0, with 1 when it never fires, with 2 when something is invalid.

            Examples:
              penstock schedule next '0 2 * * 1-5' --timezone Europe/Berlin
              penstock schedule next 'cron(0 18 ? * 6L *)' --from 2027-01-01 --count 12
              penstock schedule next '@every 90s' --format json
            """
    )

    @Argument(
        help:
            "cron(0 2 * * ? *), rate(5 minutes), at(2026-11-20T13:00:00), 0 2 * * *, 30 0 2 * * *, @daily, @every 90s."
    )
    var expression: String
    @Option(help: "An IANA name such as Europe/Berlin.") var timezone = "UTC"
    @Option(
        help: """
            Times after this one: 2026-11-20T13:00:00+01:00, or without an offset in the time zone. Now, when it is left \
            out. Intervals are counted from it.
            """
    )
    var from: String?
    @Option(help: "How many times, at most \(Self.countMax).") var count = 5
    @Option(help: "What becomes of times that clocks jump over: \(Self.gapRules).") var dst = "run_after"
    @OptionGroup var output: FormatOptions

    private static let countMax = 1_000_000
    private static let gapRules = Schedule.GapRule.allCases.map(\.rawValue).joined(separator: ", ")

    var title: String { "schedule next" }

    func answer() async throws -> Outcome {
        let schedule = try self.schedule()
        guard (1...Self.countMax).contains(self.count) else {
            throw CommandFailure(.invalid, "usage", "--count must be 1 to \(Self.countMax)")
        }
        let from = try self.fromTime(schedule.zone)
        let counted = Schedule(
            schedule.expression,
            in: schedule.zone,
            gapRule: schedule.gapRule,
            anchor: from
        )
        var times: [Int] = []
        var last = from
        while times.count < self.count, let next = counted.next(after: last) {
            times.append(next)
            last = next
        }
        guard !times.isEmpty else { throw self.neverFires(counted, from) }
        if self.output.format == .text, isatty(STDOUT_FILENO) == 1 {
            Terminal.complain("\(schedule.expression.words), \(schedule.zone.name)")
        }
        let lines = times.map { schedule.zone.text($0) }
        return Outcome(
            text: lines.joined(separator: "\n"),
            result: .document(
                ("expression", .string(schedule.expression.text)),
                ("grammar", .string(schedule.expression.grammar.rawValue)),
                ("timezone", .string(schedule.zone.name)),
                ("description", .string(schedule.expression.words)),
                ("times", .array(lines.map { .string($0) }))
            )
        )
    }

    private func schedule() throws -> Schedule {
        let expression: ScheduleExpression
        do throws(ScheduleProblem) {
            expression = try ScheduleExpression(self.expression)
        } catch {
            if self.output.format == .text, !error.text.isEmpty {
                Terminal.complain(Terminal.visible(error.marked))
            }
            throw CommandFailure(.invalid, "invalid-schedule", Terminal.visible(error.description))
        }
        let zone: ZoneRules
        do throws(ZoneDatabase.Problem) {
            zone = try ZoneDatabase.system.zone(self.timezone)
        } catch {
            throw CommandFailure(
                error.isEnvironment ? .environment : .invalid,
                error.isEnvironment ? "no-time-zones" : "unknown-time-zone",
                Terminal.visible(error.description)
            )
        }
        guard let gapRule = Schedule.GapRule(rawValue: self.dst) else {
            throw CommandFailure(.invalid, "usage", "--dst must be one of \(Self.gapRules)")
        }
        return Schedule(expression, in: zone, gapRule: gapRule)
    }

    private func fromTime(_ zone: ZoneRules) throws -> Int {
        guard let from = self.from else { return Glibc.time(nil) }
        if let time = Timestamp(configurationText: from) {
            let (seconds, rest) = time.milliseconds.quotientAndRemainder(dividingBy: 1000)
            return Int(rest < 0 ? seconds - 1 : seconds)
        }
        if let local = LocalTime.seconds(from.utf8) { return zone.time(ofLocal: local) }
        throw CommandFailure(
            .invalid,
            "usage",
            "--from \"\(Terminal.visible(from))\" is no time; write 2026-11-20T13:00:00+01:00, or 2026-11-20T13:00 in the time zone"
        )
    }

    private func neverFires(_ schedule: Schedule, _ from: Int) -> CommandFailure {
        let everFires = schedule.next(after: -86_400 * 2) != nil
        return CommandFailure(
            .failed,
            "never-fires",
            "schedule \"\(schedule.expression.text)\" never fires"
                + (everFires
                    ? " after \(schedule.zone.text(from))"
                    : ": there is no such day in the years 1970 to 2199; check its days, months and years")
        )
    }
}
