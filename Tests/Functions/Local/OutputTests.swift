// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import Testing

@testable import LocalFunction

/// What functions write, what they get told, and the REPORT line.
@Suite(.timeLimit(.minutes(2))) struct OutputTests {
    @Test(
        "Lines belong to the invocation that wrote them, in order of their stream, with START, END and REPORT"
    )
    func perInvocation() async throws {
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(ScriptedRuntime.obedient)) {
            fixture in
            for id in ["a", "b", "c"] {
                let outcome = await fixture.run(#"{"do":"say","lines":3}"#, id: id)
                #expect(outcome.text(.output) == ["out 0", "out 1", "out 2", "no line end"])
                #expect(outcome.text(.error) == ["err"])
                let platform = outcome.text(.platform)
                #expect(platform.count == 3)
                #expect(platform.first == "START RequestId: \(id) Version: $LATEST")
                #expect(platform.dropFirst().first == "END RequestId: \(id)")
                #expect(platform.last == outcome.report?.line)
                #expect(outcome.lines.allSatisfy { $0.requestID == id && $0.function == "f" })
            }
        }
    }

    @Test("The tail of an invocation that writes much is its end, within 64 KiB, and the log gets all of it")
    func bounded() async throws {
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(ScriptedRuntime.obedient)) {
            fixture in
            let outcome = await fixture.run(#"{"do":"say","lines":20000}"#)
            #expect(outcome.lines.reduce(0) { $0 + $1.text.utf8.count + 1 } <= OutputTail.bytesMax)
            #expect(outcome.droppedLines > 0)
            #expect(outcome.text(.output).suffix(2) == ["out 19999", "no line end"])
            let told = fixture.lines.lines.filter { $0.stream == .output }
            #expect(told.count == 20_001)
        }
    }

    @Test("The REPORT line has AWS's form: Init Duration only on a cold start")
    func reportLine() async throws {
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(ScriptedRuntime.obedient)) {
            fixture in
            let cold = try #require(await fixture.run(#"{"do":"echo"}"#, id: "a").report?.line)
            let warm = try #require(await fixture.run(#"{"do":"echo"}"#, id: "b").report?.line)
            let common =
                /REPORT RequestId: [ab]\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 512 MB\tMax Memory Used: [1-9]\d* MB\t/
            let initial = /Init Duration: \d+\.\d\d ms\t/
            #expect(try common.prefixMatch(in: warm)?.output.endIndex == warm.endIndex)
            let head = try #require(try common.prefixMatch(in: cold))
            #expect(try initial.wholeMatch(in: cold[head.range.upperBound...]) != nil)
        }
    }

    @Test("A report rounds as AWS does: billed time up to whole milliseconds")
    func reportNumbers() {
        let report = InvocationReport(
            requestID: "id",
            duration: .microseconds(3_014),
            memorySize: 128 << 20,
            memoryUsed: 36 << 20,
            initDuration: .microseconds(110_104)
        )
        let line = """
            REPORT RequestId: id\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\t\
            Max Memory Used: 36 MB\tInit Duration: 110.10 ms\t
            """
        #expect(report.line == line)
    }

    @Test("The environment is what is configured and the Runtime API's variables, and nothing of ours")
    func environment() async throws {
        var configuration = ScriptedRuntime.configuration(ScriptedRuntime.obedient)
        configuration.environment = [
            "BUCKET": "thumbnails", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "listed",
        ]
        unsafe setenv("PENSTOCK_TEST_SECRET", "must not leak", 1)
        try await LocalFunctionFixture.use(configuration) { fixture in
            let text = try #require(await fixture.run(#"{"do":"environment"}"#).result.text)
            let variables = try JSONDecoder().decode([String: String].self, from: Data(text.utf8))
            let names: Set = [
                "BUCKET", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_XRAY_CONTEXT_MISSING",
                "LANG",
                "PATH", "TZ", "_HANDLER", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
                "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
                "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_RUNTIME_DIR",
                "LAMBDA_TASK_ROOT",
            ]
            // Python adds LC_CTYPE when the locale is missing.
            #expect(Set(variables.keys).subtracting(["LC_CTYPE"]) == names)
            #expect(variables["BUCKET"] == "thumbnails")
            #expect(variables["AWS_REGION"] == "eu-west-1")
            #expect(variables["AWS_DEFAULT_REGION"] == "eu-west-1")
            #expect(variables["_HANDLER"] == "script")
            #expect(variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512")
            #expect(variables["PATH"] == "/usr/local/bin:/usr/bin:/bin")
            let stream = try #require(variables["AWS_LAMBDA_LOG_STREAM_NAME"])
            #expect(try /\d{4}\/\d\d\/\d\d\/\[\$LATEST\][0-9a-f]{32}/.wholeMatch(in: stream) != nil)
        }
    }

    @Test("A process has no descriptors but its three, no controlling group of ours, and default signals")
    func descriptors() async throws {
        let script = """
            p = Peer()
            p.next()
            files = {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")}
            strange = [f for f in files.values() if not f.startswith(("socket:", "pipe:", "/dev/null"))]
            p.respond(json.dumps([files["0"], strange, os.getpgrp() == os.getpid(), len(files)]))
            """
        try await LocalFunctionFixture.use(ScriptedRuntime.configuration(script)) { fixture in
            // Standard streams and the one socket of the script.
            #expect(await fixture.run("{}").result.text == #"["/dev/null", [], true, 4]"#)
        }
    }

    @Test(
        "The day of a log stream is right",
        arguments: [(0, "1970/01/01"), (1_709_164_800_000, "2024/02/29")]
    )
    func day(milliseconds: Int64, day: String) {
        let environment = ProcessEnvironment(
            function: "f",
            configuration: LocalFunctionConfiguration(command: ["x"]),
            instance: .init(
                runtimeAPI: "127.0.0.1:1",
                socket: nil,
                directory: "/",
                startedAt: Timestamp(milliseconds: milliseconds),
                streamID: "0"
            )
        )
        #expect(environment.entries.contains("AWS_LAMBDA_LOG_STREAM_NAME=\(day)/[$LATEST]0"))
    }
}
