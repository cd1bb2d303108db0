// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(5)))
struct DeadLetterRouteTests {
    private static let root = "/api/v1/dead-letters"

    @Test("A list says how many there are, and where the next page begins")
    func pages() async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep((0..<5).map { AdminFixture.letter("p", $0) })
            let first = try await admin.get("\(Self.root)?limit=2").json()
            #expect(first["total"]?.integerValue == 5)
            #expect(first["dead_letters"]?.arrayValue?.map { $0["id"]?.integerValue } == [1, 2])
            #expect(first["next"]?.integerValue == 2)
            let last = try await admin.get("\(Self.root)?limit=4&after=2").json()
            #expect(last["dead_letters"]?.arrayValue?.map { $0["id"]?.integerValue } == [3, 4, 5])
            #expect(last["next"] == nil)
        }
    }

    @Test("A list tells what its letters take, and warns when letters will be dropped")
    func retention() async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 0)])
            let calm = try await admin.get(Self.root).json()
            #expect(calm["bytes"]?.integerValue ?? 0 > 8 && calm["warning"] == nil)
            admin.operations.set(RetentionStatus(retention: LetterRetention(maxAge: .seconds(600))))
            admin.clock.advance(seconds: 480)
            let warning = try await admin.get("\(Self.root)?trigger=none").json()["warning"]?.stringValue
            #expect(warning?.hasPrefix("the oldest dead letter is 8m old, and dropped at 10m") == true)
        }
    }

    @Test(
        "A list is narrowed by trigger, error, key and time",
        arguments: [
            ("trigger=orders", 3), ("trigger=others", 0), ("error=boom", 2), ("error=ValueError", 3),
            ("key=a%26b", 1),
            ("since=2026-01-01T00:00:00Z", 3), ("since=2026-01-01T00:00:01Z", 0), ("error=boom&key=a%26b", 0),
        ]
    )
    func filters(query: String, count: Int) async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([
                AdminFixture.letter("p", 0), AdminFixture.letter("p", 1),
                AdminFixture.letter("p", 2, key: "a&b", error: "other"),
            ])
            #expect(try await admin.get("\(Self.root)?\(query)").json()["total"]?.integerValue == count)
        }
    }

    @Test(
        "A parameter that is not right is refused by name",
        arguments: [
            ("limit=0", "\"limit\" must be a number above 0"),
            ("limit=x", "\"limit\" must be a number above 0"),
            ("since=yesterday", "\"since\" must be a time like 2026-01-31T08:00:00Z"),
            ("after=x", "\"after\" must be an id: a number"),
            ("triger=a", "\"triger\" is not known; there are trigger, since, error, key, limit and after"),
        ]
    )
    func parameters(query: String, message: String) async throws {
        try await AdminFixture.serve { admin in
            let answer = try await admin.get("\(Self.root)?\(query)")
            #expect(answer.status == 400)
            #expect(try answer.message() == message)
        }
    }

    @Test("A letter is shown whole, with its history and the body that a redrive would send")
    func show() async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 7, key: "k")])
            let letter = try await admin.get("\(Self.root)/1").json()
            #expect(letter["position"]?.stringValue == "7")
            #expect(letter["key"]?["value"]?.stringValue == "k")
            #expect(letter["body"]?["value"]?.stringValue == #"{"id":7}"#)
            #expect(letter["reason"]?.stringValue == "RetryAttemptsExhausted")
            let attempt = try #require(letter["attempts"]?.arrayValue?.first)
            #expect(
                attempt["error"]?["type"]?.stringValue == "ValueError"
                    && attempt["duration_ms"]?.numberValue == 12
            )
            let event = try await admin.get("\(Self.root)/1/event")
            #expect(event.text == "p@7\n" && event.headers["content-type"] == "text/plain")
        }
    }

    @Test("A letter that there is not is 404, and an id that is no number 400", arguments: ["", "/event"])
    func unknownLetter(suffix: String) async throws {
        try await AdminFixture.serve { admin in
            let missing = try await admin.get("\(Self.root)/99\(suffix)")
            #expect(missing.status == 404)
            #expect(try missing.message() == "there is no dead letter 99; it may have been redriven")
            let bad = try await admin.get("\(Self.root)/x1\(suffix)")
            #expect(bad.status == 400)
            #expect(try bad.message() == "\"x1\" is not the id of a dead letter: a number")
        }
    }

    @Test("Drop and redrive do nothing unless something says which letters", arguments: ["drop", "redrive"])
    func scope(verb: String) async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 0)])
            for body in ["{}", #"{"all":false}"#, #"{"limit":5}"#] {
                let answer = try await admin.send("POST", "\(Self.root)/\(verb)", body: body)
                #expect(answer.status == 400)
                #expect(try answer.code() == "no-selection")
            }
            let missing = try await admin.send("POST", "\(Self.root)/\(verb)", body: #"{"ids":[1,"2"]}"#)
            #expect(try missing.message() == "\"ids\" must be a list of numbers")
            #expect(try await admin.store.countDeadLetters(matching: .init()).count == 1)
            #expect(admin.world.events.isEmpty)
        }
    }

    @Test(
        "Drop deletes what is meant and says how many",
        arguments: [
            (#"{"ids":[1,3]}"#, 2), (#"{"all":true}"#, 3), (#"{"error":"other"}"#, 1),
            (#"{"trigger":"none"}"#, 0),
        ]
    )
    func drop(body: String, count: Int) async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([
                AdminFixture.letter("p", 0), AdminFixture.letter("p", 1, error: "other"),
                AdminFixture.letter("p", 2),
            ])
            let answer = try await admin.send("POST", "\(Self.root)/drop", body: body)
            #expect(answer.text == "{\"dropped\":\(count)}\n")
            #expect(try await admin.store.countDeadLetters(matching: .init()).count == 3 - count)
        }
    }

    @Test("Many letters are dropped page by page, and what is asked for alone")
    func dropMany() async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep(
                (0..<2500).map { AdminFixture.letter("p", $0, error: $0 == 7 ? "other" : "boom") }
            )
            let some = #"{"ids":[1,2,3,8],"error":"boom"}"#
            let three = try await admin.send("POST", "\(Self.root)/drop", body: some)
            #expect(three.text == "{\"dropped\":3}\n")
            let limited = try await admin.send(
                "POST",
                "\(Self.root)/drop",
                body: #"{"all":true,"limit":1100}"#
            )
            #expect(limited.text == "{\"dropped\":1100}\n")
            let rest = try await admin.send("POST", "\(Self.root)/drop", body: #"{"all":true}"#)
            #expect(rest.text == "{\"dropped\":1397}\n")
        }
    }

    @Test("A redrive streams a line for each letter while it happens, and says when it is done")
    func streams() async throws {
        try await AdminFixture.serve { admin in
            let release = Latch()
            admin.world.answer { _, records in
                if records == ["p@1"] { await release.wait() }
                return records == ["q@0"]
                    ? .failed(Failure(type: "E", message: "no")) : .responded(Array("{}".utf8))
            }
            try await admin.keep([
                AdminFixture.letter("p", 0), AdminFixture.letter("q", 0), AdminFixture.letter("q", 1),
                AdminFixture.letter("p", 1),
            ])
            let connection = try #require(TestConnection(port: admin.port))
            await connection.send(
                TestConnection.request("POST", "\(Self.root)/redrive", body: #"{"all":true}"#)
            )
            func next() async -> String? {
                while let line = await connection.line() {
                    if line.hasPrefix("{") { return line }
                }
                return nil
            }
            #expect(await next() == #"{"id":1,"outcome":"succeeded","total":4}"#)
            #expect(
                await next() == #"{"id":2,"outcome":"failed","error":{"type":"E","message":"no"},"total":4}"#
            )
            #expect(await next() == #"{"id":3,"outcome":"skipped","behind":2,"total":4}"#)
            await admin.world.wait(for: "invoked f p@1")
            release.open()
            #expect(await next() == #"{"id":4,"outcome":"succeeded","total":4}"#)
            #expect(await next() == #"{"done":true}"#)
            #expect(try await admin.store.deadLetters(matching: .init()).map(\.id.rawValue) == [2, 3])
        }
    }

    @Test("A redrive with concurrency sends letters of other partitions side by side")
    func sideBySide() async throws {
        try await AdminFixture.serve { admin in
            let both = Latch()
            admin.world.answer { [world = admin.world] _, _ in
                // Whoever comes first waits for the other.
                if world.count("invoked") == 2 { both.open() }
                await both.wait()
                return .responded(Array("{}".utf8))
            }
            try await admin.keep([AdminFixture.letter("p", 0), AdminFixture.letter("q", 0)])
            let body = #"{"all":true,"concurrency":2}"#
            let answer = try await admin.send("POST", "\(Self.root)/redrive", body: body)
            #expect(answer.text.hasSuffix("{\"done\":true}\n"))
            #expect(try await admin.store.countDeadLetters(matching: .init()).count == 0)
        }
    }

    @Test("A redrive tells of each wait for a function without room")
    func waits() async throws {
        try await AdminFixture.serve { admin in
            let failure = Failure(type: "Busy", message: "later")
            let isFirst = Mutex(true)
            admin.world.answer { _, _ in
                isFirst.withLock { isFirst in
                    defer { isFirst = false }
                    return isFirst
                        ? .throttled(retryAfter: .milliseconds(20), failure) : .responded(Array("{}".utf8))
                }
            }
            try await admin.keep([AdminFixture.letter("p", 0)])
            let answer = try await admin.send("POST", "\(Self.root)/redrive", body: #"{"all":true}"#)
            #expect(
                answer.text == """
                    {"id":1,"waiting_ms":20,"error":{"type":"Busy","message":"later"},"total":1}
                    {"id":1,"outcome":"succeeded","total":1}
                    {"done":true}

                    """
            )
        }
    }

    @Test("A redrive whose client hangs up stops at the next letter, and loses none")
    func clientGone() async throws {
        try await AdminFixture.serve { admin in
            let (invoked, release) = (Latch(), Latch())
            admin.world.answer { _, records in
                if records == ["p0@0"] {
                    invoked.open()
                    await release.wait()
                }
                return .responded(Array("{}".utf8))
            }
            let count = 2000
            try await admin.keep((0..<UInt64(count)).map { AdminFixture.letter("p\($0)", 0) })
            let connection = try #require(TestConnection(port: admin.port))
            await connection.send(
                TestConnection.request("POST", "\(Self.root)/redrive", body: #"{"all":true,"rate":500}"#)
            )
            await invoked.wait()
            connection.hangUp()
            release.open()
            #expect(try await admin.get("/healthz").status == 200)
            // Each letter is either gone because its function dealt with it, or still there.
            let left = try await admin.store.countDeadLetters(matching: .init()).count
            #expect(left + admin.world.count("invoked") >= count)
            #expect(left > 0)
        }
    }

    @Test("A redrive goes to another function, at a rate, when it is told to")
    func elsewhere() async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 0)])
            let body = #"{"ids":[1],"to":"other","rate":10.5}"#
            let answer = try await admin.send("POST", "\(Self.root)/redrive", body: body)
            #expect(answer.headers["content-type"] == "application/x-ndjson")
            #expect(admin.world.events == ["invoked other p@0"])
        }
    }

    @Test(
        "A redrive that cannot be is refused before anything is sent",
        arguments: [
            (#"{"all":true,"to":"othr"}"#, 404, "there is no function \"othr\"; did you mean \"other\"?"),
            (#"{"ids":[1,8,9]}"#, 404, "there is no dead letter 8, 9"),
            (#"{"all":true,"rate":0}"#, 400, "rate must be from 0.001 to 100000 a second"),
            (#"{"all":true,"rate":1e9}"#, 400, "rate must be from 0.001 to 100000 a second"),
            (#"{"all":true,"rate":1e-10}"#, 400, "rate must be from 0.001 to 100000 a second"),
            (
                #"{"all":true,"rate":"fast"}"#, 400,
                "\"rate\" is not known; there are trigger, since, error, key, limit and after"
            ),
            (#"{"all":true,"concurrency":101}"#, 400, "concurrency must be from 1 to 100"),
            (
                #"{"all":true,"concurrency":1.5}"#, 400,
                "\"concurrency\" is not known here, or has a value of another type"
            ),
            (#"{"all":1}"#, 400, "\"all\" is not known here, or has a value of another type"),
        ]
    )
    func refused(body: String, status: Int, message: String) async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 0)])
            let answer = try await admin.send("POST", "\(Self.root)/redrive", body: body)
            #expect(answer.status == status)
            #expect(try answer.message() == message)
            #expect(admin.world.events.isEmpty)
        }
    }

    @Test("A store that was closed is 503 with its own words")
    func closed() async throws {
        try await AdminFixture.serve { admin in
            await admin.store.close()
            let answer = try await admin.get(Self.root)
            #expect(answer.status == 503)
            #expect(try answer.code() == "store")
            #expect(try #require(try answer.message()).hasSuffix("was closed"))
        }
    }
}
