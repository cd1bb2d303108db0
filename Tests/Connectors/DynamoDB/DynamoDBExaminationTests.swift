// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct DynamoDBExaminationTests {
    /// What `penstock doctor` finds of a table's stream, by check.
    private static func find(
        _ streams: ScriptedStreams,
        stream: String? = nil,
        table: String? = nil
    ) async throws -> [String: Diagnosis] {
        let settings = streams.settings(stream: stream)
        let yaml =
            table.map { settings.replacing("table: \(streams.table)", with: "table: \($0)") } ?? settings
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml")
            .read(DynamoDBSourceConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let world = ScriptedWorld()
        let text = """
            functions: { f: { scripted: { world: \(world.name) } } }
            triggers: { t: { source: { scripted: { world: \(world.name) } }, function: f } }
            """
        let trigger = try #require(try ScriptedPlan.read(text).triggers.first).value
        let function = FunctionPlan(kind: "f", concurrency: 1, timeout: .seconds(30)) { _, _ in
            throw SourceError(.closed, "there is none")
        }
        let reactor = try Reactor(name: "dynamodb-test")
        let examination = try DynamoDBExamination(configuration, reactor: reactor)
        let found = await examination.source(trigger, function)
        await examination.close()
        reactor.stop()
        streams.stop()
        return Dictionary(found.map { ($0.check, $0) }) { $1 }
    }

    @Test("A stream that is as it should be: everything is said, and nothing is read of what is there")
    func well() async throws {
        let streams = try ScriptedStreams(shards: 2)
        streams.write(["a"], to: streams.openShards[0])
        let arn = streams.arn
        let found = try await Self.find(streams)
        #expect(found.values.allSatisfy { $0.grade == .ok }, "\(found)")
        #expect(Set(found.keys) == ["stream", "permissions", "view type", "retention"])
        #expect(found["stream"]?.detail == "\(arn) is enabled")
        #expect(
            found["permissions"]?.detail
                == "dynamodb:ListStreams, dynamodb:DescribeStream, dynamodb:GetShardIterator, dynamodb:GetRecords allowed"
        )
        #expect(found["view type"]?.detail == "NEW_AND_OLD_IMAGES: changes have the keys, NewImage, OldImage")
        #expect(streams.calls.allSatisfy { $0.place.isEmpty || $0.place == "LATEST" })
        #expect(streams.count("DescribeTable") == 0)
    }

    @Test("A stream by its ARN needs no list of streams")
    func single() async throws {
        let streams = try ScriptedStreams()
        let found = try await Self.find(streams, stream: streams.arn)
        #expect(found.values.allSatisfy { $0.grade == .ok }, "\(found)")
        #expect(streams.count("ListStreams") == 0)
    }

    @Test(
        "The permission that is missing is named",
        arguments: ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"]
    )
    func denied(operation: String) async throws {
        let streams = try ScriptedStreams()
        streams.setFaults {
            $0.operation == operation ? .error(status: 400, code: "AccessDeniedException") : nil
        }
        let found = try await Self.find(streams)
        let denied = found["permissions"]
        #expect(denied?.grade == .error)
        #expect(denied?.detail.hasPrefix("dynamodb:\(operation) is denied; allow it") == true, "\(found)")
        #expect(
            (denied?.detail.contains("and dynamodb:GetRecords") == true) == (operation == "GetShardIterator")
        )
    }

    @Test(
        "Other readers, wrong credentials and a stream that is not there are told, not taken for permissions"
    )
    func others() async throws {
        for (code, grade, text) in [
            ("LimitExceededException", Diagnosis.Grade.warning, "a shard serves two readers"),
            ("UnrecognizedClientException", .error, "UnrecognizedClientException"),
            ("ResourceNotFoundException", .error, "check the name"),
        ] {
            let streams = try ScriptedStreams()
            streams.setFaults { $0.operation == "GetRecords" ? .error(status: 400, code: code) : nil }
            let found = try await Self.find(streams)
            #expect(found["permissions"]?.grade == grade, "\(found)")
            #expect(found["permissions"]?.detail.contains(text) == true, "\(found)")
        }
    }

    @Test("A table without a stream is told from one that is not there, and a disabled stream is told")
    func missing() async throws {
        let without = try ScriptedStreams()
        without.removeStreams()
        #expect(
            try await Self.find(without)["stream"]
                == .error("stream", "table orders has no stream; enable one on the table")
        )
        let absent = try await Self.find(try ScriptedStreams(), table: "others")["stream"]
        #expect(absent?.grade == .error)
        #expect(absent?.detail.hasPrefix("there is no table others; create it") == true)
        let unknown = try ScriptedStreams()
        unknown.removeStreams()
        unknown.setFaults {
            $0.operation == "DescribeTable" ? .error(status: 400, code: "AccessDeniedException") : nil
        }
        #expect(
            try await Self.find(unknown)["stream"]?.detail.hasPrefix(
                "table orders has no stream, or is not there"
            ) == true
        )
        let disabled = try ScriptedStreams()
        disabled.disable()
        let found = try await Self.find(disabled)
        #expect(found["stream"]?.grade == .warning)
        #expect(found["stream"]?.detail.contains("enable one on the table") == true)
    }

    @Test("Filters that ask for what changes do not have are told")
    func view() {
        let asks = { (image: String) in image == "NewImage" }
        #expect(DynamoDBExamination.view("NEW_IMAGE", isAskedFor: asks).grade == .ok)
        #expect(DynamoDBExamination.view("KEYS_ONLY") { _ in false }.grade == .ok)
        let found = DynamoDBExamination.view("OLD_IMAGE", isAskedFor: asks)
        #expect(found.grade == .warning && found.detail.contains("filters look at NewImage;"))
        #expect(DynamoDBExamination.view("", isAskedFor: asks).grade == .warning)
    }

    @Test("Retries that may take longer than the stream keeps what is behind them are told")
    func retention() {
        let finite = DynamoDBExamination.retention(RetryPolicy(retries: 10), .seconds(30))
        #expect(finite.grade == .ok && finite.detail.contains("24h"))
        let endless = DynamoDBExamination.retention(RetryPolicy(retries: nil), .seconds(30))
        #expect(endless.grade == .warning && endless.detail.contains("without end"))
        #expect(
            DynamoDBExamination.retention(RetryPolicy(retries: nil, maxAge: .seconds(3600)), .seconds(30))
                .grade
                == .ok
        )
        #expect(DynamoDBExamination.retention(RetryPolicy(retries: 100), .seconds(900)).grade == .warning)
    }
}
