// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockSchedules

/// `penstock schedule list`.
struct ScheduleList: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "All schedules of a running Penstock: when they fire next, and what was missed.",
        discussion: """
            A trigger with many schedules is one line; with its name, they are listed, in the order of their names, with \
            their next times. Other commands name one of them as TRIGGER/SCHEDULE.

            Times are in the schedule's zone. MISSED and SKIPPED count what the fire log has; it keeps the latest 10,000 \
            times of each schedule, and of many in one trigger the latest ten for each of them, together.

            Exit codes: 0 done, 2 the configuration is not valid, 3 no Penstock answers.

            Examples:
              penstock schedule list
              penstock schedule list reminders --from alice --limit 20
              penstock schedule list --format json | jq '.result.schedules[] | select(.missed > 0)'
            """
    )

    @Argument(help: "A trigger with many schedules, to list these.") var trigger: String?
    @Option(help: "Of many schedules: those from this name on.") var from: String?
    @Option(help: "Of many schedules: lines at most, 1 to 1000.") var limit = 100
    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "schedule list" }

    func answer() async throws -> Outcome {
        let admin = try self.config.plan().plan.admin
        if let trigger = self.trigger { return try await self.members(of: trigger, admin) }
        let document = try await AdminClient.with(admin) {
            try await $0.document(.get, "/api/v1/schedules")
        }
        let rows = (document["schedules"]?.arrayValue ?? []).map(Self.row)
        let head = ["SCHEDULE", "NEXT", "LAST", "WAITING", "MISSED", "SKIPPED", "ZONE", "FIRES"]
        return Outcome(text: Terminal.table([head] + rows), result: document)
    }

    private func members(of trigger: String, _ admin: AdminConfiguration) async throws -> Outcome {
        let from = self.from.map { "&from=\(AdminClient.escaped($0))" } ?? ""
        let path = "/api/v1/schedules/\(AdminClient.escaped(trigger))?limit=\(self.limit)\(from)"
        let document = try await AdminClient.with(admin) { try await $0.document(.get, path) }
        let rows = (document["schedules"]?.arrayValue ?? []).map { schedule in
            [schedule["name"]?.stringValue ?? ""] + Self.times(["next"], of: schedule)
                + [schedule["timezone"]?.stringValue ?? "", schedule["description"]?.stringValue ?? ""]
        }
        var text = Terminal.table([["SCHEDULE", "NEXT", "ZONE", "FIRES"]] + rows)
        if let next = document["next"]?.stringValue {
            text += "\nmore with --from '\(Terminal.visible(next))'"
        }
        return Outcome(text: text, result: document)
    }

    /// In the schedule's zone.
    private static func times(_ members: [String], of schedule: JSONValue) -> [String] {
        let rules = try? ZoneDatabase.system.zone(schedule["timezone"]?.stringValue ?? "UTC")
        return members.map { member -> String in
            guard let text = schedule[member]?.stringValue else { return "-" }
            guard let time = Timestamp(configurationText: text), let rules else { return text }
            return rules.text(Int(time.milliseconds / 1000))
        }
    }

    private static func row(_ schedule: JSONValue) -> [String] {
        let zone = schedule["timezone"]?.stringValue ?? "UTC"
        let times = Self.times(["next", "last"], of: schedule)
        let counts = ["waiting", "missed", "skipped"].map {
            schedule[$0]?.integerValue.map(String.init) ?? "-"
        }
        return [schedule["name"]?.stringValue ?? ""] + times + counts
            + [zone, schedule["description"]?.stringValue ?? ""]
    }
}

