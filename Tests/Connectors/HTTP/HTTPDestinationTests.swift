// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPEndpoints
import Logging
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import HTTPConnector

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct HTTPDestinationTests {
    /// A destination at `url`, and closed in order.
    private static func run(
        _ url: String,
        _ yaml: String = "",
        _ body: (HTTPDestination) async throws -> Void
    ) async throws {
        let read = Self.read("url: \"\(url)\"\n\(yaml)")
        let configuration = try #require(read.value, "\(read.findings)")
        let reactor = try Reactor(name: "http-test")
        let result: Result<Void, any Error>
        do {
            let destination = try HTTPDestination(
                configuration,
                FailureDocument(DocumentTrial.source),
                reactor: reactor
            )
            do {
                result = .success(try await body(destination))
            } catch {
                result = .failure(error)
            }
            await destination.close()
        }
        reactor.stop()
        try result.get()
    }

    private static func read(
        _ yaml: String
    ) -> (value: HTTPDestinationConfiguration?, findings: [String]) {
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(
            HTTPDestinationConfiguration.self
        )
        return (read.value, read.findings.map(\.description))
    }

    private static func refusal(
        _ body: () async throws -> Void
    ) async -> DestinationError? {
        do {
            try await body()
        } catch {
            return error as? DestinationError
        }
        Issue.record("it was taken")
        return nil
    }

    @Test("Each letter is a POST of its document, in order, with an id that stays the same; so is a result")
    func posts() async throws {
        let server = try TestHTTPServer { $1.respond(202, [], "accepted") }
        defer { server.stop() }
        try await Self.run(server.url("/failed?from=a"), "headers: { Authorization: Bearer s3cret }") {
            destination in
            #expect(destination.name == "http \(server.url("/failed"))?from=«redacted»")
            try await destination.deliver([DocumentTrial.letter(1), DocumentTrial.letter(2)])
            try await destination.deliver([DocumentTrial.letter(1)])
            var retried = DocumentTrial.record
            retried.attempt = 2
            for record in [DocumentTrial.record, DocumentTrial.record, retried] {
                try await destination.deliver(record)
            }
        }
        let requests = server.requests
        #expect(requests.map(\.method) == Array(repeating: "POST", count: 6))
        #expect(requests.allSatisfy { $0.path == "/failed?from=a" })
        #expect(requests.allSatisfy { $0.headers["authorization"] == "Bearer s3cret" })
        #expect(requests.allSatisfy { $0.headers["content-type"] == "application/json" })
        #expect(requests.allSatisfy { $0.headers["x-penstock-trigger"] == "orders" })
        let ids = requests.map { $0.headers["x-penstock-document-id"] ?? "" }
        #expect(ids[0] == ids[2] && ids[0] != ids[1])
        #expect(ids[3] == ids[4] && ids[3] != ids[5], "the result of another attempt is another one")
        let bodies = requests.map { String(decoding: $0.body, as: UTF8.self) }
        for (place, number) in [1, 2, 1].enumerated() {
            let body = Data(bodies[place].utf8)
            let document = try #require(try JSONSerialization.jsonObject(with: body) as? [String: Any])
            #expect(document["payload"] as? [String] == ["ping"], "letter \(number)")
        }
        #expect(bodies[3] == #"{"version":"1.0","é":1}"#)
    }

    @Test("A content type of one's own replaces ours")
    func contentType() async throws {
        let server = try TestHTTPServer { $1.respond() }
        defer { server.stop() }
        try await Self.run(server.url("/"), "headers: { content-type: application/cloudevents+json }") {
            try await $0.deliver(DocumentTrial.record)
        }
        #expect(server.requests.map { $0.headers["content-type"] } == ["application/cloudevents+json"])
    }

    @Test(
        "What says nothing of the document is tried again; what does is not, and what was taken before is told",
        arguments: [
            (400, "no such field", true, "HTTP 400: no such field"), (413, "", true, "HTTP 413"),
            (415, "", true, "HTTP 415"), (422, "", true, "HTTP 422"),
            (401, "", false, "HTTP 401; check \"headers\", or the user and password of \"url\""),
            (403, "", false, "HTTP 403; check \"headers\", or the user and password of \"url\""),
            (404, "", false, "HTTP 404; check \"url\", which must take a POST"),
            (408, "", false, "HTTP 408"), (429, "", false, "HTTP 429"),
            (500, "\u{1}", false, "HTTP 500"), (503, "busy", false, "HTTP 503: busy"),
            (
                301, "", false,
                "HTTP 301: the endpoint redirects to http://h/new, and redirects are not followed; set the url to "
                    + "where it is"
            ),
        ]
    )
    func refused(status: Int, text: String, isFinal: Bool, detail: String) async throws {
        let server = try TestHTTPServer { request, exchange in
            let isSecond = String(decoding: request.body, as: UTF8.self).contains("second")
            exchange.respond(isSecond ? status : 200, [("Location", "http://u:p@h/new?token=t")], text)
        }
        defer { server.stop() }
        try await Self.run(server.url("/")) { destination in
            let letters = [
                DocumentTrial.letter(1), DocumentTrial.letter(2, body: "second"), DocumentTrial.letter(3),
            ]
            let error = await Self.refusal { try await destination.deliver(letters) }
            #expect(error?.delivered == [0] && error?.refused == (isFinal ? [1] : []))
            #expect(error?.detail == detail)
        }
        #expect(server.requests.count == 2, "nothing is sent after it")
    }

    @Test("No answer is no success, and the message has no password")
    func noAnswer() async throws {
        let server = try TestHTTPServer { _, _ in }
        defer { server.stop() }
        let url = server.url("/").replacing("//", with: "//user:hunter2@", maxReplacements: 1)
        try await Self.run(url) { destination in
            #expect(!destination.name.contains("hunter2"))
            let error = await Self.refusal { try await destination.deliver([DocumentTrial.letter(1)]) }
            #expect(
                error?.delivered == [] && error?.refused == [] && error?.detail.contains("hunter2") == false
            )
        }
        #expect(server.requests.first?.headers["authorization"]?.hasPrefix("Basic ") == true)
    }

    @Test("An answer of any length is a success")
    func longAnswer() async throws {
        let server = try TestHTTPServer { $1.respond(200, [], String(repeating: "x", count: 8 << 20)) }
        defer { server.stop() }
        try await Self.run(server.url("/")) { try await $0.deliver(DocumentTrial.record) }
    }

    @Test("Headers that cannot be sent, or that are ours, have a finding")
    func badHeaders() {
        let read = Self.read("url: http://h/\nheaders: { \"a b\": x, X-Penstock-Trigger: y }")
        #expect(read.findings.contains { $0.contains("cannot send \"a b\"") })
        #expect(read.findings.contains { $0.contains("must not set \"X-Penstock-Trigger\"") })
    }

    @Test("Doctor says whether somebody answers")
    func examined() async throws {
        let server = try TestHTTPServer { $1.respond(405, [], "") }
        defer { server.stop() }
        let reactor = try Reactor(name: "http-test")
        let configuration = try #require(Self.read("url: \"\(server.url("/x"))\"").value)
        let context = RuntimeContext(reactor: reactor, logger: Logger(label: "http-test"))
        let diagnosis = await configuration.endpoint.examine(context)
        #expect("\(diagnosis)".contains("answers (HEAD: status 405)"), "\(diagnosis)")
        #expect(server.requests.map(\.method) == ["HEAD"])
        reactor.stop()
    }
}
