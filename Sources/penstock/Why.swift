// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import PenstockAdmin
import PenstockConfiguration
import PenstockRuntime

/// `penstock why`: what became of one record.
struct Why: AnsweringCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tells what became of one record: where it is, what was tried, and why.",
        discussion: """
            Tells whether a filter took the record out and by which condition, its invocations with their batches and \
            what came of them, its dead letter, what it waits for, and how far its partition has come. Latest invocations \
            are kept in memory, within bounds; older ones and those before a start are forgotten. When no Penstock runs, \
            checkpoints and dead letters of the store answer alone.

            The partition is as `triggers show` names it; it can be left out when there is one.

            Exit codes: 0 something is known of the record, 1 it was not received yet, or there is no such trigger or \
            partition, 2 an option or the configuration is not right, 3 no Penstock and no store.

            Examples:
              penstock why orders --at orders-3:1042
              penstock why nightly --at 17
              penstock why orders --at orders-3:1042 --format json | jq .result.invocations
            """,
        aliases: ["explain-record"]
    )

    @Argument(help: "The trigger's name.") var name: String
    @Option(help: "The record: partition and position, such as orders-3:1042.") var at: String
    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "why" }

    func answer() async throws -> Outcome {
        guard let address = RecordAddress(self.at) else {
            throw CommandFailure(.invalid, "bad-address", "--at \(RecordAddress.form)")
        }
        let plan = try self.config.plan().plan
        let path =
            "/api/v1/triggers/\(AdminClient.escaped(self.name))/trace?at=\(AdminClient.escaped(self.at))"
        let answer = try await AdminClient.with(plan.admin) { client in
            try await client.call(.get, path).map { try client.parsed($0) }
        }
        let trace: JSONValue
        if let answer { trace = answer } else { trace = try await self.stored(address, plan) }
        let exitCode: Int32 = trace["seen"] == .boolean(true) ? 0 : 1
        return Outcome(text: TraceText(trace).text, result: trace, exitCode: exitCode)
    }

    /// What the store alone knows.
    private func stored(_ address: RecordAddress, _ plan: Plan) async throws -> JSONValue {
        guard let trigger = plan.triggers.first(where: { $0.name == self.name }) else {
            throw CommandFailure.noTrigger(self.name, plan)
        }
        do {
            return try await plan.withStore { try await RecordTrace(address, of: trigger, in: $0).document }
        } catch let error as RecordTraceError {
            let isBad = if case .noPosition = error { true } else { false }
            throw CommandFailure(isBad ? .invalid : .failed, error.code, error.message)
        }
    }
}

/// What is known of a record, for people.
struct TraceText {
    let text: String

    /// Invocations that are shown at most; `--format json` has all that are known.
    private static let rowsMax = 20

    /// - Parameter trace: As the admin API tells of it.
    init(_ trace: JSONValue) {
        let words = ["trigger", "partition", "position"].map { trace[$0]?.stringValue ?? "" }
        let state = trace["state"]?.stringValue?.replacing("_", with: " ") ?? ""
        var lines = ["\(words[0])  \(words[1]):\(words[2])  \(state)"]
        lines.append("  \(Terminal.visible(trace["detail"]?.stringValue ?? ""))")
        lines += ["", Terminal.table(Self.facts(trace).map { ["  \($0.0)", $0.1] })]
        for miss in trace["filter"]?["misses"]?.arrayValue ?? [] {
            lines.append(Terminal.visible("  not met: \(Self.miss(miss))"))
        }
        let invocations = trace["invocations"]?.arrayValue ?? []
        if !invocations.isEmpty {
            let head = ["  AT", "TOOK", "ATTEMPT", "RECORDS", "VERDICT", "REQUEST ID", "BATCH", "ERROR"]
            let shown = invocations.suffix(Self.rowsMax)
            let title =
                shown.count < invocations.count
                ? "last \(shown.count) of \(invocations.count) invocations" : "invocations"
            lines += ["", title, Terminal.table([head] + shown.map(Self.row))]
        } else if let attempts = trace["history"]?.arrayValue, !attempts.isEmpty {
            lines += ["", "attempts", Terminal.table(attempts.map(LetterText.row))]
        }
        if let letter = trace["dead_letter"] {
            let id = letter["id"]?.text ?? ""
            let reason = letter["reason"]?.stringValue ?? ""
            lines += ["", "dead letter \(id): \(reason); `penstock dlq show \(id)` shows it"]
        }
        self.text = lines.joined(separator: "\n")
    }

    private static func facts(_ trace: JSONValue) -> [(String, String)] {
        var facts: [(String, String)] = []
        for (name, member) in [("received", "received"), ("time", "timestamp")] {
            if let text = trace[member]?.stringValue { facts.append((name, text)) }
        }
        if let key = trace["key"] { facts.append(("key", LetterText.inline(key))) }
        switch trace["filter"] {
        case nil: facts.append(("filters", "none"))
        case .null?: facts.append(("filters", "the record is not at hand any more"))
        case let filter?:
            facts.append(("filters", filter["passes"] == .boolean(true) ? "passed" : "no filter matches"))
        }
        if let attempts = trace["attempts"]?.text { facts.append(("failed attempts", attempts)) }
        if let forgotten = trace["invocations_forgotten"]?.stringValue {
            facts.append(("invocations", "known after \(forgotten)"))
        }
        facts.append(("partition", Self.partition(trace["positions"])))
        return facts
    }

    private static func partition(_ positions: JSONValue?) -> String {
        var words: [String] = []
        if positions?["owned"] != .boolean(true) { words.append("not read here") }
        if let first = positions?["first_received"]?.stringValue,
            let last = positions?["last_received"]?.stringValue
        {
            words.append("received from \(first) to \(last)")
        }
        if let settled = positions?["settled"]?.stringValue { words.append("settled up to \(settled)") }
        words.append(positions?["checkpoint"]?.stringValue.map { "checkpoint \($0)" } ?? "no checkpoint")
        return words.joined(separator: ", ")
    }

    /// A condition that a record does not meet.
    static func miss(_ miss: JSONValue) -> String {
        let joint = miss["joint"] == .boolean(true) ? " (not together with the others)" : ""
        return "\(miss["condition"]?.stringValue ?? "")\(joint)"
    }

    private static func row(_ invocation: JSONValue) -> [String] {
        let batch = (invocation["batch"]?.arrayValue ?? []).prefix(3).map { part in
            let positions = ["first", "last"].map { part[$0]?.stringValue ?? "" }
            let range = positions[0] == positions[1] ? positions[0] : positions.joined(separator: "–")
            return "\(part["partition"]?.stringValue ?? ""):\(range)"
        }
        let more = (invocation["batch"]?.arrayValue?.count ?? 0) > 3 ? " …" : ""
        let error = invocation["error"]
        let words = [error?["type"]?.stringValue, error?["message"]?.stringValue].compactMap(\.self)
        return [
            "  \(invocation["at"]?.stringValue ?? "")",
            invocation["duration_ms"]?.numberValue.map(Milliseconds.text) ?? "under way",
            invocation["attempt"]?.text ?? "", invocation["records"]?.text ?? "",
            invocation["verdict"]?.stringValue ?? "-", invocation["request_id"]?.stringValue ?? "",
            batch.joined(separator: " ") + more,
            String(words.joined(separator: ": ").prefix { $0 != "\n" }.prefix(100)),
        ]
    }
}
