// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization
import Testing

/// Orders to read a source from another position, as the API takes and answers them.
@Suite(.timeLimit(.minutes(5)))
struct SeekRouteTests {
    private static let path = "/api/v1/triggers/orders/seek"

    @Test("A seek answers with where each partition went, and which were lost meanwhile")
    func answer() async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.send("POST", Self.path, body: #"{"to":"earliest"}"#)
            #expect(answer.status == 200)
            #expect(
                answer.text
                    == #"{"trigger":"orders","dry_run":false,"partitions":[{"partition":"p","from":"42","to":"40","#
                    + #""distance":-2},{"partition":"q","from":null,"to":"0","distance":null}],"lost":["r"]}"#
                    + "\n"
            )
            let trial = try await admin.send("POST", Self.path, body: #"{"to":"latest","dry_run":true}"#)
            #expect(try trial.json()["dry_run"] == .boolean(true))
            #expect(try trial.json()["lost"] == .array([]))
            #expect(
                admin.operations.seeks.withLock { $0.orders } == [SeekOrder(.earliest), SeekOrder(.latest)]
            )
        }
    }

    @Test("Times and ages are told to the source as times, positions as they are written, partitions by name")
    func orders() async throws {
        try await AdminFixture.serve { admin in
            admin.clock.advance(seconds: 7200)
            let bodies = [
                #"{"to":"2h"}"#, #"{"to":"2026-01-01T01:00:00+01:00","partitions":["p","q"]}"#,
                #"{"to":"position:42","partitions":["p"],"dry_run":false}"#,
            ]
            for body in bodies {
                let answer = try await admin.send("POST", Self.path, body: body)
                #expect(answer.status == 200, "\(answer.text)")
            }
            let orders = admin.operations.seeks.withLock { $0.orders }
            #expect(
                orders == [
                    SeekOrder(.time(VirtualLoop.epoch)),
                    SeekOrder(.time(VirtualLoop.epoch), partitions: ["p", "q"]),
                    SeekOrder(.position("42"), partitions: ["p"]),
                ]
            )
        }
    }

    @Test(
        "An order that is not one is refused by the member that is wrong, and nothing is asked of the source",
        arguments: [
            ("{}", #""to" must be earliest, latest, a time such as"#),
            (#"{"to":"yesterday"}"#, #""to" must be earliest"#), (#"{"to":5}"#, #""to" must be"#),
            (#"{"to":"position:"}"#, #""to" must be"#), (#"{"to":"-2h"}"#, #""to" must be"#),
            (
                #"{"to":"2126-01-01T00:00:00Z"}"#,
                #""to" must not be in the future; "latest" skips all there is"#
            ),
            (#"{"to":"latest","partitions":[]}"#, #""partitions" must be a list of names"#),
            (#"{"to":"latest","partitions":["p",1]}"#, #""partitions" must be a list of names"#),
            (#"{"to":"latest","partitions":"p"}"#, #""partitions" must be a list of names"#),
            (#"{"to":"latest","dry_run":"yes"}"#, #""dry_run" must be true or false"#),
            (
                #"{"to":"latest","dryRun":true}"#,
                #""dryRun" is not known; there are to, partitions and dry_run"#
            ),
        ]
    )
    func malformed(body: String, message: String) async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.send("POST", Self.path, body: body)
            #expect(answer.status == 400)
            #expect(try answer.code() == "bad-parameter")
            #expect(try answer.message()?.hasPrefix(message) == true, "\(answer.text)")
            #expect(admin.operations.seeks.withLock { $0.orders.isEmpty })
        }
    }

    @Test("Each refusal has its status and its code, with the words of who refuses")
    func refusals() async throws {
        let answers: [SeekError.Code: (Int, String)] = [
            .cannotSeek: (409, "cannot-seek"), .noPartition: (404, "no-such-partition"),
            .readElsewhere: (409, "read-elsewhere"), .badPosition: (400, "bad-position"),
            .busy: (409, "busy"), .notRunning: (503, "not-running"), .standby: (503, "standby"),
            .upstream: (503, "upstream"), .store: (503, "store"),
        ]
        try await AdminFixture.serve { admin in
            for code in SeekError.Code.allCases {
                admin.operations.seeks.withLock { $0.refusal = SeekError(code, "because of \(code)") }
                let answer = try await admin.send("POST", Self.path, body: #"{"to":"earliest"}"#)
                let expected = try #require(answers[code])
                #expect(answer.status == expected.0, "\(code)")
                #expect(try answer.code() == expected.1)
                #expect(try answer.message() == "because of \(code)")
            }
        }
    }

    @Test("A trigger that there is not is 404 with the one that was meant; a look does not seek")
    func unknown() async throws {
        try await AdminFixture.serve { admin in
            let path = "/api/v1/triggers/ordres/seek"
            let answer = try await admin.send("POST", path, body: #"{"to":"earliest"}"#)
            #expect(answer.status == 404)
            #expect(try answer.message() == "there is no trigger \"ordres\"; did you mean \"orders\"?")
            #expect(try await admin.get(Self.path).status == 405)
        }
    }
}
