// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting
import Testing

/// The commands against a Penstock that runs, with a real broker.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(3)))
struct CommandLineLiveTests {
    private struct Setup {
        let world: LiveWorld
        let penstock: PenstockProcess
        let config: String

        /// Penstock with so many dead letters: its function is broken.
        init(letters: Int) throws {
            self.world = try LiveWorld(topics: ["orders"])
            try Data().write(to: self.world.file("broken"))
            self.penstock = try self.world.start()
            // The commands find the port that the system chose in a configuration of their own.
            self.config = "commands.yaml"
            let text = self.world.configuration(admin: "127.0.0.1:\(try self.world.adminPort)")
            try text.write(to: self.world.file(self.config), atomically: true, encoding: .utf8)
            try self.world.produce(letters)
            try self.world.wait(for: "\(letters) dead letters", self.penstock) {
                try self.run(["dlq", "list"]).output.hasSuffix("\(letters) of \(letters) dead letters\n")
            }
        }

        func run(_ arguments: [String]) throws -> CommandRun {
            try CommandRun(arguments + ["--config", self.config], in: self.world.home.url)
        }

        func mend() throws {
            try FileManager.default.removeItem(at: self.world.file("broken"))
        }
    }

    @Test("A partition that does not advance is told by `triggers show`, and by readiness")
    func overdue() async throws {
        let world = try LiveWorld(topics: ["orders"])
        try Data().write(to: world.file("broken"))
        let patient = "{ retries: unlimited, backoff: { max: 200ms }, blocked_after: 1s }"
        let text = world.configuration().replacing("failure: { retries: 0 }", with: "failure: \(patient)")
        let penstock = try world.start(text)
        try world.produce(1)
        let detail = try await world.wait("running", "has not advanced since") { penstock.logTail }
        #expect(detail.hasPrefix("orders-0 has not advanced since 20"), "\(detail)")
        #expect(try await world.get("/readyz")?.status == 503)
        try world.configuration(admin: "127.0.0.1:\(try world.adminPort)")
            .write(to: world.file("commands.yaml"), atomically: true, encoding: .utf8)
        let command = ["triggers", "show", "orders", "--config", "commands.yaml"]
        let shown = try CommandRun(command, in: world.home.url).output
        #expect(shown.contains("orders  running\n  orders-0 has not advanced since 20"), "\(shown)")
        #expect(shown.contains("blocked after "), "\(shown)")
        try FileManager.default.removeItem(at: world.file("broken"))
        try world.wait(for: "the record", penstock) { world.arrived == [0] }
        try await world.wait("running") { penstock.logTail }
        try penstock.terminate()
    }

    @Test(
        "Dead letters are listed, shown, redriven in vain, and redriven with success when the function is mended"
    )
    func deadLetters() throws {
        let setup = try Setup(letters: 3)
        let list = try setup.run(["dlq", "list", "--error", "Broken", "--key", "1"])
        #expect(
            list.output.contains("orders-0") && list.output.contains("Broken: the file \"broken\" is there")
        )
        #expect(list.output.hasSuffix("1 of 1 dead letters\n"))

        let shown = try setup.run(["dlq", "show", "2"]).output
        for line in [
            "dead letter 2 of trigger orders", "  position    1", "  key         1",
            "RetryAttemptsExhausted, after 1 attempt", "  source  test",
            "Broken: the file \"broken\" is there",
            "body (28 bytes of JSON)\n{\n  \"id\": 1,\n  \"fill\": \"xxxxxxxxxx\"\n}\n",
        ] { #expect(shown.contains(line), "\(line) is not in \(shown)") }
        #expect(try setup.run(["dlq", "show", "2", "--raw"]).output == #"{"id":1,"fill":"xxxxxxxxxx"}"#)
        let envelope = try setup.run(["dlq", "show", "2", "--format", "json"]).document()
        #expect((envelope["result"] as? [String: Any])?["position"] as? String == "1")
        let missing = try setup.run(["dlq", "show", "99"])
        #expect(
            missing.status == 1
                && missing.errors == "penstock: there is no dead letter 99; it may have been redriven\n"
        )

