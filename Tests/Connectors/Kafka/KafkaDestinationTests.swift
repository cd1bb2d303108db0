// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

/// Dead letters in a topic: as they arrive, and what is said when the brokers do not take them.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct KafkaDestinationTests {
    @Test("Dead letters arrive with their key, value and headers as they were, and with their history")
    func deadLetters() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("dlq")
        let format = KafkaEventFormat(.fixture(broker.address, ["orders"]))
        let partitions = KafkaEventFormatTests.partitions(format, [.init(topic: "orders", partition: 3)])
        let sample = KafkaEventFormatTests.Sample(
            partition: 0,
            offset: 1204,
            key: [0, 255],
            value: nil,
            headers: [("trace", [1]), ("trace", nil)]
        )
        let attempt = Attempt(
            at: Timestamp(milliseconds: 0),
            duration: .seconds(1),
            failure: Failure(type: "ValueError", message: "no")
        )
        let verdict = DeadLetterVerdict(
            trigger: "orders",
            function: "charge",
            reason: .retriesExhausted,
            at: Timestamp(milliseconds: 1_700_000_000_123),
            attempts: [attempt],
            attemptCount: 3,
            invocation: "i"
        )
        let block = KafkaEventFormatTests.block([sample], partitions)
        let destination = try await KafkaDestination(
            .init(brokers: [broker.address], topic: "dlq"),
            logger: .init(label: "kafka-tests")
        )
        try await destination.deliver([DeadLetter(block: block, index: 0, verdict: verdict)])
        await destination.close()
        let probe = try await KafkaSourceProbe.start(.fixture(broker.address, ["dlq"]))
        try await probe.receive(until: "the letter") { $0.records.count == 1 }
        await probe.stop()
        let record = try #require(probe.records.first)
        #expect(record.key == [0, 255])
        #expect(record.value == nil)
        #expect(
            record.headers.prefix(2) == [.init(name: "trace", value: [1]), .init(name: "trace", value: nil)]
        )
        let history = record.headers.dropFirst(2).map {
            "\($0.name)=\(String(decoding: $0.value!, as: UTF8.self))"
        }
        #expect(
            history == [
                "penstock-trigger=orders", "penstock-function=charge",
                "penstock-reason=RetryAttemptsExhausted",
                "penstock-error-type=ValueError", "penstock-error-message=no", "penstock-attempts=3",
                "penstock-source=orders-3@1204", "penstock-at=2023-11-14T22:13:20.123Z",
            ]
        )
    }

    @Test("A result arrives as a message with its request id as key, and its trigger and function in headers")
    func results() async throws {
        let broker = try TestKafkaBroker()
        try broker.createTopic("done")
        let destination = try await KafkaResultDestination(
            .init(brokers: [broker.address], topic: "done"),
            logger: .init(label: "kafka-tests")
        )
        #expect(destination.name == "kafka topic done")
        let json = Array(#"{"version":"1.0"}"#.utf8)
        try await destination.deliver(
            .init(
                id: "id-1",
                trigger: "orders",
                function: "charge",
                attempt: 1,
                at: Timestamp(milliseconds: 0),
                json: json
            )
        )
        await destination.close()
        let probe = try await KafkaSourceProbe.start(.fixture(broker.address, ["done"]))
        try await probe.receive(until: "the result") { $0.records.count == 1 }
        await probe.stop()
        let record = try #require(probe.records.first)
        #expect(record.key == Array("id-1".utf8) && record.value == json)
        #expect(
            record.headers == [
                .init(name: "penstock-trigger", value: Array("orders".utf8)),
                .init(name: "penstock-function", value: Array("charge".utf8)),
            ]
        )
    }

    @Test(
        "A producer that failed for good is replaced: the letters are refused once, and accepted the next time"
    )
    func failedForGood() async throws {
        let cluster = try TestMockCluster(topic: "dlq")
        let destination = try await Self.destination(cluster.address)
        try await destination.deliver(Self.letters(0..<2))
        // The broker lost track of the producer's sequence numbers, which idempotence cannot survive.
        cluster.refuseProduce([.outOfOrderSequence])
        let refusal = await #expect(throws: DestinationError.self) {
            try await destination.deliver(Self.letters(2..<4))
        }
        #expect(refusal?.detail.contains("dlq") == true)
        #expect(refusal?.delivered == [])
        try await destination.deliver(Self.letters(2..<4))
        try await destination.deliver(Self.letters(4..<5))
        await destination.close()
        #expect(
            try TestKafkaReader.messages(of: "dlq", on: cluster.address).map { $0.headers["penstock-source"] }
                == (0..<5).map { "orders-3@\($0)" }
        )
    }

    @Test(
        "A broker that is away is told with its cause each time; the letters are accepted once when it is back"
    )
    func away() async throws {
        let cluster = try TestMockCluster(topic: "dlq")
        cluster.isDown = true
        let destination = try await Self.destination(cluster.address)
        for _ in 0..<2 {
            let refusal = await #expect(throws: DestinationError.self) {
                try await destination.deliver(Self.letters(0..<3))
            }
            #expect(refusal?.detail.contains("\(cluster.address)") == true)
            #expect(refusal?.detail.contains("Connect") == true, "\(refusal?.detail ?? "")")
            #expect(refusal?.detail.contains("check that the brokers are up") == true)
        }
        cluster.isDown = false
        try await destination.deliver(Self.letters(0..<3))
        await destination.close()
        #expect(
            try TestKafkaReader.messages(of: "dlq", on: cluster.address).map { $0.headers["penstock-source"] }
                == (0..<3).map { "orders-3@\($0)" }
        )
    }

    @Test(
        "A topic that is not there, or not allowed, is told as such, with what to do",
        arguments: [
            (RDKafkaError.Code.unknownTopic, "topic \"dlq\" does not exist", "create it, or fix topic"),
            (.topicAuthorizationFailed, "may not write to topic \"dlq\"", "allow WRITE on it"),
        ]
    )
    func noTopic(code: RDKafkaError.Code, says: String, wayOut: String) async throws {
        let cluster = try TestMockCluster(topic: "dlq")
        cluster.refuseTopic("dlq", code)
        let destination = try await Self.destination(cluster.address)
        let refusal = await #expect(throws: DestinationError.self) {
            try await destination.deliver(Self.letters(0..<1))
        }
        await destination.close()
        #expect(refusal?.detail.contains(says) == true, "\(refusal?.detail ?? "")")
        #expect(refusal?.detail.contains(wayOut) == true)
    }

    @Test("A login that may not write idempotently is told what to allow, each time")
    func notIdempotent() async throws {
        let cluster = try TestMockCluster(topic: "dlq")
        let destination = try await Self.destination(cluster.address)
        for _ in 0..<2 {
            cluster.refuseProducerIDs([.clusterAuthorizationFailed])
            let refusal = await #expect(throws: DestinationError.self) {
                try await destination.deliver(Self.letters(0..<1))
            }
            #expect(refusal?.detail.contains("allow IDEMPOTENT_WRITE") == true, "\(refusal?.detail ?? "")")
        }
        try await destination.deliver(Self.letters(0..<1))
        await destination.close()
    }

    @Test(
        "A letter that the topic finds too large is told with its size and the setting; the others are delivered"
    )
    func tooLarge() async throws {
        let broker = try TestOffsetBroker()
        try broker.makeTopic("dlq")
        let destination = try await Self.destination(broker.address)
        var letters = Self.letters(0..<3)
        letters[1].body = Array(repeating: 7, count: 1_500_000)
        let refusal = await #expect(throws: DestinationError.self) { try await destination.deliver(letters) }
        await destination.close()
        let detail = try #require(refusal?.detail)
        #expect(detail.contains("a dead letter of 1500"), "\(detail)")
        #expect(detail.contains("raise max.message.bytes of the topic"), "\(detail)")
        #expect(refusal?.delivered.sorted() == [0, 2] && refusal?.refused == [1])
    }

    @Test("A letter larger than our own message.max.bytes is told so, and which letters the topic has")
    func tooLargeForUs() async throws {
        let cluster = try TestMockCluster(topic: "dlq")
        let destination = try await Self.destination(cluster.address, ["message.max.bytes": "2000"])
        var letters = Self.letters(0..<3)
        letters[1].body = Array(repeating: 7, count: 3000)
        let refusal = await #expect(throws: DestinationError.self) { try await destination.deliver(letters) }
        await destination.close()
        #expect(refusal?.detail.contains("message.max.bytes in properties; raise it") == true)
        #expect(refusal?.delivered == [0] && refusal?.refused == [1])
    }

    @Test("A record as large as brokers take it by default can become a letter")
    func asLargeAsRecords() async throws {
        let cluster = try TestMockCluster(topic: "dlq")
        let destination = try await Self.destination(cluster.address)
        var letters = Self.letters(0..<1)
        letters[0].body = Array(repeating: 7, count: 1_048_000)
        try await destination.deliver(letters)
        await destination.close()
    }

    private static func destination(
        _ broker: String,
        _ properties: [String: String] = [:]
    ) async throws -> KafkaDestination {
        var configuration = KafkaDestinationConfiguration(brokers: [broker], topic: "dlq")
        configuration.timeout = .milliseconds(1500)
        configuration.properties = properties
        configuration.properties["reconnect.backoff.max.ms"] = "500"
        return try await KafkaDestination(configuration, logger: .init(label: "kafka-tests"))
    }

    private static func letters(_ offsets: Range<UInt64>) -> [DeadLetter] {
        offsets.map { DeadLetter.fixture($0) }
    }
}
