// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// What SIGTERM lets begin, and what not.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(3)))
struct StopTests {
    /// Writes down that it was called, and answers when there is a file `go`.
    private static let function = """
        import os, time
        def handler(event, context):
            with open("begun", "a") as file:
                file.write("call\\n")
            while not os.path.exists("go"):
                time.sleep(0.01)
        """

    @Test(
        "What waits for a process of a function that triggers share is not invoked after SIGTERM; what runs ends"
    )
    func sharedFunction() async throws {
        let folder = try TemporaryFolder()
        func file(_ name: String) -> URL { folder.url.appendingPathComponent(name) }
        try Self.function.write(to: file("app.py"), atomically: true, encoding: .utf8)
        let source = #"source: { schedule: { expression: "* * * * * *" } }"#
        let penstock = try PenstockProcess(
            in: folder.url,
            configuration: """
                state: "sqlite:\(file("penstock.db").path)"
                admin: { listen: "127.0.0.1:0" }
                drain_timeout: 60s
                functions:
                  f:
                    local:
                      command: ["\(TestEnvironment.python.path)", -m, awslambdaric, app.handler]
                      directory: "\(folder.url.path)"
                      timeout: 60s
                      concurrency: 1
                triggers:
                  a: { \(source), function: f }
                  b: { \(source), function: f }
                """
        )
        let text = try String(contentsOf: file("ready"), encoding: .utf8)
        let port = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        try await Self.wait(port, penstock) { $0.allSatisfy { $0.inFlight == 1 } }
        #expect(BoundedWait.until(within: .seconds(60)) { Self.calls(file("begun")) == 1 })
        penstock.drain()
        // The one that waits is done with at once; the other one drains.
        try await Self.wait(port, penstock) { Set($0.map(\.state)) == ["stopped", "stopping"] }
        try Data().write(to: file("go"))
        try penstock.waitForEnd()
        #expect(Self.calls(file("begun")) == 1)
    }

    private struct Trigger {
        var state: String
        var inFlight: Int
    }

    /// Waits until the triggers are so, as the admin API tells.
    private static func wait(
        _ port: Int,
        _ penstock: PenstockProcess,
        until condition: ([Trigger]) -> Bool
    ) async throws {
        for _ in 0..<3000 {
            if condition(try await self.triggers(port)) { return }
            _ = BoundedWait.until(within: .milliseconds(10)) { false }
        }
        throw PenstockProcess.Failure("not so: \(try await self.triggers(port)); log:\n\(penstock.logTail)")
    }

    private static func triggers(_ port: Int) async throws -> [Trigger] {
        let answer = try #require(await TestConnection.exchange("GET", "/api/v1/triggers", port: port))
        let document = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
        let list = try #require(document?["triggers"] as? [[String: Any]], "\(answer.text)")
        return list.map { trigger in
            let invocations = trigger["invocations"] as? [String: Any]
            return Trigger(
                state: trigger["state"] as? String ?? "",
                inFlight: invocations?["in_flight"] as? Int ?? 0
            )
        }
    }

    private static func calls(_ file: URL) -> Int {
        ((try? String(contentsOf: file, encoding: .utf8)) ?? "").split(separator: "\n").count
    }
}
