// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import Testing

@testable import LocalFunction

/// Real runtimes: awslambdaric, Node, a shell script.
@Suite(.timeLimit(.minutes(2))) struct RuntimeTests {
    @Test("awslambdaric runs the orders example and names the malformed record")
    func pythonOrders() async throws {
        var configuration = LocalFunctionConfiguration(
            command: [LocalFunctionFixture.python, "-m", "awslambdaric", "app.handler"]
        )
        configuration.directory = "\(LocalFunctionFixture.root)/examples/orders"
        configuration.concurrency = 1
        try await LocalFunctionFixture.use(configuration) { fixture in
            // {"id":1} and not JSON
            let event = """
                {"eventSource":"aws:kafka","records":{"orders-0":[\
                {"offset":7,"value":"eyJpZCI6MX0="},{"offset":8,"value":"bm90IEpTT04="}]}}
                """
            let first = await fixture.run(event)
            let failures = #"{"batchItemFailures": [{"itemIdentifier": {"partition": "orders-0", "offset": 8}}]}"#
            #expect(first.result.text == failures)
            #expect(first.text(.output).first == "orders-0@7: order 1")
            #expect(first.report?.initDuration != nil)
            let processes = await fixture.function.processIDs
            let second = await fixture.run(event, id: "00000000-0000-4000-8000-000000000002")
            #expect(second.result.text == failures)
            #expect(second.report?.initDuration == nil)
            #expect(await fixture.function.processIDs == processes)
        }
    }
}
