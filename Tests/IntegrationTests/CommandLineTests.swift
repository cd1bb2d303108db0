// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// What the built program prints, and what it exits with.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct CommandLineTests {
    @Test("A valid configuration is said to be valid, with exit code 0")
    func validates() throws {
        let answer = try CommandRun(["validate"], configuration: Self.valid)
        #expect(answer.status == 0)
        #expect(answer.output.hasSuffix("connectors.yaml is valid: 1 trigger, 1 function\n"))
    }

    @Test("A finding is a line on standard error with its place and its code, and the exit code is 2")
    func findings() throws {
        let text = Self.valid.replacing("timeout: 5s", with: "timeot: 5s")
        let answer = try CommandRun(["validate"], configuration: text)
        #expect(answer.status == 2)
        #expect(answer.output.isEmpty)
        #expect(answer.errors.contains("connectors.yaml:6:"))
        #expect(answer.errors.contains("did you mean \"timeout\"? [unknown-key]"))
    }

    @Test("docs/CONFIGURATION.md is what the field tables say; `penstock docs` prints it")
    func configurationPage() throws {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "docs/CONFIGURATION.md"), encoding: .utf8)
        #expect(try CommandRun(["docs"], configuration: nil).output == page)
    }

    @Test("A missing file is a matter of the environment: exit code 3")
    func missingFile() throws {
        let answer = try CommandRun(["validate"], configuration: nil)
        #expect(answer.status == 3)
        #expect(answer.errors.contains("[missing-file]"))
    }

    @Test("The envelope has the same five keys, whatever happens", arguments: [true, false])
    func envelope(isValid: Bool) throws {
        let answer = try CommandRun(
            ["validate", "--format", "json"],
            configuration: isValid ? Self.valid : "a: 1"
        )
        let envelope = try answer.document()
        #expect(Set(envelope.keys) == ["command", "ok", "result", "findings", "error"])
        #expect(envelope["command"] as? String == "validate")
        #expect(envelope["ok"] as? Bool == isValid)
        #expect((envelope["findings"] as? [Any])?.isEmpty == isValid)
    }

    @Test(
        "A usage error exits with 2",
        arguments: [
            ["bogus"], ["run", "--bogus"], ["dlq", "redrive"], ["invoke"],
            ["dlq", "redrive", "--all", "--rate", "1e-10"],
            ["dlq", "redrive", "--all", "--concurrency", "0"],
        ]
    )
    func usage(arguments: [String]) throws {
        #expect(try CommandRun(arguments, configuration: Self.valid).status == 2)
    }

    @Test("Triggers of a Penstock that does not run are a matter of the environment")
    func notRunning() throws {
        let answer = try CommandRun(["triggers", "list"], configuration: Self.valid)
        #expect(answer.status == 3)
        #expect(
            answer.errors.hasPrefix(
                "penstock: no Penstock answers on 127.0.0.1:1; start it with `penstock run`"
            )
        )
    }

    @Test("Dead letters of a Penstock that does not run come from its store")
    func offlineDeadLetters() throws {
        let answer = try CommandRun(["dlq", "list", "--format", "json"], configuration: Self.valid)
        #expect(answer.status == 0)
        #expect((try answer.document()["result"] as? [String: Any])?["total"] as? Int == 0)
    }

    @Test("Letters are not dropped without --yes")
    func dropAsks() throws {
        let answer = try CommandRun(["dlq", "drop", "--all"], configuration: Self.valid)
        #expect(answer.status == 2)
        #expect(answer.errors.contains("say --yes"))
    }

    @Test("explain fills in defaults, and schema is a JSON Schema")
    func explainsAndDescribes() throws {
        #expect(
            try CommandRun(["explain"], configuration: Self.valid).output.contains(
                "drain_timeout: 25s  # default"
            )
        )
        let schema = try CommandRun(["schema"], configuration: Self.valid).document()
        #expect(schema["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
    }

    /// Nothing listens on port 1.
    private static let valid = """
        state: sqlite:state.db
        admin: { listen: 127.0.0.1:1 }
        functions:
          echo:
            local:
              timeout: 5s
              command: [cat]
        triggers:
          orders:
            source: { kafka: { brokers: ["127.0.0.1:1"], topics: [orders], group: g } }
            function: echo

        """
}
