// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// A queue in an emulator, a Python function, and the built program between them.
struct SQSWorld {
    let home: TemporaryFolder
    let aws: TestAWS
    /// The queue's URL.
    let queue: String

    /// With a handler, which is `handler(event, context)` of `app.py` and runs in ``home``.
    init(queue: String, handler: String, on emulator: TestAWS.Emulator = .ministack) throws {
        self.home = try TemporaryFolder()
        self.aws = try TestAWS(emulator)
        self.queue = try self.aws.createQueue(queue)
        try handler.write(to: self.file("app.py"), atomically: true, encoding: .utf8)
    }

    func file(_ name: String) -> URL { self.home.url.appendingPathComponent(name) }

    /// Starts a Penstock; `source` stands beside the queue, `trigger` beside source and function.
    func start(source: String = "", trigger: String = "", function: String = "") throws -> PenstockProcess {
        let python = TestEnvironment.python.path
        return try PenstockProcess(
            in: self.home.url,
            configuration: """
                state: "sqlite:\(self.file("penstock.db").path)"
                admin: { listen: "127.0.0.1:0" }
                functions:
                  app:
                    local:
                      command: ["\(python)", -m, awslambdaric, app.handler]
                      directory: "\(self.home.url.path)"
                      \(function)
                triggers:
                  orders:
                    source:
                      sqs:
                        queue: "\(self.queue)"
                        region: \(TestAWS.region)
                        credentials: { access_key_id: test, secret_access_key: test }
                        \(source)
                    function: app
                \(trigger.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n"))

                """
        )
    }

    /// Runs a script with boto3, with `sqs` and `queue` at hand; gives what it printed.
    @discardableResult
    func run(_ script: String) throws -> String {
        try self.aws.run(
            """
            import boto3, json, sys
            sqs = boto3.client("sqs", endpoint_url=sys.argv[1])
            queue = sys.argv[2]
            """ + "\n" + script,
            [self.queue]
        )
    }

    /// The lines of a file that the handler wrote.
    func lines(_ name: String) -> [String] {
        let text = try? String(contentsOf: self.file(name), encoding: .utf8)
        return (text ?? "").split(separator: "\n").map(String.init)
    }

    /// Waits until a condition holds.
    func wait(for what: String, _ penstock: PenstockProcess, _ condition: () throws -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if try condition() { return }
            _ = BoundedWait.until(within: .milliseconds(20)) { false }
        }
        throw PenstockProcess.Failure("waited for \(what); log:\n\(penstock.logTail)")
    }

    /// Waits until the queue has no message left.
    func waitUntilEmpty(_ penstock: PenstockProcess) throws {
        try self.wait(for: "an empty queue", penstock) { try self.aws.messages(in: self.queue) == (0, 0) }
    }
}
