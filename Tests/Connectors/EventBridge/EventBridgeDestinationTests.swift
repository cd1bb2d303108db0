// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSDestination
import CurlClient
import Foundation
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import EventBridgeConnector

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct EventBridgeDestinationTests {
    private static let taken = #"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#

    private static func entry(_ request: TestHTTPServer.Request) throws -> [String: Any]? {
        let object = try JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any]
        return (object?["Entries"] as? [[String: Any]])?.first
    }

    private static let bus = "arn:aws:events:eu-west-1:123456789012:event-bus/orders"

    @Test("An event has AWS's whole failure document in it, and the bus and the function as its resources")
    func document() async throws {
        let server = try DocumentServer { _ in (200, Self.taken) }
        defer { server.stop() }
        try await DocumentTrial.run(
            EventBridgeDestinationConfiguration.self,
            at: server.endpoint,
            "bus: \(Self.bus)"
        ) { destination in
            try await destination.deliver([DocumentTrial.failed])
            var record = DocumentTrial.record
            record.functionARN = "\(DocumentTrial.arn):prod"
            try await destination.deliver(record)
            try await destination.deliver(DocumentTrial.record)
        }
        let entries = try server.requests.map { try #require(try Self.entry($0)) }
        let expected: NSDictionary = [
            "Source": "lambda", "EventBusName": Self.bus,
            "DetailType": "Lambda Function Invocation Result - Failure",
            "Resources": [Self.bus, "\(DocumentTrial.arn):$LATEST"],
            "Detail": DocumentTrial.failedDocument(payload: #"["ping"]"#),
        ]
        #expect(entries[0] as NSDictionary == expected)
        #expect(entries[1]["Resources"] as? [String] == [Self.bus, "\(DocumentTrial.arn):prod"])
        #expect(entries[2]["Resources"] as? [String] == [Self.bus])
    }

    @Test("The size of an event is counted as AWS counts it: with source, detail type and resources")
    func sizes() {
        var letter = DocumentTrial.letter(1)
        let bus = EventBus(
            bus: Self.bus,
            source: "lambda",
            region: "eu-west-1",
            eventSize: 1024,
            isAWS: true
        )
        let document = DocumentTrial.document(letter)
        let fixed = "lambda".utf8.count + "Lambda Function Invocation Result - Failure".utf8.count
        #expect(bus.size(of: document) == document.json.count + fixed + Self.bus.utf8.count)
        letter.functionARN = DocumentTrial.arn
        let known = DocumentTrial.document(letter)
        let function = "\(DocumentTrial.arn):$LATEST"
        #expect(
            bus.size(of: known) == known.json.count + fixed + Self.bus.utf8.count + function.utf8.count
        )
    }

    @Test(
        "Doctor asks the permission to put events, without an event",
        arguments: [
            (
                [(200, "{}"), (200, #"{"FailedEntryCount":0,"Entries":[]}"#)],
                ["destination ok", "permissions ok"]
            ),
            (
                [(200, "{}"), (400, #"{"__type":"ValidationException","message":"no entries"}"#)],
                ["destination ok", "permissions ok"]
            ),
            (
                [(200, "{}"), (400, #"{"__type":"AccessDeniedException","Message":"no"}"#)],
                ["destination ok", "permissions error"]
            ),
            (
                [
                    (400, #"{"__type":"AccessDeniedException","Message":"no"}"#),
                    (200, #"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"InvalidArgument"}]}"#),
                ],
                ["destination not checked", "permissions ok"]
            ),
            (
                [(400, #"{"__type":"ResourceNotFoundException","Message":"no"}"#)], ["destination error"]
            ),
        ] as [([DocumentServer.Answer], [String])]
    )
    func examined(answers: [DocumentServer.Answer], grades: [String]) async throws {
        let found = try await DocumentTrial.findings(
            EventBridgeDestinationConfiguration.self,
            "bus: orders",
            answers: answers
        )
        #expect(found.grades == grades, "\(found.text)")
        let calls: [String?] = ["AWSEvents.DescribeEventBus", "AWSEvents.PutEvents"]
        #expect(found.requests.map { $0.headers["x-amz-target"] } == Array(calls.prefix(grades.count)))
        if grades.last == "permissions error" {
            #expect(found.text.hasSuffix("allow events:PutEvents"), "\(found.text)")
        }
        // What is no bus of AWS's might take an entry for an event.
        if let last = found.requests.last, grades.count == 2 {
            #expect(String(decoding: last.body, as: UTF8.self) == #"{"Entries":[]}"#)
        }
    }

    @Test("AWS is asked for the bus that is meant, by an entry that is no event")
    func askedOfAWS() throws {
        let yaml = "bus: orders\nregion: eu-west-1"
        let read = DocumentTrial.read(EventBridgeDestinationConfiguration.self, yaml)
        guard case .bytes(let body) = try #require(read?.service.probes.sending).body else {
            Issue.record("no body")
            return
        }
        #expect(String(decoding: body, as: UTF8.self) == #"{"Entries":[{"EventBusName":"orders"}]}"#)
    }

    @Test("Each letter is an event in the form of AWS Lambda's destinations; so is a result")
    func puts() async throws {
        let server = try DocumentServer { _ in (200, Self.taken) }
        defer { server.stop() }
        try await DocumentTrial.run(
            EventBridgeDestinationConfiguration.self,
            at: server.endpoint,
            "bus: orders"
        ) { destination in
            #expect(destination.name == "event bus orders in eu-west-1")
            try await destination.deliver([DocumentTrial.letter(1, body: "é\"\n")])
            try await destination.deliver(DocumentTrial.record)
        }
        #expect(
            server.requests.map { $0.headers["x-amz-target"] } == [
                "AWSEvents.PutEvents", "AWSEvents.PutEvents",
            ]
        )
        let entries = try server.requests.map { try #require(try Self.entry($0) as? [String: String]) }
        #expect(entries.map { $0["Source"] } == ["lambda", "lambda"])
        #expect(entries.map { $0["EventBusName"] } == ["orders", "orders"])
        #expect(
            entries.map { $0["DetailType"] } == [
                "Lambda Function Invocation Result - Failure", "Lambda Function Invocation Result - Success",
            ]
        )
        let detail = try JSONSerialization.jsonObject(with: Data((entries[0]["Detail"] ?? "").utf8))
        let context = (detail as? [String: Any])?["requestContext"] as? [String: Any]
        #expect(context?["condition"] as? String == "RetryAttemptsExhausted")
        #expect(entries[1]["Detail"] == #"{"version":"1.0","é":1}"#)
    }

    @Test(
        "A refusal inside of a success is one",
        arguments: [
            (
                #"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"ThrottlingException","ErrorMessage":"slow"}]}"#,
                "ThrottlingException: slow"
            ),
            (#"{"FailedEntryCount":1,"Entries":[]}"#, "the event was not taken"),
            ("<html>", "is not the JSON of EventBridge"), ("", "is not the JSON of EventBridge"),
        ]
    )
    func refused(answer: String, says: String) async throws {
        let server = try DocumentServer { $0 == 0 ? (200, Self.taken) : (200, answer) }
        defer { server.stop() }
        try await DocumentTrial.run(
            EventBridgeDestinationConfiguration.self,
            at: server.endpoint,
            "bus: orders"
        ) { destination in
            do {
                try await destination.deliver((0..<3).map { DocumentTrial.letter($0) })
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.detail.contains(says) && error.delivered == [0], "\(error)")
            }
        }
        #expect(server.requests.count == 2)
    }

    @Test("An event that is larger than the bus takes is told apart, and not sent")
    func tooLarge() async throws {
        let server = try DocumentServer { _ in (200, Self.taken) }
        defer { server.stop() }
        try await DocumentTrial.run(
            EventBridgeDestinationConfiguration.self,
            at: server.endpoint,
            "event_size: 4KiB"
        ) { destination in
            do {
                try await destination.deliver([
                    DocumentTrial.letter(0, body: String(repeating: "x", count: 5000))
                ])
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.refused == [0])
            }
        }
        #expect(server.requests.isEmpty)
    }

    @Test("What is neither a bus nor a source has a finding")
    func badTables() {
        for (yaml, says) in [
            ("bus: \"arn:aws:sns:eu-west-1:1:x\"", "neither a bus's name nor its ARN"),
            ("source: aws.lambda", "which is AWS's own"),
        ] {
            let findings = DocumentTrial.findings(
                EventBridgeDestinationConfiguration.self,
                "\(yaml)\nregion: eu-west-1"
            )
            #expect(findings.contains { $0.contains(says) }, "\(findings)")
        }
    }
}
