// SPDX-License-Identifier: Apache-2.0

import Glibc
import PenstockAdmin
import PenstockConfiguration
import PenstockRuntime
import Synchronization

extension JSONLines {
    /// - Throws: ``CommandFailure`` unless the last line of a redrive says that all was tried.
    func requireEnd() throws {
        let last = self.last
        if last?["done"] == .boolean(true) { return }
        let reason = last?["error"]?["message"]?.stringValue
        throw CommandFailure(
            .failed,
            "redrive-stopped",
            reason.map { "the redrive stopped: \($0)" }
                ?? "Penstock stopped before the redrive was done; what is left is in `penstock dlq list`"
        )
    }
}

/// Shows a redrive while it goes on: a bar on a terminal, else a line for each letter.
final class RedriveProgress: Sendable {
    /// Where it is shown.
    enum Style {
        /// A bar on standard error, and failures as lines above it.
        case bar(width: Int)
        /// A line for each letter on standard output.
        case lines
        /// Nothing: a program wants the envelope at the end.
        case silent
    }

    private struct State {
        var outcomes: [JSONValue] = []
        var counts: [Redriver.Outcome.Kind: Int] = [:]
    }

    private let style: Style
    private let began = ContinuousClock.now
    private let state = Mutex(State())

    init(_ style: Style) {
        self.style = style
    }

    /// The style for an output format and what standard error is.
    static func style(_ format: OutputFormat) -> Style {
        guard format == .text else { return .silent }
        return isatty(STDERR_FILENO) == 1 ? .bar(width: Terminal.width) : .lines
    }

    /// One more letter.
    func add(_ outcome: JSONValue) {
        guard let kind = outcome["outcome"]?.stringValue.flatMap({ Redriver.Outcome.Kind(rawValue: $0) })
        else {
            return
        }
        self.state.withLock { state in
            state.outcomes.append(outcome)
            state.counts[kind, default: 0] += 1
            switch self.style {
            case .silent: break
            case .lines: Terminal.print(Self.line(outcome, kind))
            case .bar(let width):
                if kind == .failed {
                    Terminal.complain("\r\u{1B}[K", newline: false)
                    Terminal.print(Self.line(outcome, kind))
                }
                let total = max(outcome["total"]?.integerValue ?? 0, state.outcomes.count)
                let bar = Self.bar(state.outcomes.count, of: total, Self.summary(state.counts), width: width)
                Terminal.complain("\r\u{1B}[K\(bar)", newline: false)
            }
        }
    }

    /// Wipes the bar.
    func end() {
        if case .bar = self.style { Terminal.complain("\r\u{1B}[K", newline: false) }
    }

    /// What became of all.
    var outcome: Outcome {
        let (outcomes, counts) = self.state.withLock { ($0.outcomes, $0.counts) }
        let summary = Self.summary(counts)
        let stayed = counts[.failed, default: 0] + counts[.skipped, default: 0]
        let seconds = Double(((ContinuousClock.now - self.began) / .milliseconds(10)).rounded()) / 100
        var text = outcomes.isEmpty ? "no dead letter matches" : "\(summary) in \(seconds) s"
        if stayed > 0 { text += "; what did not succeed is still in `penstock dlq list`" }
        return Outcome(
            text: text,
            result: .document(("summary", .string(summary)), ("outcomes", .array(outcomes))),
            exitCode: stayed > 0 ? 1 : 0
        )
    }

    private static func summary(_ counts: [Redriver.Outcome.Kind: Int]) -> String {
        Redriver.Outcome.Kind.allCases.map { "\(counts[$0, default: 0]) \($0.rawValue)" }
            .joined(separator: ", ")
    }

    private static func line(_ outcome: JSONValue, _ kind: Redriver.Outcome.Kind) -> String {
        let id = outcome["id"]?.text ?? ""
        if kind == .skipped { return "\(id) skipped: an earlier letter of its partition failed" }
        guard let error = outcome["error"] else { return "\(id) \(kind.rawValue)" }
        let words = [error["type"]?.stringValue, error["message"]?.stringValue].compactMap(\.self)
        return Terminal.visible("\(id) \(kind.rawValue): \(words.joined(separator: ": "))")
    }

    /// `[####----]  50% 4/8  3 succeeded, 1 failed, 0 skipped`, no wider than the terminal.
    static func bar(_ done: Int, of total: Int, _ summary: String, width: Int) -> String {
        let tail = " \(done * 100 / max(1, total))% \(done)/\(total)  \(summary)"
        let room = width - tail.count - 3
        guard room >= 5 else { return String(tail.dropFirst().prefix(max(0, width - 1))) }
        let full = done * min(room, 40) / max(1, total)
        let empty = min(room, 40) - full
        return "[" + String(repeating: "#", count: full) + String(repeating: "-", count: empty) + "]" + tail
    }
}