        let vain = try setup.run(["dlq", "redrive", "--all"])
        #expect(vain.status == 1)
        let lines = vain.output.split(separator: "\n")
        #expect(lines.first == "1 failed: Broken: the file \"broken\" is there")
        #expect(
            lines.dropFirst().prefix(2) == [
                "2 skipped: letter 1 comes before it, and failed",
                "3 skipped: letter 1 comes before it, and failed",
            ]
        )
        #expect(lines.last?.hasPrefix("0 succeeded, 1 failed, 2 skipped in ") == true)

        let elsewhere = try setup.run(["dlq", "redrive", "--all", "--function", "snk"])
        #expect(
            elsewhere.status == 2
                && elsewhere.errors == "penstock: there is no function \"snk\"; did you mean \"sink\"?\n"
        )

        try setup.mend()
        let redriven = try setup.run(["dlq", "redrive", "--all", "--rate", "1000/s", "--format", "json"])
        #expect(redriven.status == 0 && redriven.errors.isEmpty)
        let result = try #require(try redriven.document()["result"] as? [String: Any])
        #expect(result["summary"] as? String == "3 succeeded, 0 failed, 0 skipped")
        #expect((result["outcomes"] as? [Any])?.count == 3)
        #expect(setup.world.arrived == [0, 1, 2])
        #expect(try setup.run(["dlq", "redrive", "--all"]).output == "no dead letter matches\n")
        try setup.penstock.terminate()
    }

    @Test("A letter that is dropped before its turn in a redrive is gone, and says so")
    func gone() throws {
        let setup = try Setup(letters: 3)
        try setup.mend()
        let redrive = try ForeignProcess(
            try PenstockProcess.executable(),
            ["dlq", "redrive", "--all", "--rate", "0.3/s", "--config", setup.world.file(setup.config).path]
        )
        try setup.world.wait(for: "the first letter", setup.penstock) {
            redrive.standardOutput.contains("1 succeeded\n")
        }
        #expect(try setup.run(["dlq", "drop", "3", "--yes"]).output == "1 dead letters dropped\n")
        #expect(redrive.status(within: .seconds(30)) == 1)
        let lines = redrive.standardOutput.split(separator: "\n")
        #expect(
            lines.prefix(3) == ["1 succeeded", "2 succeeded", "3 gone: somebody else dropped or redrove it"]
        )
        #expect(lines.last?.hasPrefix("2 succeeded, 0 failed, 0 skipped, 1 gone in ") == true)
        #expect(lines.last?.hasSuffix(" s; what is gone was dropped or redriven by somebody else") == true)
        #expect(setup.world.arrived == [0, 1])
        try setup.penstock.terminate()
    }

    @Test(
        "For programs a redrive writes each outcome as it comes, and the end of the envelope when it is over"
    )
    func streamed() throws {
        let setup = try Setup(letters: 3)
        try setup.mend()
        let options = [
            "--rate", "0.3/s", "--format", "json", "--config", setup.world.file(setup.config).path,
        ]
        let redrive = try ForeignProcess(
            try PenstockProcess.executable(),
            ["dlq", "redrive", "--all"] + options
        )
        try setup.world.wait(for: "the first outcome", setup.penstock) {
            redrive.standardOutput.contains("\"succeeded\"")
        }
        #expect(!redrive.standardOutput.contains("\"ok\""))
        #expect(try setup.run(["dlq", "drop", "3", "--yes"]).output == "1 dead letters dropped\n")
        #expect(redrive.status(within: .seconds(30)) == 1)
        let text = Data(redrive.standardOutput.utf8)
        let envelope = try #require(JSONSerialization.jsonObject(with: text) as? [String: Any])
        #expect(Set(envelope.keys) == ["command", "ok", "result", "findings", "error"])
        #expect(envelope["ok"] as? Bool == false && envelope["error"] is NSNull)
        let result = try #require(envelope["result"] as? [String: Any])
        #expect(result["summary"] as? String == "2 succeeded, 0 failed, 0 skipped, 1 gone")
        let outcomes = (result["outcomes"] as? [[String: Any]] ?? []).compactMap { $0["outcome"] as? String }
        #expect(outcomes == ["succeeded", "succeeded", "gone"])
        try setup.penstock.terminate()
    }

    @Test("`why` tells what became of a record, from the running trigger, and from the store when none runs")
    func why() throws {
        let setup = try Setup(letters: 3)
        let given = try setup.run(["why", "orders", "--at", "orders-0:1"])
        #expect(given.status == 0, "\(given.errors)")
        for line in [
            "orders  orders-0:1  dead lettered\n  given up at 20", "  key              1\n",
            "  filters          none\n", "  failed attempts  1\n",
            "partition        received from 0 to 2, settled up to 2", "VERDICT",
            "  1        3        failed   ",
            "orders-0:0–2  Broken: the file \"broken\" is there",
            "dead letter 2: RetryAttemptsExhausted; `penstock dlq show 2` shows it\n",
        ] { #expect(given.output.contains(line), "\(line) is not in \(given.output)") }
        try setup.mend()
        try setup.world.produce(1)
        try setup.world.wait(for: "the fourth record", setup.penstock) { setup.world.arrived == [3] }
        try setup.world.wait(for: "its settlement", setup.penstock) {
            let run = try setup.run(["explain-record", "orders", "--at", "3", "--format", "json"])
            let result = try run.document()["result"] as? [String: Any]
            return result?["state"] as? String == "settled" && run.status == 0
        }
        let ahead = try setup.run(["why", "orders", "--at", "orders-0:9"])
        #expect(ahead.status == 1)
        #expect(ahead.output.contains("not received yet: orders-0 was received up to 3"), "\(ahead.output)")
        let unknown = try setup.run(["why", "orders", "--at", "orders-7:1"])
        #expect(unknown.status == 1)
        #expect(
            unknown.errors == "penstock: there is no partition \"orders-7\"; did you mean \"orders-0\"?\n"
        )
        #expect(try setup.run(["why", "ordres", "--at", "1"]).status == 1)
        #expect(try setup.run(["why", "orders", "--at", "orders-0"]).status == 2)
        try setup.penstock.terminate()
        let stored = try setup.run(["why", "orders", "--at", "orders-0:3"])
        #expect(stored.status == 0)
        #expect(stored.output.contains("settled: the checkpoint of orders-0 is 3"), "\(stored.output)")
        let letter = try setup.run(["why", "orders", "--at", "orders-0:2", "--format", "json"])
        let result = try #require(try letter.document()["result"] as? [String: Any])
        #expect(result["state"] as? String == "dead_lettered" && result["running"] as? Bool == false)
        #expect(try setup.run(["why", "orders", "--at", "orders-7:1"]).status == 1)
        #expect(try setup.run(["why", "ordres", "--at", "1"]).status == 1)
    }

    @Test(
        "Dead letters near their limit are warned of in the log, by dlq list and by /readyz, and are still there"
    )
    func retention() async throws {
        let setup = try Setup(letters: 2)
        try setup.penstock.terminate()
        try setup.world.editStore("UPDATE dead_letters SET at = at - 13 * 86400000")
        let limit = "dead_letters: { max_age: 14d }"
        let stopped = setup.world.configuration(admin: "127.0.0.1:1", more: limit)
        try stopped.write(to: setup.world.file("stopped.yaml"), atomically: true, encoding: .utf8)
        let words =
            "old, and dropped at 336h (dead_letters.max_age); redrive or drop them, or raise the limit"
        let offline = try CommandRun(["dlq", "list", "--config", "stopped.yaml"], in: setup.world.home.url)
        #expect(offline.output.contains("warning: the oldest dead letter is 312h"), "\(offline.output)")
        #expect(offline.output.hasSuffix("\(words)\n2 of 2 dead letters\n"))
        let penstock = try setup.world.start(setup.world.configuration(more: limit))
        try setup.world.wait(for: "the warning", penstock) {
            penstock.logTail.contains("dead letters will be dropped") && penstock.logTail.contains(words)
        }
        let ready = try #require(try await setup.world.get("/readyz")?.document)
        #expect((ready["warnings"] as? [String])?.first?.hasSuffix(words) == true)
        let page = try #require(try await setup.world.get("/api/v1/dead-letters")?.document)
        #expect((page["warning"] as? String)?.hasSuffix(words) == true && page["total"] as? Int == 2)
        try penstock.terminate()
    }

    @Test("What a function answers is a line of the file of on_success, before its records are committed")
    func onSuccess() async throws {
        let world = try LiveWorld(topics: ["orders"])
        let results = world.file("results.jsonl")
        let text = world.configuration().replacing(
            "failure: { retries: 0 }",
            with: "failure: { retries: 0 }\n    on_success: { file: { path: \"\(results.path)\" } }"
        )
        let penstock = try world.start(text)
        try world.produce(3)
        try world.wait(for: "three records", penstock) { world.arrived.count == 3 }
        try penstock.terminate()
        let lines = try String(contentsOf: results, encoding: .utf8).split(separator: "\n")
        var positions: [String] = []
        for line in lines {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            let context = object?["requestContext"] as? [String: Any]
            #expect(
                context?["condition"] as? String == "Success" && context?["functionArn"] as? String == "sink"
            )
            #expect(object?["responsePayload"] is NSNull)
            let batch = object?["batch"] as? [[String: Any]]
            #expect(batch?.first?["partition"] as? String == "orders-0")
            positions += batch?.first?["positions"] as? [String] ?? []
        }
        #expect(positions == ["0", "1", "2"])
    }

    @Test(
        "A tap shows the records that come, those that no filter matched with the condition, and ends at its limit"
    )
    func tap() async throws {
        let world = try LiveWorld(topics: ["orders"])
        let filter = "function: sink\n    filters: [{ value: { id: [{ numeric: [\"<\", 2] }] } }]"
        let penstock = try world.start(world.configuration().replacing("function: sink", with: filter))
        try await world.wait("running") { penstock.logTail }
        let text = world.configuration(admin: "127.0.0.1:\(try world.adminPort)")
        try text.write(to: world.file("commands.yaml"), atomically: true, encoding: .utf8)
        let program = try PenstockProcess.executable()
        func start(_ arguments: [String]) throws -> ForeignProcess {
            let config = world.file("commands.yaml").path
            return try ForeignProcess(program, ["tap", "orders", "--config", config] + arguments)
        }
        let passing = try start(["--limit", "2", "--format", "json"])
        let filtered = try start(["--limit", "1", "--filtered"])
        // Records come until both have seen theirs.
        var ends: [Int32?] = [nil, nil]
        try world.wait(for: "both taps", penstock) {
            try world.produce(3)
            for (index, tap) in [passing, filtered].enumerated() where ends[index] == nil {
                ends[index] = tap.status(within: .milliseconds(300))
            }
            return ends.allSatisfy { $0 != nil }
        }
        #expect(ends == [0, 0], "\(passing.output) \(filtered.output)")
        let lines = passing.output.split(separator: "\n")
        #expect(lines.count == 2 && lines.allSatisfy { $0.contains(#""partition":"orders-0""#) }, "\(lines)")
        #expect(lines.first?.contains(#""body":{"encoding":"utf-8","value":"{\"id\":"#) == true)
        #expect(filtered.output.contains("  not met: triggers.orders.filters[0].value.id\n"))
        #expect(filtered.output.contains(#"{"id":2,"#))
        let unknown = try CommandRun(["tap", "ordres", "--config", "commands.yaml"], in: world.home.url)
        #expect(unknown.status == 1 && unknown.errors.contains("did you mean \"orders\"?"))
        try penstock.terminate()
        let away = try CommandRun(["tap", "orders", "--config", "commands.yaml"], in: world.home.url)
        #expect(away.status == 3)
    }

    @Test("On a terminal a redrive shows a bar, and what failed above it")
    func bar() throws {
        let setup = try Setup(letters: 2)
        try setup.mend()
        let program = try PenstockProcess.executable().path
        // script(1) gives the program a terminal.
        let terminal = try ForeignProcess(
            URL(fileURLWithPath: "/usr/bin/script"),
            [
                "-qec", "'\(program)' dlq redrive --all --config '\(setup.world.file(setup.config).path)'",
                "/dev/null",
            ]
        )
        #expect(terminal.status(within: .seconds(30)) == 0)
        #expect(terminal.output.contains("] 50% 1/2  1 succeeded, 0 failed, 0 skipped"), "\(terminal.output)")
        #expect(terminal.output.contains("] 100% 2/2  2 succeeded, 0 failed, 0 skipped"))
        #expect(terminal.output.contains("2 succeeded, 0 failed, 0 skipped in "))
        try setup.penstock.terminate()
    }

    @Test("A trigger is shown for people, paused, resumed, and an unknown one is not found with a suggestion")
    func triggers() throws {
        let setup = try Setup(letters: 1)
        let shown = try setup.run(["triggers", "show", "orders"]).output
        #expect(shown.hasPrefix("orders  running\n"))
        #expect(
            shown.contains(
                "1 received = 0 succeeded + 0 filtered + 1 dead lettered + 0 released + 0 in flight"
            )
        )
        #expect(shown.contains("PARTITION") && shown.contains("orders-0"))
        #expect(try setup.run(["triggers", "pause", "orders"]).output == "orders: paused\n")
        #expect(try setup.run(["triggers", "show", "orders"]).output.hasPrefix("orders  paused\n"))
        #expect(try setup.run(["triggers", "resume", "orders"]).output == "orders: resumed\n")
        let unknown = try setup.run(["triggers", "show", "ordres"])
        #expect(unknown.status == 1)
        #expect(unknown.errors == "penstock: there is no trigger \"ordres\"; did you mean \"orders\"?\n")
        try setup.penstock.terminate()
    }

    @Test(
        "SIGHUP keeps what runs when the file is not valid, and applies it when it is, telling what changed"
    )
    func reload() async throws {
        let world = try LiveWorld(topics: ["orders", "more"])
        let penstock = try world.start()
        try await world.wait("running") { penstock.logTail }
        func hangUp(_ text: String, until words: String) throws {
            try text.write(to: world.file("connectors.yaml"), atomically: true, encoding: .utf8)
            _ = kill(penstock.id, SIGHUP)
            try world.wait(for: words, penstock) { penstock.logTail.contains(words) }
        }
        try hangUp("triggers: []", until: "the configuration on disk is not valid; what runs is kept")
        #expect(penstock.logTail.contains("connectors.yaml:1:11: error: "))
        try world.produce(2)
        try world.wait(for: "two records", penstock) { world.arrived.count == 2 }
        let another = """
              second:
                source: { kafka: { brokers: ["127.0.0.1:\(world.brokerPort)"], topics: [more], group: other } }
                function: sink
            """
        try hangUp(
            world.configuration(more: another),
            until: "configuration applied changes=\"new triggers second\""
        )
        #expect(try await world.get("/api/v1/triggers/second")?.status == 200)
        try hangUp(world.configuration(), until: "changes=\"removed triggers second\"")
        #expect(try await world.get("/api/v1/triggers/second")?.status == 404)
        try hangUp(
            world.configuration().replacing("size: 10", with: "size: 1"),
            until: "changes=\"changed triggers orders\""
        )
        try world.produce(1)
        try world.wait(for: "three records", penstock) { world.arrived.count == 3 }
        #expect(world.arrived == [0, 1, 2], "what was settled before the change is not sent again")
        try hangUp(world.configuration(admin: "127.0.0.1:1"), until: "settings=admin")
        try penstock.terminate()
    }

    @Test("Completions, help and version are there for each verb")
    func help() throws {
        for shell in ["bash", "zsh", "fish"] {
            let script = try CommandRun(["--generate-completion-script", shell], configuration: nil)
            #expect(script.status == 0 && script.output.contains("redrive"))
        }
        #expect(try CommandRun(["--version"], configuration: nil).output == "0.1.0\n")
        let verbs = [
            ["run"], ["validate"], ["explain"], ["schema"], ["invoke"], ["triggers"], ["top"], ["tap"],
            ["why"],
            ["dlq", "list"],
            ["dlq", "show"], ["dlq", "redrive"], ["dlq", "drop"],
        ]
        for verb in verbs {
            let help = try CommandRun(verb + ["--help"], configuration: nil)
            #expect(help.status == 0)
            #expect(help.output.contains("Example"), "\(verb)")
            #expect(help.output.contains("Exit code"), "\(verb)")
        }
    }
}
