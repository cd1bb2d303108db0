// SPDX-License-Identifier: Apache-2.0

import AWSDestination
import PenstockRuntime
import PenstockTesting
import Testing

@testable import LambdaConnector

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct LambdaDestinationTests {
    @Test("Each letter is an event of the function, which is not waited for; so is a result")
    func invokes() async throws {
        let server = try DocumentServer { _ in (202, "") }
        defer { server.stop() }
        try await DocumentTrial.run(
            LambdaDestinationConfiguration.self,
            at: server.endpoint,
            "function: watch:prod"
        ) { destination in
            #expect(destination.name == "AWS Lambda watch:prod")
            try await destination.deliver([DocumentTrial.letter(1), DocumentTrial.letter(2)])
            try await destination.deliver(DocumentTrial.record)
        }
        let requests = server.requests
        #expect(
            Set(requests.map(\.path)) == ["/2015-03-31/functions/watch/invocations?Qualifier=prod"]
        )
        #expect(requests.allSatisfy { $0.headers["x-amz-invocation-type"] == "Event" })
        #expect(server.bodies[0].contains(#""condition":"RetryAttemptsExhausted""#))
        #expect(server.bodies[2] == #"{"version":"1.0","é":1}"#)
    }

    @Test("An event is AWS's whole failure document, with the event of the record in it")
    func document() async throws {
        let server = try DocumentServer { _ in (202, "") }
        defer { server.stop() }
        try await DocumentTrial.run(
            LambdaDestinationConfiguration.self,
            at: server.endpoint,
            "function: watch"
        ) { try await $0.deliver([DocumentTrial.failed]) }
        #expect(server.bodies == [DocumentTrial.failedDocument(payload: #"["ping"]"#)])
    }

    @Test(
        "Doctor asks whether the function is there and may be invoked, by a call that does not run it",
        arguments: [
            ((204, ""), "destination ok", "would take documents: lambda:InvokeFunction"),
            (
                (403, #"{"__type":"AccessDeniedException","Message":"no"}"#), "destination error",
                "; allow lambda:InvokeFunction"
            ),
            (
                (404, #"{"__type":"ResourceNotFoundException","Message":"no"}"#), "destination error",
                "; create the function, or check \"function\", \"region\" and \"endpoint\""
            ),
        ] as [(DocumentServer.Answer, String, String)]
    )
    func examined(answer: DocumentServer.Answer, grade: String, says: String) async throws {
        let found = try await DocumentTrial.findings(
            LambdaDestinationConfiguration.self,
            "function: watch",
            answers: [answer]
        )
        #expect(found.grades == [grade] && found.text.hasSuffix(says), "\(found.text)")
        #expect(found.requests.map { $0.headers["x-amz-invocation-type"] } == ["DryRun"])
    }

    @Test("A document that AWS finds too large is told apart, whatever its limit is")
    func tooLarge() async throws {
        let answer = #"{"Type":"User","message":"too large"}"#
        let server = try DocumentServer { $0 == 1 ? (413, answer) : (202, "") }
        defer { server.stop() }
        try await DocumentTrial.run(
            LambdaDestinationConfiguration.self,
            at: server.endpoint,
            "function: watch"
        ) { destination in
            do {
                try await destination.deliver((0..<3).map { DocumentTrial.letter($0) })
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.delivered == [0] && error.refused == [1])
            }
        }
    }

    @Test("A function that is not there is told with the way out")
    func refused() async throws {
        let answer = #"{"Type":"User","message":"Function not found","__type":"ResourceNotFoundException"}"#
        let server = try DocumentServer { _ in (404, answer) }
        defer { server.stop() }
        try await DocumentTrial.run(
            LambdaDestinationConfiguration.self,
            at: server.endpoint,
            "function: watch"
        ) { destination in
            do {
                try await destination.deliver([DocumentTrial.letter(1)])
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(
                    error.detail.hasPrefix(
                        "ResourceNotFoundException: Function not found; create the function"
                    )
                )
            }
        }
    }
}
