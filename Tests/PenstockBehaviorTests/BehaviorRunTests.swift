// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockBehavior
import PenstockConfiguration
import Testing

/// What cases observe, by expectations that hold.
@Suite(.timeLimit(.minutes(5)))
struct BehaviorRunTests {
    @Test("The example of the poison pill does what it says")
    func example() async throws {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let file = root.appending(path: "examples/poison-pill/connectors.test.yaml").path
        let result = BehaviorSuite.read(file, registry: BehaviorFixture.registry)
        #expect(result.findings.filter { $0.severity == .error }.isEmpty)
        let suite = try #require(result.value)
        let report = try await BehaviorFixture.run(suite)
        #expect(report.outcomes.count == 4)
        #expect(report.failureCount == 0, "\(report.text)")
    }

    @Test(
        "Each answer has the effect that it has on a real function",
        arguments: [
            // A word or a text: thrown, split down to single records, one retry each.
            """
            records: [{ count: 2, key: k }]
            answers: [{ answer: throw }]
            expect:
              invocations: [1-2 at 2s, 1 at 2s, 1 after 1s, 2 at 3s, 2 after 1s]
              dead_letters: [1-2 RetryAttemptsExhausted]
              checkpoints: { a-0: 2 }
            """,
            """
            records: [{ count: 5, key: k }]
            answers: [{ invocation: 1-2, answer: { throttle: 10s } }]
            expect: { invocations: [1-5 at 0s, 1-5 at 10s, 1-5 at 20s], dead_letters: [], duration: 20s }
            """,
            """
            records: [{ count: 5, key: k }]
            answers: [{ answer: unavailable }]
            until: 2s
            expect: { unsettled: 1-5, succeeded: [], checkpoints: { a-0: none } }
            """,
            """
            trigger: items
            records: [{ count: 5 }]
            answers: [{ answer: timeout, times: 1 }]
            expect: { invocations: [1-5 at 0s, 1-5 at 6s], duration: 6s }
            """,
            // The edge of a window, which only the trigger's clock reaches.
            """
            trigger: windows
            records: [{ count: 3, at: 5s }, { count: 1, at: 31s }]
            expect:
              invocations: [1-2 at 5s, 3 at 6s, final at 31s, 4 at 32s, final at 1m2s]
              checkpoints: { a-0: 4 }
            """,
            // An answer without a state is a failure; the final call needs none.
            """
            trigger: windows
            records: [{ count: 2 }]
            answers:
              - { invocation: 1, answer: { respond: {} } }
              - { invocation: 3, answer: throw }
              - { invocation: 4, answer: { respond: null } }
            expect: { invocations: [1-2 at 0s, 1-2 at 1s, final at 32s, final at 33s], dead_letters: [] }
            """,
            // What the function did not deal with is not counted, and is not settled with what it dealt with.
            """
            trigger: windows
            records: [{ count: 2 }]
            answers: [{ holds: 1, answer: { fail_items: 1 } }]
            expect: { invocations: [1-2, 1-2, 2, final at 32s], dead_letters: 1, checkpoints: { a-0: 2 } }
            """,
            // A delay beyond the timeout is a timeout.
            """
            trigger: items
            records: [{ count: 5 }]
            answers: [{ delay: 1m, times: 1, answer: succeed }]
            expect: { invocations: [1-5 at 0s, 1-5 after 1s] }
            """,
            """
            trigger: items
            records: [{ count: 5 }]
            answers: [{ holds: 1, answer: reject }]
            expect: { invocations: 1-5, dead_letters: 1-5 Rejected }
            """,
            // In the order of a partition, what follows a failed record is invoked again with it.
            """
            trigger: items
            records: [{ count: 5 }]
            answers: [{ answer: { fail_items: 4 }, delay: 100ms }]
            expect: { invocations: [1-5, 4-5 after 1s], dead_letters: 4, succeeded: [1-3, 5] }
            """,
            // By a key in the body: what follows a failed record of its customer waits, other customers do not.
            """
            trigger: keys
            records:
              - { key: x, value: { customer: { id: c-1 } } }
              - { key: x, value: { customer: { id: c-2 } }, at: 100ms }
              - { key: y, value: { customer: { id: c-1 } }, at: 200ms }
              - { key: x, value: no JSON, at: 300ms }
            answers: [{ holds: 1, times: 2, answer: throw }]
            expect:
              invocations: [1 at 0s, 2 at 100ms, 4 at 300ms, 1 at 1s, 1 at 2s, 3 at 2s]
              succeeded: 1-4
            """,
            """
            trigger: items
            records: [{ count: 2 }]
            answers: [{ answer: { respond: { recordResults: [success, drop] } } }]
            expect: { succeeded: 1, dead_letters: 2 Rejected }
            """,
        ]
    )
    func answers(body: String) async throws {
        try await self.expectPass(body)
    }

    @Test(
        "Records arrive as they are described",
        arguments: [
            """
            records: [{ key: k }, { count: 2, key: skip }, { key: k, at: 10s }]
            expect: { invocations: [1 at 2s, 4 at 12s], filtered: 2-3, checkpoints: { a-0: 4 } }
            """,
            """
            trigger: items
            records: [{ age: 2h }, { position: 100, base64: "AP8=", headers: { h: v } }, { partition: a-7, value: [1] }]
            expect: { dead_letters: 1 RecordAgeExceeded, succeeded: 2-3, checkpoints: { a-0: 100, a-7: 1 } }
            """,
        ]
    )
    func records(body: String) async throws {
        try await self.expectPass(body)
    }

    @Test("A case that does not come to an end fails, and says how to look at it")
    func endless() async throws {
        let report = try await BehaviorFixture.run(
            Self.file(
                "records: [{ key: k }]\nanswers: [{ answer: unavailable }]\nexpect: { dead_letters: [] }"
            )
        )
        let message = "the case was not over after 24h; say with `until` when to look"
        #expect(report.outcomes.map { $0.failures.map(\.message) } == [[message]])
    }

    @Test("The same file gives the same report each time")
    func isDeterministic() async throws {
        let text = Self.file(
            """
            records: [{ count: 500, key: k }, { count: 500, key: k, partition: a-1 }]
            answers: [{ holds: 7 77 777, answer: throw, delay: 3ms }]
            expect: { invocations: [] }
            """
        )
        let first = try await BehaviorFixture.run(text).text
        #expect(try await BehaviorFixture.run(text).text == first)
    }

    private func expectPass(_ body: String) async throws {
        let report = try await BehaviorFixture.run(Self.file(body))
        #expect(report.failureCount == 0, "\(report.text)")
    }

    /// A file with one case; the trigger is `all` where the body does not say.
    private static func file(_ body: String) -> String {
        let lines = body.hasPrefix("trigger:") ? body : "trigger: all\n" + body
        return "cases:\n  - name: a case\n"
            + lines.split(separator: "\n").map { "    \($0)\n" }.joined()
    }
}
