// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import Testing

@testable import LocalFunction

/// What becomes of processes and their calls.
@Suite(.timeLimit(.minutes(2))) struct LifeCycleTests {
    private static let obedient = ScriptedRuntime.configuration(ScriptedRuntime.obedient)

    @Test("A warm process is used again, and only its first report has an init duration")
    func warmReuse() async throws {
        try await LocalFunctionFixture.use(Self.obedient) { fixture in
            let first = await fixture.run(#"{"do":"pid"}"#)
            let second = await fixture.run(#"{"do":"pid"}"#)
            #expect(first.result.text != nil)
            #expect(first.result == second.result)
            #expect(first.report?.initDuration != nil)
            #expect(second.report?.initDuration == nil)
        }
    }

    @Test("N calls run side by side in N processes, and the next one waits for the first that is free")
    func concurrency() async throws {
        // Each process answers only when the test lets it: it waits for a byte of a fifo.
        let gate = try Fifo()
        defer { gate.remove() }
        let script = """
            p = Peer()
            while True:
                event = p.next()
                say("got", event)
                if event != "4": open("\(gate.path)", "rb", 0).read(1)
                p.respond(str(os.getpid()))
            """
        let configuration = ScriptedRuntime.configuration(script, concurrency: 3)
        try await LocalFunctionFixture.use(configuration) { fixture in
            try await withThrowingTaskGroup(of: InvocationResult.self) { group in
                for event in 1...3 { group.addTask { await fixture.run("\(event)").result } }
                for event in 1...3 { _ = await fixture.lines.line(containing: "got \(event)") }
                group.addTask { await fixture.run("4").result }
                #expect(await fixture.function.processIDs.count == 3)
                #expect(!fixture.lines.lines.contains { $0.text == "got 4" })
                try gate.open(for: 3)
                var processes: [InvocationResult] = []
                for try await result in group { processes.append(result) }
                #expect(processes.count == 4)
                #expect(Set(processes.compactMap(\.text)).count == 3)
            }
        }
    }

    @Test("A function that admits nothing tells so to who waits for a process and who comes; what runs ends")
    func admitsNothing() async throws {
        let gate = try Fifo()
        defer { gate.remove() }
        let script = """
            p = Peer()
            while True:
                say("got", p.next())
                open("\(gate.path)", "rb", 0).read(1)
                p.respond("null")
            """
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(script)) { fixture in
            async let running = fixture.run("1").result
            _ = await fixture.lines.line(containing: "got 1")
            async let waiting = fixture.run("2").result
            while await fixture.function.pool.waitingCount == 0 { await Task.yield() }
            await fixture.function.stopAdmitting()
            #expect(await waiting == .stopping)
            #expect(await fixture.run("3").result == .stopping)
            try gate.open(for: 1)
            #expect(await running.text == "null")
            #expect(fixture.lines.lines.count { $0.text.hasPrefix("got") } == 1)
        }
    }

    @Test(
        "An invocation over its time fails with AWS's words; its process and what that started are killed and replaced"
    )
    func timeout() async throws {
        var configuration = Self.obedient
        configuration.timeout = .milliseconds(700)
        try await LocalFunctionFixture.use(configuration) { fixture in
            let before = await fixture.run(#"{"do":"pid"}"#)
            let outcome = await fixture.run(#"{"do":"hang"}"#, id: "abc")
            let text = "RequestId: abc Error: Task timed out after 0.70 seconds"
            #expect(outcome.result == .failed(Failure(type: "Sandbox.Timedout", message: text)))
            #expect(outcome.text(.platform).contains(text))
            #expect((outcome.report?.duration ?? .zero) >= .milliseconds(700))
            let child = try #require(
                outcome.text(.output).first.flatMap { Int32($0.split(separator: " ")[1]) }
            )
            let after = await fixture.run(#"{"do":"pid"}"#)
            #expect(after.result.text != nil)
            #expect(before.result != after.result)
            try await Processes.waitUntilGone(child)
        }
    }

    @Test("An invocation nobody waits for any more ends at once, and its process is killed and replaced")
    func cancelled() async throws {
        try await LocalFunctionFixture.use(Self.obedient) { fixture in
            let running = Task { await fixture.run(#"{"do":"hang"}"#, id: "gone") }
            // The function prints its child's id when it has begun.
            let line = await fixture.lines.line(containing: "child ")
            running.cancel()
            guard case .failed(let failure) = await running.value.result else {
                Issue.record("the invocation did not fail")
                return
            }
            #expect(failure.type == "Penstock.Abandoned")
            let child = try #require(Int32(line.text.split(separator: " ").last ?? ""))
            try await Processes.waitUntilGone(child)
            #expect(await fixture.run(#"{"do":"pid"}"#).result.text != nil)
        }
    }

    @Test(
        "A process that ends during an invocation fails it with Runtime.ExitError and how it ended",
        arguments: [
            (#"{"do":"exit","code":0}"#, "without providing a reason"),
            (#"{"do":"exit","code":3}"#, "with error: exit status 3"),
            (#"{"do":"signal","number":9}"#, "with error: signal: killed"),
            (#"{"do":"signal","number":11}"#, "with error: signal: segmentation fault"),
        ]
    )
    func exits(event: String, reason: String) async throws {
        try await LocalFunctionFixture.use(Self.obedient) { fixture in
            let outcome = await fixture.run(event, id: "abc")
            let text = "RequestId: abc Error: Runtime exited \(reason)"
            #expect(outcome.result == .failed(Failure(type: "Runtime.ExitError", message: text)))
            #expect(await fixture.run(#"{"do":"pid"}"#).result.text != nil)
        }
    }

    @Test(
        "What the handler threw becomes the failure",
        arguments: [
            ("throw", "ValueError", "bad é \"x\""),
            ("throw late type", "Function.Broken", "m"),
            ("throw rubbish", "Function.Unknown", "no json at all"),
        ]
    )
    func handlerError(what: String, type: String, message: String) async throws {
        try await LocalFunctionFixture.use(Self.obedient) { fixture in
            let outcome = await fixture.run(#"{"do":"\#(what)"}"#)
            #expect(outcome.result == .failed(Failure(type: type, message: message)))
        }
    }

    @Test("A command that does not exist is unavailable at once, and says where it was looked for")
    func missingCommand() async throws {
        try await LocalFunctionFixture.use(LocalFunctionConfiguration(command: ["no-such-program"])) {
            fixture in
            let outcome = await fixture.run("{}")
            guard case .unavailable(let failure) = outcome.result else {
                Issue.record("\(outcome.result)")
                return
            }
            #expect(failure.type == "Runtime.InvalidEntrypoint")
            #expect(failure.message.contains(#"no program "no-such-program" in PATH"#))
        }
    }

    @Test("A directory that does not exist is unavailable, and named")
    func missingDirectory() async throws {
        var configuration = LocalFunctionConfiguration(command: ["true"])
        configuration.directory = "/no/such/directory"
        try await LocalFunctionFixture.use(configuration) { fixture in
            let failure = await fixture.run("{}").result.failure
            #expect(failure?.message.contains(#"directory "/no/such/directory" does not exist"#) == true)
        }
    }

    @Test("A file that is not executable is unavailable, and says so")
    func notExecutable() async throws {
        var configuration = LocalFunctionConfiguration(command: ["./app.py"])
        configuration.directory = "\(LocalFunctionFixture.root)/examples/orders"
        try await LocalFunctionFixture.use(configuration) { fixture in
            let failure = await fixture.run("{}").result.failure
            #expect(failure?.message.contains("is not executable") == true)
        }
    }

    @Test("A process that ends before it asks for work is unavailable, with its last words")
    func exitsEarly() async throws {
        let configuration = ScriptedRuntime.configuration(#"complain("no module named x"); sys.exit(7)"#)
        try await LocalFunctionFixture.use(configuration) { fixture in
            guard case .unavailable(let failure) = await fixture.run("{}").result else {
                Issue.record("not unavailable")
                return
            }
            #expect(failure.type == "Runtime.ExitError")
            #expect(failure.message.contains("exit status 7"))
            #expect(failure.message.contains("no module named x"))
        }
    }

    @Test("A broken function is started once for many calls: starts back off")
    func backsOff() async throws {
        let configuration = ScriptedRuntime.configuration(#"say("started"); sys.exit(1)"#, concurrency: 1)
        try await LocalFunctionFixture.use(configuration) { fixture in
            let began = ContinuousClock.now
            for _ in 0..<20 {
                guard case .unavailable = await fixture.run("{}").result else {
                    Issue.record("not unavailable")
                    return
                }
            }
            let elapsed = ContinuousClock.now - began
            // Between two starts lies the pause, which doubles each time; a slow machine has time for more of them.
            let starts = fixture.lines.lines.count { $0.text == "started" }
            let pauses = (0..<max(0, starts - 1)).reduce(Duration.zero) {
                $0 + ProcessPool.backoffInitial * (1 << $1)
            }
            #expect(starts >= 1)
            #expect(pauses <= elapsed, "\(starts) starts in \(elapsed)")
        }
    }

    @Test("An error posted to init/error is unavailable with the runtime's words")
    func initError() async throws {
        let body = #"{\"errorType\":\"Runtime.ImportModuleError\",\"errorMessage\":\"no app\"}"#
        let script = #"say(*Peer().call("POST", "init/error", "\#(body)")); sys.exit(1)"#
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(script)) { fixture in
            guard case .unavailable(let failure) = await fixture.run("{}").result else {
                Issue.record("not unavailable")
                return
            }
            #expect(failure.type == "Runtime.ImportModuleError")
            #expect(failure.message.contains("no app"))
        }
    }

    @Test("A process that never asks for work is killed after init_timeout")
    func initTimeout() async throws {
        var configuration = ScriptedRuntime.configuration("threading.Event().wait()")
        configuration.initTimeout = .milliseconds(300)
        try await LocalFunctionFixture.use(configuration) { fixture in
            guard case .unavailable(let failure) = await fixture.run("{}").result else {
                Issue.record("not unavailable")
                return
            }
            #expect(failure.type == "Sandbox.Timedout")
            #expect(failure.message.contains("0.3 s"))
        }
    }

    @Test("A process over its memory is killed while it runs")
    func memory() async throws {
        var configuration = Self.obedient
        configuration.memory = 64 << 20
        try await LocalFunctionFixture.use(configuration) { fixture in
            let outcome = await fixture.run(#"{"do":"memory","bytes":150000000,"hang":true}"#, id: "abc")
            let text = "RequestId: abc Error: Runtime exited with error: signal: killed"
            #expect(outcome.result == .failed(Failure(type: "Runtime.ExitError", message: text)))
        }
    }

    @Test("An idle process ends after idle_timeout, and the next call starts another")
    func idleTimeout() async throws {
        var configuration = Self.obedient
        configuration.idleTimeout = .milliseconds(50)
        try await LocalFunctionFixture.use(configuration) { fixture in
            let first = await fixture.run(#"{"do":"pid"}"#)
            let pid = try #require(first.result.text.flatMap { Int32($0) })
            try await Processes.waitUntilGone(pid)
            let second = await fixture.run(#"{"do":"pid"}"#)
            #expect(second.result.text != nil)
            #expect(first.result != second.result)
        }
    }

    @Test("The shutdown ends processes that ignore SIGTERM, and their children")
    func shutdown() async throws {
        let script = """
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            p = Peer()
            p.next()
            child = subprocess.Popen(["sleep", "1000"])
            p.respond(str(child.pid))
            p.next()
            """
        var configuration = ScriptedRuntime.configuration(script)
        configuration.stopGrace = .milliseconds(100)
        let child = LineCollector()
        try await LocalFunctionFixture.use(configuration) { fixture in
            let text = try #require(await fixture.run("{}").result.text)
            child.write(LocalFunctionLogLine(function: "f", requestID: nil, stream: .output, text: text))
        }
        let pid = try #require(child.lines.first.flatMap { Int32($0.text) })
        try await Processes.waitUntilGone(pid)
    }
}
