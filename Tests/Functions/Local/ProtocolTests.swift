// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Testing

@testable import LocalFunction

/// The Runtime API on the wire: each script is a runtime that behaves in one particular way.
@Suite(.timeLimit(.minutes(2))) struct ProtocolTests {
    /// Runs `script` as the function and one invocation of it; what it said is in the outcome's lines.
    private func outcome(of script: String, event: String = "{}") async throws -> LocalInvocationOutcome {
        let collected = Collected()
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(script)) { fixture in
            collected.outcome = await fixture.run(event, id: "11111111-2222-4333-8444-555555555555")
        }
        return try #require(collected.outcome)
    }

    private final class Collected: @unchecked Sendable {
        // @unchecked: written before the fixture's end, read behind it.
        var outcome: LocalInvocationOutcome?
    }

    @Test("next carries the event and the headers of the Runtime API")
    func nextHeaders() async throws {
        let script = """
            p = Peer()
            event = p.next()
            p.respond(json.dumps([event, p.headers]))
            """
        let outcome = try await self.outcome(of: script, event: #"{"a":1}"#)
        let text = try #require(outcome.result.text)
        #expect(text.hasPrefix(#"["{\"a\":1}", {"#))
        #expect(text.contains(#""lambda-runtime-aws-request-id": "11111111-2222-4333-8444-555555555555""#))
        #expect(
            text.contains(
                #""lambda-runtime-invoked-function-arn": "arn:aws:lambda:local:000000000000:function:f""#
            )
        )
        #expect(text.contains(#""content-type": "application/json""#))
        #expect(text.contains(#""lambda-runtime-deadline-ms": "1"#))
        #expect(text.contains(#""lambda-runtime-trace-id": "Root=1-"#))
        #expect(text.contains(#"-222243338444555555555555;Parent=1111111122224333;Sampled=0"#))
    }

    @Test("A wrong request id is 400, the right one 202, and the same once more 403")
    func requestIDs() async throws {
        let script = """
            p = Peer()
            p.next()
            say(*p.call("POST", "invocation/wrong/response", "x"))
            say(p.respond("1")[0], p.respond("2")[0])
            p.next()
            p.respond("null")
            """
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(script)) { fixture in
            let first = await fixture.run("{}", id: "a")
            #expect(first.result.text == "1")
            #expect(first.text(.output).first?.hasPrefix("400 Bad Request") == true)
            #expect(first.text(.output).first?.contains(#""errorType":"InvalidRequestID""#) == true)
            let line = await fixture.lines.line(containing: "202 Accepted")
            #expect(line.text == "202 Accepted 403 Forbidden")
        }
    }

    @Test("next before the answer is 403, unknown paths and methods are 404")
    func wrongCalls() async throws {
        let script = """
            p = Peer()
            p.next()
            say(p.call("GET", "invocation/next")[0])
            say(p.call("GET", "nothing")[0])
            say(p.call("PUT", "invocation/next")[0])
            say(p.call("POST", "invocation//response")[0])
            say(p.call("POST", "init/error")[0])
            p.respond("null")
            """
        let outcome = try await self.outcome(of: script)
        let expected = ["403 Forbidden", "404 Not Found", "404 Not Found", "404 Not Found", "403 Forbidden"]
        #expect(outcome.text(.output) == expected)
        #expect(outcome.result.text == "null")
    }

    @Test(
        "A response over 6 MiB and 100 bytes is 413 and fails the invocation; the largest allowed one is not"
    )
    func responseSize() async throws {
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(ScriptedRuntime.obedient)) {
            fixture in
            let allowed = await fixture.run(#"{"do":"large","bytes":6291556}"#)
            #expect(allowed.result.text?.utf8.count == 6_291_556)
            let outcome = await fixture.run(#"{"do":"large","bytes":6291557}"#)
            let text = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
            #expect(outcome.result == .failed(Failure(type: "Function.ResponseSizeTooLarge", message: text)))
            _ = await fixture.lines.line(containing: "413 Payload Too Large")
        }
    }

    @Test("Expect: 100-continue is answered before the body is sent")
    func expectContinue() async throws {
        let script = """
            p = Peer()
            p.next()
            p.raw(f"POST {BASE}invocation/{p.id}/response HTTP/1.1\\r\\nExpect: 100-continue\\r\\nContent-Length: 4\\r\\n\\r\\n")
            say(p.answer()[0])
            p.raw("null")
            say(p.answer()[0])
            threading.Event().wait()
            """
        let outcome = try await self.outcome(of: script)
        #expect(outcome.result.text == "null")
        #expect(outcome.text(.output) == ["100 Continue"])
    }

    @Test("A chunked response, byte by byte, is one body")
    func chunked() async throws {
        let script = """
            p = Peer()
            p.next()
            wire = f"POST {BASE}invocation/{p.id}/response HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n"
            wire += "Lambda-Runtime-Function-Response-Mode: streaming\\r\\n\\r\\n3\\r\\n[1,\\r\\n2\\r\\n2]\\r\\n0\\r\\n\\r\\n"
            for byte in wire: p.raw(byte)
            p.answer()
            """
        #expect(try await self.outcome(of: script).result.text == "[1,2]")
    }

    @Test("A streamed response that breaks fails with what its trailers say")
    func trailers() async throws {
        let script = """
            import base64
            p = Peer()
            p.next()
            body = base64.b64encode(b'{"errorMessage":"mid stream","errorType":"Function.Streaming"}').decode()
            p.raw(f"POST {BASE}invocation/{p.id}/response HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n"
                "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\\r\\n\\r\\n"
                "3\\r\\n[1,\\r\\n0\\r\\nLambda-Runtime-Function-Error-Type: Function.Streaming\\r\\n"
                f"Lambda-Runtime-Function-Error-Body: {body}\\r\\n\\r\\n")
            p.answer()
            """
        let failure = Failure(type: "Function.Streaming", message: "mid stream")
        #expect(try await self.outcome(of: script).result == .failed(failure))
    }

    @Test(
        "What is not HTTP is answered and closed, and the invocation goes on over another connection",
        arguments: [
            (#""rubbish\r\n\r\n""#, "400 Bad Request"),
            (#""GET / HTTP/1.1\r\nX: " + "x" * 1200000 + "\r\n\r\n""#, "431 Request Header Fields Too Large"),
            (#""POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n""#, "400 Bad Request"),
            (#""GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n""#, "400 Bad Request"),
        ]
    )
    func garbage(bytes: String, status: String) async throws {
        let script = """
            p = Peer()
            p.next()
            other = Peer()
            try: other.raw(\(bytes))
            except OSError: pass
            say(other.answer()[0])
            p.respond("null")
            """
        let outcome = try await self.outcome(of: script)
        #expect(outcome.text(.output) == [status])
        #expect(outcome.result.text == "null")
    }

    @Test("Connection: close is kept, and a runtime may use a new connection for each call")
    func closes() async throws {
        let script = """
            p = Peer()
            p.next()
            other = Peer()
            other.id = p.id
            other.call("POST", f"invocation/{p.id}/error/x", "", "Connection: close\\r\\n")
            say("end of file" if other.f.read() == b"" else "more")
            last = Peer()
            last.id = p.id
            last.respond("null")
            """
        let outcome = try await self.outcome(of: script)
        #expect(outcome.text(.output) == ["end of file"])
        #expect(outcome.result.text == "null")
    }

    @Test("An event is never given to a poll whose connection is gone")
    func deadPoll() async throws {
        // The first poll is abandoned: its socket closes, then the test invokes, then the runtime polls
        // again.
        let gate = try Fifo()
        defer { gate.remove() }
        let script = """
            dead = Peer()
            dead.raw(f"GET {BASE}invocation/next HTTP/1.1\\r\\n\\r\\n")
            live = Peer()
            say("polled", live.call("GET", "nothing")[0])
            dead.f.close(); dead.s.close()
            say("abandoned")
            open("\(gate.path)", "rb", 0).read(1)
            while True:
                live.next()
                live.respond('"live"')
            """
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(script)) { fixture in
            // The first call starts the process; it takes the dead poll or none, and must come back answered.
            async let first = fixture.run("{}", id: "a")
            _ = await fixture.lines.line(containing: "abandoned")
            try gate.open()
            let text = await first.result.text
            // The first poll was open when the call waited, so it had the event; its loss is the process's
            // affair.
            #expect(text == nil || text == "\"live\"")
        }
    }

    @Test("A poll that was abandoned while idle swallows nothing: the next call waits for the live one")
    func abandonedIdlePoll() async throws {
        let gate = try Fifo()
        defer { gate.remove() }
        let script = """
            p = Peer()
            p.next()
            p.respond("1")
            p.raw(f"GET {BASE}invocation/next HTTP/1.1\\r\\n\\r\\n")
            other = Peer()
            other.call("GET", "nothing")
            p.f.close(); p.s.close()
            say("abandoned")
            open("\(gate.path)", "rb", 0).read(1)
            other.next()
            other.respond("2")
            """
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(script)) { fixture in
            #expect(await fixture.run("{}", id: "a").result.text == "1")
            _ = await fixture.lines.line(containing: "abandoned")
            async let second = fixture.run("{}", id: "b")
            try gate.open()
            #expect(await second.result.text == "2")
        }
    }

    @Test("A process killed with an open poll takes no event with it")
    func killedPoll() async throws {
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(ScriptedRuntime.obedient)) {
            fixture in
            for round in 0..<10 {
                let pid = try #require(
                    await fixture.run(#"{"do":"pid"}"#, id: "a\(round)").result.text.flatMap { Int32($0) }
                )
                Processes.kill(pid)
                let next = await fixture.run(#"{"do":"pid"}"#, id: "b\(round)").result
                // Killed before its poll: a new process answers. Killed while it had the event: it failed,
                // and says so.
                #expect(next.text.flatMap { Int32($0) } != pid)
                if next.text == nil { #expect(next.failure?.type == "Runtime.ExitError") }
            }
        }
    }

    @Test("A unix socket serves the same API")
    func unixSocket() async throws {
        let script = """
            s = socket.socket(socket.AF_UNIX)
            s.connect(os.environ["PENSTOCK_RUNTIME_SOCKET"])
            p = Peer(s)
            while True:
                p.next()
                p.respond('"unix"')
            """
        var configuration = ScriptedRuntime.configuration(script)
        configuration.unixSocket = true
        try await LocalFunctionFixture.use(configuration) { fixture in
            #expect(await fixture.run("{}").result.text == "\"unix\"")
        }
    }

    @Test("An event of 6 MiB arrives whole")
    func largeEvent() async throws {
        let event = "\"" + String(repeating: "x", count: InvocationLimit.requestBytes - 2) + "\""
        let script = """
            p = Peer()
            event = p.next()
            p.respond(str([len(event), set(event[1:-1])]))
            """
        #expect(try await self.outcome(of: script, event: event).result.text == "[6291456, {'x'}]")
    }

    @Test("An answer to an event that was not read lets go of its bytes")
    func answersUnread() async throws {
        let event = String(repeating: "x", count: InvocationLimit.requestBytes)
        let script = """
            p = Peer()
            p.raw(f"GET {BASE}invocation/next HTTP/1.1\\r\\n\\r\\n")
            p.f.readline()
            other = Peer()
            other.id = "11111111-2222-4333-8444-555555555555"
            say(other.respond("null")[0])
            """
        #expect(try await self.outcome(of: script, event: event).result.text == "null")
    }
}
