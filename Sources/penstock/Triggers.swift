// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import PenstockAdmin
import PenstockConfiguration
import PenstockRuntime

/// `penstock triggers`.
struct Triggers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows, pauses, resumes and moves the triggers of a running Penstock.",
        discussion: """
            Exit codes: 0 done, 1 there is no such trigger, 2 the configuration is not valid, 3 no Penstock answers.

            Examples:
              penstock triggers list
              penstock triggers show orders --format json
              penstock triggers pause orders
              penstock triggers seek orders --to 2h --dry-run
            """,
        subcommands: [List.self, Show.self, Pause.self, Resume.self, TriggerSeek.self]
    )

    /// `triggers list`.
    struct List: AnsweringCommand {
        static let configuration = CommandConfiguration(abstract: "What all triggers are doing.")

        @OptionGroup var config: ConfigOptions
        @OptionGroup var output: FormatOptions

        var title: String { "triggers list" }

        func answer() async throws -> Outcome {
            let admin = try self.config.plan().plan.admin
            let document = try await AdminClient.with(admin) {
                try await $0.document(.get, "/api/v1/triggers")
            }
            let triggers = document["triggers"]?.arrayValue ?? []
            return Outcome(text: TriggerTable(triggers).text, result: document)
        }
    }

    /// `triggers show`.
    struct Show: AnsweringCommand {
        static let configuration = CommandConfiguration(abstract: "What one trigger is doing, in full.")

        @Argument(help: "The trigger's name.") var name: String
        @OptionGroup var config: ConfigOptions
        @OptionGroup var output: FormatOptions

        var title: String { "triggers show" }

        func answer() async throws -> Outcome {
            let admin = try self.config.plan().plan.admin
            let path = "/api/v1/triggers/\(AdminClient.escaped(self.name))"
            let document = try await AdminClient.with(admin) { try await $0.document(.get, path) }
            return Outcome(text: TriggerText(document).text, result: document)
        }
    }

    /// `triggers pause`.
    struct Pause: AnsweringCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stops invoking a trigger's function, also after a restart."
        )

        @Argument(help: "The trigger's name.") var name: String
        @OptionGroup var config: ConfigOptions
        @OptionGroup var output: FormatOptions

        var title: String { "triggers pause" }

        func answer() async throws -> Outcome { try await Triggers.order("pause", self.name, self.config) }
    }

    /// `triggers resume`.
    struct Resume: AnsweringCommand {
        static let configuration = CommandConfiguration(
            abstract: "Goes on invoking a paused trigger's function."
        )

        @Argument(help: "The trigger's name.") var name: String
        @OptionGroup var config: ConfigOptions
        @OptionGroup var output: FormatOptions

        var title: String { "triggers resume" }

        func answer() async throws -> Outcome { try await Triggers.order("resume", self.name, self.config) }
    }

    private static func order(_ verb: String, _ name: String, _ config: ConfigOptions) async throws -> Outcome
    {
        let admin = try config.plan().plan.admin
        let path = "/api/v1/triggers/\(AdminClient.escaped(name))/\(verb)"
        let document = try await AdminClient.with(admin) {
            try await $0.document(.post, path, body: .object([]))
        }
        // The state may be another one: a trigger can be paused and blocked at once.
        return Outcome(text: "\(name): \(verb)d", result: document)
    }
}

/// Triggers as lines.
struct TriggerTable {
    let text: String

    /// - Parameters:
    ///   - triggers: As the admin API tells of them.
    ///   - perSecond: Records dealt with a second, by trigger; nil leaves the column out.
    init(_ triggers: [JSONValue], perSecond: [String: Double]? = nil) {
        let rateHead = perSecond == nil ? [] : ["PER SECOND"]
        let head =
            ["TRIGGER", "STATE", "RECEIVED", "SUCCEEDED", "DEAD", "IN FLIGHT", "LAG"] + rateHead + ["DETAIL"]
        let rows = triggers.map { trigger in
            let records = trigger["records"]
            let counts = ["received", "succeeded", "dead_lettered", "in_flight"].map {
                records?[$0]?.integerValue.map(String.init) ?? "-"
            }
            let lag = trigger["lag_records"]?.integerValue.map(String.init) ?? "-"
            let failure = trigger["last_failure"]?["error"]?["message"]?.stringValue
            let detail = (trigger["detail"]?.stringValue ?? failure ?? "").prefix { $0 != "\n" }
            let name = trigger["name"]?.stringValue ?? ""
            let rate = perSecond.map { [$0[name].map { String(Int($0.rounded())) } ?? "-"] } ?? []
            return [name, trigger["state"]?.stringValue ?? ""] + counts + [lag] + rate
                + [String(detail.prefix(120))]
        }
        self.text = Terminal.table([head] + rows)
    }
}
