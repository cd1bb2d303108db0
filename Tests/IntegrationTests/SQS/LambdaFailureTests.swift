// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Synchronization
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

    @Test("While STS gives no credentials, records wait at no cost of attempts, and none is given up")
    func tokenService() throws {
        let home = try TemporaryFolder()
        let queue = try ScriptedSQS("work")
        defer { queue.stop() }
        // Two looks for credentials, of three attempts each, get no answer.
        let left = Mutex(6)
        let sts = try TestHTTPServer { _, exchange in
            let isDown = left.withLock { left in
                left -= 1
                return left >= 0
            }
            guard !isDown else { return }
            exchange.respond(
                200,
                [],
                """
                <AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId>
                <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
                <Expiration>2099-01-15T08:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>
                """
            )
        }
        defer { sts.stop() }
        let server = try TestHTTPServer { $1.respond(200, [], "{}") }
        defer { server.stop() }
        let config = home.url.appendingPathComponent("aws-config")
        try """
        [profile worker]
        role_arn = arn:aws:iam::000000000000:role/worker
        source_profile = base
        [profile base]
        aws_access_key_id = BASE
        aws_secret_access_key = secret
        """.write(to: config, atomically: true, encoding: .utf8)
        queue.send([("one", nil)])
        let penstock = try Self.penstock(
            in: home,
            queue,
            server,
            "region: eu-west-1, profile: worker",
            environment: [
                "AWS_CONFIG_FILE": config.path, "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
                "AWS_ENDPOINT_URL_STS": sts.url(""),
            ]
        )
        #expect(
            BoundedWait.until(within: .seconds(90)) { queue.bodies.isEmpty },
            "\(penstock.logTail)"
        )
        try penstock.terminate()
        #expect(sts.requests.count == 7)
        #expect(
            server.requests.map { $0.headers["authorization"]?.contains("Credential=ROLE/") } == [true]
        )
        let list = try CommandRun(["dlq", "list", "--format", "json"], in: home.url)
        let letters = (try list.document()["result"] as? [String: Any])?["dead_letters"] as? [Any]
        #expect(letters?.isEmpty == true, "\(list.output)")
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
