// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Testing

/// What the API tells of one record.
@Suite(.timeLimit(.minutes(5)))
struct TraceRouteTests {
    private static let path = "/api/v1/triggers/orders/trace"

    /// Keeps checkpoint 41 of `p`, and asks the store alone.
    private func stored(
        _ letters: [DeadLetter] = [],
        _ body: (AdminFixture) async throws -> Void
    ) async throws {
        try await AdminFixture.serve { admin in
            let checkpoint = Checkpoint(trigger: "orders", partition: "p", position: Position(41))
            try await admin.store.save([checkpoint])
            try await admin.keep(letters)
            try await body(admin)
        }
    }

    @Test(
        "The store alone tells what is settled, what is not, and what was given up",
        arguments: [
            ("p:41", "settled", true, "settled: the checkpoint of p is 41"),
            ("41", "settled", true, "settled: the checkpoint of p is 41"),
            (
                "p:42", "not_received", false,
                "not settled: the checkpoint of p is 41, and Penstock does not run"
            ),
            ("p:17", "dead_lettered", true, "given up at 2026-01-01T00:00:00Z: dead letter 1"),
            ("q:3", "dead_lettered", true, "given up at 2026-01-01T00:00:00Z: dead letter 2"),
        ]
    )
    func store(address: String, state: String, isSeen: Bool, detail: String) async throws {
        try await self.stored([AdminFixture.letter("p", 17), AdminFixture.letter("q", 3)]) { admin in
            let trace = try await admin.get("\(Self.path)?at=\(address)").json()
            #expect(trace["state"]?.stringValue == state)
            #expect(trace["detail"]?.stringValue == detail)
            #expect(trace["seen"] == .boolean(isSeen))
            #expect(trace["running"] == .boolean(false))
        }
    }

    @Test("A dead letter brings its attempts and its id along")
    func letter() async throws {
        try await self.stored([AdminFixture.letter("p", 17, key: "k")]) { admin in
            let trace = try await admin.get("\(Self.path)?at=p:17").json()
            #expect(trace["attempts"]?.integerValue == 1)
            let error = trace["history"]?.arrayValue?.first?["error"]
            #expect(error?["type"]?.stringValue == "ValueError")
            #expect(trace["key"]?["value"]?.stringValue == "k")
            #expect(trace["dead_letter"]?["id"]?.integerValue == 1)
            #expect(trace["positions"]?["checkpoint"]?.stringValue == "41")
            #expect(trace["positions"]?["owned"] == .boolean(false))
        }
    }

    @Test(
        "What cannot be answered says why, and what there is",
        arguments: [
            ("?at=r:1", 404, "no-such-partition", "there is no partition \"r\"; there are p"),
            ("?at=orders-1:1", 404, "no-such-partition", "there is no partition \"orders-1\"; there are p"),
            ("", 400, "bad-parameter", "\"at\" is missing; it \(RecordAddress.form)"),
            (
                "?at=p", 400, "bad-position",
                "\"p\" is no position of this source; a record \(RecordAddress.form)"
            ),
            ("?at=p:", 400, "bad-parameter", "\"at\" \(RecordAddress.form)"),
            ("?at=:1", 400, "bad-parameter", "\"at\" \(RecordAddress.form)"),
            (
                "?at=p:-1", 400, "bad-position",
                "\"-1\" is no position of this source; a record \(RecordAddress.form)"
            ),
            ("?on=p:1", 400, "bad-parameter", "\"on\" is not known; there is at"),
        ]
    )
    func refused(query: String, status: Int, code: String, message: String) async throws {
        try await self.stored { admin in
            let answer = try await admin.get("\(Self.path)\(query)")
            #expect(answer.status == status)
            #expect(try answer.code() == code)
            #expect(try answer.message() == message)
        }
    }

    @Test("Without a partition, and with several, it asks which one")
    func ambiguous() async throws {
        try await self.stored { admin in
            try await admin.store.save([Checkpoint(trigger: "orders", partition: "q", position: Position(1))])
            let answer = try await admin.get("\(Self.path)?at=1")
            #expect(answer.status == 404)
            #expect(try answer.code() == "which-partition")
            #expect(try answer.message() == "say which partition, as in p:1042; there are p, q")
            let unknown = try await admin.get("/api/v1/triggers/ordres/trace?at=1")
            #expect(try unknown.code() == "no-such-trigger")
        }
    }
}
