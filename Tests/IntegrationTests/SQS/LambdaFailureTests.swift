// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Functions of AWS Lambda that cannot be called, or fail, and the built program before them.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct LambdaFailureTests {
    private static let keys =
        "region: eu-west-1, credentials: { access_key_id: test, secret_access_key: test }"

    /// A trigger without retries between a queue and a function of AWS Lambda with these fields besides.
    private static func penstock(
        in home: TemporaryFolder,
        _ queue: ScriptedSQS,
        _ server: TestHTTPServer,
        _ fields: String,
        environment: [String: String] = [:]
    ) throws -> PenstockProcess {
        try PenstockProcess(
            in: home.url,
            configuration: """
                state: "sqlite:\(home.url.path)/penstock.db"
                admin: { listen: "127.0.0.1:0" }
                functions:
                  f: { lambda: { function: f, endpoint: "\(server.url(""))", \(fields) } }
                triggers:
                  t:
                    source: { sqs: { queue: "\(queue.url)", \(Self.keys) } }
                    function: f
                    failure: { retries: 0, backoff: { initial: 100ms, max: 1s } }

                """,
            environment: environment
        )
    }

    @Test("The end of a function's log is in the history of its dead letter")
    func logTail() throws {
        let home = try TemporaryFolder()
        let queue = try ScriptedSQS("work")
        defer { queue.stop() }
        let log = "START RequestId: 1\nsaw one\nTraceback: boom\nREPORT RequestId: 1 Duration: 2 ms\n"
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(
                200,
                [
                    ("X-Amz-Function-Error", "Unhandled"),
                    ("X-Amz-Log-Result", Data(log.utf8).base64EncodedString()),
                ],
                #"{"errorType":"ValueError","errorMessage":"boom"}"#
            )
        }
        defer { server.stop() }
        queue.send([("one", nil)])
        let penstock = try Self.penstock(in: home, queue, server, "\(Self.keys), log_tail: true")
        #expect(
            BoundedWait.until(within: .seconds(90)) { queue.bodies.isEmpty },
            "\(penstock.logTail)"
        )
        try penstock.terminate()
        #expect(server.requests.map { $0.headers["x-amz-log-type"] } == ["Tail"])
        let shown = try CommandRun(["dlq", "show", "1", "--format", "json"], in: home.url)
        let letter = try shown.document()["result"] as? [String: Any]
        let attempts = letter?["attempts"] as? [[String: Any]]
        let error = attempts?.last?["error"] as? [String: Any]
        #expect(attempts?.count == 1 && error?["type"] as? String == "ValueError", "\(shown.output)")
        #expect(error?["message"] as? String == "boom\n\(log)", "\(shown.output)")
    }
}
