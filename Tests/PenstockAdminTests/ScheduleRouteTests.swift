// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockStore
import PenstockTesting
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ScheduleRouteTests {
    @Test("A schedule is listed with its words, and what its log counts")
    func list() async throws {
        try await AdminFixture.serve { admin in
            let all = try await admin.get("/api/v1/schedules").json()["schedules"]?.arrayValue
            let first = try #require(all?.first)
            #expect(first["name"] == .string("orders"))
            #expect(first["description"] == .string("every day at 00:00"))
            #expect(first["timezone"] == .string("UTC"))
            #expect(first["missed"] == .integer(2) && first["waiting"] == .integer(0))
            #expect(first["next"] == nil && first["last"] == nil)
        }
    }

    @Test("The fire log comes page by page, the latest first")
    func history() async throws {
        try await AdminFixture.serve { admin in
            let time = Timestamp(milliseconds: 1_700_000_000_000)
            let fires = (0..<3).map { number in
                ScheduleFire(
                    key: "\(number)",
                    scheduled: time,
                    at: Timestamp(milliseconds: time.milliseconds + 7),
                    outcome: number == 0 ? .missed : .waiting
                )
            }
            try await admin.store.append([], to: "orders", mark: nil, fires: fires)
            let path = "/api/v1/schedules/orders/history?limit=2"
            let page = try await admin.get(path).json()
            let lines = try #require(page["fires"]?.arrayValue)
            #expect(lines.map { $0["key"]?.stringValue } == ["2", "1"])
            #expect(lines[0]["late_ms"] == .integer(7) && lines[0]["outcome"] == .string("waiting"))
            #expect(lines[0]["ordered"] == .boolean(false) && lines[0]["settled"] == nil)
            let next = try #require(page["next"]?.integerValue)
            let rest = try await admin.get("\(path)&before=\(next)").json()
            #expect(rest["fires"]?.arrayValue?.map { $0["outcome"]?.stringValue } == ["missed"])
            #expect(rest["next"] == nil)
        }
    }

    @Test("The schedules of a set are listed page by page, and named behind their trigger")
    func members() async throws {
        try await AdminFixture.serve { admin in
            let page = try await admin.get("/api/v1/schedules/many?limit=1").json()
            #expect(page["schedules"]?.arrayValue?.map { $0["name"] } == [.string("alice")])
            #expect(page["next"] == .string("bob/1"))
            let rest = try await admin.get("/api/v1/schedules/many?from=bob%2F1").json()
            #expect(rest["schedules"]?.arrayValue?.map { $0["name"] } == [.string("bob/1")])
            #expect(rest["next"] == nil)
            let fired = try await admin.send("POST", "/api/v1/schedules/many%2Fbob%2F1/fire", body: "{}")
                .json()
            #expect(fired["key"] == .string("now"))
            let time = Timestamp(milliseconds: 1_700_000_000_000)
            try await admin.store.append(
                [],
                to: "many",
                mark: nil,
                fires: ["1 alice", "1 bob/1"].map {
                    ScheduleFire(key: $0, scheduled: time, at: time, outcome: .missed)
                }
            )
            let history = try await admin.get("/api/v1/schedules/many%2Falice/history").json()
            #expect(history["fires"]?.arrayValue?.map { $0["key"] } == [.string("1 alice")])
            for path in ["many/history", "many%2Fcarol/history", "orders", "none", "many?limit=0"] {
                #expect(try await admin.get("/api/v1/schedules/\(path)").status >= 400, "\(path)")
            }
        }
    }

    @Test("A backfill tells what fires, what has fired, and what is left")
    func backfill() async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.send(
                "POST",
                "/api/v1/schedules/orders/backfill",
                body: #"{"from":"2020-01-01T00:00:00Z","to":"2020-01-02T01:00:00+01:00"}"#
            ).json()
            #expect(answer["fired"] == .integer(1) && answer["known"] == .integer(1))
            #expect(answer["rest"] == .string("2020-01-02T00:00:00Z"))
        }
    }

    @Test(
        "An order that cannot be is refused by name",
        arguments: [
            ("POST", "nothing/fire", "{}", 404, "no-such-schedule"),
            ("POST", "stopped/fire", "{}", 503, "not-running"),
            ("POST", "orders/fire", #"{"at":1}"#, 400, "bad-parameter"),
            ("GET", "nothing/history", nil, 404, "no-such-schedule"),
            ("GET", "orders/history?limit=0", nil, 400, "bad-parameter"),
            ("GET", "orders/history?before=x", nil, 400, "bad-parameter"),
            ("GET", "orders/history?rate=1", nil, 400, "bad-parameter"),
            ("POST", "orders/backfill", #"{"from":"2020-01-01T00:00:00Z"}"#, 400, "bad-parameter"),
            (
                "POST", "orders/backfill", #"{"from":"2020-01-01","to":"2020-01-02T00:00:00Z"}"#, 400,
                "bad-parameter"
            ),
            (
                "POST", "orders/backfill", #"{"from":"2020-01-02T00:00:00Z","to":"2020-01-01T00:00:00Z"}"#,
                400,
                "bad-parameter"
            ),
            (
                "POST", "orders/backfill", #"{"from":"2020-01-02T00:00:00Z","to":"2199-01-01T00:00:00Z"}"#,
                400,
                "bad-parameter"
            ),
            ("POST", "orders/remove", "{}", 404, "no-such-path"),
        ] as [(String, String, String?, Int, String)]
    )
    func refused(method: String, path: String, body: String?, status: Int, code: String) async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.send(method, "/api/v1/schedules/\(path)", body: body)
            #expect(try answer.status == status && answer.code() == code, "\(answer.text)")
        }
    }
}
