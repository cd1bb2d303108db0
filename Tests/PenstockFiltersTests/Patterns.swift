// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import Testing

@testable import PenstockFilters

/// A pattern and what is wrong with it, as the command line tells it.
struct ReadPattern {
    let pattern: EventPattern?
    let findings: [Finding]

    /// Reads JSON.
    init(_ json: String) {
        let document = ConfigurationLoader.parseJSON(Array(json.utf8), file: "pattern.json")
        var findings = document.findings
        self.pattern = EventPattern(document.root, path: .root, findings: &findings)
        self.findings = findings.inOrder
    }

    /// `line:column message; suggestion`.
    var lines: [String] {
        self.findings.map { finding in
            let kind = finding.severity == .warning ? "warning: " : ""
            let advice = finding.suggestion.map { "; \($0)" } ?? ""
            return
                "\(finding.place.line ?? 0):\(finding.place.column ?? 0) \(kind)\(finding.message)\(advice)"
        }
    }
}

/// Whether a pattern matches a document, both JSON.
func matches(_ pattern: String, _ event: String) -> PatternMatcher.Outcome? {
    ReadPattern(pattern).pattern.map { PatternMatcher([$0]).match(Array(event.utf8)) }
}

/// A pattern, an event, and whether they match.
struct PatternCase: Sendable, CustomTestStringConvertible {
    let pattern: String
    let event: String
    let isMatch: Bool

    var testDescription: String {
        "\(self.pattern) \(self.isMatch ? "matches" : "does not match") \(self.event)"
    }

    static func yes(_ pattern: String, _ event: String) -> PatternCase {
        PatternCase(pattern: pattern, event: event, isMatch: true)
    }

    static func no(_ pattern: String, _ event: String) -> PatternCase {
        PatternCase(pattern: pattern, event: event, isMatch: false)
    }
}
