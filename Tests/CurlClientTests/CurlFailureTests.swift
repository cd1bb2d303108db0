// SPDX-License-Identifier: Apache-2.0

import PenstockTesting
import Testing

@testable import CurlClient

@Suite(.timeLimit(.minutes(5))) struct CurlFailureTests {
    @Test("Nobody listening is unreachable, and nothing was sent")
    func unreachable() async throws {
        let server = try TestHTTPServer { $1.respond() }
        let url = server.url()
        server.stop()
        try await withClient { client in
            // The listener may accept one more while it goes down.
            var error = await failure(client, CurlRequest(url: url))
            while error == nil || error?.sent == true { error = await failure(client, CurlRequest(url: url)) }
            #expect(error?.code == .unreachable)
        }
    }

    @Test("A host without an address is unresolved, and nothing was sent")
    func unresolved() async throws {
        try await withClient { client in
            let error = await failure(client, CurlRequest(url: "http://user:secret@penstock.invalid/"))
            #expect(error?.code == .unresolved)
            #expect(error?.sent == false)
            #expect(error?.detail.contains("secret") == false)
        }
    }

    @Test(
        "URLs that are none, and protocols other than http, are invalid",
        arguments: ["", "http://", "file:///etc/passwd"]
    )
    func invalid(url: String) async throws {
        try await withClient { client in
            let error = await failure(client, CurlRequest(url: url))
            #expect(error?.code == .invalidRequest)
            #expect(error?.sent == false)
        }
    }

    @Test("A server that does not answer in time is a timeout that says the request was sent")
    func timeout() async throws {
        let server = try TestHTTPServer { $1.waitForClose() }
        defer { server.stop() }
        try await withClient { client in
            var request = CurlRequest(url: server.url())
            request.timeout = .milliseconds(50)
            let error = await failure(client, request)
            #expect(error?.code == .timedOut)
            #expect(error?.sent == true)
        }
    }

    @Test("Headers that trickle do not stretch the timeout")
    func slowHeaders() async throws {
        let server = try TestHTTPServer { _, exchange in
            exchange.send("HTTP/1.1 200 OK\r\nx-slow: ")
            exchange.waitForClose()
        }
        defer { server.stop() }
        try await withClient { client in
            var request = CurlRequest(url: server.url())
            request.timeout = .milliseconds(50)
            #expect(await failure(client, request)?.code == .timedOut)
        }
    }

    @Test("An answer cut in its body is a lost connection")
    func cut() async throws {
        let server = try TestHTTPServer { $1.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc") }
        defer { server.stop() }
        try await withClient { client in
            let error = await failure(client, CurlRequest(url: server.url()))
            #expect(error?.code == .connectionLost)
            #expect(error?.sent == true)
        }
    }

    @Test(
        "An answer over the limit is cut, whether its length was announced or not",
        arguments: [true, false]
    )
    func tooLarge(announced: Bool) async throws {
        let server = try TestHTTPServer { _, exchange in
            let framing = announced ? "content-length: 99999999" : "connection: close"
            exchange.send("HTTP/1.1 200 OK\r\n\(framing)\r\n\r\n")
            while exchange.send(String(repeating: "x", count: 65536)) {}
        }
        defer { server.stop() }
        try await withClient { client in
            var request = CurlRequest(url: server.url())
            request.responseLimit = 100_000
            let error = await failure(client, request)
            #expect(error?.code == .tooLarge)
            #expect(error?.detail == "the answer has more than 100000 bytes")
            // The handle is not left with the last call's failure.
            request.url = server.url("/again")
            #expect(await failure(client, request)?.code == .tooLarge)
        }
    }

    @Test("An answer exactly at the limit is taken")
    func atLimit() async throws {
        let server = try TestHTTPServer { $1.respond(200, [], "12345") }
        defer { server.stop() }
        try await withClient { client in
            var request = CurlRequest(url: server.url())
            request.responseLimit = 5
            let response = try await client.perform(request)
            #expect(response.body.count == 5)
            request.responseLimit = 4
            #expect(await failure(client, request)?.code == .tooLarge)
        }
    }

    @Test("Redirects are not followed")
    func redirect() async throws {
        let server = try TestHTTPServer { $1.respond(302, [("Location", "/again")]) }
        defer { server.stop() }
        try await withClient { client in
            var request = CurlRequest(url: server.url())
            request.wantedHeaders = ["location"]
            let response = try await client.perform(request)
            #expect(response.status == 302)
            #expect(response.header("location") == "/again")
        }
        #expect(server.requests.count == 1)
    }

    @Test("A cancelled call ends at once, once, and says whether it was sent")
    func cancellation() async throws {
        let arrived = Latch()
        let server = try TestHTTPServer { request, exchange in
            if request.path == "/slow" {
                arrived.open()
                exchange.waitForClose()
            } else {
                exchange.respond()
            }
        }
        defer { server.stop() }
        try await withClient { client in
            let call = Task { await failure(client, CurlRequest(url: server.url("/slow"))) }
            await arrived.wait()
            call.cancel()
            let error = await call.value
            #expect(error?.code == .cancelled)
            #expect(error?.sent == true)
            #expect(await client.inFlight == 0)
            // The handle works for the next call, which a late cancellation must not hit.
            call.cancel()
            let response = try await client.perform(CurlRequest(url: server.url()))
            #expect(response.status == 200)
        }
    }

    @Test("A call by a cancelled task sends nothing")
    func cancelledBefore() async throws {
        let server = try TestHTTPServer { $1.respond() }
        defer { server.stop() }
        try await withClient { client in
            let call = Task {
                unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
                return await failure(client, CurlRequest(url: server.url()))
            }
            #expect(await call.value?.code == .cancelled)
        }
        #expect(server.requests.isEmpty)
    }

    @Test("Closing the client ends calls in flight and refuses later ones")
    func closing() async throws {
        let arrived = Latch()
        let server = try TestHTTPServer { _, exchange in
            arrived.open()
            exchange.waitForClose()
        }
        defer { server.stop() }
        try await withClient { client in
            let call = Task { await failure(client, CurlRequest(url: server.url())) }
            await arrived.wait()
            await client.close()
            #expect(await call.value?.code == .closed)
            #expect(await failure(client, CurlRequest(url: server.url()))?.code == .closed)
        }
    }

    @Test(
        "Retry-After is understood as seconds and as a date",
        arguments: ["7", "Fri, 31 Dec 2100 23:59:59 GMT"]
    )
    func retryAfter(value: String) async throws {
        let server = try TestHTTPServer { $1.respond(503, [("Retry-After", value)]) }
        defer { server.stop() }
        try await withClient { client in
            let response = try await client.perform(CurlRequest(url: server.url()))
            let wait = try #require(response.retryAfter)
            #expect(value == "7" ? wait == .seconds(7) : wait > .seconds(86400))
        }
    }

    @Test("Names and values that would break out of their header are refused")
    func headers() {
        #expect(CurlHeader("X-A", "b\r\nX-C: d") == nil)
        #expect(CurlHeader("X-A", "b\u{0}") == nil)
        #expect(CurlHeader("X A", "b") == nil)
        #expect(CurlHeader("", "b") == nil)
        #expect(CurlHeader("X-A", "ü") != nil)
    }
}
