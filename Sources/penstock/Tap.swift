// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import PenstockAdmin
import PenstockConfiguration
import PenstockRuntime

/// `penstock tap`: the records of a trigger as they come.
struct TapCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tap",
        abstract: "Shows the records that a trigger receives, as they come, until Ctrl-C.",
        discussion: """
            A look, not a copy: a reader that is slow misses records, which are counted, and never slows the trigger. \
            At most 1000 records a second are shown. Records may hold private data, and so does what is printed.

            With --filtered it shows the records that no filter matched, with the conditions that they do not meet. \
            --format json prints an object a line.

            Exit codes: 0 the limit was reached or the trigger ended, 1 there is no such trigger, or it has no filters, \
            2 an option or the configuration is not right, 3 no Penstock answers, or not any more.

            Examples:
              penstock tap orders
              penstock tap orders --filtered --limit 20
              penstock tap orders --format json | jq .body.value
            """
    )

    @Argument(help: "The trigger's name.") var name: String
    @Flag(help: "Only records that no filter matched, and why.") var filtered = false
    @Option(help: "Ends after so many records.") var limit: Int?
    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    @concurrent
    func run() async throws {
        do {
            try await self.listen()
        } catch let error as CommandFailure {
            for finding in error.findings { Terminal.complain(finding.description) }
            Terminal.complain("penstock: \(error.message)")
            throw ExitCode(error.exit.rawValue)
        }
    }

    private func listen() async throws {
        if let limit, limit < 1 {
            throw CommandFailure(.invalid, "bad-limit", "--limit must be a number above 0")
        }
        let admin = try self.config.plan().plan.admin
        let parameters = ["filtered=\(self.filtered)"] + (self.limit.map { ["limit=\($0)"] } ?? [])
        let path =
            "/api/v1/triggers/\(AdminClient.escaped(self.name))/tap?\(parameters.joined(separator: "&"))"
        let format = self.output.format
        let lines = JSONLines { line in
            if line["position"] != nil {
                Terminal.print(format == .json ? line.text : Self.text(line))
                Terminal.endUnlessWritten()
            } else if let skipped = line["skipped"]?.integerValue, skipped > 0 {
                Terminal.complain("penstock: \(skipped) records left out")
            }
        }
        try await AdminClient.with(admin) { client in
            guard try await client.call(.get, path, arrived: { lines.add($0) }) != nil else {
                throw client.notRunning
            }
        }
        let last = lines.last
        guard last?["done"] == .boolean(true) || last?["ended"] == .boolean(true) else {
            throw CommandFailure(.environment, "tap-stopped", "Penstock ended before the tap did")
        }
        if last?["ended"] != nil { Terminal.complain("penstock: the trigger has ended") }
    }

    /// A line with where the record stands, and its body below it.
    private static func text(_ record: JSONValue) -> String {
        var head = ["received", "partition"].map { record[$0]?.stringValue ?? "" }.joined(separator: "  ")
        head += "@\(record["position"]?.stringValue ?? "")"
        if let key = Self.inline(record["key"]) { head += "  key \(key)" }
        let misses = (record["misses"]?.arrayValue ?? []).map { "  not met: \(TraceText.miss($0))" }
        let body = Self.inline(record["body"]) ?? "(no body)"
        return ([head] + misses + ["  \(body)"]).map(Terminal.visible).joined(separator: "\n")
    }

    /// Text as it is, other bytes in base64; nil for none.
    private static func inline(_ value: JSONValue?) -> String? {
        guard let text = value?["value"]?.stringValue else { return nil }
        return value?["encoding"] == .string("base64") ? "base64:\(text)" : text
    }
}
