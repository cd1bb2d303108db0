// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Synchronization
import Testing

/// HTTP endpoints as destinations behind the built program.
@Suite(.ownThreads, .timeLimit(.minutes(3)))
struct HTTPDestinationTests {
    private static let secret = "Bearer s3cret-51c07"

    @Test(
        "Letters and results are POSTed; a busy endpoint is waited for, and what it refuses is kept in the store"
    )
    func posts() throws {
        let seen = Mutex<Set<String>>([])
        let server = try TestHTTPServer { request, exchange in
            if request.path == "/done" { return exchange.respond(204, [], "") }
            if String(decoding: request.body, as: UTF8.self).contains(#""firstRecordOffset":"1""#) {
                return exchange.respond(413, [], "too much")
            }
            let isNew = seen.withLock {
                $0.insert(request.headers["x-penstock-document-id"] ?? "").inserted
            }
            exchange.respond(isNew ? 503 : 200, [], "")
        }
        defer { server.stop() }
        let headers = "headers: { authorization: \"\(Self.secret)\" }"
        let trigger = DeliveryWorld.Trigger(
            name: "posted",
            handler: "return {'recordResults': ['success' if name(r) == '2' else 'drop' for r in records]}",
            records: Array(repeating: DeliveryWorld.Record(), count: 3),
            options: [
                "ordering: none", "batch: { size: 3, window: 10s }",
                "failure: { retries: 0, report_item_failures: true }",
                "on_failure: { http: { url: \"\(server.url("/failed"))\", \(headers) } }",
                "on_success: { http: { url: \"\(server.url("/done"))\", \(headers) } }",
            ]
        )
        let world = try DeliveryWorld([trigger])
        defer { world.broker.stop() }
        let penstock = try world.start()
        try world.waitUntilSettled(penstock)
        let shown = [
            try world.command(["triggers", "show", "posted"]), try world.command(["explain"]),
            try world.command(["doctor"]),
        ]
        try penstock.terminate()
        #expect(try world.committed()["posted"] == [3])
        let requests = server.requests.filter { $0.method == "POST" }
        #expect(requests.allSatisfy { $0.headers["authorization"] == Self.secret })
        let results = try requests.filter { $0.path == "/done" }.map { try Self.document($0) }
        #expect(
            results.map { ($0["requestContext"] as? [String: Any])?["condition"] as? String } == ["Success"]
        )
        let letters = try requests.filter { $0.path == "/failed" }.map { try Self.document($0) }
        let offsets = letters.compactMap { letter -> String? in
            let info = (letter["KafkaBatchInfo"] as? [String: Any])?["recordsInfo"] as? [String: Any]
            return (info?["posted-0"] as? [String: Any])?["firstRecordOffset"] as? String
        }
        #expect(offsets.count { $0 == "0" } == 2, "refused once: \(offsets)")
        #expect(Set(offsets) == ["0", "1"])
        #expect(letters.allSatisfy { ($0["payload"] as? [String: Any])?["records"] != nil })
        #expect(try world.letters().map(\.record) == ["1"], "what was refused for good")
        #expect(penstock.log.contains("letters that their destination does not take are in dead_letters"))
        #expect(penstock.log.contains("HTTP 413: too much"))
        for text in shown.map({ $0.output + $0.errors }) + [penstock.log] {
            #expect(!text.contains("s3cret"))
        }
        #expect(shown[2].output.contains("\(server.url("/failed")) answers"), "\(shown[2].output)")
    }

    private static func document(_ request: TestHTTPServer.Request) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any])
    }
}
