// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import HTTPFunction

/// A function at `server`, configured by `yaml` lines after the URL, and ended in order.
func withFunction(
    _ server: TestHTTPServer,
    _ yaml: String = "",
    _ body: @Sendable (HTTPFunction, Reactor) async throws -> Void
) async throws {
    let text = "url: \(server.url("/hook"))\n\(yaml)"
    let result = ConfigurationLoader.process.parse(text, file: "t.yaml").read(HTTPFunctionConfiguration.self)
    let configuration = try #require(result.value, "\(result.findings)")
    let reactor = try Reactor(name: "http-test")
    let function = try HTTPFunction(name: "hook", configuration: configuration, reactor: reactor)
    try await body(function, reactor)
    await function.shutdown()
    reactor.stop()
}

func invocation(_ body: String = "{}", _ reactor: Reactor, type: String = "application/json") -> Invocation {
    let buffer = EventBuffer()
    buffer.write(upTo: body.utf8.count) { $0.raw(Array(body.utf8)) }
    return Invocation(
        id: "5f0c0000-0000-4000-8000-000000000001",
        trigger: "orders",
        attempt: 3,
        body: buffer,
        contentType: type,
        deadline: reactor.now + .seconds(600),
        wallDeadline: Timestamp(milliseconds: 1_700_000_000_123)
    )
}

@Suite(.timeLimit(.minutes(5))) struct HTTPFunctionTests {
    @Test("An invocation is a POST of its body with the ids a function needs to drop duplicates")
    func post() async throws {
        let server = try TestHTTPServer { $1.respond(200, [], "{\"batchItemFailures\":[]}") }
        defer { server.stop() }
        try await withFunction(server, "headers: { X-Api-Key: s3cret }") { function, reactor in
            let result = await function.invoke(invocation("{\"a\":1}", reactor))
            #expect(result == .responded(Array("{\"batchItemFailures\":[]}".utf8)))
        }
        let request = try #require(server.requests.first)
        #expect(request.method == "POST")
        #expect(request.path == "/hook")
        #expect(String(decoding: request.body, as: UTF8.self) == "{\"a\":1}")
        #expect(request.headers["content-type"] == "application/json")
        #expect(request.headers["x-penstock-trigger"] == "orders")
        #expect(request.headers["x-penstock-attempt"] == "3")
        #expect(request.headers["x-penstock-invocation-id"] == "5f0c0000-0000-4000-8000-000000000001")
        #expect(request.headers["x-penstock-deadline-ms"] == "1700000000123")
        #expect(request.headers["x-api-key"] == "s3cret")
    }

    @Test(
        "Statuses become results",
        arguments: [
            (204, "responded"), (301, "failed"), (400, "rejected"), (404, "rejected"), (408, "failed"),
            (429, "throttled"),
            (500, "failed"), (502, "failed"), (503, "throttled"),
        ]
    )
    func statuses(status: Int, kind: String) async throws {
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(status, [("Retry-After", "86400"), ("Location", "http://u:p@h/new?token=t")])
        }
        defer { server.stop() }
        try await withFunction(server) { function, reactor in
            let result = await function.invoke(invocation("{}", reactor))
            switch result {
            case .responded: #expect(kind == "responded")
            case .failed(let failure):
                #expect(kind == "failed")
                #expect(failure.type == "HTTP.\(status)")
                if status == 301 {
                    #expect(failure.message.contains("to http://h/new, and"))
                }
            case .throttled(let wait, let failure):
                #expect(kind == "throttled")
                #expect(wait == .seconds(900))
                #expect(failure.type == "HTTP.\(status)")
            case .rejected: #expect(kind == "rejected")
            case .unavailable: Issue.record("unavailable")
            }
        }
    }

    @Test("Client errors are failures where the configuration says so, with the text of the answer")
    func retriedClientErrors() async throws {
        let server = try TestHTTPServer { $1.respond(422, [], "no such field") }
        defer { server.stop() }
        try await withFunction(server, "on_client_error: retry") { function, reactor in
            let result = await function.invoke(invocation("{}", reactor))
            #expect(result == .failed(Failure(type: "HTTP.422", message: "no such field")))
        }
    }

    @Test("A function that cannot be reached is unavailable, which costs no attempt")
    func unreachable() async throws {
        let server = try TestHTTPServer { $1.respond() }
        defer { server.stop() }
        try await withFunction(server, "") { _, reactor in
            let text = "url: http://user:hunter2@penstock.invalid/"
            let result = ConfigurationLoader.process.parse(text, file: "t.yaml").read(
                HTTPFunctionConfiguration.self
            )
            let function = try HTTPFunction(
                name: "x",
                configuration: try #require(result.value),
                reactor: reactor
            )
            guard case .unavailable(let failure) = await function.invoke(invocation("{}", reactor)) else {
                Issue.record("not unavailable")
                return
            }
            #expect(failure.type == "HTTP.Unresolved")
            #expect(!failure.message.contains("hunter2"))
            await function.shutdown()
        }
    }

    @Test("A function that does not answer in time has failed")
    func timeout() async throws {
        let server = try TestHTTPServer { $1.waitForClose() }
        defer { server.stop() }
        try await withFunction(server, "timeout: 2s") { function, reactor in
            guard case .failed(let failure) = await function.invoke(invocation("{}", reactor)) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.type == "HTTP.Timeout")
        }
    }

    @Test("An answer over max_response is a failure")
    func tooLarge() async throws {
        let server = try TestHTTPServer { $1.respond(200, [], "12345") }
        defer { server.stop() }
        try await withFunction(server, "max_response: 4") { function, reactor in
            guard case .failed(let failure) = await function.invoke(invocation("{}", reactor)) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.type == "HTTP.ResponseTooLarge")
        }
    }

    @Test("More calls than concurrency wait for room, and those without any by the deadline were not tried")
    func room() async throws {
        let arrived = Latch()
        let release = Latch()
        let server = try TestHTTPServer { _, exchange in
            arrived.open()
            release.block()
            exchange.respond()
        }
        defer { server.stop() }
        try await withFunction(server, "concurrency: 1") { function, reactor in
            async let first = function.invoke(invocation("1", reactor))
            await arrived.wait()
            var late = invocation("2", reactor)
            late.deadline = reactor.now + .milliseconds(20)
            guard case .throttled(nil, let failure) = await function.invoke(late) else {
                Issue.record("not throttled")
                return
            }
            #expect(failure.type == "HTTP.NoRoom")
            async let second = function.invoke(invocation("3", reactor))
            release.open()
            #expect(await first == .responded([]))
            #expect(await second == .responded([]))
        }
        #expect(server.requests.map { String(decoding: $0.body, as: UTF8.self) } == ["1", "3"])
        #expect(server.connections == 1)
    }

    @Test("A function that admits nothing tells so to who waits for room and who comes; what runs ends")
    func admitsNothing() async throws {
        let (arrived, release) = (Latch(), Latch())
        let server = try TestHTTPServer { _, exchange in
            arrived.open()
            release.block()
            exchange.respond()
        }
        defer { server.stop() }
        try await withFunction(server, "concurrency: 1") { function, reactor in
            async let running = function.invoke(invocation("1", reactor))
            await arrived.wait()
            async let waiting = function.invoke(invocation("2", reactor))
            await function.stopAdmitting()
            #expect(await waiting == .stopping)
            #expect(await function.invoke(invocation("3", reactor)) == .stopping)
            release.open()
            #expect(await running == .responded([]))
            #expect(await function.invoke(invocation("4", reactor)) == .stopping)
        }
        #expect(server.requests.map { String(decoding: $0.body, as: UTF8.self) } == ["1"])
    }
}
