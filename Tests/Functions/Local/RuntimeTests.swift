// SPDX-License-Identifier: Apache-2.0

import PenstockCore
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
            let failures =
                #"{"batchItemFailures": [{"itemIdentifier": {"partition": "orders-0", "offset": 8}}]}"#
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

    @Test("awslambdaric tells a missing handler by init/error: unavailable, with its words")
    func pythonImportError() async throws {
        var configuration = LocalFunctionConfiguration(
            command: [LocalFunctionFixture.python, "-m", "awslambdaric", "missing.handler"]
        )
        configuration.directory = "\(LocalFunctionFixture.root)/examples/orders"
        try await LocalFunctionFixture.use(configuration) { fixture in
            guard case .unavailable(let failure) = await fixture.run("{}").result else {
                Issue.record("not unavailable")
                return
            }
            #expect(failure.type == "Runtime.ImportModuleError")
            #expect(failure.message.contains("No module named 'missing'"))
        }
    }

    @Test("awslambdaric posts what the handler threw")
    func pythonError() async throws {
        var configuration = LocalFunctionConfiguration(
            command: [LocalFunctionFixture.python, "-m", "awslambdaric", "app.handler"]
        )
        configuration.directory = "\(LocalFunctionFixture.root)/examples/orders"
        try await LocalFunctionFixture.use(configuration) { fixture in
            let outcome = await fixture.run(#"{"no":"records"}"#)
            #expect(outcome.result == .failed(Failure(type: "KeyError", message: "'records'")))
        }
    }

    @Test("The Node example answers with its event")
    func node() async throws {
        var configuration = LocalFunctionConfiguration(command: ["node", "runtime.mjs", "handler.mjs"])
        configuration.directory = "\(LocalFunctionFixture.root)/examples/node"
        try await LocalFunctionFixture.use(configuration) { fixture in
            let outcome = await fixture.run(#"{"a":1}"#, id: "abc")
            #expect(outcome.result.text == #"{"event":{"a":1},"awsRequestId":"abc"}"#)
            #expect(outcome.text(.output) == ["node got 1 keys"])
        }
    }

    @Test("The shell example answers by curl, also for events that curl sends an Expect header for")
    func shell() async throws {
        var configuration = LocalFunctionConfiguration(command: ["./bootstrap"])
        configuration.directory = "\(LocalFunctionFixture.root)/examples/shell"
        try await LocalFunctionFixture.use(configuration) { fixture in
            for _ in 0..<3 {
                let outcome = await fixture.run(#"{"a":1}"#)
                #expect(outcome.result.text == #"{"characters": 7}"#)
                #expect(outcome.text(.output) == ["event of 7 characters"])
            }
        }
    }
}
