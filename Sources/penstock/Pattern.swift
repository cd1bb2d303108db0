// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import PenstockAdmin
import PenstockConfiguration
import PenstockFilters

/// `penstock pattern`.
struct Pattern: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Filter patterns: does one match?",
        subcommands: [PatternTest.self]
    )
}

/// `penstock pattern test`.
struct PatternTest: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Says whether a filter pattern matches an event.",
        discussion: """
            The event is a JSON object; the pattern is in JSON, or in YAML when its file ends in .yaml or .yml. To try a \
            filter of a trigger, write a record the way its source has it, such as {"value": {"status": "paid"}}. \
            docs/FILTERS.md shows the language.

            Exits with 0 when it matches, 1 when it does not, 2 when the pattern or the event is invalid.

            Examples:
              penstock pattern test --pattern paid.json --event order.json
              echo '{"value": {"status": "paid"}}' | penstock pattern test --pattern paid.yaml --event -
            """
    )

    @Option(help: "A file with the pattern, or - for standard input.") var pattern: String
    @Option(help: "A file with the event, or - for standard input.") var event: String
    @OptionGroup var output: FormatOptions

    var title: String { "pattern test" }

    func answer() async throws -> Outcome {
        guard self.pattern != "-" || self.event != "-" else {
            throw CommandFailure(.invalid, "usage", "only one of --pattern and --event can be standard input")
        }
        let (pattern, findings) = try self.readPattern()
        let event = try Self.read(self.event, "event")
        switch PatternMatcher([pattern]).match(event) {
        case .unreadable:
            let document = ConfigurationLoader.parseJSON(event, file: self.event)
            throw CommandFailure(
                .invalid,
                "invalid-event",
                "the event is not a JSON object nested at most 512 deep",
                findings: document.findings
            )
        case .match: return Self.outcome(isMatch: true, findings)
        case .noMatch: return Self.outcome(isMatch: false, findings)
        }
    }

    private static func outcome(isMatch: Bool, _ findings: [Finding]) -> Outcome {
        let lines = findings.map(\.description) + [isMatch ? "match" : "no match"]
        return Outcome(
            text: lines.joined(separator: "\n"),
            result: .document(("match", .boolean(isMatch))),
            findings: findings,
            exitCode: isMatch ? 0 : 1
        )
    }

    private func readPattern() throws -> (EventPattern, [Finding]) {
        let bytes = try Self.read(self.pattern, "pattern")
        let isYAML = self.pattern.hasSuffix(".yaml") || self.pattern.hasSuffix(".yml")
        let document =
            isYAML
            ? ConfigurationLoader.process.parse(String(decoding: bytes, as: UTF8.self), file: self.pattern)
            : ConfigurationLoader.parseJSON(bytes, file: self.pattern)
        var findings = document.findings
        let pattern = EventPattern(document.root, path: .root, findings: &findings)
        findings = findings.inOrder
        guard let pattern, !findings.hasErrors else {
            throw CommandFailure(.invalid, "invalid-pattern", "the pattern is invalid", findings: findings)
        }
        return (pattern, findings)
    }

    private static func read(_ path: String, _ noun: String) throws -> [UInt8] {
        if path == "-" { return [UInt8](FileHandle.standardInput.readDataToEndOfFile()) }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure(.invalid, "no-\(noun)", "the \(noun) \"\(path)\" cannot be read")
        }
        return [UInt8](data)
    }
}
