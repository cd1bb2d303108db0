// SPDX-License-Identifier: Apache-2.0

import PenstockBehavior
import PenstockConfiguration
import Testing

/// How what came of cases is told.
@Suite(.timeLimit(.minutes(5)))
struct BehaviorReportTests {
    private static let file = """
        cases:
          - name: it <passes>
            trigger: items
            records: [{ count: 5 }]
            expect: { invocations: 1-5 }
          - name: it fails & says why
            trigger: items
            records: [{ count: 12 }]
            answers:
              - { holds: 7, answer: { throw: "ValueError: no total" } }
            expect:
              invocations:
                - 1-5
                - 6-9
                - ...
              dead_letters: [3]
              checkpoints: { a-0: 5 }
              filtered: 1
              duration: 5s

        """

    @Test("A failing run shows both sides, the first difference and where the expectation stands")
    func failing() async throws {
        let report = try await BehaviorFixture.run(Self.file)
        #expect(report.text == Self.text)
        #expect(BehaviorReport.summary([report]) == "2 cases: 1 passed, 1 failed")
    }

    private static let text = """
        t/x.test.yaml
          ok    it <passes> (1 invocation in 0s)
          FAIL  it fails & says why (4 invocations in 1s)
                t/x.test.yaml:14:11: invocations: the 2nd differs
                     expected  actual
                  1  1-5       1-5     ok, at 0s
                > 2  6-9       6-10    ValueError, at 0s
                t/x.test.yaml:16:22: dead_letters: record 3 was not given up
                      expected  actual
                >  3  given up
                   6            RetryAttemptsExhausted
                   7            RetryAttemptsExhausted
                   8            RetryAttemptsExhausted
                   9            RetryAttemptsExhausted
                  10            RetryAttemptsExhausted
                t/x.test.yaml:17:27: checkpoints: expected 5 in a-0, not 12
                t/x.test.yaml:18:17: filtered: expected 1, not none
                t/x.test.yaml:19:17: duration: expected 5s, not 1s
        """

    @Test("JUnit gets a suite for the file and a case with its failures, escaped")
    func junit() async throws {
        let lines = BehaviorReport.junit([try await BehaviorFixture.run(Self.file)]).split(separator: "\n")
        #expect(lines[0] == #"<?xml version="1.0" encoding="UTF-8"?>"#)
        #expect(lines[1] == #"<testsuites name="penstock test" tests="2" failures="1" errors="0">"#)
        #expect(lines[2] == #"  <testsuite name="t/x.test.yaml" tests="2" failures="1" errors="0">"#)
        let passed =
            #"    <testcase name="it &lt;passes&gt;" classname="items" file="t/x.test.yaml" line="2" time="0"/>"#
        #expect(lines[3] == passed)
        let failed =
            #"    <testcase name="it fails &amp; says why" classname="items" file="t/x.test.yaml" line="6" time="1">"#
        #expect(lines[4] == failed)
        #expect(
            lines[5].hasPrefix(#"      <failure type="invocations" message="invocations: the 2nd differs">"#)
        )
        #expect(lines[6].contains("expected  actual"))
        #expect(lines.count { $0.hasSuffix("</failure>") } == 5)
        #expect(lines.suffix(3) == ["    </testcase>", "  </testsuite>", "</testsuites>"])
    }

    @Test("A long comparison is cut around the first difference")
    func long() async throws {
        let expected = (1...40).map { $0 == 20 ? "99" : "\($0)" }.joined(separator: ", ")
        let report = try await BehaviorFixture.run(
            """
            cases:
              - name: long
                trigger: all
                records: [{ count: 99, key: k }]
                expect: { invocations: [\(expected)] }

            """
        )
        let text = try #require(report.outcomes.first?.failures.first?.text)
        #expect(text.contains("invocations: the 1st differs"))
        #expect(text.hasSuffix("… 29 more"))
        #expect(text.split(separator: "\n").count == 14)
    }

    @Test("The document for programs holds what happened and what was wrong")
    func document() async throws {
        let document = try await BehaviorFixture.run(Self.file).document
        #expect(document["passed"] == .integer(1))
        guard case .array(let cases) = document["cases"], cases.count == 2 else {
            Issue.record("no cases: \(document.text)")
            return
        }
        #expect(cases[0]["ok"] == .boolean(true))
        #expect(cases[0]["invocations"]?.text.contains(#""records":"1-5","at":"0s""#) == true)
        #expect(
            cases[1]["failures"]?.text.contains(#""line":14,"column":11,"subject":"invocations""#) == true
        )
    }
}
