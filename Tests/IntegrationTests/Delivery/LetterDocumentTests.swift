// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Failure documents and results where ``PolicyRun`` sent them: AWS's members, and the whole event.
@Suite(.timeLimit(.minutes(4)))
struct LetterDocumentTests {
    private let run: PolicyRun

    init() async throws {
        self.run = try await PolicyRun.shared.value
    }

    private struct Document: Decodable {
        var requestContext: RequestContext
        var responseContext: ResponseContext?
        var version: String
        var timestamp: String
        var trigger: String
        var KafkaBatchInfo: BatchInfo
        var payload: Event

        struct RequestContext: Decodable {
            var requestId: String
            var functionArn: String
            var condition: String
            var approximateInvokeCount: Int
        }
        struct ResponseContext: Decodable {
            var statusCode: Int
            var executedVersion: String
            var functionError: String?
        }
        struct BatchInfo: Decodable {
            var batchSize: Int
            var bootstrapServers: String
            var payloadSize: Int
            var recordInfo: RecordInfo?
            var recordsInfo: [String: RecordsInfo]?

            struct RecordInfo: Decodable {
                var offset: String
                var timestamp: String
            }

            struct RecordsInfo: Decodable {
                var firstRecordOffset: String
                var lastRecordOffset: String
                var firstRecordTimestamp: String
                var lastRecordTimestamp: String
            }
        }
        struct Event: Decodable {
            var eventSource: String
            var records: [String: [Record]]

            struct Record: Decodable {
                var offset: Int
                var key: String?
                var value: String?
            }
        }
    }

    private func document(_ bytes: [UInt8]) throws -> Document {
        try JSONDecoder().decode(Document.self, from: Data(bytes))
    }

    @Test("A topic gets the letter under the record's key, as AWS's document with the whole event")
    func topic() throws {
        let message = try #require(self.run.messages.first)
        #expect(self.run.messages.count == 1)
        #expect(message.key == "k")
        #expect(message.headers["penstock-source"] == "to-topic-0@0")
        let document = try self.document(Array(message.value.utf8))
        #expect(document.requestContext.condition == "RetriesExhausted", "AWS's word in a topic")
        #expect(document.requestContext.approximateInvokeCount == 2)
        #expect(document.requestContext.functionArn == "app" && document.trigger == "to-topic")
        #expect(!document.requestContext.requestId.isEmpty)
        #expect(document.responseContext?.functionError == "Unhandled")
        #expect(document.responseContext?.statusCode == 200 && document.version == "1.0")
        #expect(document.KafkaBatchInfo.batchSize == 1 && document.KafkaBatchInfo.recordInfo?.offset == "0")
        #expect(document.KafkaBatchInfo.recordsInfo == nil)
        #expect(document.payload.eventSource == "SelfManagedKafka")
        let record = try #require(document.payload.records["to-topic-0"]?.first)
        #expect(record.offset == 0 && record.key == "aw==" && record.value == "b25l")
        // One topic is as good as the store: nothing of this is in the store.
        #expect(self.run.letters["to-topic"] == nil && self.run.committed["to-topic"] == [1])
    }

    @Test(
        "A file gets a line for each letter; a report is no error, and what was never asked has no response"
    )
    func file() throws {
        let documents = try self.run.lines.map { try self.document($0) }
        #expect(
            documents.map(\.requestContext.condition) == [
                "RetryAttemptsExhausted", "MaximumPayloadSizeExceeded", "RecordAgeExceeded",
            ]
        )
        #expect(documents.map(\.requestContext.approximateInvokeCount) == [2, 0, 0])
        let places = documents.map { $0.KafkaBatchInfo.recordsInfo?["to-file-0"] }
        #expect(places.map { $0?.firstRecordOffset } == ["0", "1", "2"])
        #expect(places.map { $0?.lastRecordOffset } == ["0", "1", "2"])
        #expect(documents.allSatisfy { $0.KafkaBatchInfo.recordInfo == nil }, "a topic's alone")
        let first = try #require(documents.first)
        #expect(first.responseContext != nil && first.responseContext?.functionError == nil)
        #expect(documents.dropFirst().allSatisfy { $0.responseContext == nil })
        for (document, line) in zip(documents, self.run.lines) {
            let size = document.KafkaBatchInfo.payloadSize
            #expect(size > 0 && size < line.count)
            #expect(document.payload.records["to-file-0"]?.count == 1)
        }
        // Null where nobody answered, left out where nobody was asked.
        let texts = self.run.lines.map { String(decoding: $0, as: UTF8.self) }
        #expect(texts.map { $0.contains("\"responseContext\":null") } == [false, true, false])
        #expect(texts.map { $0.contains("\"responseContext\"") } == [true, true, false])
        #expect(self.run.letters["to-file"] == nil && self.run.committed["to-file"] == [3])
    }

    @Test("on_success keeps what the function answered, with the records that it was asked about")
    func results() throws {
        #expect(self.run.results.count == 1)
        let line = Data(try #require(self.run.results.first))
        let document = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
        let context = document["requestContext"] as? [String: Any]
        #expect(context?["functionArn"] as? String == "app" && context?["condition"] as? String == "Success")
        let event = document["requestPayload"] as? [String: Any]
        #expect(event?["eventSource"] as? String == "SelfManagedKafka")
        #expect((event?["records"] as? [String: [Any]])?["answered-0"]?.count == 3)
        let payload = document["responsePayload"] as? [String: Any]
        #expect(payload?["sum"] as? Int == 3 && (payload?["batchItemFailures"] as? [Any])?.count == 1)
        let batch = try #require((document["batch"] as? [[String: Any]])?.first)
        #expect(batch["partition"] as? String == "answered-0")
        #expect(batch["positions"] as? [String] == ["0", "1", "2"])
        // The record that failed is a dead letter beside it, and the two others are settled.
        #expect(self.run.letters["answered"]?.map(\.record) == ["1"])
        #expect(self.run.committed["answered"] == [3])
    }
}
