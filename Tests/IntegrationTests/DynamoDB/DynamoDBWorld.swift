// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// A table in an emulator, a Python function, and the built program between them.
struct DynamoDBWorld {
    let home: TemporaryFolder
    let aws: TestAWS

    /// With a table `carts` of the keys `cart` and `line`, and `handler(event, context)` of `app.py`, which runs in ``home``.
    init(handler: String, on emulator: TestAWS.Emulator = .ministack) throws {
        self.home = try TemporaryFolder()
        self.aws = try TestAWS(emulator)
        try handler.write(to: self.file("app.py"), atomically: true, encoding: .utf8)
        try self.run(
            """
            db.create_table(TableName="carts", BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": "cart", "KeyType": "HASH"}, {"AttributeName": "line", "KeyType": "RANGE"}],
                AttributeDefinitions=[{"AttributeName": "cart", "AttributeType": "S"},
                    {"AttributeName": "line", "AttributeType": "N"}],
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
            """
        )
    }

    func file(_ name: String) -> URL { self.home.url.appendingPathComponent(name) }

    /// Runs a script with boto3, with the client `db` at hand; gives what it printed.
    @discardableResult
    func run(_ script: String) throws -> String {
        try self.aws.run(
            """
            import boto3, json, sys
            db = boto3.client("dynamodb", endpoint_url=sys.argv[1])
            """ + "\n" + script,
            []
        )
    }

    /// Starts a Penstock; `source` stands beside the table, `trigger` beside source and function.
    func start(source: String = "", trigger: String = "") throws -> PenstockProcess {
        try PenstockProcess(
            in: self.home.url,
            configuration: """
                state: "sqlite:\(self.file("penstock.db").path)"
                admin: { listen: "127.0.0.1:0" }
                functions:
                  app:
                    local:
                      command: ["\(TestEnvironment.python.path)", -m, awslambdaric, app.handler]
                      directory: "\(self.home.url.path)"
                triggers:
                  carts:
                    source:
                      dynamodb:
                        table: carts
                        endpoint: "\(self.aws.endpoint)"
                        region: \(TestAWS.region)
                        credentials: { access_key_id: test, secret_access_key: test }
                        \(source)
                    function: app
                \(trigger.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n"))

                """
        )
    }

    /// Runs a command beside a Penstock that was started here, with its configuration and where its admin API listens.
    func command(_ arguments: [String]) throws -> CommandRun {
        let port = try String(contentsOf: self.file("ready"), encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let text = try String(contentsOf: self.file("connectors.yaml"), encoding: .utf8)
        return try CommandRun(
            arguments,
            configuration: text.replacing("127.0.0.1:0", with: "127.0.0.1:\(port)")
        )
    }

    /// The lines of a file that the handler wrote.
    func lines(_ name: String) -> [String] {
        let text = try? String(contentsOf: self.file(name), encoding: .utf8)
        return (text ?? "").split(separator: "\n").map(String.init)
    }

    /// Waits until the handler has written so many lines.
    func wait(for count: Int, in name: String, _ penstock: PenstockProcess) throws {
        guard BoundedWait.until(within: .seconds(60), { self.lines(name).count >= count }) else {
            throw PenstockProcess.Failure(
                "waited for \(count) lines, got \(self.lines(name).count); log:\n\(penstock.logTail)"
            )
        }
    }
}
