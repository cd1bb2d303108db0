// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import Glibc
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import Reactor

/// `penstock top`: a live table of triggers, until Ctrl-C or until Penstock ends.
struct Top: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what the triggers are doing, again and again, until Ctrl-C.",
        discussion: """
            On a terminal the table is redrawn in place; otherwise it is printed each time.

            Exit codes: 2 the interval or the configuration is not right, 3 no Penstock answers, or not any more.

            Example: penstock top --interval 5s
            """
    )

    @OptionGroup var config: ConfigOptions
    @Option(help: "How long to wait between two looks.") var interval = "1s"

    @concurrent
    func run() async throws {
        do {
            guard let interval = Duration(configurationText: self.interval), interval >= .milliseconds(100)
            else {
                let text = "\"\(self.interval)\" is no duration of 100ms or more; write it like 1s"
                throw CommandFailure(.invalid, "bad-interval", text)
            }
            let admin = try self.config.plan().plan.admin
            try await AdminClient.with(admin) { try await self.watch($0, every: interval) }
        } catch let error as CommandFailure {
            Terminal.complain("penstock: \(error.message)")
            throw ExitCode(error.exit.rawValue)
        }
    }

    private func watch(_ client: AdminClient, every interval: Duration) async throws {
        let redraws = isatty(STDOUT_FILENO) == 1
        var before: (at: Instant, done: [String: Int])?
        while !Task.isCancelled {
            let document = try await client.document(.get, "/api/v1/triggers")
            let now = client.reactor.now
            let triggers = document["triggers"]?.arrayValue ?? []
            let done = Self.done(triggers)
            let seconds = before.map { (now - $0.at).inSeconds } ?? 0
            let perSecond = done.reduce(into: [String: Double]()) { result, entry in
                guard let earlier = before?.done[entry.key], seconds > 0 else { return }
                result[entry.key] = Double(entry.value - earlier) / seconds
            }
            let table = TriggerTable(triggers, perSecond: perSecond).text
            // Home, the table with the rest of each line erased, then the rest of the screen.
            Terminal.print(redraws ? "\u{1B}[H\u{1B}[2J\(table)" : table)
            guard Terminal.isWritable else { return }
            before = (now, done)
            await client.reactor.pause(for: interval)
        }
    }

    /// Records dealt with, by trigger.
    private static func done(_ triggers: [JSONValue]) -> [String: Int] {
        triggers.reduce(into: [:]) { result, trigger in
            guard let name = trigger["name"]?.stringValue, let records = trigger["records"] else { return }
            let members = ["succeeded", "dead_lettered", "filtered", "cancelled"]
            let counts = members.map { records[$0]?.integerValue ?? 0 }
            result[name] = counts.reduce(0, +)
        }
    }
}
