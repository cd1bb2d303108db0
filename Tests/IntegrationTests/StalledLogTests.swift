// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// A reader of the log that stands still.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct StalledLogTests {
    /// Writes more than a pipe holds, and that it was called.
    private static let function = """
        def handler(event, context):
            for _ in range(100):
                print("y" * 1000)
            with open("arrived", "a") as file:
                file.write("called\\n")
        """

    @Test("Who does not read the log holds up neither invocations nor a stop")
    func stalled() throws {
        let folder = try TemporaryFolder()
        func file(_ name: String) -> URL { folder.url.appendingPathComponent(name) }
        try Self.function.write(to: file("app.py"), atomically: true, encoding: .utf8)
        let configuration = """
            state: "sqlite:\(file("penstock.db").path)"
            admin: { listen: "127.0.0.1:0" }
            functions:
              f:
                local:
                  command: ["\(TestEnvironment.python.path)", -m, awslambdaric, app.handler]
                  directory: "\(folder.url.path)"
            triggers:
              s: { source: { schedule: { expression: "* * * * * *" } }, function: f }
            """
        try configuration.write(to: file("connectors.yaml"), atomically: true, encoding: .utf8)
        let process = Process()
        let log = Pipe()
        process.executableURL = try PenstockProcess.executable()
        process.arguments = ["run"]
        process.currentDirectoryURL = folder.url
        process.standardError = log
        try process.run()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        let goesOn = BoundedWait.until(within: .seconds(60)) {
            let text = (try? String(contentsOf: file("arrived"), encoding: .utf8)) ?? ""
            return text.split(separator: "\n").count >= 4
        }
        #expect(goesOn, "the loop stands still")
        process.terminate()
        let hasEnded = BoundedWait.until(within: .seconds(30)) { !process.isRunning }
        #expect(hasEnded && process.terminationStatus == 0)
        let text = String(decoding: try log.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        #expect(text.contains("info ready"), "what was written is whole")
    }
}
