// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import LambdaFunction

/// How much AWS Lambda takes and gives.
@Suite(.timeLimit(.minutes(5)), .ownThreads)
struct LambdaLimitTests {
    @Test(
        "Invocations are cut to what AWS takes: 6 MB when the answer is waited for, 1 MB as an event",
        arguments: [("request_response", 6_291_456), ("event", 1_048_576)]
    )
    func cut(invocation: String, bytes: Int) throws {
        let world = ScriptedWorld()
        let text = """
            functions: { f: { lambda: { function: f, region: eu-west-1, invocation: \(invocation) } } }
            triggers: { t: { source: { scripted: { world: \(world.name) } }, function: f } }
            """
        let registry = Registry(
            connectors: [ScriptedConnector.self],
            functionKinds: [LambdaFunctionKind.self]
        )
        let read = PlanReader(registry).read(ConfigurationLoader.process.parse(text))
        let plan = try #require(read.value, "\(read.findings)")
        let function = try #require(plan.function("f"))
        let trigger = try #require(plan.triggers.first).value
        #expect(trigger.policy(function: function).bodyBytesMax == bytes)
        #expect(function.answers == (invocation == "request_response"))
    }

    @Test("The largest event arrives whole, and the largest answer comes back; a larger one is a failure")
    func largest() async throws {
        let event = "\"" + String(repeating: "x", count: InvocationLimit.requestBytes - 2) + "\""
        let answers = [6_291_556, 6_291_557].map { String(repeating: "1", count: $0) }
        let server = try TestHTTPServer { request, exchange in
            exchange.respond(200, [], answers[request.headers["x-amz-log-type"] == nil ? 0 : 1])
        }
        defer { server.stop() }
        try await withFunction(server.url(""), "function: resize") { function, reactor in
            #expect(await function.invoke(invocation(event, reactor)) == .responded(Array(answers[0].utf8)))
        }
        #expect(server.requests.map(\.body.count) == [6_291_456])
        try await withFunction(server.url(""), "function: resize\nlog_tail: true") { function, reactor in
            guard case .failed(let failure) = await function.invoke(invocation("{}", reactor)) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.message.contains("6291556 bytes"), "\(failure)")
        }
    }
}

/// Which invocations begin.
@Suite(.timeLimit(.minutes(5)), .ownThreads)
struct LambdaStopTests {
    @Test("A function that admits nothing tells so to who waits for room and who comes; what runs ends")
    func admitsNothing() async throws {
        let (arrived, release) = (Latch(), Latch())
        let server = try TestHTTPServer { _, exchange in
            arrived.open()
            release.block()
            exchange.respond(200, [], "null")
        }
        defer { server.stop() }
        try await withFunction(server.url(""), "function: resize\nconcurrency: 1") { function, reactor in
            async let running = function.invoke(invocation("1", reactor))
            await arrived.wait()
            async let waiting = function.invoke(invocation("2", reactor))
            await function.stopAdmitting()
            #expect(await waiting == .stopping)
            #expect(await function.invoke(invocation("3", reactor)) == .stopping)
            release.open()
            #expect(await running == .responded(Array("null".utf8)))
        }
        #expect(server.requests.count == 1)
    }
}

/// What `penstock doctor` asks of a function: AWS's `DryRun`.
@Suite(.timeLimit(.minutes(5)), .ownThreads)
struct LambdaDryRunTests {
    @Test("A dry run names the function and its alias, has no event, and is all that is asked")
    func request() async throws {
        let server = try TestHTTPServer { $1.respond(204) }
        defer { server.stop() }
        try await withFunction(server.url(""), "function: resize:prod\ninvocation: event") { function, _ in
            #expect(await function.examine() == .ok("invoke", "AWS Lambda would invoke resize:prod"))
        }
        let request = try #require(server.requests.first)
        #expect(server.requests.count == 1 && request.method == "POST" && request.body.isEmpty)
        #expect(request.path == "/2015-03-31/functions/resize/invocations?Qualifier=prod")
        #expect(request.headers["x-amz-invocation-type"] == "DryRun")
        #expect(request.headers["authorization"]?.contains("/eu-west-1/lambda/aws4_request") == true)
    }

    @Test(
        "What would fail is told with the way out",
        arguments: [
            (403, "AccessDeniedException", "allow lambda:InvokeFunction"),
            (404, "ResourceNotFoundException", "create the function, or check \"function\" and \"region\""),
            (400, "InvalidRequestContentException", "why"),
            (403, "InvalidSignatureException", "InvalidSignatureException"),
        ]
    )
    func refused(status: Int, code: String, says: String) async throws {
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(status, [("x-amzn-ErrorType", code)], #"{"message":"why"}"#)
        }
        defer { server.stop() }
        try await withFunction(server.url(""), "function: resize") { function, _ in
            let found = await function.examine()
            #expect(found.grade == .error && found.check == "invoke")
            #expect(found.detail.hasPrefix("resize: ") && found.detail.contains(says), "\(found.detail)")
        }
    }

    @Test("Nobody there is told, too")
    func unreachable() async throws {
        try await withFunction("http://127.0.0.1:1", "function: resize") { function, _ in
            #expect(await function.examine().grade == .error)
        }
    }

    @Test("Against an emulator: a function that is there is found, and does not run")
    func emulator() async throws {
        let aws = try TestAWS()
        defer { aws.stop() }
        let mark = FileManager.default.temporaryDirectory.appendingPathComponent("ran-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: mark) }
        let arn = try aws.createFunction(
            "marker",
            """
            def handler(event, context):
                open("\(mark.path)", "w").close()
                return {}
            """
        )
        try await withFunction(aws.endpoint, "function: \"\(arn)\"") { function, reactor in
            #expect(await function.examine().grade == .ok)
            #expect(!FileManager.default.fileExists(atPath: mark.path))
            guard case .responded = await function.invoke(invocation("{}", reactor)) else {
                Issue.record("it does not run")
                return
            }
            #expect(FileManager.default.fileExists(atPath: mark.path))
        }
        try await withFunction(aws.endpoint, "function: nobody") { function, _ in
            let found = await function.examine()
            #expect(found.grade == .error && found.detail.contains("create the function"))
        }
    }
}
