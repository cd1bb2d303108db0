// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration

/// One trigger for people, in full.
struct TriggerText {
    let text: String

    /// - Parameter trigger: As the admin API tells of it.
    init(_ trigger: JSONValue) {
        let state = trigger["state"]?.stringValue ?? ""
        var lines = ["\(trigger["name"]?.stringValue ?? "")  \(state)"]
        if let detail = trigger["detail"]?.stringValue { lines.append("  \(Terminal.visible(detail))") }
        lines += ["", Terminal.table(Self.facts(trigger).map { ["  \($0.0)", $0.1] })]
        let partitions = Self.partitions(trigger)
        if !partitions.isEmpty {
            lines += ["", Terminal.table([["  PARTITION", "COMMITTED", "LAG", "STATE"]] + partitions)]
        }
        let gaps = Self.gaps(trigger)
        if !gaps.isEmpty {
            lines += ["", Terminal.table([["  GAP FOUND", "PARTITION", "WHAT IS MISSING"]] + gaps)]
        }
        self.text = lines.joined(separator: "\n")
    }

    private static func facts(_ trigger: JSONValue) -> [(String, String)] {
        let counts = { (group: String, name: String) in trigger[group]?[name]?.text ?? "0" }
        // Only schedules know it.
        let cancelled = counts("records", "cancelled") == "0" ? [] : ["cancelled"]
        let members = ["succeeded", "filtered", "dead_lettered"] + cancelled + ["released", "in_flight"]
        let records = members.map {
            "\(counts("records", $0)) \($0.replacing("_", with: " "))"
        }
        let durations = ["p50", "p99"].compactMap { name in
            trigger["durations"]?["\(name)_seconds"]?.numberValue.map {
                "\(name) \(Milliseconds.text($0 * 1000))"
            }
        }
        let calls =
            "\(counts("invocations", "total")), \(counts("invocations", "failures")) failed, "
            + "\(counts("invocations", "throttled")) throttled, \(counts("invocations", "bisects")) bisected, "
            + "\(counts("invocations", "in_flight")) in flight"
        var facts = [
            ("source", trigger["source_type"]?.stringValue ?? ""),
            ("function", trigger["function"]?.stringValue ?? ""),
            ("records", "\(counts("records", "received")) received = \(records.joined(separator: " + "))"),
            ("invocations", ([calls] + durations).joined(separator: "; ")),
            (
                "commits",
                "\(counts("invocations", "commits")), \(counts("invocations", "commit_failures")) refused"
            ),
            ("lag", trigger["lag_records"]?.integerValue.map { "\($0) records" } ?? "not known"),
            ("restarts", trigger["restarts"]?.text ?? "0"),
            ("last progress", trigger["last_progress"]?.stringValue ?? "none yet"),
        ]
        if let failure = trigger["last_failure"] {
            let error = failure["error"]
            let words = [error?["type"]?.stringValue, error?["message"]?.stringValue].compactMap(\.self)
            let line = words.joined(separator: ": ").prefix { $0 != "\n" }
            facts.append(("last failure", "\(failure["at"]?.stringValue ?? "")  \(line)"))
        }
        if let total = trigger["gaps"]?.integerValue, total > 0 {
            let shown = trigger["latest_gaps"]?.arrayValue?.count ?? 0
            let which = shown < total ? "the latest \(shown) are below" : "see below"
            facts.append(("gaps", "records were missing upstream \(total) times; \(which)"))
        }
        return facts
    }

    private static func gaps(_ trigger: JSONValue) -> [[String]] {
        (trigger["latest_gaps"]?.arrayValue ?? []).map { gap in
            let texts = ["at", "partition", "detail"].map { gap[$0]?.stringValue ?? "" }
            return ["  \(texts[0])"] + texts.dropFirst().map(Terminal.visible)
        }
    }

    private static func partitions(_ trigger: JSONValue) -> [[String]] {
        let lags = trigger["lag"]?.arrayValue ?? []
        let blocked = trigger["blocked_partitions"]?.arrayValue ?? []
        return (trigger["partitions"]?.arrayValue ?? []).compactMap(\.stringValue).map { name in
            let lag = lags.first { $0["partition"]?.stringValue == name }
            let block = blocked.first { $0["partition"]?.stringValue == name }
            let state = block.map {
                $0["refused"] == .boolean(true)
                    ? "blocked: the dead-letter destination refuses"
                    : "blocked after \($0["attempts"]?.text ?? "0") attempts"
            }
            return [
                "  \(name)", lag?["committed"]?.stringValue ?? "-", lag?["records"]?.text ?? "-",
                state ?? "moving",
            ]
        }
    }
}
