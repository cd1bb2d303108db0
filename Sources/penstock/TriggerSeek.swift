// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import Glibc
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime

/// `penstock triggers seek`.
struct TriggerSeek: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "seek",
        abstract:
            "Reads a trigger's source from another position on: records again, or none of those that wait.",
        discussion: """
            The trigger is drained: invocations finish within drain_timeout, and what is settled is committed. Then its \
            checkpoints, and the offsets of its Kafka group, are replaced, and it goes on from there; when this returns, \
            that is durable. A paused trigger stays paused. What is skipped is never invoked; what is read again is invoked \
            again, as after any redelivery. Dead letters stay.

            --to is one of
              earliest             the first record that is still there
              latest               behind the last record there is
              2026-11-20T13:00:00Z the first record that is not older
              2h                   the same, by age
              position:42          one partition's record at this position

            Sources that can seek: Kafka, and DynamoDB Streams, which go to earliest or latest as a whole. The partitions are those that `triggers show` prints. Those that other members of \
            the group read cannot be moved from here; without --partition, all must be read here.

            With --dry-run it is only told from where to where each partition would go. On a terminal it asks; elsewhere \
            --yes must say it.

            Exit codes: 0 done, 1 there is no such trigger or partition, the source cannot seek, or the answer was no, \
            2 an option or the configuration is not valid, 3 no Penstock answers, or its trigger is not running.

            Examples:
              penstock triggers seek orders --to earliest --dry-run
              penstock triggers seek orders --to 2h
              penstock triggers seek orders --to latest --yes
              penstock triggers seek orders --to 2026-11-20T13:00:00Z --partition orders-0 --partition orders-3
              penstock triggers seek orders --to position:42 --partition orders-0 --yes --format json
            """
    )

    @Argument(help: "The trigger's name.") var name: String
    @Option(help: "Where to go on: earliest, latest, a time with its offset, an age, or position:N.")
    var to: String
    @Option(help: "Only this partition, by the name that `triggers show` has; it can be given several times.")
    var partition: [String] = []
    @Flag(help: "Only tell what would be done.") var dryRun = false
    @Flag(help: "Do it without asking.") var yes = false
    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "triggers seek" }

    func answer() async throws -> Outcome {
        guard SeekOrder.Target(self.to, now: Timestamp(milliseconds: .max)) != nil else {
            throw CommandFailure(.invalid, "bad-to", "--to \(SeekOrder.Target.form)")
        }
        let asks = !self.yes && !self.dryRun
        let isTerminal =
            self.output.format == .text && isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1
        guard !asks || isTerminal else {
            throw CommandFailure(
                .invalid,
                "not-confirmed",
                "a seek cannot be undone: say --yes to do it, or --dry-run to see what it would do"
            )
        }
        let admin = try self.config.plan().plan.admin
        return try await AdminClient.with(admin) { client in
            if asks {
                let trial = try await self.order(client, isTrial: true)
                Terminal.complain(SeekTable(trial).text)
                Terminal.complain("move \(self.name) like this? [y/N] ", newline: false)
                let answer = readLine()?.lowercased()
                guard answer == "y" || answer == "yes" else {
                    throw CommandFailure(.failed, "not-confirmed", "nothing has moved")
                }
            }
            let document = try await self.order(client, isTrial: self.dryRun)
            let end = self.dryRun ? "nothing has moved (--dry-run)" : "\(self.name): goes on from there"
            return Outcome(text: "\(SeekTable(document).text)\n\(end)", result: document)
        }
    }

    private func order(_ client: AdminClient, isTrial: Bool) async throws -> JSONValue {
        let partitions = self.partition.map { JSONValue.string($0) }
        return try await client.document(
            .post,
            "/api/v1/triggers/\(AdminClient.escaped(self.name))/seek",
            body: .document(
                ("to", .string(self.to)),
                ("partitions", partitions.isEmpty ? nil : .array(partitions)),
                ("dry_run", .boolean(isTrial))
            )
        )
    }
}

/// From where to where partitions go, as lines.
private struct SeekTable {
    let text: String

    /// - Parameter report: As the admin API tells of a seek.
    init(_ report: JSONValue) {
        let rows = (report["partitions"]?.arrayValue ?? []).map { move in
            [
                move["partition"]?.stringValue ?? "", move["from"]?.stringValue ?? "-",
                move["to"]?.stringValue ?? "", Self.words(move["distance"]?.integerValue),
            ]
        }
        let lost = (report["lost"]?.arrayValue ?? []).compactMap(\.stringValue).map { name in
            "\(Terminal.visible(name)) was given to another member meanwhile, and has not moved"
        }
        self.text = ([Terminal.table([["PARTITION", "FROM", "TO", ""]] + rows)] + lost).joined(
            separator: "\n"
        )
    }

    private static func words(_ distance: Int?) -> String {
        switch distance {
        case nil: ""
        case 0: "stays"
        case .some(let count) where count < 0: "\(-count) again"
        case .some(let count): "\(count) skipped"
        }
    }
}
