// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting
import PostgresClient
import Reactor
import Testing

/// Encrypted connections to a real server, with certificates made for the test.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct PostgresSecurityTests {
    /// A server with a certificate for 127.0.0.1 and localhost, or for another host.
    private static func server(
        _ certificates: TestCertificates,
        _ name: String = "server",
        onlyEncrypted: Bool = false
    ) throws -> PostgresServer {
        try PostgresServer(
            password: "open-sesame",
            settings: ["ssl=on"],
            files: [
                "server.crt": certificates.path("\(name).pem"),
                "server.key": certificates.path("\(name).key"),
            ],
            rules: onlyEncrypted ? "hostssl all all 127.0.0.1/32 scram-sha-256\n" : nil
        )
    }

    private static func open(
        _ server: PostgresServer,
        _ reactor: Reactor,
        _ parameters: [String: String]
    ) async -> Result<Bool, PostgresError> {
        do throws(PostgresError) {
            var address = try PostgresAddress(server.url())
            for (name, value) in parameters { address[name] = value }
            let connection = try await PostgresConnection.open(address, on: reactor)
            let isEncrypted = try await connection.run(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            ).boolean(0, 0)
            await connection.close()
            return .success(isEncrypted == true && connection.isEncrypted)
        } catch {
            return .failure(error)
        }
    }

    @Test("A certificate is checked as sslmode says, and what is wrong with it is told")
    func certificates() async throws {
        let (certificates, reactor) = (try TestCertificates(), try Reactor(name: "tls-test"))
        defer { reactor.stop() }
        let (own, strange) = (certificates.path("ca.pem"), certificates.path("stranger.pem"))
        let server = try Self.server(certificates)
        let good: [[String: String]] = [
            ["sslmode": "require"], ["sslmode": "prefer"],
            ["sslmode": "verify-ca", "sslrootcert": own],
            ["sslmode": "verify-full", "sslrootcert": own],
        ]
        for parameters in good {
            let result = await Self.open(server, reactor, parameters)
            #expect(result == .success(true), "\(parameters): \(result)")
        }
        #expect(await Self.open(server, reactor, ["sslmode": "disable"]) == .success(false))
        let bad: [(parameters: [String: String], says: String)] = [
            (["sslmode": "verify-full", "sslrootcert": strange], "certificate verify failed"),
            (["sslmode": "verify-ca", "sslrootcert": strange], "certificate verify failed"),
            (["sslmode": "verify-full", "sslrootcert": own + ".not"], "does not exist"),
        ]
        for (parameters, says) in bad {
            guard case .failure(let error) = await Self.open(server, reactor, parameters) else {
                Issue.record("\(parameters) went well")
                continue
            }
            #expect(error.detail.contains(says) && error.code == .unreachable, "\(parameters): \(error)")
            #expect(!"\(error)".contains("sesame"))
        }
    }

    @Test("A certificate for another host is good for encryption alone")
    func anotherHost() async throws {
        let (certificates, reactor) = (try TestCertificates(), try Reactor(name: "tls-test"))
        defer { reactor.stop() }
        let server = try Self.server(certificates, "other")
        let own = certificates.path("ca.pem")
        #expect(
            await Self.open(server, reactor, ["sslmode": "verify-ca", "sslrootcert": own]) == .success(true)
        )
        let full = await Self.open(server, reactor, ["sslmode": "verify-full", "sslrootcert": own])
        guard case .failure(let error) = full else {
            Issue.record("it went well")
            return
        }
        #expect(
            error.detail.contains("kafka.example.com") && error.detail.contains("does not match host name")
        )
    }

    @Test("A server that takes encrypted connections only refuses others, and one that has none says so")
    func onlyEncrypted() async throws {
        let (certificates, reactor) = (try TestCertificates(), try Reactor(name: "tls-test"))
        defer { reactor.stop() }
        let server = try Self.server(certificates, onlyEncrypted: true)
        #expect(await Self.open(server, reactor, ["sslmode": "require"]) == .success(true))
        let plain = await Self.open(server, reactor, ["sslmode": "disable"])
        guard case .failure(let error) = plain else {
            Issue.record("it went well")
            return
        }
        #expect(error.code == .unauthorized && error.detail.contains("no encryption"), "\(error)")
    }
}
