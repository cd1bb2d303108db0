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
        /// The elements of an envelope on standard output.
        case envelope(EnvelopeStream)
    }

    private struct State {
        var counts: [Redriver.Outcome.Kind: Int] = [:]
        /// How many letters there were at the start.
        var total = 0
        var told: Int { self.counts.values.reduce(0, +) }
    }

    private let style: Style
    private let began = ContinuousClock.now
    private let state = Mutex(State())

    init(_ style: Style) {
        self.style = style
    }

    /// The style for an output format and what standard error is.
    static func style(_ format: OutputFormat, _ command: String) -> Style {
        guard format == .text else { return .envelope(EnvelopeStream(command: command, list: "outcomes")) }
        return isatty(STDERR_FILENO) == 1 ? .bar(width: Terminal.width) : .lines
    }

    /// One more line of the report.
    func add(_ event: JSONValue) {
        let kind = event["outcome"]?.stringValue.flatMap { Redriver.Outcome.Kind(rawValue: $0) }
        guard let text = kind.map({ Self.line(event, $0) }) ?? Self.waiting(event) else { return }
        self.state.withLock { state in
            if let kind { state.counts[kind, default: 0] += 1 }
            state.total = max(state.total, event["total"]?.integerValue ?? 0, state.told)
            switch self.style {
            case .envelope(let stream):
                if kind != nil { stream.add(event) }
            case .lines: Terminal.print(text)
            case .bar(let width):
                if Self.isWorthALine(kind, state.counts) {
                    Terminal.complain("\r\u{1B}[K", newline: false)
                    Terminal.print(text)
                }
                let bar = Self.bar(state.told, of: state.total, Self.summary(state.counts), width: width)
                Terminal.complain("\r\u{1B}[K\(bar)", newline: false)
            }
        }
    }

    /// Whether it is shown above the bar: not what is one of many.
    private static func isWorthALine(
        _ kind: Redriver.Outcome.Kind?,
        _ counts: [Redriver.Outcome.Kind: Int]
    ) -> Bool {
        switch kind {
        case .succeeded, .skipped: false
        case .unavailable: counts[.unavailable] == 1
        case .failed, .gone, nil: true
        }
    }

    /// Wipes the bar.
    func end() {
        if case .bar = self.style { Terminal.complain("\r\u{1B}[K", newline: false) }
    }

    /// Why the redrive stopped before all was tried: the end of an envelope that was begun, or a failure to be reported.
    ///
    /// - Throws: `failure`, when nothing is written yet.
    func stopped(by failure: CommandFailure) throws -> Outcome {
        guard case .envelope(let stream) = self.style, stream.hasBegun else { throw failure }
        let summary = Self.summary(self.state.withLock { $0.counts })
        stream.end([.init("summary", .string(summary))], isOK: false, failure: failure)
        return Outcome(text: "", result: .null, exitCode: failure.exit.rawValue, isWritten: true)
    }

    /// What became of all.
    ///
    /// Writes the end of an envelope that was begun: call it once.
    func outcome() -> Outcome {
        let counts = self.state.withLock { state in
            // What was dropped before it was read was told by nobody.
            if state.told < state.total { state.counts[.gone, default: 0] += state.total - state.told }
            return state.counts
        }
        let summary = Self.summary(counts)
        let stayed = [.failed, .skipped, .unavailable].reduce(0) { $0 + counts[$1, default: 0] }
        let gone = counts[.gone, default: 0]
        let seconds = Double(((ContinuousClock.now - self.began) / .milliseconds(10)).rounded()) / 100
        var text = counts.isEmpty ? "no dead letter matches" : "\(summary) in \(seconds) s"
        if stayed > 0 { text += "; what did not succeed is still in `penstock dlq list`" }
        if gone > 0 { text += "; what is gone was dropped or redriven by somebody else" }
        let isOK = stayed + gone == 0
        var outcome = Outcome(
            text: text,
            result: .document(("summary", .string(summary)), ("outcomes", .array([]))),
            exitCode: isOK ? 0 : 1
        )
        if case .envelope(let stream) = self.style, stream.hasBegun {
            stream.end([.init("summary", .string(summary))], isOK: isOK)
            outcome.isWritten = true
        }
        return outcome
    }

    private static func summary(_ counts: [Redriver.Outcome.Kind: Int]) -> String {
        Redriver.Outcome.Kind.allCases.filter { kind in
            switch kind {
            case .succeeded, .failed, .skipped: true
            case .unavailable, .gone: counts[kind] != nil
            }
        }
        .map { "\(counts[$0, default: 0]) \($0.rawValue)" }.joined(separator: ", ")
    }

    private static func line(_ outcome: JSONValue, _ kind: Redriver.Outcome.Kind) -> String {
        let id = outcome["id"]?.text ?? ""
        switch kind {
        case .skipped:
            let failed = outcome["behind"]?.integerValue.map { "letter \($0)" } ?? "an earlier letter"
            return "\(id) skipped: \(failed) comes before it, and failed"
        case .gone: return "\(id) gone: somebody else dropped or redrove it"
        case .succeeded: return "\(id) succeeded"
        case .failed: return "\(id) failed: \(Self.words(outcome["error"]))"
        case .unavailable: return "\(id) unavailable: \(Self.words(outcome["error"]))"
        }
    }

    /// A wait that is long enough to be noticed; nil for others.
    private static func waiting(_ event: JSONValue) -> String? {
        guard let wait = event["waiting_ms"]?.integerValue, wait >= 1000 else { return nil }
        return
            "\(event["id"]?.text ?? "") waits for \(Duration.milliseconds(wait).configurationText), then is "
            + "tried again: \(Self.words(event["error"]))"
    }

    private static func words(_ error: JSONValue?) -> String {
        let words = [error?["type"]?.stringValue, error?["message"]?.stringValue].compactMap(\.self)
        return Terminal.visible(words.joined(separator: ": "))
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
