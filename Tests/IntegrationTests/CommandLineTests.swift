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

    @Test("Dead letters of a Penstock that does not run come from its store; a look makes none")
    func offlineDeadLetters() throws {
        let home = try TemporaryFolder()
        let (config, store) = (
            home.url.appendingPathComponent("connectors.yaml"), home.url.appendingPathComponent("state.db")
        )
        try Self.valid.write(to: config, atomically: true, encoding: .utf8)
        let looks = [
            ["dlq", "list"], ["dlq", "show", "1"], ["dlq", "drop", "--all", "--yes"],
            ["dlq", "redrive", "--all"], ["why", "orders", "--at", "orders-0:1"],
        ]
        for command in looks {
            let answer = try CommandRun(command, in: home.url)
            #expect(answer.status == 3, "\(command)")
            #expect(
                answer.errors.contains("no Penstock answers on 127.0.0.1:1, and there is no store at /"),
                "\(answer.errors)"
            )
            #expect(answer.errors.contains("/state.db; start it with `penstock run`"), "\(answer.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: store.path))
        try Data().write(to: store)
        let answer = try CommandRun(["dlq", "list", "--format", "json"], in: home.url)
        #expect(answer.status == 0)
        #expect((try answer.document()["result"] as? [String: Any])?["total"] as? Int == 0)
        let nothing = try CommandRun(["why", "orders", "--at", "orders-0:1"], in: home.url)
        #expect(nothing.status == 1)
        #expect(nothing.errors.hasPrefix("penstock: nothing is known of a partition \"orders-0\": "))
    }

    @Test("A name that admin.listen has and nobody knows is a matter of the environment")
    func unknownHost() throws {
        let admin = "admin: { listen: \"no-such-machine.invalid:80\", token: \"${TOKEN}\" }"
        let answer = try CommandRun(
            ["run"],
            configuration: Self.valid.replacing("admin: { listen: 127.0.0.1:1 }", with: admin),
            environment: ["TOKEN": "a-token-of-enough-letters"]
        )
        #expect(answer.status == 3)
        let says = "penstock: admin.listen: no-such-machine.invalid:80 names no machine that is known here; "
        #expect(answer.errors.contains(says), "\(answer.errors)")
    }

    @Test("Output that cannot be written is exit code 3; a reader that has gone is not")
    func unwritableOutput() throws {
        let program = try PenstockProcess.executable().path
        for (redirection, status) in [(">/dev/full", Int32(3)), (">&-", 3), ("| head -n 1 >/dev/null", 0)] {
            let script = "set -o pipefail; \"$0\" schedule next '@every 1s' --count 100000 \(redirection)"
            let run = try ForeignProcess(URL(fileURLWithPath: "/bin/bash"), ["-c", script, program])
            #expect(run.status(within: .seconds(60)) == status, "\(redirection)")
            let isTold = run.standardError.contains("penstock: standard output did not take everything: ")
            #expect(isTold == (status == 3), "\(run.standardError)")
        }
    }

    @Test("With --log-format json each line is JSON, also why it does not start", arguments: [true, false])
    func jsonFailures(isValid: Bool) throws {
        let broken = Self.valid.replacing("timeout: 5s", with: "timeot: 5s")
        let text = isValid ? Self.valid.replacing("state.db", with: "/dev/null/state.db") : broken
        let answer = try CommandRun(["run", "--log-format", "json"], configuration: text)
        #expect(answer.status == (isValid ? 3 : 2))
        let lines = try answer.errors.split(separator: "\n").map {
            try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: String])
        }
        #expect(lines.last?["level"] == "critical")
        let says = isValid ? "check the state path" : "connectors.yaml has 1 error"
        #expect(
            lines.last?["message"]?.hasSuffix(says) == true || lines.last?["message"]?.contains(says) == true
        )
        let levels = lines.dropLast().compactMap { $0["level"] }
        #expect(levels == (isValid ? [] : ["error"]), "\(answer.errors)")
    }

    @Test("An invocation shows what the function wrote once, and nothing that commands the terminal")
    func invokes() throws {
        let home = try TemporaryFolder()
        let script = #"""
            import json, os, sys, urllib.request
            base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
            while True:
                with urllib.request.urlopen(base + "next") as call:
                    name = call.headers["Lambda-Runtime-Aws-Request-Id"]
                print("written \x1b[31m once", flush=True)
                body = json.dumps({"errorType": "Broken", "errorMessage": "red \x1b[31m"}).encode()
                urllib.request.urlopen(urllib.request.Request(base + name + "/error", body)).close()
            """#
        let function = home.url.appendingPathComponent("function.py")
        try script.write(to: function, atomically: true, encoding: .utf8)
        let text = Self.valid.replacing("[cat]", with: "[\(TestEnvironment.python.path), \(function.path)]")
        let levels = [["info", "text"], ["info", "json"], ["error", "text"]]
        for level in levels {
            let arguments = ["invoke", "echo", "--log-level", level[0], "--log-format", level[1]]
            let answer = try CommandRun(arguments, configuration: text)
            #expect(answer.status == 1)
            #expect(answer.errors.components(separatedBy: "written ").count == 2, "\(answer.errors)")
            #expect(answer.errors.hasSuffix("penstock: Broken: red \\u{1B}[31m\n"), "\(answer.errors)")
            #expect(!answer.errors.unicodeScalars.contains("\u{1B}"))
        }
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
