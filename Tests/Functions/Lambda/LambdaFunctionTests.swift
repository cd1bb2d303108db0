// SPDX-License-Identifier: Apache-2.0

import AWSConfiguration
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import LambdaFunction

func configuration(_ yaml: String) -> (LambdaFunctionConfiguration?, [Finding]) {
    let result = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(
        LambdaFunctionConfiguration.self
    )
    return (result.value, result.findings)
}

/// A function at an endpoint, ended in order.
func withFunction(
    _ endpoint: String,
    _ yaml: String,
    _ body: (LambdaFunction, Reactor) async throws -> Void
) async throws {
    let keys = "credentials: { access_key_id: KEY, secret_access_key: s3cret }"
    let (read, findings) = configuration(
        "\(yaml)\nendpoint: \(endpoint)\nregion: \(TestAWS.region)\n\(keys)\n"
    )
    let reactor = try Reactor(name: "lambda-test")
    let function = try LambdaFunction(
        name: "f",
        configuration: try #require(read, "\(findings)"),
        reactor: reactor
    )
    let result: Result<Void, any Error>
    do {
        result = .success(try await body(function, reactor))
    } catch {
        result = .failure(error)
    }
    await function.shutdown()
    reactor.stop()
    try result.get()
}

func invocation(_ body: String, _ reactor: Reactor) -> Invocation {
    let buffer = EventBuffer()
    buffer.write(upTo: body.utf8.count) { $0.raw(Array(body.utf8)) }
    return Invocation(
        id: "5f0c0000-0000-4000-8000-000000000001",
        trigger: "orders",
        attempt: 1,
        body: buffer,
        contentType: "application/json",
        deadline: reactor.now + .seconds(600),
        wallDeadline: Timestamp(milliseconds: 1_700_000_000_123)
    )
}

