// SPDX-License-Identifier: Apache-2.0

package import AWSDestination
import PenstockConfiguration
package import PenstockCore
package import PenstockRuntime
import Reactor
import Synchronization

/// A destination of AWS's in front of a server that a test scripts, or of an emulator.
package enum DocumentTrial {
    /// What a table could not be read for.
    package struct Refused: Error {
        /// The findings, line by line.
        package let findings: [String]
    }

    /// Reads the table with keys and a region, makes the destination, and closes all in order.
    ///
    /// - Throws: ``Refused`` when the table is not right, and what `body` throws.
    package static func run<Table: DocumentDestinationTable>(
        _ table: Table.Type,
        at endpoint: String,
        _ yaml: String,
        _ body: (DocumentDestination<Table.Service>) async throws -> Void
    ) async throws {
        let keys = "credentials: { access_key_id: KEY, secret_access_key: s3cret }"
        let text = "\(yaml)\nendpoint: \(endpoint)\nregion: \(TestAWS.region)\n\(keys)\n"
        guard let configuration = Self.read(table, text) else {
            throw Refused(findings: Self.findings(table, text))
        }
        let reactor = try Reactor(name: "document-test")
        let result: Result<Void, any Error>
        do {
            let destination = try DocumentDestination(
                configuration.service,
                FailureDocument(Self.source, as: Table.Service.form),
                options: configuration.options,
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

    /// A table; nil when it is not right.
    package static func read<Table: DocumentDestinationTable>(_ table: Table.Type, _ yaml: String) -> Table? {
        ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(table).value
    }

    /// The document that is made of a letter.
    package static func document(_ letter: DeadLetter) -> OutgoingDocument {
        OutgoingDocument(letter, json: FailureDocument(Self.source).json(of: letter), shard: letter.partition)
    }

    /// The findings of a table that is not right; empty when it is.
    package static func findings<Table: DocumentDestinationTable>(
        _ table: Table.Type,
        _ yaml: String
    ) -> [String] {
        ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(table).findings.map(\.description)
    }

    /// A source whose events are lists of bodies.
    ///
    /// Its partitions have short names: what is behind their last slash.
    package static let source: SourcePlan = {
        var source = SourcePlan(
            kind: "scripted",
            summary: "a test",
            capabilities: SourceCapabilities(settlement: .cursor, canSeek: false, prunesOnAcknowledge: true),
            format: BodiesFormat(),
            fields: RecordFields([RecordFields.Field("offset", .position)]),
            partition: { Partition(id: $0, name: $1) },
            make: { _, _ throws(SourceError) in throw SourceError(.closed, "there is none") }
        )
        source.shard = { $0.split(separator: "/").last.map(String.init) ?? $0 }
        return source
    }()

    /// The letter of a record with the body `ping`, on which version 7 of a function of AWS Lambda failed; what each kind of
    /// destination gets of it is ``failedDocument(payload:)``.
    package static let failed: DeadLetter = {
        var letter = Self.letter(7)
        letter.functionARN = Self.arn
        letter.attempts = [
            Attempt(
                at: letter.at,
                duration: .seconds(1),
                failure: Failure(type: "ValueError", message: "no \"price\""),
                executedVersion: "7"
            )
        ]
        return letter
    }()

    /// The function of ``failed``.
    package static let arn = "arn:aws:lambda:eu-west-1:123456789012:function:charge"

    /// The whole document of ``failed``, of a payload in JSON.
    package static func failedDocument(payload: String) -> String {
        #"{"requestContext":{"requestId":"5f0c0000-0000-4000-8000-000000000001","functionArn":"\#(Self.arn)","#
            + #""condition":"RetryAttemptsExhausted","approximateInvokeCount":3},"responseContext":{"statusCode":200,"#
            + #""executedVersion":"7","functionError":"Unhandled","errorType":"ValueError","#
            + #""errorMessage":"no \"price\""},"version":"1.0","timestamp":"2023-11-14T22:13:20.000Z","#
            + #""trigger":"orders","payload":\#(payload)}"#
    }

    /// What `penstock doctor` finds of a destination at a server: each grade with its check, and all of the texts.
    package static func findings<Table: DocumentDestinationTable>(
        _ table: Table.Type,
        _ yaml: String,
        answers: [DocumentServer.Answer]
    ) async throws -> (grades: [String], text: String, requests: [TestHTTPServer.Request]) {
        let server = try DocumentServer { answers[min($0, answers.count - 1)] }
        defer { server.stop() }
        var found: [Diagnosis] = []
        try await Self.run(table, at: server.endpoint, yaml) { found = await $0.examine() }
        return (
            found.map { "\($0.check) \($0.grade.rawValue)" },
            found.map(\.detail).joined(separator: "\n"), server.requests
        )
    }

    /// The letter of the record at a position of a partition, given up at 2023-11-14T22:13:20Z.
    package static func letter(
        _ number: UInt64,
        of partition: String = "orders-0",
        key: String? = nil,
        body: String = "ping"
    ) -> DeadLetter {
        let verdict = DeadLetterVerdict(
            trigger: "orders",
            function: "charge",
            reason: .retriesExhausted,
            at: Timestamp(milliseconds: 1_700_000_000_000),
            attempts: [],
            attemptCount: 3,
            invocation: "5f0c0000-0000-4000-8000-000000000001"
        )
        var letter = DeadLetter(
            partition: partition,
            position: Position(number),
            timestamp: Timestamp(milliseconds: 1),
            verdict: verdict
        )
        letter.key = key.map { Array($0.utf8) }
        letter.body = Array(body.utf8)
        return letter
    }

    /// A result of the trigger `orders`, of the same time.
    package static let record = InvocationRecord(
        id: "5f0c0000-0000-4000-8000-000000000002",
        trigger: "orders",
        function: "charge",
        attempt: 1,
        at: Timestamp(milliseconds: 1_700_000_000_000),
        json: Array(#"{"version":"1.0","é":1}"#.utf8)
    )
}

/// A list of the records' bodies as JSON strings.
private struct BodiesFormat: EventFormat {
    var contentType: String { "application/json" }

    var envelope: Int { 2 }

    func sizes(of block: RecordBlock) -> RecordSizes {
        RecordSizes(count: block.count) { index in
            unsafe block.body(at: index).map { unsafe EventWriter.stringSize(of: $0) + 1 } ?? 5
        }
    }

    func encode(_ batch: Batch, into writer: inout EventWriter) {
        writer.literal("[")
        for run in batch.runs {
            for index in run.indices {
                if let body = unsafe run.admitted.block.body(at: index) {
                    unsafe writer.string(body)
                } else {
                    writer.literal("null")
                }
                writer.literal(",")
            }
        }
        writer.removeLast()
        writer.literal("]")
    }

    func index(of item: ItemIdentifier, in batch: Batch) -> Int? { nil }
}

/// A service that takes documents and answers as a test says.
package final class DocumentServer: Sendable {
    /// An answer.
    package typealias Answer = (status: Int, body: String)

    private let server: TestHTTPServer

    /// Answers each request by its number, from 0.
    package init(_ answer: @escaping @Sendable (_ number: Int) -> Answer) throws {
        let count = Mutex(0)
        self.server = try TestHTTPServer { _, exchange in
            let number = count.withLock { count in
                defer { count += 1 }
                return count
            }
            let (status, body) = answer(number)
            exchange.respond(status, [], body)
        }
    }

    /// Where it is.
    package var endpoint: String { self.server.url("") }

    /// What it got, in order.
    package var requests: [TestHTTPServer.Request] { self.server.requests }

    /// What it got as bodies.
    package var bodies: [String] { self.requests.map { String(decoding: $0.body, as: UTF8.self) } }

    /// Ends it.
    package func stop() { self.server.stop() }
}
