// SPDX-License-Identifier: Apache-2.0

import FileConnector
import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@Suite struct FileDestinationTests {
    private let directory = FileManager.default.temporaryDirectory.appending(
        path: "file-\(UUID().uuidString)"
    )

    private var path: String { self.directory.appending(path: "failed.jsonl").path(percentEncoded: false) }

    /// A source whose events are a JSON text.
    private struct QuotedFormat: EventFormat {
        var contentType: String { "application/json" }
        func sizes(of block: RecordBlock) -> RecordSizes { RecordSizes(count: block.count) { _ in 0 } }
        var envelope: Int { 16 }
        func encode(_ batch: Batch, into writer: inout EventWriter) {
            writer.raw(JSONText.escaped("event \(batch.runs[0].lastPosition)"))
        }
        func index(of item: ItemIdentifier, in batch: Batch) -> Int? { nil }
    }

    private static let source = SourcePlan(
        kind: "test",
        summary: "test",
        capabilities: SourceCapabilities(settlement: .cursor, canSeek: false, prunesOnAcknowledge: false),
        format: QuotedFormat(),
        fields: RecordFields([]),
        partition: { Partition(id: $0, name: $1) },
        batchInfo: FailureBatchInfo(name: "TestBatchInfo") { letter, size, _ in
            Array("{\"offset\":\"\(letter.position)\",\"size\":\(size)}".utf8)
        },
        make: { _, _ throws(SourceError) in throw SourceError(.closed, "no source") }
    )

    private static func letter(
        _ offset: UInt64,
        _ reason: DeadLetterReason = .retriesExhausted,
        attempts: Int = 2
    )
        -> DeadLetter
    {
        let failure = Failure(type: "ValueError", message: "no \"price\"")
        let attempt = Attempt(at: Timestamp(milliseconds: 5), duration: .milliseconds(1), failure: failure)
        let verdict = DeadLetterVerdict(
            trigger: "orders",
            function: "charge",
            reason: reason,
            at: Timestamp(milliseconds: 1_767_225_600_000),
            attempts: Array(repeating: attempt, count: attempts),
            attemptCount: attempts,
            invocation: attempts > 0 ? "id-1" : ""
        )
        return DeadLetter(
            partition: "orders-0",
            position: Position(offset),
            timestamp: Timestamp(milliseconds: 0),
            verdict: verdict
        )
    }

    private func destination() throws -> FileDestination {
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        return try FileDestination(path: self.path, document: FailureDocument(Self.source))
    }

    private func lines() throws -> [String] {
        try String(contentsOf: URL(filePath: self.path), encoding: .utf8).split(separator: "\n").map(
            String.init
        )
    }

    /// The event of each line, all of which must be whole.
    private func payloads() throws -> [String] {
        struct Line: Decodable { var payload: String }
        return try self.lines().map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)).payload }
    }

    @Test("Results are lines, on disk when the call returns, beside dead letters of the same file")
    func results() async throws {
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: self.directory) }
        let results = try FileResultDestination(path: self.path)
        let letters = try FileDestination(path: self.path, document: FailureDocument(Self.source))
        #expect(results.name == "file \(self.path)")
        let record = InvocationRecord(
            id: "1",
            trigger: "t",
            function: "f",
            attempt: 1,
            at: Timestamp(milliseconds: 0),
            json: Array("{\"a\":1}".utf8)
        )
        try await results.deliver(record)
        try await letters.deliver([Self.letter(7)])
        try await results.deliver(record)
        let lines = try String(contentsOfFile: self.path, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 3 && lines[0] == #"{"a":1}"# && lines[2] == lines[0])
        await results.close()
        await letters.close()
        await #expect(throws: DestinationError.self) { try await results.deliver(record) }
    }

    @Test("A line is AWS's failure document, with the whole event in it")
    func document() async throws {
        let file = try self.destination()
        try await file.deliver([Self.letter(7)])
        await file.close()
        let expected =
            #"{"requestContext":{"requestId":"id-1","functionArn":"charge","condition":"RetryAttemptsExhausted","#
            + #""approximateInvokeCount":2},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","#
            + #""functionError":"Unhandled","errorType":"ValueError","errorMessage":"no \"price\""},"version":"1.0","#
            + #""timestamp":"2026-01-01T00:00:00.000Z","trigger":"orders","TestBatchInfo":{"offset":"7","size":9},"#
            + #""payload":"event 7"}"#
        #expect(try self.lines() == [expected])
    }

    @Test("A record that was never tried has no response, one that grew too old says nothing of it")
    func responses() async throws {
        let file = try self.destination()
        try await file.deliver([
            Self.letter(1, .payloadTooLarge, attempts: 0), Self.letter(2, .ageExceeded),
        ])
        await file.close()
        let lines = try self.lines()
        #expect(lines[0].contains(#""condition":"MaximumPayloadSizeExceeded""#))
        #expect(lines[0].contains(#""responseContext":null"#))
        #expect(lines[1].contains(#""condition":"RecordAgeExceeded""#))
        #expect(!lines[1].contains("responseContext"))
    }

    @Test("Letters of many callers are all on disk when their calls return, and are added to what was there")
    func manyCallers() async throws {
        for round in 0..<2 {
            let file = try self.destination()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<20 {
                    group.addTask {
                        let first = UInt64(round * 1000 + caller * 10)
                        try await file.deliver((0..<5).map { Self.letter(first + $0) })
                    }
                }
                try await group.waitForAll()
            }
            #expect(try self.lines().count == (round + 1) * 100)
            await file.close()
        }
        #expect(Set(try self.lines()).count == 200)
    }

    @Test("Two destinations on one path lose nothing of each other: all lines are there, each whole")
    func twoWriters() async throws {
        let files = [try self.destination(), try self.destination()]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (writer, file) in files.enumerated() {
                group.addTask {
                    for round in 0..<50 {
                        let first = UInt64(writer * 1000 + round * 10)
                        try await file.deliver((0..<3).map { Self.letter(first + $0) })
                    }
                }
            }
            try await group.waitForAll()
        }
        for file in files { await file.close() }
        let expected = (0..<2).flatMap { writer in
            (0..<50).flatMap { round in (0..<3).map { "event \(writer * 1000 + round * 10 + $0)" } }
        }
        #expect(try self.payloads().sorted() == expected.sorted())
    }

    @Test("A file that is removed or renamed between letters is made anew")
    func replaced() async throws {
        let file = try self.destination()
        try await file.deliver([Self.letter(1)])
        try FileManager.default.removeItem(atPath: self.path)
        try await file.deliver([Self.letter(2)])
        #expect(try self.payloads() == ["event 2"])
        try FileManager.default.moveItem(atPath: self.path, toPath: self.path + ".1")
        try await file.deliver([Self.letter(3)])
        await file.close()
        #expect(try self.payloads() == ["event 3"])
    }

    @Test("A line that was cut off, before the file was opened or after, does not spoil the next one")
    func tornLine() async throws {
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        try Data(#"{"half":"#.utf8).write(to: URL(filePath: self.path))
        let file = try self.destination()
        try await file.deliver([Self.letter(1)])
        let other = try FileHandle(forWritingTo: URL(filePath: self.path))
        try other.seekToEnd()
        try other.write(contentsOf: Data(#"{"other":"#.utf8))
        try other.close()
        try await file.deliver([Self.letter(2)])
        await file.close()
        let lines = try self.lines()
        #expect(lines.count == 4)
        #expect(lines[0] == #"{"half":"#)
        #expect(lines[1].hasSuffix(#""payload":"event 1"}"#))
        #expect(lines[2] == #"{"other":"#)
        #expect(lines[3].hasPrefix(#"{"requestContext""#))
    }

    @Test("A write that fails is an error that names the file, and the next one is tried again")
    func failedWrite() async throws {
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: self.path, withDestinationPath: "/dev/full")
        let file = try self.destination()
        do throws(DestinationError) {
            try await file.deliver([Self.letter(1)])
            Issue.record("a full device took a letter")
        } catch {
            #expect(error.detail.contains(self.path))
        }
        try FileManager.default.removeItem(atPath: self.path)
        try await file.deliver([Self.letter(1)])
        await file.close()
        #expect(try self.payloads() == ["event 1"])
    }

    @Test("A directory that does not take fsync is an error that names it and the file")
    func directoryWithoutSync() {
        let path = "/proc/\(ProcessInfo.processInfo.processIdentifier)/comm"
        do throws(DestinationError) {
            _ = try FileDestination(path: path, document: FailureDocument(Self.source))
            Issue.record("it was opened")
        } catch {
            #expect(error.detail.hasPrefix("the name of the file \(path) cannot be brought to disk: /proc/"))
        }
    }

    @Test("What cannot be opened or is closed is an error that names the file")
    func errors() async throws {
        let missing = self.directory.appending(path: "no/such/file").path(percentEncoded: false)
        do throws(DestinationError) {
            _ = try FileDestination(path: missing, document: FailureDocument(Self.source))
            Issue.record("it was opened")
        } catch {
            #expect(error.detail.contains(missing))
        }
        let file = try self.destination()
        await file.close()
        do throws(DestinationError) {
            try await file.deliver([Self.letter(1)])
            Issue.record("it took a letter")
        } catch {
            #expect(error.detail.contains("is closed"))
        }
    }

    @Test("A file that somebody keeps locked is told of, and takes lines when it is free")
    func locked() async throws {
        let destination = try self.destination()
        defer { try? FileManager.default.removeItem(at: self.directory) }
        let other = unsafe open(self.path, O_RDWR)
        try #require(other >= 0 && flock(other, LOCK_EX) == 0)
        let error = await #expect(throws: DestinationError.self) {
            try await destination.deliver([Self.letter(1)])
        }
        #expect(error?.description.contains("is locked by another process; see with lslocks") == true)
        #expect(flock(other, LOCK_UN) == 0)
        _ = close(other)
        try await destination.deliver([Self.letter(2)])
        await destination.close()
        #expect(try self.lines().count == 1)
    }
}
