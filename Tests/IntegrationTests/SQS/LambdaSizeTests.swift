// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Large messages for a function of AWS Lambda, and the built program between them.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct LambdaSizeTests {
    @Test(
        "Messages go in as many invocations as AWS's limit needs, and one beyond it becomes a dead letter",
        arguments: [("event", 1_048_576, 300_000), ("request_response", 6_291_456, 900_000)]
    )
    func split(invocation: String, limit: Int, size: Int) throws {
        let home = try TemporaryFolder()
        let queue = try ScriptedSQS("work")
        defer { queue.stop() }
        let server = try TestHTTPServer { _, exchange in
            if invocation == "event" { exchange.respond(202) } else { exchange.respond(200, [], "{}") }
        }
        defer { server.stop() }
        let count = 10
        var bodies = (0..<count).map { "\($0):" + String(repeating: "x", count: size) }
        // In JSON, each of its bytes takes two.
        if invocation == "event" { bodies.append(String(repeating: "\"", count: 600_000)) }
        queue.send(bodies.map { ($0, nil) })
        let keys = "region: eu-west-1, credentials: { access_key_id: test, secret_access_key: test }"
        let function = "function: f, endpoint: \"\(server.url(""))\", invocation: \(invocation), \(keys)"
        let penstock = try PenstockProcess(
            in: home.url,
            configuration: """
                state: "sqlite:\(home.url.path)/penstock.db"
                admin: { listen: "127.0.0.1:0" }
                functions:
                  f: { lambda: { \(function) } }
                triggers:
                  t:
                    source: { sqs: { queue: "\(queue.url)", visibility: 1000s, \(keys) } }
                    function: f
                    batch: { size: 100, window: 2s }

                """
        )
        #expect(
            BoundedWait.until(within: .seconds(90)) { queue.bodies.isEmpty },
            "\(queue.bodies.count) are left: \(penstock.logTail)"
        )
        try penstock.terminate()
        let requests = server.requests
        #expect(requests.allSatisfy { $0.body.count <= limit }, "\(requests.map(\.body.count))")
        #expect(requests.count >= (count * size + limit - 1) / limit)
        let arrived = try requests.flatMap { request -> [String] in
            let event = try JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any]
            let records = event?["Records"] as? [[String: Any]] ?? []
            return records.compactMap {
                ($0["body"] as? String)?.split(separator: ":").first.map(String.init)
            }
        }
        #expect(arrived.sorted() == (0..<count).map(String.init).sorted())
        let list = try CommandRun(["dlq", "list", "--format", "json"], in: home.url)
        let letters = (try list.document()["result"] as? [String: Any])?["dead_letters"] as? [Any]
        #expect(letters?.count == bodies.count - count, "\(list.output)")
    }
}
