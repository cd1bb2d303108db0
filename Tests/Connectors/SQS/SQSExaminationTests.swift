// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import SQSConnector

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct SQSExaminationTests {
    /// What `penstock doctor` finds of a queue as a source, by check.
    private static func find(
        _ queue: ScriptedSQS,
        failure yaml: String = "{}",
        visibility: String = "60s",
        isAWS: Bool = true
    ) async throws -> [String: Diagnosis] {
        let read = ConfigurationLoader.process.parse(
            queue.settings(named: queue.name, "visibility: \(visibility)"),
            file: "t.yaml"
        )
        .read(SQSSourceConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let trigger = try Self.trigger(yaml)
        let function = FunctionPlan(kind: "f", concurrency: 1, timeout: .seconds(30)) { _, _ in
            throw SourceError(.closed, "there is none")
        }
        let reactor = try Reactor(name: "sqs-test")
        let client = try SQSClient(configuration.options, reactor: reactor)
        let found = await SQSExamination(
            client: client,
            queue: configuration.queue,
            isAWS: isAWS
        ).source(
            trigger,
            function,
            SQSSettings(configuration, TriggerTerms(functionTimeout: .seconds(30), batchWindow: .zero))
        )
        await client.close()
        reactor.stop()
        queue.stop()
        return Dictionary(found.map { ($0.check, $0) }) { $1 }
    }

    /// A trigger whose `failure:` is this.
    private static func trigger(_ failure: String) throws -> TriggerPlan {
        let world = ScriptedWorld()
        let text = """
            functions: { f: { scripted: { world: \(world.name) } } }
            triggers: { t: { source: { scripted: { world: \(world.name) } }, function: f, failure: \(failure) } }
            """
        return try #require(try ScriptedPlan.read(text).triggers.first).value
    }

    @Test("A queue that is as it should be: everything is said, nothing is received or deleted")
    func well() async throws {
        let queue = try ScriptedSQS("orders")
        queue.send([("a", nil)])
        queue.setAttributes([
            "MessageRetentionPeriod": "345600",
            "RedrivePolicy": #"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:1:dead","maxReceiveCount":100}"#,
        ])
        let found = try await Self.find(queue, failure: "{ retries: 3, max_age: 1h }")
        #expect(found.values.allSatisfy { $0.grade == .ok }, "\(found)")
        #expect(Set(found.keys) == ["queue", "permissions", "visibility", "redrive policy", "retention"])
        #expect(found["retention"]?.detail == "the queue keeps messages for 96h")
        #expect(queue.figures.deliveries == 0 && queue.bodies == ["a"])
    }

    @Test("Each permission that is missing is named", arguments: ["AccessDenied", "AccessDeniedException"])
    func denied(code: String) async throws {
        let queue = try ScriptedSQS("orders")
        queue.setFaults { operation in
            operation == "GetQueueUrl" ? nil : .error(status: 403, code: code)
        }
        let found = try await Self.find(queue)
        let text = "sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility is denied; allow it"
        #expect(found["permissions"] == .error("permissions", text))
        #expect(found["attributes"]?.grade == .warning)
    }

    @Test("A queue that is not AWS's is never asked for messages: it might take none for one")
    func emulator() async throws {
        let queue = try ScriptedSQS("orders")
        queue.send([("a", nil)])
        let found = try await Self.find(queue, isAWS: false)
        #expect(found["permissions"]?.grade == .ok)
        #expect(found["permissions"]?.detail.contains("sqs:ReceiveMessage is asked of AWS alone") == true)
        #expect(queue.figures.calls["ReceiveMessage"] == nil && queue.figures.deliveries == 0)
    }

    @Test("Credentials that are wrong are told, not taken for permissions")
    func wrongKey() async throws {
        let queue = try ScriptedSQS("orders")
        queue.setFaults { $0 == "GetQueueUrl" ? nil : .error(status: 403, code: "InvalidClientTokenId") }
        let found = try await Self.find(queue)
        #expect(found["permissions"]?.grade == .error)
        #expect(found["permissions"]?.detail.contains("InvalidClientTokenId") == true)
    }

    @Test(
        "A queue that takes messages away before the retries are over is told, and one that forgets them before max_age"
    )
    func policies() async throws {
        let queue = try ScriptedSQS("orders")
        queue.setAttributes([
            "MessageRetentionPeriod": "3600", "RedrivePolicy": #"{"maxReceiveCount":"3"}"#,
        ])
        let found = try await Self.find(queue, failure: "{ retries: 5, max_age: 2h }")
        #expect(found["redrive policy"]?.grade == .warning)
        #expect(
            found["redrive policy"]?.detail.contains("after 3 receives, and failure.retries allows 6 tries")
                == true
        )
        #expect(found["retention"]?.grade == .warning)
        #expect(found["retention"]?.detail.contains("1h, and failure.max_age is 2h") == true)
    }

    @Test("A visibility that ends before the function's time is up is told, with both")
    func visibility() async throws {
        let found = try await Self.find(try ScriptedSQS("orders"), visibility: "20s")
        #expect(found["visibility"]?.grade == .warning)
        let text = found["visibility"]?.detail ?? ""
        #expect(text.contains("received for 20s") && text.hasSuffix("raise visibility"), "\(text)")
    }

    @Test(
        "No lease is longer than the twelve hours of SQS, from a receipt that was a long poll earlier at most"
    )
    func twelveHours() throws {
        let queue = try ScriptedSQS("orders")
        defer { queue.stop() }
        let read = ConfigurationLoader.process.parse(queue.settings(), file: "t.yaml").read(
            SQSSourceConfiguration.self
        )
        let configuration = try #require(read.value, "\(read.findings)")
        func lease(_ timeout: Duration) -> LeasePolicy {
            SQSSettings(configuration, TriggerTerms(functionTimeout: timeout, batchWindow: .seconds(60)))
                .lease
        }
        #expect(lease(.seconds(900)).length == .seconds(990))
        #expect(lease(.seconds(100_000)).length == .seconds(43_200))
        #expect(lease(.seconds(900)).longest == .seconds(43_200 - 40))
    }

    @Test("A queue that is not there is told with the way out, and nothing else is asked")
    func missing() async throws {
        let queue = try ScriptedSQS("orders")
        queue.setExists(false)
        let found = try await Self.find(queue)
        #expect(found.keys.map(\.self) == ["queue"])
        #expect(found["queue"]?.grade == .error)
        #expect(found["queue"]?.detail.contains("create the queue") == true)
        #expect(queue.figures.calls.keys.map(\.self) == ["GetQueueUrl"])
    }

    @Test("A queue that takes smaller messages than are sent to it is told")
    func size() {
        let small = SQSQueueFacts(["MaximumMessageSize": "262144"])
        #expect(SQSExamination.size(small, 1 << 20).grade == .warning)
        #expect(SQSExamination.size(small, 262_144).grade == .ok)
        #expect(SQSExamination.size(SQSQueueFacts([:]), 1 << 20).grade == .ok)
    }
}