/// `penstock schedule history`.
struct ScheduleHistory: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "What became of a schedule's times, the latest first.",
        discussion: """
            A time is `waiting` until its record is settled, then `settled` or `dead_letter`; `cancelled` is one whose place \
            a later one took; `skipped` was left out because of others, `missed` passed while nothing ran. ACTUAL is when that was decided. BY is `order` for what \
            `schedule fire` and `backfill` brought about.

            Exit codes: 0 done, 1 there is no such schedule, 2 an option or the configuration is not valid, 3 no Penstock \
            answers.

            Examples:
              penstock schedule history nightly
              penstock schedule history nightly --limit 1000 --format json
            """
    )

    @Argument(help: "The trigger's name, or TRIGGER/SCHEDULE of one with many.") var name: String
    @Option(help: "Lines at most, 1 to 1000.") var limit = 20
    @Option(help: "Only lines before the one of this number, to go on.") var before: Int?
    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "schedule history" }

    func answer() async throws -> Outcome {
        let admin = try self.config.plan().plan.admin
        let before = self.before.map { "&before=\($0)" } ?? ""
        let path =
            "/api/v1/schedules/\(AdminClient.escaped(self.name))/history?limit=\(self.limit)\(before)"
        let document = try await AdminClient.with(admin) { try await $0.document(.get, path) }
        let members = ["scheduled", "actual", "outcome", "settled"]
        let rows = (document["fires"]?.arrayValue ?? []).map { fire in
            members.map { fire[$0]?.stringValue ?? "-" }
                + [fire["ordered"] == .boolean(true) ? "order" : "time"]
        }
        var text = Terminal.table([members.map { $0.uppercased() } + ["BY"]] + rows)
        if let next = document["next"]?.integerValue { text += "\nmore with --before \(next)" }
        return Outcome(text: text, result: document)
    }
}

/// `penstock schedule fire`.
struct ScheduleFireNow: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "fire",
        abstract: "Lets a schedule fire now, beside its times.",
        discussion: """
            The fire is in the store when this returns, and is invoked behind those that wait. It has an id of its own, \
            does not look at overlap, and changes no later time; a time that comes while it waits does look.

            Exit codes: 0 done, 1 there is no such schedule, 2 the configuration is not valid, 3 no Penstock answers, or \
            its trigger is not running.

            Examples:
              penstock schedule fire nightly
            """
    )

    @Argument(help: "The trigger's name, or TRIGGER/SCHEDULE of one with many.") var name: String
    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "schedule fire" }

    func answer() async throws -> Outcome {
        let admin = try self.config.plan().plan.admin
        let path = "/api/v1/schedules/\(AdminClient.escaped(self.name))/fire"
        let document = try await AdminClient.with(admin) {
            try await $0.document(.post, path, body: .object([]))
        }
        return Outcome(text: "\(self.name): fires as \(document["key"]?.stringValue ?? "")", result: document)
    }
}

/// `penstock schedule backfill`.
struct ScheduleBackfill: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "backfill",
        abstract: "Lets a schedule's times of the past fire.",
        discussion: """
            All of its times from --from to --to, both included, whatever its catch_up says; those that have fired by the \
            fire log do not again, so the same command can be given twice. The log keeps the latest 10,000 times, and of many \
            schedules in one trigger the latest ten for each of them, together; what it has dropped fires again. A thousand times \
            go into the store at once; progress is told on standard error. When it is interrupted, what was told fires, and \
            giving the command again does the rest.

            Exit codes: 0 done, 1 there is no such schedule, 2 a time or the configuration is not valid, 3 no Penstock \
            answers, or its trigger is not running.

            Examples:
              penstock schedule backfill nightly --from 2026-11-01T00:00:00Z --to 2026-11-20T00:00:00Z
              penstock schedule backfill nightly --from 2026-11-01T00:00:00+01:00 --to 2026-11-20T00:00:00+01:00 --format json
            """
    )

    @Argument(help: "The trigger's name, or TRIGGER/SCHEDULE of one with many.") var name: String
    @Option(help: "The first time, with its offset.") var from: String
    @Option(help: "The last time, with its offset; not in the future.") var to: String
    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "schedule backfill" }

    func answer() async throws -> Outcome {
        let admin = try self.config.plan().plan.admin
        let path = "/api/v1/schedules/\(AdminClient.escaped(self.name))/backfill"
        return try await AdminClient.with(admin) { client in
            var (fired, known) = (0, 0)
            var from: String? = self.from
            while let start = from {
                let order = JSONValue.document(("from", .string(start)), ("to", .string(self.to)))
                let answer = try await client.document(.post, path, body: order)
                fired += answer["fired"]?.integerValue ?? 0
                known += answer["known"]?.integerValue ?? 0
                from = answer["rest"]?.stringValue
                if let rest = from, self.output.format == .text {
                    Terminal.complain("\(fired) fire, \(known) have before; goes on at \(rest)")
                }
            }
            return Outcome(
                text: "\(self.name): \(fired) fire, \(known) have before",
                result: .document(("fired", .integer(fired)), ("known", .integer(known)))
            )
        }
    }
}
