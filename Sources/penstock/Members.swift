// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import PenstockAdmin
import PenstockConfiguration
import PenstockRuntime

/// `penstock members`.
struct Members: AnsweringCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the Penstocks that share a Postgres store, and what each holds.",
        discussion: """
            Asks the Penstock of this configuration; each of them knows all. A member is gone from the list 10 s after \
            it was last heard of.

            Exit codes: 0 done, 2 the configuration is not valid, 3 no Penstock or no store answers.

            Examples:
              penstock members
              penstock members --leases
              penstock members --format json
            """
    )

    @Flag(help: "Show each lease with its holder.") var leases = false
    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "members" }

    func answer() async throws -> Outcome {
        let admin = try self.config.plan().plan.admin
        let document = try await AdminClient.with(admin) { try await $0.document(.get, "/api/v1/members") }
        return Outcome(text: Self.text(document, leases: self.leases), result: document)
    }

    /// Whether only the member's own machine can use an address.
    private static func isNear(_ address: String) -> Bool {
        address.hasPrefix("127.") || address.hasPrefix("localhost:") || address.hasPrefix("[::1]:")
    }

    private static func text(_ document: JSONValue, leases: Bool) -> String {
        guard document["shared"] == .boolean(true) else {
            return "One Penstock: its state is a file, which it shares with nobody (docs/CLUSTER.md)."
        }
        let members = (document["members"]?.arrayValue ?? []).map { member in
            [
                (member["name"]?.stringValue ?? "") + (member["self"] == .boolean(true) ? " (this one)" : ""),
                member["version"]?.stringValue ?? "", member["started"]?.stringValue ?? "",
                member["leases"]?.text ?? "0", member["admin"]?.stringValue ?? "-",
            ]
        }
        var table = Terminal.table([["MEMBER", "VERSION", "SINCE", "LEASES", "ADMIN"]] + members)
        if members.count > 1, members.contains(where: { Self.isNear($0[4]) }) {
            table += "\n127.0.0.1 is an address on that member's machine only; admin.advertise names another."
        }
        guard leases else { return table }
        let lines = (document["leases"]?.arrayValue ?? []).map { lease in
            [
                lease["name"]?.stringValue ?? "", lease["owner"]?.stringValue ?? "nobody",
                lease["epoch"]?.text ?? "", lease["asked_by"]?.stringValue.map { "asked for by \($0)" } ?? "",
            ]
        }
        return table + "\n\n" + Terminal.table([["LEASE", "HOLDER", "EPOCH", ""]] + lines)
    }
}
