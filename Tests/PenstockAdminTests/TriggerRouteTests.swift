// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Testing

@Suite(.timeLimit(.minutes(5)))
struct TriggerRouteTests {
    @Test("The API lists all paths, and each of them answers")
    func index() async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 0)])
            let paths = try #require(try await admin.get("/api/v1").json()["paths"]?.arrayValue)
            #expect(paths.count == 25)
            for line in paths.compactMap(\.stringValue) {
                let words = line.split(separator: " ").map(String.init)
                let path = words[1].replacing("{name}", with: "orders").replacing("{id}", with: "1")
                    .replacing("{record}", with: "p:0")
                let answer = try await admin.send(
                    words[0],
                    path,
                    body: words[0] == "GET" ? nil : Self.order(path)
                )
                // It is one schedule, and no set of them.
                let status = line == "GET /api/v1/schedules/{name}" ? 400 : 200
                #expect(answer.status == status, "\(line): \(answer.status) \(answer.text)")
            }
        }
    }

    /// A body that the path takes.
    private static func order(_ path: String) -> String {
        if path.hasSuffix("/backfill") {
            return #"{"from":"2020-01-01T00:00:00Z","to":"2020-01-02T00:00:00Z"}"#
        }
        if path.hasSuffix("/seek") { return #"{"to":"earliest"}"# }
        return path.hasSuffix("/fire") ? "{}" : #"{"trigger":"none"}"#
    }

    @Test(
        "A tap that cannot be is refused by name",
        arguments: [
            ("nothing/tap", 404, "no-such-trigger"), ("second/tap?filtered=true", 409, "no-filters"),
            ("orders/tap?limit=0", 400, "bad-parameter"), ("orders/tap?filtered=yes", 400, "bad-parameter"),
            ("orders/tap?rate=1", 400, "bad-parameter"),
        ]
    )
    func tapRefused(path: String, status: Int, code: String) async throws {
        try await AdminFixture.serve { admin in
            admin.operations.set([
                ScriptedOperations.snapshot("orders"), ScriptedOperations.snapshot("second"),
            ])
            let answer = try await admin.get("/api/v1/triggers/\(path)")
            #expect(try answer.status == status && answer.code() == code, "\(answer.text)")
        }
    }

    @Test("A tap says that it listens, and when its trigger has ended")
    func tapEnds() async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.get("/api/v1/triggers/orders/tap?filtered=true&limit=3")
            #expect(answer.headers["content-type"] == "application/x-ndjson")
            #expect(answer.text == "{\"skipped\":0}\n{\"skipped\":0,\"ended\":true}\n")
        }
    }

    @Test("Info tells version, file and uptime")
    func info() async throws {
        try await AdminFixture.serve { admin in
            admin.clock.advance(seconds: 61)
            let info = try await admin.get("/api/v1/info")
            #expect(info.headers["content-type"] == "application/json")
            #expect(
                info.text
                    == #"{"version":"1.2.3","config":"connectors.yaml","started":"2026-01-01T00:00:00Z","uptime_seconds":61}"#
                    + "\n"
            )
        }
    }

    @Test("Triggers are listed in the order of the configuration, and shown one by one")
    func triggers() async throws {
        try await AdminFixture.serve { admin in
            var busy = ScriptedOperations.snapshot("orders", state: .blocked, detail: "the broker is down") {
                $0.received = 7
                $0.succeeded = 4
                $0.inFlight = 3
            }
            busy.ages["q"] = .milliseconds(2500)
            busy.figures.gaps = 2
            admin.operations.set([busy, ScriptedOperations.snapshot("a-second")])
            let list = try #require(try await admin.get("/api/v1/triggers").json()["triggers"]?.arrayValue)
            #expect(list.map { $0["name"]?.stringValue } == ["orders", "a-second"])
            let one = try await admin.get("/api/v1/triggers/orders").json()
            #expect(one == list[0])
            #expect(
                one["state"]?.stringValue == "blocked" && one["detail"]?.stringValue == "the broker is down"
            )
            #expect(one["records"]?["received"]?.integerValue == 7)
            #expect(one["records"]?["in_flight"]?.integerValue == 3)
            #expect(one["lag_records"]?.integerValue == 3)
            #expect(one["lag_seconds"]?.numberValue == 2.5 && one["gaps"]?.integerValue == 2)
            #expect(one["lag"]?.arrayValue?.first?["committed"]?.stringValue == "41")
        }
    }

    @Test("Pause and resume answer with the trigger as it is then")
    func pause() async throws {
        try await AdminFixture.serve { admin in
            let paused = try await admin.send("POST", "/api/v1/triggers/orders/pause")
            #expect(paused.status == 200)
            #expect(try paused.json()["state"]?.stringValue == "paused")
            #expect(try await admin.get("/api/v1/triggers/orders").json()["state"]?.stringValue == "paused")
            let resumed = try await admin.send("POST", "/api/v1/triggers/orders/resume", body: "{}")
            #expect(try resumed.json()["state"]?.stringValue == "running")
        }
    }

    @Test("A pause that the store cannot remember is refused, with the store's words")
    func storeRefuses() async throws {
        try await AdminFixture.serve { admin in
            admin.operations.refuse(StoreError(.diskFull, "the disk is full; free some space"))
            let answer = try await admin.send("POST", "/api/v1/triggers/orders/pause")
            #expect(answer.status == 503)
            #expect(try answer.code() == "store")
            #expect(try answer.message() == "the disk is full; free some space")
        }
    }

    @Test(
        "A name that there is not is 404, with the one that was probably meant",
        arguments: [
            ("GET", "/api/v1/triggers/ordres", "there is no trigger \"ordres\"; did you mean \"orders\"?"),
            ("POST", "/api/v1/triggers/nightly/pause", "there is no trigger \"nightly\"; there are orders"),
            ("POST", "/api/v1/triggers/%C3%A4%2F/resume", "there is no trigger \"ä/\"; there are orders"),
        ]
    )
    func unknown(method: String, path: String, message: String) async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.send(method, path)
            #expect(answer.status == 404)
            #expect(try answer.code() == "no-such-trigger")
            #expect(try answer.message() == message)
        }
    }

    @Test(
        "A path that there is not is 404, however deep",
        arguments: [
            "/nothing", "/page", "/index.html", "/api", "/api/v2/triggers", "/api/v1/triggers/orders/explode",
            "/api/v1/triggers/a/b/c/d",
        ]
    )
    func unknownPath(path: String) async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.get(path)
            #expect(answer.status == 404)
            #expect(try answer.code() == "no-such-path")
        }
    }
}
