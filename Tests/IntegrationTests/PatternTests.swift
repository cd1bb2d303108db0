// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// `penstock pattern test`, and filters in a configuration.
@Suite(.ownThreads, .timeLimit(.minutes(2)))
struct PatternTests {
    private static let paid = #"{"value": {"status": ["paid"], "total": [{"numeric": [">", 100]}]}}"#

    private static func run(
        _ pattern: String,
        _ event: String,
        _ more: [String] = [],
        name: String = "p.json"
    ) throws
        -> CommandRun
    {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "pattern-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (patternFile, eventFile) = (
            folder.appendingPathComponent(name), folder.appendingPathComponent("e.json")
        )
        try Data(pattern.utf8).write(to: patternFile)
        try Data(event.utf8).write(to: eventFile)
        return try CommandRun(
            ["pattern", "test", "--pattern", patternFile.path, "--event", eventFile.path] + more,
            configuration: nil
        )
    }

    @Test("A match exits with 0, no match with 1, and both say so")
    func answers() throws {
        let yes = try Self.run(Self.paid, #"{"value": {"status": "paid", "total": 120}}"#)
        #expect(yes.status == 0)
        #expect(yes.output == "match\n")
        let no = try Self.run(
            Self.paid,
            #"{"value": {"status": "paid", "total": 20}}"#,
            ["--format", "json"]
        )
        #expect(no.status == 1)
        let envelope = try no.document()
        #expect(envelope["ok"] as? Bool == false)
        #expect((envelope["result"] as? [String: Any])?["match"] as? Bool == false)
    }

    @Test("An invalid pattern exits with 2 and points into the pattern, in JSON and in YAML")
    func invalid() throws {
        let json = try Self.run(#"{"value": {"status": "paid"}}"#, "{}")
        #expect(json.status == 2)
        #expect(
            json.errors.contains(
                "p.json:1:22: error: \"status\" must be a list of values or a mapping of fields"
            )
        )
        let yaml = try Self.run("value:\n  status: [{ prefx: a }]\n", "{}", name: "p.yaml")
        #expect(yaml.status == 2)
        #expect(
            yaml.errors.contains("p.yaml:2:14: error: unknown operator \"prefx\"; did you mean \"prefix\"?")
        )
        let envelope = try Self.run("{", "{}", ["--format", "json"]).document()
        #expect((envelope["error"] as? [String: Any])?["code"] as? String == "invalid-pattern")
        #expect((envelope["findings"] as? [Any])?.count == 1)
    }

    @Test(
        "An event that is not a JSON object, or a file that is not there, exits with 2",
        arguments: ["", "[]", "{\"a\":}"]
    )
    func invalidEvent(event: String) throws {
        let answer = try Self.run(Self.paid, event)
        #expect(answer.status == 2)
        #expect(answer.errors.contains("the event is not a JSON object"))
        #expect(
            try CommandRun(["pattern", "test", "--pattern", "none", "--event", "-"], configuration: nil)
                .status == 2
        )
    }

    @Test("Filters of a trigger are checked with it: patterns, fields, and what becomes of the others")
    func configuration() throws {
        func validate(_ filters: String) throws -> CommandRun {
            try CommandRun(
                ["validate"],
                configuration: """
                    functions: { echo: { local: { command: [cat] } } }
                    triggers:
                      orders:
                        source: { kafka: { brokers: ["127.0.0.1:1"], topics: [orders], group: g } }
                        function: echo
                    \(filters)

                    """
            )
        }
        #expect(try validate("    filters: [\(Self.paid)]\n    filtered: dead_letter").status == 0)
        let wrong = try validate(
            "    filters: [{ body: [1] }, { value: { a: [{ numeric: [\"~\", 1] }] } }]\n    filtered: release"
        )
        #expect(wrong.status == 2)
        let lines = wrong.errors.split(separator: "\n")
        #expect(lines.first?.hasPrefix("connectors.yaml:6:57: error: \"~\" is not a comparison") == true)
        let fields = try validate("    filters: [{ body: [1] }]\n    filtered: release").errors
        #expect(
            fields.contains(
                "connectors.yaml:6:17: error: records of kafka have no field \"body\"; their fields are "
            )
        )
        #expect(fields.contains("\"filtered\" cannot be release: kafka cannot give single records back"))
        let idle = try validate("    filtered: dead_letter")
        #expect(idle.status == 0)
        #expect((idle.output + idle.errors).contains("warning: \"filtered\" does nothing without filters"))
    }
}
