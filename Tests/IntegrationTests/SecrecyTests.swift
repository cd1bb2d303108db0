// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Passwords, key passwords and tokens stay where they belong, whatever is logged and asked.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(3)))
struct SecrecyTests {
    /// One way to log in, or to fail.
    struct Login: Sendable, CustomTestStringConvertible {
        var mechanism: String
        var password = SecrecyTests.password
        var keyPassword = "key-secret"
        var destinationPassword = SecrecyTests.password
        /// The trigger's state, and what its detail says.
        var state: String
        var says = ""

        var testDescription: String { "\(self.mechanism): \(self.state) \(self.says)" }
    }

    private static let password = "right-4b7e1c"
    private static let wrong = "wrong-93ad0f"
    private static let token = "token-5d2f-0123456789"
    private static let variable = "variable-77c21e"
    private static let secrets = [
        password, wrong, token, variable, "key-secret", "key-mistaken", "not-the-token",
    ]

    @Test(
        "No secret is in a log line, an answer of the API or the output of a command, whether the login works or not",
        arguments: [
            Login(mechanism: "plain", state: "running"),
            Login(mechanism: "scram-sha-256", password: wrong, state: "blocked", says: "refused the login"),
            Login(
                mechanism: "scram-sha-512",
                destinationPassword: wrong,
                state: "blocked",
                says: "did not accept dead letters"
            ),
            Login(mechanism: "plain", keyPassword: "key-mistaken", state: "", says: "ssl.key.location"),
        ]
    )
    func secrets(login: Login) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "safe-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let certificates = try TestCertificates()
        let front = try TestKafkaFront(
            .mutualTLS,
            certificates: certificates,
            users: ["alice": Self.password]
        )
        for topic in ["safe", "letters"] { try front.broker.createTopic(topic) }
        try TestKafkaWriter.write(
            [.init(key: nil, value: Array("0".utf8))],
            to: "safe",
            settings: [
                "bootstrap.servers": front.address, "security.protocol": "sasl_ssl",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "alice", "sasl.password": Self.password,
                "ssl.ca.location": certificates.path("ca.pem"),
                "ssl.certificate.location": certificates.path("client.pem"),
                "ssl.key.location": certificates.path("client.key"),
            ]
        )
        let port = FreePort.pick()
        let configuration = try Self.configuration(folder, front, certificates, login, port)
        let penstock = try PenstockProcess(
            in: folder,
            configuration: configuration,
            arguments: ["--log-level", "trace"]
        )
        let show = {
            try CommandRun(["triggers", "show", "safe", "--format", "json"], configuration: configuration)
        }
        var last: [String: Any] = [:]
        let isThere = BoundedWait.until(within: .seconds(30)) {
            last = (try? show().document())?["result"] as? [String: Any] ?? [:]
            let detail = last["detail"] as? String ?? ""
            let letters = (last["records"] as? [String: Any])?["dead_lettered"] as? Int
            guard login.state != "running" || letters == 1 else { return false }
            return (login.state.isEmpty || last["state"] as? String == login.state)
                && (login.says.isEmpty || detail.contains(login.says))
        }
        #expect(isThere, "\(last) \(penstock.logTail)")
        var outputs = try Self.answers(port)
        for command in [["explain"], ["explain", "--format", "json"], ["validate"], ["triggers", "list"]] {
            let run = try CommandRun(command, configuration: configuration)
            #expect(run.status == 0)
            outputs["penstock \(command)"] = run.output + run.errors
        }
        outputs["penstock triggers show"] = try show().output
        try penstock.terminate()
        outputs["the log"] = penstock.log
        #expect(penstock.log.contains("librdkafka"), "the client's own messages are among them")
        #expect(outputs["penstock [\"explain\"]"]?.contains("alice") == true)
        for (name, text) in outputs {
            for secret in Self.secrets where text.contains(secret) {
                let line = text.split(separator: "\n").first { $0.contains(secret) }
                Issue.record("\(secret) is in \(name): \(line ?? "")")
            }
        }
    }

    /// What the API answers to those with the token, with another one, and without.
    private static func answers(_ port: UInt16) throws -> [String: String] {
        var answers: [String: String] = [:]
        let paths = [
            "", "healthz", "readyz", "metrics", "api/v1/triggers", "api/v1/triggers/safe",
            "api/v1/dead-letters",
            "api/v1/no-such-thing",
        ]
        for path in paths {
            for token in [Self.token, "not-the-token", ""] {
                let answer = try ForeignProcess.answer(
                    of: URL(fileURLWithPath: "/usr/bin/curl"),
                    [
                        "--silent", "--include", "--header", "Authorization: Bearer \(token)",
                        "http://127.0.0.1:\(port)/\(path)",
                    ]
                )
                #expect(answer.hasPrefix("HTTP/1.1"))
                answers["/\(path) with \"\(token)\""] = answer
            }
        }
        #expect(answers["/api/v1/triggers with \"\(Self.token)\""]?.hasPrefix("HTTP/1.1 200") == true)
        #expect(answers["/api/v1/triggers with \"not-the-token\""]?.hasPrefix("HTTP/1.1 401") == true)
        return answers
    }

    /// A function that refuses every record, so that letters are written.
    private static func configuration(
        _ folder: URL,
        _ front: TestKafkaFront,
        _ certificates: TestCertificates,
        _ login: Login,
        _ port: UInt16
    ) throws -> String {
        let function = folder.appendingPathComponent("function.py")
        try KillScripts.function.write(to: function, atomically: true, encoding: .utf8)
        let token = folder.appendingPathComponent("token")
        try Self.token.write(to: token, atomically: true, encoding: .utf8)
        let python = TestEnvironment.python.path
        let command = [python, function.path, "\(folder.path)/arrived", "\(folder.path)/lock", "1", "0", "1"]
        let tls = """
            { ca: "\(certificates.path("ca.pem"))", certificate: "\(certificates.path("client.pem"))", \
            key: "\(certificates.path("locked.key"))", key_password: "\(login.keyPassword)" }
            """
        let destinationTLS = tls.replacing("key-mistaken", with: "key-secret")
        let sasl = "mechanism: \(login.mechanism), username: alice, password:"
        let debug = #"debug: all, heartbeat.interval.ms: "300""#
        return """
            state: sqlite:\(folder.path)/penstock.db
            admin: { listen: "127.0.0.1:\(port)", token: "${file:\(token.path)}" }
            functions:
              refuse:
                local:
                  command: [\(command.map { "\"\($0)\"" }.joined(separator: ", "))]
                  environment: { API_KEY: "\(Self.variable)" }
            triggers:
              safe:
                source:
                  kafka:
                    brokers: ["\(front.address)"]
                    topics: [safe]
                    group: g
                    session_timeout: 6s
                    sasl: { \(sasl) "\(login.password)" }
                    tls: \(tls)
                    properties: { \(debug) }
                function: refuse
                failure: { retries: 0, report_item_failures: true }
                on_failure:
                  kafka:
                    brokers: ["\(front.address)"]
                    topic: letters
                    timeout: 2s
                    sasl: { \(sasl) "\(login.destinationPassword)" }
                    tls: \(destinationTLS)
                    properties: { debug: all }
            """
    }
}
