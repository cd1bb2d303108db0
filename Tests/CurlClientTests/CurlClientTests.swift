// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Reactor
import Testing

@testable import CurlClient

/// A reactor with a client, ended in order.
func withClient<Value: Sendable>(
    connections: Int = 512,
    _ body: @Sendable (CurlClient) async throws -> Value
) async throws -> Value {
    let reactor = try Reactor(name: "curl-test")
    let client = try CurlClient(reactor: reactor, connections: connections)
    let result: Result<Value, any Error>
    do {
        result = .success(try await body(client))
    } catch {
        result = .failure(error)
    }
    await client.close()
    reactor.stop()
    return try result.get()
}

/// What a call failed with; nil when it did not.
func failure(_ client: CurlClient, _ request: CurlRequest) async -> CurlError? {
    do throws(CurlError) {
        _ = try await client.perform(request)
        return nil
    } catch {
        return error
    }
}

@Suite(.timeLimit(.minutes(5))) struct CurlClientTests {
    @Test("A POST carries method, path, headers and body, and brings status, wanted headers and body")
    func post() async throws {
        let server = try TestHTTPServer { request, exchange in
            exchange.respond(201, [("X-Seen", "one"), ("X-Other", "two")], "<\(request.body.count)>")
        }
        defer { server.stop() }
        try await withClient { client in
            let buffer = EventBuffer()
            buffer.write(upTo: 100) { $0.literal("skipped{\"a\":1}") }
            var request = CurlRequest(url: server.url("/path?query=1"))
            request.headers = [CurlHeader("Content-Type", "application/json")!, CurlHeader("X-Empty", "")!]
            request.body = .buffer(buffer, skip: 7)
            request.wantedHeaders = ["x-seen", "x-absent"]
            let response = try await client.perform(request)
            #expect(response.status == 201)
            #expect(response.version == .http1)
            #expect(String(decoding: response.body, as: UTF8.self) == "<7>")
            #expect(response.header("x-seen") == "one")
            #expect(response.header("x-absent") == nil)
            #expect(response.header("X-Other") == nil)
        }
        let request = try #require(server.requests.first)
        #expect(request.method == "POST")
        #expect(request.path == "/path?query=1")
        #expect(request.headers["content-type"] == "application/json")
        #expect(request.headers["x-empty"] == "")
        #expect(request.headers["expect"] == nil)
        #expect(String(decoding: request.body, as: UTF8.self) == "{\"a\":1}")
    }

    @Test("Methods and bodies do not leak from one request into the next on the same handle")
    func methods() async throws {
        let server = try TestHTTPServer { $1.respond() }
        defer { server.stop() }
        let plan: [(CurlRequest.Method, String)] = [
            (.post, "a"), (.get, ""), (.put, "bc"), (.head, ""), (.delete, ""), (.patch, "d"), (.post, ""),
            (.get, ""),
        ]
        try await withClient { client in
            for (method, body) in plan {
                var request = CurlRequest(url: server.url())
                request.method = method
                request.body = body.isEmpty ? .none : .bytes(Array(body.utf8))
                let response = try await client.perform(request)
                #expect(response.status == 200)
            }
        }
        #expect(server.requests.map(\.method) == plan.map(\.0.rawValue))
        #expect(server.requests.map { String(decoding: $0.body, as: UTF8.self) } == plan.map(\.1))
        #expect(server.connections == 1)
    }

    @Test("A hundred requests one after the other use one connection")
    func reuse() async throws {
        let server = try TestHTTPServer { $1.respond() }
        defer { server.stop() }
        try await withClient { client in
            for index in 0..<100 {
                var request = CurlRequest(url: server.url("/\(index)"))
                request.body = .bytes(Array("{}".utf8))
                _ = try await client.perform(request)
            }
        }
        #expect(server.requests.count == 100)
        #expect(server.connections == 1)
    }

    @Test("A connection that the server closed while idle is replaced")
    func idleConnectionClosed() async throws {
        let server = try TestHTTPServer { request, exchange in
            // Without an answer through `respond`, the connection is closed after it.
            exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        }
        defer { server.stop() }
        try await withClient { client in
            for _ in 0..<10 {
                let response = try await client.perform(CurlRequest(url: server.url()))
                #expect(response.status == 200)
            }
        }
        #expect(server.requests.count == 10)
    }

    @Test("Three hundred requests are in flight at once")
    func concurrent() async throws {
        let arrived = Latch()
        let server = try TestHTTPServer { request, exchange in
            arrived.block()
            exchange.respond(200, [], request.path)
        }
        defer { server.stop() }
        try await withClient { client in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<300 {
                    group.addTask {
                        let response = try await client.perform(CurlRequest(url: server.url("/\(index)")))
                        return response.body == Array("/\(index)".utf8)
                    }
                }
                while await client.inFlight < 300 { await Task.yield() }
                arrived.open()
                for try await isRight in group { #expect(isRight) }
            }
            #expect(await client.inFlight == 0)
        }
        #expect(server.connections == 300)
    }

    @Test("A large body arrives whole, and a large answer comes back whole")
    func large() async throws {
        let text = String(repeating: "0123456789abcdef", count: 5 << 16)
        let server = try TestHTTPServer { $1.respond(200, [], String(decoding: $0.body, as: UTF8.self)) }
        defer { server.stop() }
        try await withClient { client in
            var request = CurlRequest(url: server.url())
            request.body = .bytes(Array(text.utf8))
            let response = try await client.perform(request)
            #expect(response.body.elementsEqual(text.utf8))
        }
    }
}
