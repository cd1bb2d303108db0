// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore

/// One expectation that was not met.
package struct BehaviorFailure: Sendable {
    /// A line of a comparison.
    package struct Row: Sendable {
        /// What the line is about: the number of an invocation, the name of a partition.
        package var label: String
        /// Empty where nothing is expected.
        package var expected: String
        /// Empty where nothing came.
        package var actual: String
        /// What else is known about it.
        package var remark = ""
        /// Whether the two differ.
        package var differs: Bool
    }

    /// Where the expectation stands.
    package var place: Place
    /// What was expected: `invocations`.
    package var subject: String
    /// What is wrong, in one sentence.
    package var message: String
    /// Both sides, line by line.
    package var rows: [Row] = []

    /// A case that never comes to an end.
    static func endless(_ test: BehaviorCase, _ limit: String) -> Self {
        Self(
            place: test.place,
            subject: "end",
            message: "the case was not over after \(limit); say with `until` when to look"
        )
    }
}

/// What came of a case.
package struct BehaviorOutcome: Sendable {
    /// The case.
    package let test: BehaviorCase
    /// Its trigger.
    package let trigger: String
    /// What happened.
    package let observation: Observation
    /// What was still on its way at the end.
    package let unsettled: RecordNumbers
    /// What was not as expected.
    package let failures: [BehaviorFailure]

    /// Whether all was as expected.
    package var hasPassed: Bool { self.failures.isEmpty }
}

/// What came of the cases of a file.
package struct BehaviorReport: Sendable {
    /// The file, as it was named.
    package let file: String
    /// In the order of the file.
    package let outcomes: [BehaviorOutcome]

    /// How many cases failed.
    package var failureCount: Int { self.outcomes.count { !$0.hasPassed } }
}

// MARK: - Text

extension BehaviorReport {
    /// For people: a line for each case, and below it what was not as expected.
    package var text: String {
        ([self.file] + self.outcomes.map(\.text)).joined(separator: "\n")
    }

    /// The last line over several files: `3 cases: 2 passed, 1 failed`.
    package static func summary(_ reports: [BehaviorReport]) -> String {
        let count = reports.reduce(0) { $0 + $1.outcomes.count }
        let failed = reports.reduce(0) { $0 + $1.failureCount }
        let cases = count == 1 ? "1 case" : "\(count) cases"
        return failed == 0 ? "\(cases) passed" : "\(cases): \(count - failed) passed, \(failed) failed"
    }
}

extension BehaviorOutcome {
    fileprivate var text: String {
        let count = self.observation.calls.count
        let calls = count == 1 ? "1 invocation" : "\(count) invocations"
        let duration = self.observation.lastSettled.map { " in \($0.configurationText)" } ?? ""
        let head = "  \(self.hasPassed ? "ok  " : "FAIL")  \(self.test.name.value) (\(calls)\(duration))"
        return ([head] + self.failures.map(\.text)).joined(separator: "\n")
    }
}

extension BehaviorFailure {
    /// What is wrong and where, then both sides beside each other, the first difference marked.
    package var text: String {
        let head = "        \(self.place): \(self.message)"
        guard !self.rows.isEmpty else { return head }
        let first = self.rows.firstIndex { $0.differs } ?? 0
        let shown = max(0, first - Self.rowsAround)..<min(self.rows.count, first + Self.rowsAround + 1)
        let title = ["", "expected", "actual", ""]
        let cells = [title] + self.rows[shown].map { [$0.label, $0.expected, $0.actual, $0.remark] }
        let widths = (0..<4).map { column in cells.map { $0[column].count }.max() ?? 0 }
        var lines = cells.enumerated().map { index, row in
            let mark = index == first - shown.lowerBound + 1 ? ">" : " "
            let padded = zip(row, widths).enumerated().map { column, cell in
                let blanks = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? blanks + cell.0 : cell.0 + blanks
            }
            let line = "        \(mark) " + padded.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
        if shown.lowerBound > 0 { lines.insert("            … \(shown.lowerBound) more", at: 1) }
        let below = self.rows.count - shown.upperBound
        if below > 0 { lines.append("            … \(below) more") }
        return ([head] + lines).joined(separator: "\n")
    }

    /// Lines shown above and below the first difference.
    private static let rowsAround = 10
}

// MARK: - JSON

extension BehaviorReport {
    /// For programs.
    package var document: JSONValue {
        .object([
            .init("file", .string(self.file)),
            .init("passed", .integer(self.outcomes.count - self.failureCount)),
            .init("failed", .integer(self.failureCount)),
            .init("cases", .array(self.outcomes.map(\.document))),
        ])
    }
}

extension BehaviorOutcome {
    private static func text(_ duration: Duration?) -> JSONValue {
        duration.map { .string($0.configurationText) } ?? .null
    }

