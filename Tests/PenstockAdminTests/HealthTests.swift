// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Testing

@Suite(.timeLimit(.minutes(5)))
struct HealthTests {
    @Test("/healthz says that the process lives, whatever the triggers do")
    func health() async throws {
        try await AdminFixture.serve { admin in
            admin.operations.set([ScriptedOperations.snapshot("orders", state: .failed, detail: "down")])
            let answer = try await admin.get("/healthz")
            #expect(answer.status == 200 && answer.text == "ok\n")
            #expect(answer.headers["cache-control"] == "no-store")
        }
    }

    @Test("/readyz is ready while triggers run, are paused, or have nothing to do")
    func ready() async throws {
        try await AdminFixture.serve { admin in
            admin.operations.set([
                ScriptedOperations.snapshot("a"), ScriptedOperations.snapshot("b", state: .paused),
                ScriptedOperations.snapshot("c", state: .starting),
            ])
            let answer = try await admin.get("/readyz")
            #expect(answer.status == 200)
            #expect(answer.text == #"{"ready":true,"reasons":[]}"# + "\n")
        }
    }

    @Test("/readyz warns of dead letters that will be dropped, and is ready nevertheless")
    func warns() async throws {
        try await AdminFixture.serve { admin in
            admin.operations.set(
                RetentionStatus(retention: LetterRetention(maxBytes: 1 << 20), warning: "nearly full")
            )
            let answer = try await admin.get("/readyz")
            #expect(answer.status == 200)
            #expect(answer.text == #"{"ready":true,"reasons":[],"warnings":["nearly full"]}"# + "\n")
        }
    }

    @Test("/readyz names each trigger that failed or is blocked, and why", arguments: ["failed", "blocked"])
    func notReady(state: String) async throws {
        try await AdminFixture.serve { admin in
            let state = try #require(TriggerSnapshot.State(rawValue: state))
            admin.operations.set([
                ScriptedOperations.snapshot("a"),
                ScriptedOperations.snapshot("b", state: state, detail: "the disk is full; free some space"),
            ])
            let answer = try await admin.get("/readyz")
            #expect(answer.status == 503)
            let reasons = try #require(try answer.json()["reasons"]?.arrayValue)
            #expect(reasons.count == 1)
            #expect(reasons[0]["trigger"]?.stringValue == "b")
            #expect(reasons[0]["reason"]?.stringValue == "\(state): the disk is full; free some space")
        }
    }

    @Test(
        "/readyz is not ready when records are in flight and none is settled for longer than two invocations take"
    )
    func stalled() async throws {
        try await AdminFixture.serve { admin in
            let stuck = ScriptedOperations.snapshot("orders") {
                $0.received = 5; $0.inFlight = 5
            }
            admin.operations.set([stuck])
            #expect(try await admin.get("/readyz").status == 200)
            admin.clock.advance(seconds: 90)
            #expect(
                try await admin.get("/readyz").status == 200,
                "two invocations of 30 s and a pause are allowed"
            )
            admin.clock.advance(seconds: 91)
            let answer = try await admin.get("/readyz")
            #expect(answer.status == 503)
            #expect(answer.text.contains("5 records in flight and none settled for 91 s"))
            let moving = ScriptedOperations.snapshot("orders") {
                $0.received = 5
                $0.succeeded = 1
                $0.inFlight = 4
            }
            admin.operations.set([moving])
            #expect(try await admin.get("/readyz").status == 200, "one record settled is progress")
        }
    }
}
