// SPDX-License-Identifier: Apache-2.0

import AWSDestination
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import SQSConnector

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct SQSDestinationTests {
    /// A destination with a scripted queue, closed in order.
    private static func run(
        _ queue: ScriptedSQS,
        _ more: String = "",
        by name: String? = nil,
        _ body: (SQSDestination) async throws -> Void
    ) async throws {
        let yaml = queue.settings(named: name, more)
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(
            SQSDestinationConfiguration.self
        )
        let configuration = try #require(read.value, "\(read.findings)")
        let document = FailureDocument(
            SourcePlan(
                kind: "sqs",
                summary: "a test",
                capabilities: SourceCapabilities(
                    settlement: .cursor,
                    canSeek: false,
                    prunesOnAcknowledge: true
                ),
                format: SQSEventFormat(batchWindow: .zero),
                fields: SQSEventFormat.fields,
                partition: { SQSEventFormat.partition($0, name: $1) },
                make: { _, _ throws(SourceError) in throw SourceError(.closed, "there is none") }
            )
        )
        let reactor = try Reactor(name: "sqs-test")
        let destination = try SQSDestination(configuration, document, reactor: reactor)
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(destination))
        } catch {
            result = .failure(error)
        }
        await destination.close()
        reactor.stop()
        queue.stop()
        try result.get()
    }

    private static func letter(_ number: UInt64, key: String? = nil, body: String = "ping") -> DeadLetter {
        DocumentTrial.letter(number, of: SQSMessageTests.arn, key: key, body: body)
    }

    @Test("Letters are failure documents with the whole record in them, ten in a call")
    func documents() async throws {
        let queue = try ScriptedSQS("letters")
        try await Self.run(queue, by: "letters") { destination in
            try await destination.deliver((0..<23).map { Self.letter($0, body: "é\u{1}\"") })
            let figures = queue.figures
            #expect(figures.calls["SendMessageBatch"] == 3)
            #expect(figures.sent.count == 23)
            let document = figures.sent[7][0]
            #expect(document.contains(#""condition":"RetryAttemptsExhausted","approximateInvokeCount":3"#))
            #expect(document.contains(#""messageId":"00000000-0000-0000-0000-000000000007""#))
            #expect(document.contains(#""body":"é\u0001\"","#))
            #expect(figures.sent.allSatisfy { $0[1].isEmpty && $0[2].isEmpty })
        }
    }

    @Test("In a FIFO queue the key is the group, and the same letter has the same deduplication id")
    func fifo() async throws {
        let queue = try ScriptedSQS("letters.fifo")
        try await Self.run(queue) { destination in
            let letters = [
                Self.letter(1, key: "a"), Self.letter(2, key: "b b"), Self.letter(3, key: "a"),
                Self.letter(4),
            ]
            try await destination.deliver(letters)
            try await destination.deliver([letters[0]])
            let sent = queue.figures.sent
            #expect(
                sent.map { $0[1] } == [
                    "a", StableID.digest(Array("b b".utf8)), "a", SQSMessageTests.arn, "a",
                ]
            )
            #expect(sent[0][2] == sent[4][2])
            #expect(Set(sent.map { $0[2] }).count == 4)
            #expect(sent.allSatisfy { $0[2].utf8.count == 64 })
            // One of a group in each call, so that none is taken while one before it is refused.
            #expect(queue.figures.calls["SendMessageBatch"] == 3)
        }
    }

    @Test("What was taken is told when something was refused, and nothing after it is sent")
    func refused() async throws {
        let queue = try ScriptedSQS("letters")
        queue.setFaults { operation in
            operation == "SendMessageBatch"
                ? .failedEntries([3], code: "InternalError", isSendersFault: false) : nil
        }
        try await Self.run(queue) { destination in
            do {
                try await destination.deliver((0..<23).map { Self.letter($0) })
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.delivered == [0, 1, 2, 4, 5, 6, 7, 8, 9])
                #expect(error.detail.contains("InternalError"))
            }
            #expect(queue.figures.calls["SendMessageBatch"] == 1)
        }
    }

    @Test(
        "A letter that the queue will never take is told, to be kept elsewhere; one that it takes later is not"
    )
    func content() async throws {
        for (code, isSendersFault) in [
            ("InvalidMessageContents", true), ("InvalidMessageContents", false), ("Any", true),
        ] {
            let queue = try ScriptedSQS("letters")
            queue.setFaults { operation in
                operation == "SendMessageBatch"
                    ? .failedEntries([1], code: code, isSendersFault: isSendersFault) : nil
            }
            try await Self.run(queue) { destination in
                do {
                    try await destination.deliver((0..<3).map { Self.letter($0) })
                    Issue.record("it was taken")
                } catch let error as DestinationError {
                    #expect(error.delivered == [0, 2])
                    #expect(error.refused == (code == "Any" || !isSendersFault ? [] : [1]))
                    #expect(error.detail.contains(code))
                }
            }
        }
    }

    @Test("A letter that is too large is refused with its size; those before it are delivered")
    func tooLarge() async throws {
        let queue = try ScriptedSQS("letters")
        try await Self.run(queue, "message_size: 4KiB") { destination in
            do {
                let large = Self.letter(1, body: String(repeating: "x", count: 5000))
                try await destination.deliver([Self.letter(0), large, Self.letter(2)])
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.delivered == [0])
                #expect(error.refused == [1])
                #expect(error.detail.contains("\"message_size\" is 4096"))
            }
        }
    }

    @Test("A queue that is not there is told, and found once it is")
    func missing() async throws {
        let queue = try ScriptedSQS("later")
        queue.setExists(false)
        try await Self.run(queue, by: "later") { destination in
            let record = InvocationRecord(
                id: "1",
                trigger: "t",
                function: "f",
                attempt: 1,
                at: Timestamp(milliseconds: 0),
                json: Array("{}".utf8)
            )
            do {
                try await destination.deliver(record)
                Issue.record("it was taken")
            } catch let error as DestinationError {
                #expect(error.detail.contains("create the queue"))
            }
            queue.setExists(true)
            try await destination.deliver(record)
            #expect(queue.figures.sent == [["{}", "", ""]])
        }
    }

    @Test("Calls hold ten messages, what fits together, and one of each group")
    func cut() {
        func messages(_ sizes: [Int], _ groups: [String?]) -> [SQSClient.Outgoing] {
            zip(sizes, groups).map {
                SQSClient.Outgoing(body: Array(repeating: 0x78, count: $0), group: $1)
            }
        }
        let none = [String?](repeating: nil, count: 25)
        #expect(
            SQSSendBatches.cut(messages(Array(repeating: 1, count: 25), none), limit: 100).map(\.count) == [
                10, 10, 5,
            ]
        )
        #expect(
            SQSSendBatches.cut(messages([60, 50, 50, 200, 1], none), limit: 100) == [[0], [1, 2], [3], [4]]
        )
        #expect(
            SQSSendBatches.cut(messages([1, 1, 1, 1], ["a", "b", "a", "c"]), limit: 100) == [
                [0, 1], [2, 3],
            ]
        )
        #expect(SQSSendBatches.cut([], limit: 100).isEmpty)
    }
}
