// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import Testing

@Suite struct SecretTests {
    @Test("A secret shows itself to nobody but the one who asks for it") func hides() {
        struct Holder { let name = "x", secret = Secret("hunter2") }
        let secret = Secret("hunter2")
        var dumped = ""
        dump(Holder(), to: &dumped)
        let all = [
            "\(secret)", secret.description, secret.debugDescription, String(reflecting: secret),
            String(describing: Holder()), String(reflecting: [secret]), String(describing: Optional(secret)),
            dumped,
        ]
        #expect(all.allSatisfy { !$0.contains("hunter2") && $0.contains("«redacted»") })
        #expect(Mirror(reflecting: secret).children.isEmpty)
        #expect(secret.reveal() == "hunter2")
    }

    /// Each way in which `hunter2` can get into a field that must not show it.
    static let leaks = [
        "token: hunter2", "token: ${SECRET}", "token: ${file:/secret}", "token: \"${NONE:-hunter2}\"",
        "token: hunter2${SECRET}", "token: \"${SECRET}hunter2\"", "token: \"${SECRET}hunter2${SECRET}\"",
        "token: [hunter2]", "token: { hunter2: 1 }", "token: { a: hunter2 }", "url: https://u:hunter2@h",
        "url: ${URL}", "url: \"${NONE:-https://u:hunter2@h}\"", "url: u:hunter2@h",
        "url: https://u:${SECRET}@h",
        "verify: ${SECRET}", "format: ${SECRET}", "url: ${SECRET}",
    ]

    @Test("Neither findings nor explain show a secret, however it came in", arguments: Self.leaks)
    func neverLeaks(line: String) {
        let loader = ConfigurationLoader.fixture(
            ["SECRET": "hunter2", "URL": "https://u:hunter2@h/"],
            files: ["/secret": "hunter2\n"]
        )
        let url = line.hasPrefix("url") ? "" : "\n      url: http://x"
        let document = loader.parse("functions:\n  one:\n    http:\(url)\n      \(line)")
        let result = document.read(ExampleConfiguration.self)
        let explained = Explanation(of: document, by: ExampleConfiguration.table).text
        #expect(!result.findings.contains { $0.description.contains("hunter2") })
        #expect(!explained.contains("hunter2"), "\(explained)")
        #expect(explained.contains("one:"))
    }

    @Test("Free properties hide what sounds like a secret, and what comes from outside")
    func hidesProperties() {
        let loader = ConfigurationLoader.fixture(["SECRET": "hunter2"])
        let text = """
            triggers:
              t:
                source:
                  kafka:
                    brokers: a
                    group: "${SECRET}"
                    properties:
                      sasl.password: hunter2
                      ssl.key.pem: hunter2
                      apiKey: hunter2
                      AWS_SECRET_ACCESS_KEY: hunter2
                      client.id: ${SECRET}
                      sasl.oauthbearer.token.endpoint.url: https://h
                function: ${SECRET}
                filters:
                  - { password: hunter2, other: "${SECRET}" }
            """
        let document = loader.parse(text)
        let findings = document.read(ExampleConfiguration.self).findings
        let explained = Explanation(of: document, by: ExampleConfiguration.table).text
        #expect(!explained.contains("hunter2"), "\(explained)")
        #expect(explained.contains("sasl.oauthbearer.token.endpoint.url: https://h"))
        #expect(explained.contains(#"client.id: "${SECRET}""#))
        #expect(findings.filter { $0.code == .literalSecret }.map(\.place.line) == [8, 9, 10, 11])
        #expect(!findings.contains { $0.description.contains("hunter2") })
    }

    @Test(
        "A secret that stands in the file is a warning; one from outside is not",
        arguments: [
            ("hunter2", true), ("\"hunter2\"", true), ("${SECRET}", false), ("${file:/secret}", false),
            ("${SECRET:-}", false), ("${SECRET:-hunter2}", true), ("pre${SECRET}", true), ("\"\"", false),
        ]
    )
    func warns(value: String, isWarned: Bool) throws {
        let loader = ConfigurationLoader.fixture(["SECRET": "x"], files: ["/secret": "x"])
        let text = "functions: { one: { http: { url: http://x, token: '\(value)' } } }"
        let plain = "functions:\n  one:\n    http:\n      url: http://x\n      token: \(value)"
        for yaml in value.hasPrefix("\"") ? [plain] : [text, plain] {
            let result = loader.parse(yaml).read(ExampleConfiguration.self)
            #expect(result.findings.map(\.code) == (isWarned ? [.literalSecret] : []))
            #expect(result.findings.allSatisfy { $0.severity == .warning })
            #expect(result.value != nil)
        }
    }
}
