// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor

/// `penstock dlq`.
struct DeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dlq",
        abstract: "Lists, shows, redrives and drops dead letters.",
        discussion: """
            Asks the running Penstock; when none answers, opens the store itself.

            Examples:
              penstock dlq list --trigger orders --since 1h
              penstock dlq show 17 --raw
              penstock dlq redrive --trigger orders --rate 10/s --yes
            """,
        subcommands: [List.self, Show.self, Redrive.self, Drop.self]
    )

    /// `dlq list`.
    struct List: AnsweringCommand {
        static let configuration = CommandConfiguration(
            abstract: "What was given up, oldest first.",
            discussion: """
                Conditions hold together. Exit codes: 0 also for none, 2 a condition is not right, 3 no Penstock and no \
                store.

                Examples:
                  penstock dlq list --trigger orders --since 1h
                  penstock dlq list --error KeyError --limit 10 --format json
                """
        )

        @OptionGroup var selection: SelectionOptions
        @Option(help: "Letters at most.") var limit = 100
        @Option(help: "Only ids above this one: for the next page.") var after: Int64?
        @OptionGroup var config: ConfigOptions
        @OptionGroup var output: FormatOptions

        var title: String { "dlq list" }

        func answer() async throws -> Outcome {
            guard (1...1000).contains(self.limit) else {
                throw CommandFailure(.invalid, "bad-limit", "--limit must be from 1 to 1000")
            }
            var query = try self.selection.selection().query
            query.limit = self.limit
            query.after = self.after.map { DeadLetterID($0) }
            let plan = try self.config.plan().plan
            let document = try await DeadLetterAccess(plan: plan).list(query)
            let letters = document["dead_letters"]?.arrayValue ?? []
            let head = ["ID", "AT", "TRIGGER", "PARTITION", "POSITION", "TRIES", "REASON", "LAST ERROR"]
            let rows = letters.map { letter in
                let names = ["at", "trigger", "partition", "position"].map { letter[$0]?.stringValue ?? "" }
                let error = letter["last_error"]
                let text = [error?["type"]?.stringValue, error?["message"]?.stringValue].compactMap(\.self)
                let line = text.joined(separator: ": ").prefix { $0 != "\n" }.prefix(100)
                return [letter["id"]?.text ?? ""] + names
                    + [letter["attempts"]?.text ?? "", letter["reason"]?.stringValue ?? "", String(line)]
            }
            let total = document["total"]?.integerValue ?? 0
            let tail = "\(letters.count) of \(total) dead letters"
            let lines = [
                rows.isEmpty ? nil : Terminal.table([head] + rows),
                document["warning"]?.stringValue.map { "warning: \($0)" }, tail,
            ]
            return Outcome(text: lines.compactMap(\.self).joined(separator: "\n"), result: document)
        }
    }

    /// `dlq show`.
    struct Show: AnsweringCommand {
        static let configuration = CommandConfiguration(
            abstract: "One dead letter with its history.",
            discussion: """
                Exit codes: 0 shown, 1 there is none with this id, 3 no Penstock and no store.

                Examples:
                  penstock dlq show 17
                  penstock dlq show 17 --raw > body.json
                  penstock dlq show 17 --event | penstock invoke resize --payload -
                """
        )

        @Argument(help: "The letter's id.") var id: Int64
        @Flag(help: "Print the record's body alone, byte by byte.") var raw = false
        @Flag(help: "Print the request body that a redrive would send.") var event = false
        @OptionGroup var config: ConfigOptions
        @OptionGroup var output: FormatOptions

        var title: String { "dlq show" }

        func answer() async throws -> Outcome {
            let access = DeadLetterAccess(plan: try self.config.plan().plan)
            if self.event {
                let body = try await access.event(DeadLetterID(self.id))
                return Outcome(
                    text: String(decoding: body, as: UTF8.self),
                    result: JSONValue(parsing: body) ?? .bytes(body)
                )
            }
            let document = try await access.show(DeadLetterID(self.id))
            if self.raw {
                let body = document["body"]?.bytesValue ?? []
                if self.output.format == .text { Terminal.write(body, to: 1) }
                return Outcome(text: "", result: .bytes(body))
            }
            return Outcome(text: LetterText(document).text, result: document)
        }
    }

    /// `dlq drop`.
    struct Drop: AnsweringCommand {
        static let configuration = CommandConfiguration(
            abstract: "Deletes dead letters for ever.",
            discussion: """
                Exit codes: 0 done, 2 nothing says which letters or --yes is missing, 3 no Penstock and no store.

                Example: penstock dlq drop --trigger orders --error KeyError --yes
                """
        )

        @Argument(help: "Ids of letters.") var ids: [Int64] = []
        @OptionGroup var selection: SelectionOptions
        @Flag(help: "All letters.") var all = false
        @Flag(help: "Do it: without this nothing is deleted.") var yes = false
        @OptionGroup var config: ConfigOptions
        @OptionGroup var output: FormatOptions

        var title: String { "dlq drop" }

        func answer() async throws -> Outcome {
            let selection = try self.selection.selection(ids: self.ids, all: self.all)
            guard self.yes else {
                throw CommandFailure(
                    .invalid,
                    "not-confirmed",
                    "dropping cannot be undone; say --yes to do it"
                )
            }
            let document = try await DeadLetterAccess(plan: try self.config.plan().plan).drop(selection)
            return Outcome(text: "\(document["dropped"]?.text ?? "0") dead letters dropped", result: document)
        }
    }

    /// `dlq redrive`.
    struct Redrive: AnsweringCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sends dead letters to their function again, in order.",
            discussion: """
                A letter that succeeds is gone; one that fails again stays, and so do the later ones of its partition, \
                or of its key where the trigger has ordering: key; with ordering: none it holds up no other. In the same \
                way --concurrency sends letters side by side whose order does not count. On a terminal a bar shows how far it is, elsewhere a line for each letter; then what became of all. It \
                can be interrupted: what was not tried stays.

                While the function has no room (throttled, not reachable, not startable), the redrive waits, as long as \
                the function asks or at most 30 s at a time, and tries again; this costs no attempt. After 5 minutes \
                without room, what is left for that function is reported as unavailable, and stays as it was. A letter \
                that somebody else dropped or redrove before its turn is reported as gone.

                With --format json each outcome is written as it comes; ok and error are at the end.

                Exit codes: 0 all succeeded, 1 any did not, 2 nothing says which letters, 3 no Penstock and no store.

                Examples:
                  penstock dlq redrive --all
                  penstock dlq redrive 17 18 --function resize-fixed
                  penstock dlq redrive --trigger orders --error KeyError --rate 10/s
                  penstock dlq redrive --trigger orders --concurrency 20
                  penstock dlq redrive --trigger removed --like orders
                """
        )

        @Argument(help: "Ids of letters.") var ids: [Int64] = []
        @OptionGroup var selection: SelectionOptions
        @Flag(help: "All letters.") var all = false
        @Option(
            name: [.customLong("function"), .customLong("to")],
            help: "Another function than the triggers' own."
        )
        var to: String?
        @Option(
            help:
                "For letters of a trigger that is not configured any more: one with the same kind of source."
        )
        var like: String?
        @Option(help: "Letters sent side by side at most, of those whose order does not count: 1 to 100.")
        var concurrency = 1
        @Option(help: "Invocations a second at most, such as 10/s or 0.5/s.") var rate: String?
        @Flag(help: "Accepted for scripts; a redrive does not ask.") var yes = false
        @OptionGroup var config: ConfigOptions
        @OptionGroup var output: FormatOptions

        var title: String { "dlq redrive" }

        func answer() async throws -> Outcome {
            let selection = try self.selection.selection(ids: self.ids, all: self.all)
            let pace = DeadLetterAccess.Pace(
                rate: try self.parsedRate(),
                concurrency: try self.parsedConcurrency()
            )
            let access = DeadLetterAccess(plan: try self.config.plan().plan)
            let route = DeadLetterAccess.Route(function: self.to, model: self.like)
            let progress = RedriveProgress(RedriveProgress.style(self.output.format, self.title))
            defer { progress.end() }
            do {
                try await access.redrive(selection, by: route, at: pace) { progress.add($0) }
            } catch let error as StoreError {
                return try progress.stopped(by: CommandFailure(error))
            } catch let error as CommandFailure {
                return try progress.stopped(by: error)
            }
            progress.end()
            return progress.outcome()
        }

        private func parsedConcurrency() throws -> Int {
            let range = Redriver.Order.concurrencyRange
            if range.contains(self.concurrency) { return self.concurrency }
            let text = "--concurrency must be from \(range.lowerBound) to \(range.upperBound)"
            throw CommandFailure(.invalid, "bad-concurrency", text)
        }

        private func parsedRate() throws -> RedriveRate? {
            guard let text = self.rate else { return nil }
            if let rate = RedriveRate(text: text) { return rate }
            throw CommandFailure(.invalid, "bad-rate", "--rate must be like 10/s, \(RedriveRate.rangeText)")
        }
    }
}