    fileprivate var document: JSONValue {
        let observation = self.observation
        let calls = observation.calls.map { call in
            JSONValue.object([
                .init("records", .string(call.records.description)),
                .init("at", Self.text(call.begin)),
                .init("ended", Self.text(call.end)),
                .init("answer", .string(call.answer)),
            ])
        }
        let letters = observation.deadLetters.sorted { $0.key < $1.key }.map { number, reason in
            JSONValue.object([.init("record", .integer(number)), .init("reason", .string(reason.rawValue))])
        }
        let checkpoints = observation.checkpoints.sorted { $0.key < $1.key }.map {
            JSONValue.Member($0.key, .string($0.value.description))
        }
        return .object([
            .init("name", .string(self.test.name.value)),
            .init("trigger", .string(self.trigger)),
            .init("line", self.test.place.line.map { .integer($0) } ?? .null),
            .init("ok", .boolean(self.hasPassed)),
            .init("invocations", .array(calls)),
            .init("dead_letters", .array(letters)),
            .init("checkpoints", .object(checkpoints)),
            .init("succeeded", .string(observation.succeeded.description)),
            .init("filtered", .string(observation.filtered.description)),
            .init("unsettled", .string(self.unsettled.description)),
            .init("duration", Self.text(observation.lastSettled)),
            .init("failures", .array(self.failures.map(\.document))),
        ])
    }
}

extension BehaviorFailure {
    fileprivate var document: JSONValue {
        let rows = self.rows.map { row in
            JSONValue.object([
                .init("label", .string(row.label)),
                .init("expected", .string(row.expected)),
                .init("actual", .string(row.actual)),
                .init("differs", .boolean(row.differs)),
            ])
        }
        return .object([
            .init("file", .string(self.place.file)),
            .init("line", self.place.line.map { .integer($0) } ?? .null),
            .init("column", self.place.column.map { .integer($0) } ?? .null),
            .init("subject", .string(self.subject)),
            .init("message", .string(self.message)),
            .init("rows", .array(rows)),
        ])
    }
}

// MARK: - JUnit

extension BehaviorReport {
    /// For continuous integration: the XML of JUnit, a test suite for each file.
    ///
    /// Times are those of the virtual clock.
    package static func junit(_ reports: [BehaviorReport]) -> String {
        let count = reports.reduce(0) { $0 + $1.outcomes.count }
        let failed = reports.reduce(0) { $0 + $1.failureCount }
        let head = [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<testsuites name=\"penstock test\" tests=\"\(count)\" failures=\"\(failed)\" errors=\"0\">",
        ]
        return (head + reports.flatMap(\.junitLines) + ["</testsuites>"]).joined(separator: "\n")
    }

    private var junitLines: [String] {
        let attributes = "tests=\"\(self.outcomes.count)\" failures=\"\(self.failureCount)\" errors=\"0\""
        return ["  <testsuite name=\(xml(self.file)) \(attributes)>"]
            + self.outcomes.flatMap { $0.junitLines(self.file) } + ["  </testsuite>"]
    }
}

extension BehaviorOutcome {
    fileprivate func junitLines(_ file: String) -> [String] {
        let name = "name=\(xml(self.test.name.value)) classname=\(xml(self.trigger))"
        let line = self.test.place.line.map { " line=\"\($0)\"" } ?? ""
        let seconds = (self.observation.lastSettled ?? .zero).inSeconds
        let head = "    <testcase \(name) file=\(xml(file))\(line) time=\"\(JSONValue.number(seconds).text)\""
        if self.hasPassed { return [head + "/>"] }
        let failures = self.failures.map { failure in
            let attributes = "type=\(xml(failure.subject)) message=\(xml(failure.message))"
            return "      <failure \(attributes)>\(escaped(failure.text))</failure>"
        }
        return [head + ">"] + failures + ["    </testcase>"]
    }
}

/// A value of an XML attribute, with quotes.
private func xml(_ text: String) -> String {
    "\"" + escaped(text).replacing("\"", with: "&quot;").replacing("\n", with: "&#10;") + "\""
}

/// Text of an XML element; characters that XML cannot hold become U+FFFD.
private func escaped(_ text: String) -> String {
    text.unicodeScalars.map { scalar in
        switch scalar {
        case "&": "&amp;"
        case "<": "&lt;"
        case ">": "&gt;"
        case "\n", "\t": String(scalar)
        case "\0"..<" ", "\u{FFFE}", "\u{FFFF}": "\u{FFFD}"
        default: String(scalar)
        }
    }.joined()
}
