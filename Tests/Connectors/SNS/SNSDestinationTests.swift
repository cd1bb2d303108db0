// SPDX-License-Identifier: Apache-2.0

import Foundation
import AWSDestination
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import SNSConnector

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct SNSDestinationTests {
    private static let arn = "arn:aws:sns:eu-west-1:123456789012:orders-failed"

    private static func fields(_ body: String) -> [String: String] {
        let pairs = body.split(separator: "&").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
        return Dictionary(
            pairs.map { ($0[0], $0.count > 1 ? $0[1].removingPercentEncoding ?? "" : "") },
            uniquingKeysWith: { $1 }
        )
    }

    @Test("Each letter is a message in a call of its own, in order; so is a result")
    func publishes() async throws {
        let server = try DocumentServer { _ in (200, "<PublishResponse/>") }
        defer { server.stop() }
        try await DocumentTrial.run(
            SNSDestinationConfiguration.self,
            at: server.endpoint,
            "topic: \(Self.arn)"
        ) { destination in
            #expect(destination.name == "sns topic orders-failed in eu-west-1")
            try await destination.deliver((0..<3).map { DocumentTrial.letter($0, body: "a&b=é+ \($0)") })
            try await destination.deliver(DocumentTrial.record)
        }
        let requests = server.requests
        #expect(requests.map(\.method) == Array(repeating: "POST", count: 4))
        #expect(
            requests.allSatisfy {
                $0.headers["authorization"]?.contains("/eu-west-1/sns/aws4_request") == true
            }
        )
        let fields = server.bodies.map { Self.fields($0) }
        #expect(
            fields.allSatisfy {
                $0["Action"] == "Publish" && $0["TopicArn"] == Self.arn && $0["MessageGroupId"] == nil
            }
        )
        for number in 0..<3 {
            let message = fields[number]["Message"] ?? ""
            #expect(message.contains(#""condition":"RetryAttemptsExhausted""#))
            #expect(message.contains("a&b=é+ \(number)"), "\(message)")
        }
        #expect(fields[3]["Message"] == #"{"version":"1.0","é":1}"#)
    }

    @Test("A message is AWS's whole failure document, with the event in it")
    func document() async throws {
        let server = try DocumentServer { _ in (200, "<PublishResponse/>") }
        defer { server.stop() }
        try await DocumentTrial.run(
            SNSDestinationConfiguration.self,
            at: server.endpoint,
            "topic: \(Self.arn)"
        ) { try await $0.deliver([DocumentTrial.failed]) }
        #expect(
            server.bodies.map { Self.fields($0)["Message"] } == [
                DocumentTrial.failedDocument(payload: #"["ping"]"#)
            ]
        )
    }

    private static func error(_ code: String) -> String {
        "<ErrorResponse><Error><Code>\(code)</Code><Message>no</Message></Error></ErrorResponse>"
    }

    @Test(
        "Doctor asks the permission to publish, by a batch of no messages",
        arguments: [
            ([(200, ""), (400, Self.error("EmptyBatchRequest"))], ["destination ok", "permissions ok"]),
            (
                [(200, ""), (400, Self.error("InvalidParameterException"))],
                ["destination ok", "permissions ok"]
            ),
            ([(200, ""), (403, Self.error("AuthorizationError"))], ["destination ok", "permissions error"]),
            (
                [(403, Self.error("AuthorizationError")), (400, Self.error("EmptyBatchRequest"))],
                ["destination not checked", "permissions ok"]
            ),
            (
                [(403, Self.error("AuthorizationError")), (404, Self.error("NotFound"))],
                ["destination not checked", "permissions error"]
            ),
            ([(404, Self.error("NotFound"))], ["destination error"]),
            (
                [(200, ""), (400, Self.error("InvalidAction"))],
                ["destination ok", "permissions not checked"]
            ),
        ] as [([DocumentServer.Answer], [String])]
    )
    func examined(answers: [DocumentServer.Answer], grades: [String]) async throws {
        let found = try await DocumentTrial.findings(
            SNSDestinationConfiguration.self,
            "topic: \(Self.arn)",
            answers: answers
        )
        #expect(found.grades == grades, "\(found.text)")
        let asked = found.requests.map { Self.fields(String(decoding: $0.body, as: UTF8.self)) }
        let calls: [String?] = ["GetTopicAttributes", "PublishBatch"]
        #expect(asked.map { $0["Action"] } == Array(calls.prefix(grades.count)))
        #expect(asked.allSatisfy { $0["TopicArn"] == Self.arn && $0.count == 3 }, "\(asked)")
        if answers.last?.status == 403 {
            #expect(found.text.hasSuffix("allow sns:Publish"), "\(found.text)")
        }
    }

    /// What a FIFO topic gets of a destination.
    private static func publishedInOrder(
        _ body: (any Destination & ResultDestination) async throws -> Void
    ) async throws -> [[String: String]] {
        let server = try DocumentServer { _ in (200, "") }
        defer { server.stop() }
        try await DocumentTrial.run(
            SNSDestinationConfiguration.self,
            at: server.endpoint,
            "topic: \(Self.arn).fifo"
        ) { destination in
            try await body(destination)
        }
        return server.bodies.map { Self.fields($0) }
    }

    @Test("In a FIFO topic the key is the group, and the same letter has the same deduplication id")
    func fifo() async throws {
        let fields = try await Self.publishedInOrder { destination in
            try await destination.deliver([
                DocumentTrial.letter(1, key: "a"), DocumentTrial.letter(2), DocumentTrial.letter(1, key: "a"),
            ])
        }
        #expect(fields.map { $0["MessageGroupId"] } == ["a", "orders-0", "a"])
        let ids = fields.map { $0["MessageDeduplicationId"] ?? "" }
        #expect(ids[0] == ids[2] && ids[0] != ids[1] && ids[0].utf8.count == 64)
    }

    @Test("The result of another attempt at the same records is another message")
    func attempts() async throws {
        let fields = try await Self.publishedInOrder { destination in
            var retried = DocumentTrial.record
            retried.attempt = 2
            for record in [DocumentTrial.record, retried, retried] { try await destination.deliver(record) }
        }
        let ids = fields.map { $0["MessageDeduplicationId"] ?? "" }
        #expect(ids[0] != ids[1] && ids[1] == ids[2])
    }

    @Test("What no message may have is escaped in its document")
    func characters() {
        let text = Array("{\"a\":\"\u{FFFE}é\u{FFFD}\u{FFFF}\u{FEFF}\"}".utf8)
        let escaped = Array("{\"a\":\"\\ufffeé\u{FFFD}\\uffff\u{FEFF}\"}".utf8)
        #expect(MessageText.escaped(text) == escaped)
        #expect(MessageText.escaped([0xEF, 0xBF]) == [0xEF, 0xBF])
        #expect(MessageText.escaped([]) == [])
    }

    @Test(
        "What was taken is told when one is refused, and nothing after it is sent; the message says the way out"
    )
    func refused() async throws {
        let answer =
            "<ErrorResponse><Error><Code>NotFound</Code><Message>no topic</Message></Error></ErrorResponse>"
        let server = try DocumentServer { $0 == 2 ? (404, answer) : (200, "") }
        defer { server.stop() }
        try await DocumentTrial.run(
            SNSDestinationConfiguration.self,
            at: server.endpoint,
            "topic: \(Self.arn)"
        ) { destination in
            do {
                try await destination.deliver((0..<5).map { DocumentTrial.letter($0) })
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.delivered == [0, 1] && error.refused.isEmpty)
                #expect(
                    error.detail
                        == "NotFound: no topic; create the topic, or check \"topic\", \"region\" and \"endpoint\""
                )
            }
        }
        #expect(server.requests.count == 3)
    }

    @Test("A letter that no topic can take is told apart, and not sent")
    func tooLarge() async throws {
        let server = try DocumentServer { _ in (200, "") }
        defer { server.stop() }
        try await DocumentTrial.run(
            SNSDestinationConfiguration.self,
            at: server.endpoint,
            "topic: \(Self.arn)"
        ) { destination in
            do {
                let large = DocumentTrial.letter(1, body: String(repeating: "x", count: 300_000))
                try await destination.deliver([DocumentTrial.letter(0), large, DocumentTrial.letter(2)])
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.delivered == [0] && error.refused == [1])
                #expect(error.detail.contains("takes 262144"), "\(error)")
            }
        }
        #expect(server.requests.count == 1)
    }

    @Test("Without permission the message names it", arguments: ["AuthorizationError", "AccessDenied"])
    func forbidden(code: String) async throws {
        let answer = "<ErrorResponse><Error><Code>\(code)</Code><Message>no</Message></Error></ErrorResponse>"
        let server = try DocumentServer { _ in (403, answer) }
        defer { server.stop() }
        try await DocumentTrial.run(
            SNSDestinationConfiguration.self,
            at: server.endpoint,
            "topic: \(Self.arn)"
        ) { destination in
            do {
                try await destination.deliver(DocumentTrial.record)
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.detail.hasSuffix("; allow sns:Publish"), "\(error)")
            }
        }
    }

    @Test(
        "A topic that is none has a finding",
        arguments: ["orders", "arn:aws:sqs:eu-west-1:123456789012:orders", "arn:aws:sns:eu-west-1"]
    )
    func badTopic(topic: String) {
        let findings = DocumentTrial.findings(
            SNSDestinationConfiguration.self,
            "topic: \"\(topic)\"\nregion: x"
        )
        #expect(findings.contains { $0.contains("is not a topic's ARN") }, "\(findings)")
    }
}
