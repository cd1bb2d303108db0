// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Testing

/// Who may ask, and what is made of requests that are not right.
@Suite(.timeLimit(.minutes(5)))
struct AccessTests {
    private static let paths = [
        ("GET", "/api/v1"), ("GET", "/page/else.mjs"), ("GET", "/readyz"), ("GET", "/metrics"),
        ("GET", "/api/v1/info"),
        ("GET", "/api/v1/triggers"), ("GET", "/api/v1/triggers/orders"),
        ("GET", "/api/v1/triggers/orders/tap"), ("POST", "/api/v1/triggers/orders/pause"),
        ("POST", "/api/v1/triggers/orders/resume"), ("POST", "/api/v1/triggers/orders/seek"),
        ("GET", "/api/v1/dead-letters"),
        ("GET", "/api/v1/dead-letters/1"), ("GET", "/api/v1/dead-letters/1/event"),
        ("POST", "/api/v1/dead-letters/redrive"), ("POST", "/api/v1/dead-letters/drop"),
        ("GET", "/nothing/here"),
    ]

    @Test("Without the token nothing is answered, not even that a path is unknown", arguments: Self.paths)
    func token(method: String, path: String) async throws {
        try await AdminFixture.serve(token: AdminFixture.token) { admin in
            let none = try await admin.send(method, path, body: method == "POST" ? "{}" : nil)
            #expect(none.status == 401)
            #expect(try none.message() == "a bearer token is required")
            #expect(none.headers["www-authenticate"] == "Bearer realm=\"penstock\"")
            let wrong = "Authorization: Bearer b-token-of-enough-letters"
            let refused = try await admin.send(
                method,
                path,
                headers: [wrong],
                body: method == "POST" ? "{}" : nil
            )
            #expect(refused.status == 401)
            #expect(try refused.message() == "the bearer token is not the right one")
            let right = "Authorization: Bearer \(AdminFixture.token)"
            let answer = try await admin.send(
                method,
                path,
                headers: [right],
                body: method == "POST" ? "{}" : nil
            )
            #expect(answer.status != 401 && answer.status != 403)
        }
    }

    @Test(
        "Almost the token is not the token",
        arguments: [
            "Bearer ", "Bearer \(AdminFixture.token)x", "Bearer \(AdminFixture.token.dropLast())",
            "bearer", "Basic \(AdminFixture.token)", AdminFixture.token, "Bearer  \(AdminFixture.token)",
        ]
    )
    func nearMiss(header: String) async throws {
        try await AdminFixture.serve(token: AdminFixture.token) { admin in
            let answer = try await admin.get("/api/v1/triggers", headers: ["Authorization: \(header)"])
            #expect(answer.status == 401)
        }
    }

    @Test("The health check needs no token: who starts containers has none")
    func health() async throws {
        try await AdminFixture.serve(token: AdminFixture.token) { admin in
            let (health, ready) = (try await admin.get("/healthz"), try await admin.get("/readyz"))
            #expect(health.status == 200 && ready.status == 401)
        }
    }

    @Test("With a token any name is answered; without one, only names of this machine, against DNS rebinding")
    func hosts() async throws {
        try await AdminFixture.serve { admin in
            for host in [
                "localhost", "localhost:8077", "127.0.0.1", "127.1.2.3:1", "[::1]:8077", "LOCALHOST",
            ] {
                let answer = try await admin.get("/api/v1/triggers", headers: ["Host: \(host)"])
                #expect(answer.status == 200, "\(host)")
            }
            for host in [
                "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8077", "127.0.0.256",
            ] {
                let answer = try await admin.get("/api/v1/triggers", headers: ["Host: \(host)"])
                #expect(answer.status == 403, "\(host)")
                #expect(try answer.code() == "host")
            }
        }
        try await AdminFixture.serve(token: AdminFixture.token) { admin in
            let headers = ["Host: penstock.internal", "Authorization: Bearer \(AdminFixture.token)"]
            let answer = try await admin.get("/api/v1/triggers", headers: headers)
            #expect(answer.status == 200)
        }
    }

