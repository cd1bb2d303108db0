// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A real broker behind TLS and logins, which no broker that tests can have speaks itself.
///
/// A Python program terminates TLS, answers the login as the protocol has it, and then passes bytes through.
package final class TestKafkaFront: Sendable {
    /// Which certificate the front shows, and whether it wants one of the client.
    package enum Encryption: Sendable {
        /// No encryption.
        case none
        /// TLS with a certificate for 127.0.0.1 and localhost.
        case tls
        /// TLS with a certificate for another host.
        case tlsForAnotherHost
        /// TLS for clients with a certificate of ours.
        case mutualTLS
    }

    /// Where it listens, `127.0.0.1:PORT`.
    package let address: String
    /// The broker behind it.
    package let broker: TestKafkaBroker

    private let process: ForeignProcess

    /// Starts a broker and the front before it, and waits until it answers.
    ///
    /// - Parameters:
    ///   - encryption: how connections are encrypted.
    ///   - certificates: where certificates come from.
    ///   - users: passwords by name; nil lets everybody in.
    ///   - mechanisms: which of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 it offers.
    /// - Throws: ``TestEnvironment/Unavailable`` when something is not installed or does not answer.
    package init(
        _ encryption: Encryption,
        certificates: TestCertificates,
        users: [String: String]? = nil,
        mechanisms: [String] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    ) throws {
        let port = FreePort.pick()
        let brokerPort = FreePort.pick()
        self.address = "127.0.0.1:\(port)"
        self.broker = try TestKafkaBroker(port: brokerPort, advertisedPort: port)
        var options: [String: Any] = ["port": Int(port), "broker": Int(brokerPort), "mechanisms": mechanisms]
        options["users"] = users
        switch encryption {
        case .none: break
        case .tls, .mutualTLS:
            options["certificate"] = certificates.path("server.pem")
            options["key"] = certificates.path("server.key")
        case .tlsForAnotherHost:
            options["certificate"] = certificates.path("other.pem")
            options["key"] = certificates.path("other.key")
        }
        if case .mutualTLS = encryption { options["client_ca"] = certificates.path("ca.pem") }
        let json = try JSONSerialization.data(withJSONObject: options)
        let python = TestEnvironment.python
        let process = try ForeignProcess(
            python,
            ["-c", KafkaFrontScript.text, String(decoding: json, as: UTF8.self)]
        )
        self.process = process
        let answers = BoundedWait.until(within: .seconds(60)) {
            TestSocket.connect(port: port).map { $0.close() } != nil || !process.isRunning
        }
        guard answers, process.isRunning else {
            throw TestEnvironment.Unavailable(description: "no front on \(self.address): \(process.output)")
        }
    }
}

/// Certificates for tests, made by openssl in a folder of their own.
package final class TestCertificates: Sendable {
    private let folder: URL

    /// Makes `ca`, `server` (127.0.0.1 and localhost), `other` (another host), `client`, and `stranger`, an authority
    /// that nobody trusts; each as `NAME.pem` and `NAME.key`.
    ///
    /// - Throws: ``TestEnvironment/Unavailable`` when openssl fails.
    package init() throws {
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "tls-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        let script = """
            set -e
            for name in ca stranger; do
                openssl req -x509 \(key) -keyout $name.key -out $name.pem -subj "/CN=$name"
            done
            issue() {
                openssl req \(key) -keyout $1.key -out $1.csr -subj "/CN=$1"
                printf 'subjectAltName=%s\\n' "$2" >$1.ext
                openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $1.ext -out $1.pem
            }
            issue server IP:127.0.0.1,DNS:localhost
            issue other DNS:kafka.example.com
            issue client DNS:client
            openssl ec -in client.key -aes256 -passout pass:key-secret -out locked.key
            """
        _ = try ForeignProcess.answer(
            of: URL(fileURLWithPath: "/bin/bash"),
            ["-c", "cd \(self.folder.path)\n" + script]
        )
    }

    deinit {
        try? FileManager.default.removeItem(at: self.folder)
    }

    /// The path of one of the files.
    package func path(_ name: String) -> String { self.folder.appendingPathComponent(name).path }
}
