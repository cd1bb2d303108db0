// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// `penstock test` as it is run.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct BehaviorCommandTests {
    @Test("The exit code says whether all passed, one failed, or the file is not valid")
    func exitCodes() throws {
        let passed = try Self.run("1-3")
        #expect(passed.status == 0)
        #expect(passed.output.hasSuffix("1 case passed\n"))
        let failed = try Self.run("1-2")
        #expect(failed.status == 1)
        #expect(failed.output.contains("a.test.yaml:4:28: invocations: the 1st differs"))
        let invalid = try Self.run("1-4")
        #expect(invalid.status == 2)
        #expect(invalid.output.isEmpty)
        #expect(invalid.errors.contains("a.test.yaml:4:28: error: there is no record 4: the case has 3"))
        #expect(try CommandRun(["test", "b.test.yaml"], configuration: nil).status == 3)
        #expect(try CommandRun(["test"], configuration: nil).status == 2)
    }

    @Test("junit prints XML, json the envelope")
    func formats() throws {
        let junit = try Self.run("1-2", "--format", "junit")
        #expect(junit.status == 1)
        #expect(junit.output.hasPrefix("<?xml") && junit.output.hasSuffix("</testsuites>\n"))
        let envelope = try Self.run("1-3", "--format", "json").document()
        #expect(envelope["command"] as? String == "test")
        #expect(envelope["ok"] as? Bool == true)
        #expect((envelope["result"] as? [String: Any])?["passed"] as? Int == 1)
    }

    @Test("docs/TESTING.md ends with what the field tables say; `penstock docs --tests` prints it")
    func reference() throws {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "docs/TESTING.md"), encoding: .utf8)
        #expect(page.hasSuffix(try CommandRun(["docs", "--tests"], configuration: nil).output))
        let schema = try CommandRun(["schema", "--tests"], configuration: nil).document()
        #expect((schema["properties"] as? [String: Any])?["cases"] != nil)
    }

    private static func run(_ invocations: String, _ arguments: String...) throws -> CommandRun {
        let folder = try TemporaryFolder()
        let configuration = """
            functions:
              f:
                http: { url: "http://localhost:1/" }
            triggers:
              orders:
                source: { kafka: { brokers: ["localhost:1"], topics: [orders], group: g } }
                function: f

            """
        let test = """
            cases:
              - name: a case
                records: [{ count: 3 }]
                expect: { invocations: \(invocations) }

            """
        try Data(configuration.utf8).write(to: folder.url.appending(path: "connectors.yaml"))
        try Data(test.utf8).write(to: folder.url.appending(path: "a.test.yaml"))
        return try CommandRun(["test"] + arguments, in: folder.url)
    }
}