    @Test(
        "Without a token no page of another site can order anything; with one, whoever has it may be anywhere"
    )
    func origins() async throws {
        try await AdminFixture.serve { admin in
            let path = "/api/v1/triggers/orders/pause"
            let foreign = [
                "http://evil.example", "https://evil.example:8077", "null", "http://localhost:1",
                "https://localhost:8077", "http://localhost:8077.evil.example",
            ]
            for origin in foreign {
                let headers = ["Host: localhost:8077", "Origin: \(origin)"]
                let answer = try await admin.send("POST", path, headers: headers)
                #expect(answer.status == 403, "\(origin)")
                #expect(try answer.code() == "origin")
            }
            let drop = try await admin.send(
                "POST",
                "/api/v1/dead-letters/drop",
                headers: ["Host: localhost:8077", "Origin: http://evil.example", "Content-Type: text/plain"],
                body: #"{"all":true}"#
            )
            #expect(drop.status == 403)
            let own = ["Host: localhost:8077", "Origin: http://LOCALHOST:8077"]
            #expect(try await admin.send("POST", path, headers: own).status == 200)
        }
        try await AdminFixture.serve(token: AdminFixture.token) { admin in
            let headers = ["Origin: http://else.example", "Authorization: Bearer \(AdminFixture.token)"]
            let answer = try await admin.get("/api/v1/triggers", headers: headers)
            #expect(answer.status == 200)
        }
    }

    @Test("The time of a comparison does not tell how much of a token was right")
    func constantTime() async throws {
        // The same work for each: every byte of the right one is looked at, whatever was given.
        let right = String(repeating: "t", count: 200_000)
        let early = "x" + right.dropFirst()
        let late = right.dropLast() + "x"
        func fastest(_ given: String) -> Duration {
            var best = Duration.seconds(60)
            for _ in 0..<15 {
                let began = ContinuousClock.now
                let matches = TokenComparison.matches(given, right)
                best = min(best, ContinuousClock.now - began)
                #expect(!matches)
            }
            return best
        }
        let (first, last) = (fastest(early), fastest(String(late)))
        #expect(first * 3 > last && last * 3 > first, "\(first) against \(last)")
        #expect(TokenComparison.matches(right, right))
        #expect(!TokenComparison.matches("", right) && !TokenComparison.matches(right + "x", right))
    }

    @Test(
        "A method that a path does not take is refused by name",
        arguments: [
            ("POST", "/metrics", "this path takes GET, not POST"),
            ("GET", "/api/v1/triggers/orders/pause", "this path takes POST, not GET"),
            ("PUT", "/api/v1/dead-letters", "this path takes GET or DELETE, not PUT"),
            ("DELETE", "/healthz", "this path takes GET, not DELETE"),
        ]
    )
    func methods(method: String, path: String, message: String) async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.send(method, path)
            #expect(answer.status == 405)
            #expect(try answer.message() == message)
        }
    }

    @Test("A body over 1 MiB is refused, and the server goes on")
    func oversized() async throws {
        try await AdminFixture.serve { admin in
            let body = #"{"trigger":""# + String(repeating: "x", count: 2 << 20) + #""}"#
            let answer = try await admin.send("POST", "/api/v1/dead-letters/drop", body: body)
            #expect(answer.status == 413)
            #expect(try answer.code() == "too-large")
            #expect(try await admin.get("/healthz").status == 200)
        }
    }

    @Test(
        "A body that is not a JSON object is refused",
        arguments: [
            "{", "[]", "null", #"{"all":true"#, #"{"all":true}}"#, "{\"a\":\"\u{1}\"}",
            String(repeating: "[", count: 5000),
        ]
    )
    func malformedBody(body: String) async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.send("POST", "/api/v1/dead-letters/redrive", body: body)
            #expect(answer.status == 400)
            #expect(try answer.code() == "bad-json")
        }
    }

    @Test(
        "Bytes that are not HTTP end their connection, and nothing else",
        arguments: [
            "nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\u{0} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "POST /api/v1/dead-letters/drop HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\n bad: header\r\n\r\n",
        ]
    )
    func malformedRequest(text: String) async throws {
        try await AdminFixture.serve { admin in
            let connection = try #require(TestConnection(port: admin.port))
            await connection.send(text)
            let answer = await connection.response()
            #expect(answer == nil || answer.map { (400..<600).contains($0.status) } == true)
            #expect(try await admin.get("/healthz").status == 200)
        }
    }

    @Test("A client that hangs up in the middle of a request disturbs nobody")
    func hangUp() async throws {
        try await AdminFixture.serve { admin in
            let connection = try #require(TestConnection(port: admin.port))
            await connection.send(
                "POST /api/v1/dead-letters/drop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"
            )
            connection.hangUp()
            #expect(try await admin.get("/healthz").status == 200)
            #expect(try await admin.store.countDeadLetters(matching: .init()).count == 0)
        }
    }
}
