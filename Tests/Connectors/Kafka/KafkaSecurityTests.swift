// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

/// TLS, certificates and logins against a real broker behind a front that has them.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct KafkaSecurityTests {
    private static func configuration(_ front: TestKafkaFront) -> KafkaSourceConfiguration {
        .fixture(front.address, ["safe"])
    }

    private static func front(
        _ encryption: TestKafkaFront.Encryption,
        _ certificates: TestCertificates,
        users: [String: String]? = nil,
        mechanisms: [String] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    ) throws -> TestKafkaFront {
        let front = try TestKafkaFront(
            encryption,
            certificates: certificates,
            users: users,
            mechanisms: mechanisms
        )
        try front.broker.createTopic("safe")
        return front
    }

    private static func expectRecord(_ configuration: KafkaSourceConfiguration) async throws {
        var destination = KafkaDestinationConfiguration(brokers: configuration.brokers, topic: "safe")
        destination.security = configuration.security
        try TestProducer.produce([.fixture("safe", 0, "x")], to: destination)
        let probe = try await KafkaSourceProbe.start(configuration)
        try await probe.receive(until: "a record") { $0.records.count == 1 }
        await probe.stop()
    }

    /// The status that says why nothing can be read.
    private static func refusal(
        _ configuration: KafkaSourceConfiguration,
        containing parts: [String]
    ) async throws {
        let probe = try await KafkaSourceProbe.start(configuration)
        try await probe.receive(until: "a status with \(parts)") { probe in
            probe.statuses.contains { status in
                guard case .disconnected(let text) = status else { return false }
                return parts.allSatisfy { text.contains($0) } && !text.contains("secret")
            }
        }
        await probe.stop()
        #expect(probe.records.isEmpty)
    }

    @Test(
        "Every kind of login reads and writes, with TLS and without",
        arguments: KafkaSASL.Mechanism.allCases
    )
    func logins(mechanism: KafkaSASL.Mechanism) async throws {
        let certificates = try TestCertificates()
        for encryption in [TestKafkaFront.Encryption.none, .tls] {
            let front = try Self.front(encryption, certificates, users: ["alice": "secret-1"])
            var configuration = Self.configuration(front)
            configuration.security.sasl = .init(
                mechanism: mechanism,
                username: "alice",
                password: "secret-1"
            )
            if case .tls = encryption {
                configuration.security.tls = KafkaTLS()
                configuration.security.tls?.ca = certificates.path("ca.pem")
            }
            try await Self.expectRecord(configuration)
            configuration.security.sasl?.password = "secret-2"
            try await Self.refusal(configuration, containing: ["refused the login", "check sasl and tls"])
        }
    }

    @Test("A client certificate is shown, also one whose key has a password")
    func mutualTLS() async throws {
        let certificates = try TestCertificates()
        let front = try Self.front(.mutualTLS, certificates)
        var configuration = Self.configuration(front)
        var tls = KafkaTLS()
        tls.ca = certificates.path("ca.pem")
        configuration.security.tls = tls
        try await Self.refusal(configuration, containing: ["whether they want tls.certificate and tls.key"])
        tls.certificate = certificates.path("client.pem")
        tls.key = certificates.path("locked.key")
        tls.keyPassword = "key-secret"
        configuration.security.tls = tls
        try await Self.expectRecord(configuration)
    }

    /// What is wrong with a file, and the words that tell.
    static let wrongFiles: [(change: @Sendable (inout KafkaTLS, TestCertificates) -> Void, words: [String])] =
        [
            (
                { tls, files in
                    tls.key = files.path("locked.key")
                    tls.keyPassword = "wrong-secret"
                },
                [
                    "\"ssl.key.location\"", "check that tls.key is the readable PEM key",
                    "and tls.key_password",
                ]
            ),
            (
                { tls, files in tls.key = files.path("other.key") },
                ["\"ssl.key.location\"", "key of tls.certificate"]
            ),
            (
                { tls, _ in tls.key = "/nowhere.key" },
                ["\"ssl.key.location\"", "check that tls.key is the readable"]
            ),
            (
                { tls, files in tls.certificate = files.path("client.key") },
                ["\"ssl.certificate.location\"", "check that tls.certificate is a readable PEM file"]
            ),
            (
                { tls, files in tls.ca = files.path("client.key") },
                ["\"ssl.ca.location\"", "check that tls.ca is"]
            ),
        ]

    @Test(
        "A certificate, key or password that cannot be used ends the start, and says which key to look at",
        arguments: wrongFiles.indices
    )
    func wrongFile(index: Int) async throws {
        let certificates = try TestCertificates()
        var configuration = KafkaSourceConfiguration.fixture("127.0.0.1:1", ["safe"])
        var tls = KafkaTLS()
        tls.certificate = certificates.path("client.pem")
        tls.key = certificates.path("client.key")
        Self.wrongFiles[index].change(&tls, certificates)
        configuration.security.tls = tls
        let source = KafkaSource(configuration, logger: .init(label: "kafka-tests"))
        let refusal = await #expect(throws: SourceError.self) { try await source.start(checkpoints: [:]) }
        var destination = KafkaDestinationConfiguration(brokers: configuration.brokers, topic: "safe")
        destination.security = configuration.security
        let (finished, logger) = (destination, Logger(label: "kafka-tests"))
        let other = await #expect(throws: DestinationError.self) {
            _ = try await KafkaDestination(finished, logger: logger)
        }
        for text in [refusal?.detail ?? "", other?.detail ?? ""] {
            for words in Self.wrongFiles[index].words { #expect(text.contains(words), "\(text)") }
            #expect(!text.contains("secret"), "\(text)")
        }
    }

    @Test("An authority that is not trusted, or a certificate for another host, is told, with what to check")
    func untrusted() async throws {
        let certificates = try TestCertificates()
        let front = try Self.front(.tls, certificates)
        var configuration = Self.configuration(front)
        configuration.security.tls = KafkaTLS()
        configuration.security.tls?.ca = certificates.path("stranger.pem")
        try await Self.refusal(configuration, containing: ["certificate verify failed", "check tls"])
        let other = try Self.front(.tlsForAnotherHost, certificates)
        configuration.brokers = [other.address]
        configuration.security.tls?.ca = certificates.path("ca.pem")
        try await Self.refusal(configuration, containing: ["check tls"])
    }
}