@Suite(.timeLimit(.minutes(2)), .ownThreads) struct LambdaFunctionTests {
    @Test("An invocation is a signed request for the ARN and its alias, with the event as it is")
    func request() async throws {
        let server = try TestHTTPServer { $1.respond(200, [], #"{"batchItemFailures":[]}"#) }
        defer { server.stop() }
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:resize:prod"
        try await withFunction(server.url(""), "function: \"\(arn)\"") { function, reactor in
            let result = await function.invoke(invocation(#"{"Records":[]}"#, reactor))
            #expect(result == .responded(Array(#"{"batchItemFailures":[]}"#.utf8)))
        }
        let request = try #require(server.requests.first)
        #expect(request.method == "POST")
        #expect(
            request.path
                == "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aresize/invocations"
                + "?Qualifier=prod"
        )
        #expect(request.headers["x-amz-invocation-type"] == "RequestResponse")
        #expect(request.headers["x-amz-log-type"] == nil)
        #expect(request.headers["authorization"]?.contains("/eu-west-1/lambda/aws4_request") == true)
        #expect(String(decoding: request.body, as: UTF8.self) == #"{"Records":[]}"#)
    }

    @Test("It tells the version that ran, whether that succeeded or not, and its ARN as far as it is known")
    func versions() async throws {
        let server = try TestHTTPServer { request, exchange in
            let version = ("X-Amz-Executed-Version", "7")
            guard request.body.isEmpty else { return exchange.respond(200, [version], "{}") }
            exchange.respond(200, [version, ("X-Amz-Function-Error", "Unhandled")], "{}")
        }
        defer { server.stop() }
        try await withFunction(server.url(""), "function: \"123456789012:function:resize:prod\"") {
            function,
            reactor in
            #expect(function.arn == "arn:aws:lambda:eu-west-1:123456789012:function:resize:prod")
            let answer = await function.answer(invocation("{}", reactor))
            #expect(answer.result == .responded(Array("{}".utf8)) && answer.executedVersion == "7")
            let failed = await function.answer(invocation("", reactor))
            guard case .failed = failed.result else {
                Issue.record("\(failed.result)")
                return
            }
            #expect(failed.executedVersion == "7")
        }
        try await withFunction("http://127.0.0.1:1", "function: resize") { function, reactor in
            #expect(function.arn == nil)
            #expect(await function.answer(invocation("{}", reactor)).executedVersion == nil)
        }
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:resize"
        #expect(LambdaTarget(arn)?.arn(in: "us-east-1") == arn)
        #expect(LambdaTarget("\(arn):7")?.arn(in: "us-east-1") == "\(arn):7")
        #expect(FunctionARN.qualified(arn) == "\(arn):$LATEST")
        #expect(FunctionARN.qualified("\(arn):7") == "\(arn):7")
    }

    @Test("An event is handed to AWS's own queue, and accepted is succeeded")
    func event() async throws {
        let server = try TestHTTPServer { $1.respond(202) }
        defer { server.stop() }
        try await withFunction(server.url(""), "function: resize\ninvocation: event") { function, reactor in
            #expect(await function.invoke(invocation("{}", reactor)) == .responded([]))
        }
        #expect(server.requests.first?.headers["x-amz-invocation-type"] == "Event")
    }

    @Test(
        "What the service refuses is not the records' fault, unless it is the request",
        arguments: [
            (429, "TooManyRequestsException", "throttled"),
            (404, "ResourceNotFoundException", "unavailable"),
            (403, "AccessDeniedException", "unavailable"),
            (409, "ResourceConflictException", "unavailable"),
            (500, "ServiceException", "unavailable"),
            (502, "EC2ThrottledException", "throttled"),
            (400, "InvalidRequestContentException", "rejected"),
            (413, "RequestTooLargeException", "rejected"),
        ]
    )
    func refusals(status: Int, code: String, kind: String) async throws {
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(status, [("x-amzn-ErrorType", code)], #"{"message":"why"}"#)
        }
        defer { server.stop() }
        try await withFunction(server.url(""), "function: resize") { function, reactor in
            switch await function.invoke(invocation("{}", reactor)) {
            case .throttled(_, let failure): #expect((kind, failure.type) == ("throttled", "Lambda.\(code)"))
            case .unavailable(let failure): #expect((kind, failure.type) == ("unavailable", "Lambda.\(code)"))
            case .rejected(let failure): #expect((kind, failure.message) == ("rejected", "why"))
            case .responded, .failed: Issue.record("neither")
            }
        }
    }

    @Test(
        "A throttle says why and for how long",
        arguments: [
            "ConcurrentInvocationLimitExceeded", "ReservedFunctionConcurrentInvocationLimitExceeded",
            "CallerRateLimitExceeded",
        ]
    )
    func throttled(reason: String) async throws {
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(
                429,
                [
                    ("Retry-After", "7"), ("x-amzn-ErrorType", "TooManyRequestsException"),
                    ("x-amzn-RequestId", "r-1"),
                ],
                #"{"Reason":"\#(reason)","Type":"User","message":"Rate Exceeded."}"#
            )
        }
        defer { server.stop() }
        try await withFunction(server.url(""), "function: resize") { function, reactor in
            #expect(
                await function.invoke(invocation("{}", reactor))
                    == .throttled(
                        retryAfter: .seconds(7),
                        Failure(
                            type: "Lambda.TooManyRequestsException",
                            message: "Rate Exceeded.: \(reason) (request r-1)"
                        )
                    )
            )
        }
        #expect(server.requests.count == 1)
    }

    @Test("A connection that breaks while the function may run is a failure; one that was never made is not")
    func connections() async throws {
        let server = try TestHTTPServer { $1.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nab") }
        try await withFunction(server.url(""), "function: resize") { function, reactor in
            guard case .failed(let failure) = await function.invoke(invocation("{}", reactor)) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.type == "Lambda.Client.ConnectionLost")
        }
        server.stop()
        try await withFunction("http://127.0.0.1:1", "function: resize") { function, reactor in
            guard case .unavailable(let failure) = await function.invoke(invocation("{}", reactor)) else {
                Issue.record("not unavailable")
                return
            }
            #expect(failure.type == "Lambda.Client.Unreachable")
        }
    }

    @Test(
        "Against an emulator: an answer, an error of the function with the end of its log, a function that is missing"
    )
    func emulator() async throws {
        let aws = try TestAWS()
        defer { aws.stop() }
        let arn = try aws.createFunction(
            "adder",
            """
            def handler(event, context):
                print("saw", event["n"])
                if event["n"] < 0:
                    raise ValueError("negative")
                return {"n": event["n"] + 1}
            """
        )
        try await withFunction(aws.endpoint, "function: \"\(arn)\"\nlog_tail: true") { function, reactor in
            let trace = await function.trace(invocation(#"{"n": 1}"#, reactor))
            guard case .responded(let body) = trace.result else {
                Issue.record("\(trace.result)")
                return
            }
            #expect(String(decoding: body, as: UTF8.self) == #"{"n": 2}"#)
            #expect(trace.lines.contains { $0.contains("saw 1") })
            guard case .failed(let failure) = await function.invoke(invocation(#"{"n": -1}"#, reactor)) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.message.hasPrefix("negative\n"))
            #expect(failure.message.contains("ValueError: negative"))
            let failed = await function.trace(invocation(#"{"n": -1}"#, reactor))
            guard case .failed(let failure) = failed.result else {
                Issue.record("\(failed.result)")
                return
            }
            #expect(failure.message == "negative", "the log is told by itself, once")
            #expect(failed.lines.contains { $0.contains("saw -1") })
        }
        try await withFunction(aws.endpoint, "function: nobody") { function, reactor in
            guard case .unavailable(let failure) = await function.invoke(invocation("{}", reactor)) else {
                Issue.record("not unavailable")
                return
            }
            #expect(failure.type == "Lambda.ResourceNotFoundException")
        }
    }
}

@Suite struct LambdaConfigurationTests {
    @Test(
        "Names, partial and whole ARNs, with and without a qualifier",
        arguments: [
            ("resize", "resize", nil, nil),
            ("resize:prod", "resize", "prod", nil),
            ("123456789012:function:resize:7", "123456789012:function:resize", "7", nil),
            (
                "arn:aws:lambda:eu-west-1:123456789012:function:resize",
                "arn:aws:lambda:eu-west-1:123456789012:function:resize", nil, "eu-west-1"
            ),
            (
                "arn:aws-cn:lambda:cn-north-1:123456789012:function:resize:$LATEST",
                "arn:aws-cn:lambda:cn-north-1:123456789012:function:resize", "$LATEST", "cn-north-1"
            ),
        ] as [(String, String, String?, String?)]
    )
    func targets(text: String, path: String, qualifier: String?, region: String?) {
        #expect(LambdaTarget(text) == LambdaTarget(path: path, qualifier: qualifier, region: region))
    }

    @Test(
        "What is no function's name is refused",
        arguments: ["", ":", "a b", "resize:", "arn:aws:sqs:eu-west-1:1:q", "a:b:c:d:e", "x/y"]
    )
    func notTargets(text: String) {
        #expect(LambdaTarget(text) == nil)
    }

    @Test(
        "Mistakes are told with the way out",
        arguments: [
            ("function: a b\nregion: r", "neither a function's name nor its ARN"),
            ("function: a:b\nqualifier: c\nregion: r", "written behind the name already"),
            (
                "function: arn:aws:lambda:eu-west-1:1:function:f\nregion: us-east-1",
                "another one than that of the ARN"
            ),
            (
                "function: f\nregion: r\nprofile: p\ncredentials: { access_key_id: a, secret_access_key: b }",
                "exclude"
            ),
            ("function: f\nregion: r\ncredentials: { access_key_id: a }", "secret_access_key"),
            ("function: f\nregion: r\ninvocation: sometimes", "request_response"),
        ]
    )
    func mistakes(yaml: String, told: String) {
        let (_, findings) = configuration(yaml)
        #expect(findings.contains { "\($0.message) \($0.suggestion ?? "")".contains(told) }, "\(findings)")
    }

    @Test("Keys in the configuration are never shown")
    func secrecy() throws {
        let (read, _) = configuration(
            "function: f\nregion: r\ncredentials: { access_key_id: a, secret_access_key: s3cret, session_token: t0ken }"
        )
        var dumped = ""
        dump(try #require(read), to: &dumped)
        #expect(!dumped.contains("s3cret") && !dumped.contains("t0ken"))
    }
}
