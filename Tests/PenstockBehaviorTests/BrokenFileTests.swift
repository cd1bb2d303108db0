// SPDX-License-Identifier: Apache-2.0

import PenstockBehavior
import PenstockConfiguration
import Testing

/// What is said about test files that are wrong.
@Suite struct BrokenFileTests {
    @Test(
        "A mistake is found, with its place and the way out",
        arguments: [
            (
                "recrods: [{}]\nexpect: { filtered: [] }",
                #"3:5: error: unknown key "recrods" in case; did you mean"#
            ),
            (
                "records: [{}]\nexpect: {}",
                #""expect" expects nothing; give one of invocations, dead_letters"#
            ),
            ("records: [{}]\nexpect: { invocations: 2 }", "there is no record 2: the case has one"),
            (
                "records: [{ count: 4 }]\nanswers: [{ holds: 5, answer: throw }]\nexpect: { filtered: [] }",
                "there is no record 5: the case has 4"
            ),
            ("records: [{}]\nexpect: { invocations: 5-1 }", "the range 5-1 runs backwards; write 1-5"),
            (
                "records: [{}]\nexpect: { invocations: 1 at once }",
                "one duration such as 500ms or 5s follows \"at\""
            ),
            ("records: [{}]\nexpect: { invocations: [..., 1] }", "\"...\" can only be the last"),
            (
                "records: [{}]\nexpect: { dead_letters: 1 Rejectd }",
                #""Rejectd" is no reason; did you mean "Rejected"?"#
            ),
            ("records: [{}]\nexpect: { checkpoints: { a-0: x } }", "must be a position such as 10, or none"),
            (
                "records: [{}]\nanswers: [{ answer: trow }]\nexpect: { filtered: [] }",
                #"did you mean "throw"? [bad-enum]"#
            ),
            (
                "records: [{ value: x, base64: eA== }]\nexpect: { filtered: [] }",
                #""base64" and "value" both give the body; keep one of them"#
            ),
            ("records: [{ base64: \"%\" }]\nexpect: { filtered: [] }", "must be a text in base64"),
            (
                "records: [{ position: 5 }, { position: 5 }]\nexpect: { filtered: [] }",
                "position 5 does not follow 5 in a-0; a source delivers a partition in order"
            ),
            (
                "records: [{ at: 5s }, { at: 1s }]\nexpect: { filtered: [] }",
                "it arrives before the record before it in a-0"
            ),
            (
                "trigger: itms\nrecords: [{}]\nexpect: { filtered: [] }",
                #"there is no "itms" in triggers; did you mean "items"? [unknown-reference]"#
            ),
            (
                "trigger:\nrecords: [{}]\nexpect: { filtered: [] }",
                #""trigger" has no value"#
            ),
        ]
    )
    func broken(body: String, finding: String) {
        let lines = body.hasPrefix("trigger:") ? body : body + "\ntrigger: all"
        let text = "cases:\n  - name: a case\n" + lines.split(separator: "\n").map { "    \($0)\n" }.joined()
        let result = BehaviorFixture.read(text)
        #expect(result.value == nil)
        let found = result.findings.map(\.description)
        #expect(found.contains { $0.hasPrefix("t/x.test.yaml:") && $0.contains(finding) }, "\(found)")
    }

    @Test("With several triggers a case must say which one it tests")
    func noTrigger() {
        let text = "cases: [{ name: a, records: [{}], expect: { filtered: [] } }]"
        #expect(
            BehaviorFixture.read(text).findings.map(\.description) == [
                "t/x.test.yaml:1:9: error: the case must say which trigger it tests; known are all, items, keys, windows [missing-key]"
            ]
        )
    }

    @Test("Two cases of one name, and a configuration that is not there, are errors")
    func names() {
        let one = "{ name: a, trigger: all, records: [{}], expect: { filtered: [] } }"
        let twice = BehaviorFixture.read("cases: [\(one), \(one)]")
        #expect(twice.findings.map(\.message) == ["two cases are called \"a\""])
        let lost = BehaviorFixture.read("config: other.yaml\ncases: [\(one)]")
        #expect(lost.findings.map(\.place.file) == ["t/other.yaml"])
        #expect(lost.findings.map(\.code) == [.missingFile])
    }

    @Test("Item failures of a trigger that does not look at them are a warning")
    func unheard() {
        let result = BehaviorFixture.read(
            """
            cases:
              - { name: a, trigger: all, records: [{}], answers: [{ answer: { fail_items: 1 } }], expect: { filtered: [] } }

            """
        )
        #expect(result.value != nil)
        #expect(result.findings.map(\.severity) == [.warning])
        #expect(result.findings.first?.suggestion == "set failure.report_item_failures in the configuration")
    }

    @Test("The environment of a test file fills the configuration's placeholders")
    func environment() async throws {
        let report = try await BehaviorFixture.run(
            """
            environment: { TOPIC: b }
            cases:
              - { name: a, trigger: all, records: [{ key: k }], expect: { checkpoints: { b-0: 1 } } }

            """
        )
        #expect(report.failureCount == 0, "\(report.text)")
    }
}