/// Which letters.
struct SelectionOptions: ParsableArguments {
    @Option(help: "Only of this trigger.") var trigger: String?
    @Option(help: "Only given up since: 1h, or 2026-01-31T08:00:00Z.") var since: String?
    @Option(help: "Only with this text in the last error's type or message.") var error: String?
    @Option(help: "Only with exactly this key.") var key: String?

    func selection() throws(CommandFailure) -> Selection {
        var selection = Selection()
        selection.query.trigger = self.trigger
        selection.query.error = self.error
        selection.query.key = self.key.map { Array($0.utf8) }
        if let since = self.since {
            let now = Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
            let ago = Duration(configurationText: since).map {
                Timestamp(milliseconds: now.milliseconds - $0.wholeMilliseconds)
            }
            guard let time = ago ?? Timestamp(configurationText: since) else {
                throw CommandFailure(.invalid, "bad-since", "--since must be like 1h or 2026-01-31T08:00:00Z")
            }
            selection.query.since = time
        }
        return selection
    }

    /// For what changes letters: something must say which.
    func selection(ids: [Int64], all: Bool) throws(CommandFailure) -> Selection {
        var selection = try self.selection()
        selection.all = all
        if !ids.isEmpty { selection.ids = ids.map { DeadLetterID($0) } }
        guard selection.hasScope else {
            throw CommandFailure(
                .invalid,
                "no-selection",
                "say which letters: ids, --trigger, --since, --error, --key or --all"
            )
        }
        return selection
    }
}
