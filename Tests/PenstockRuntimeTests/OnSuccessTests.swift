// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

/// `on_success`: results of whole triggers.
@Suite(.timeLimit(.minutes(5)))
struct OnSuccessTests {
    private let world = ScriptedWorld()

    private func text(_ onSuccess: String? = nil) -> String {
        """
        functions: { f: { scripted: { world: \(self.world.name) } } }
        triggers:
          orders:
            source: { scripted: { world: \(self.world.name) } }
            function: f
            batch: { size: 2, window: 0s }
            on_failure: { scripted: { world: \(self.world.name) } }
            on_success: \(onSuccess ?? "{ scripted: { world: \(self.world.name) } }")
        """
    }

    @Test(
        "A result says what AWS's does, with the answer and the positions of its records, and comes before the commit"
    )
    func document() async throws {
        self.world.answer { _, _ in .responded(Array("{\n  \"sum\": 7\n}".utf8)) }
        try await SupervisorFixture.run(self.text()) { _ in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 4..<6)
            await self.world.wait(for: "committed p@5")
        }
        let events = self.world.events.map { $0.hasPrefix("result ") ? "result" : $0 }
        #expect(
            events == [
                "f made", "source started", "invoked f p@4 p@5", "result", "committed p@5",
                "f admits nothing",
                "source stopped", "destination closed", "results closed", "f shut down",
            ]
        )
        let line = try #require(self.world.events.first { $0.hasPrefix("result ") }).dropFirst(
            "result ".count
        )
        #expect(!line.contains("\n"))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        let context = try #require(object["requestContext"] as? [String: Any])
        let id = try #require(context["requestId"] as? String)
        let time = try #require(object["timestamp"] as? String)
        #expect(id.utf8.count == 36 && time.utf8.count == "2026-01-31T08:00:00.123Z".utf8.count)
        let expected: String =
            #"{"version":"1.0","timestamp":"\#(time)","requestContext":{"requestId":"\#(id)","functionArn":"f","#
            + #""condition":"Success","approximateInvokeCount":1},"requestPayload":"p@4\np@5\n","#
            + #""responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"#
            + #""responsePayload":{   "sum": 7 },"trigger":"orders","#
            + #""batch":[{"partition":"p","positions":["4","5"]}]}"#
        #expect(String(line) == expected)
    }

    @Test(
        "What AWS Lambda tells of its function is in results and letters: its ARN, and the version that ran"
    )
    func versions() async throws {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:charge"
        self.world.setVersion(arn, executed: "7")
        self.world.answer { _, records in
            records.contains("p@2")
                ? .failed(Failure(type: "E", message: "no")) : .responded(Array("{}".utf8))
        }
        let text = self.text().replacing("on_success", with: "failure: { retries: 0 }\n    on_success")
        try await SupervisorFixture.run(text) { _ in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<4)
            await self.world.wait(for: "committed p@3")
        }
        let line = try #require(self.world.events.first { $0.hasPrefix("result ") })
        #expect(line.contains(#""functionArn":"\#(arn):$LATEST""#), "\(line)")
        #expect(line.contains(#""responseContext":{"statusCode":200,"executedVersion":"7"}"#), "\(line)")
        #expect(self.world.count("dead letter p@2 of \(arn) version 7") == 1, "\(self.world.events)")
    }

    @Test(
        "Any answer fits a document: nothing, JSON of any kind, text, and bytes",
        arguments: [
            ([], "\"responsePayload\":null"), (Array("[1,\"a\"]".utf8), "\"responsePayload\":[1,\"a\"]"),
            (Array("7".utf8), "\"responsePayload\":7"),
            (Array("it's \"done\"".utf8), #""responsePayload":"it's \"done\"""#),
            (Array("\u{FEFF}{}".utf8), ",\"responsePayload\":\"\u{FEFF}{}\""),
            ([0xFF, 0x00], #""responsePayloadEncoding":"base64","responsePayload":"/wA=""#),
        ] as [([UInt8], String)]
    )
    func payloads(response: [UInt8], text: String) async throws {
        self.world.answer { _, _ in .responded(response) }
        try await SupervisorFixture.run(self.text()) { _ in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await self.world.wait(for: "committed p@1")
        }
        let line = try #require(self.world.events.first { $0.hasPrefix("result ") })
        #expect(line.contains(text), "\(line)")
        #expect((try? JSONSerialization.jsonObject(with: Data(line.dropFirst("result ".count).utf8))) != nil)
    }

    @Test("A refused result blocks the trigger with the reason; when it is taken, the records are committed")
    func refused() async throws {
        self.world.refuseResults(DestinationError("the disk is full; free some space"))
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await self.world.wait(for: "result refused", count: 2)
            let blocked = try #require(await fixture.supervisor.snapshot(of: "orders"))
            #expect(blocked.state == .blocked)
            #expect(blocked.detail == "scripted results: the disk is full; free some space")
            #expect(
                blocked.blocked.first?.remark.hasSuffix("its dead letters or results are refused") == true
            )
            #expect(blocked.counters.succeeded == 0 && blocked.counters.resultFailures >= 2)
            #expect(self.world.count("committed") == 0 && self.world.count("invoked") == 1)
            self.world.refuseResults(nil)
            await self.world.wait(for: "committed p@1")
            let after = try #require(await fixture.supervisor.snapshot(of: "orders"))
            #expect(after.state == .running && after.figures.results == 1 && self.world.count("invoked") == 1)
        }
    }

    /// The result of one batch of 300 records, answered with 2000 bytes, at a destination that takes so many.
    private func result(within limit: Int) async throws -> (document: [String: Any], bytes: Int, refused: Int)
    {
        self.world.answer { _, _ in .responded(Array("\"\(String(repeating: "é", count: 999))\"".utf8)) }
        self.world.limitResults(limit)
        let text = self.text().replacing("size: 2, window: 0s", with: "size: 300, window: 5m")
        try await SupervisorFixture.run(text) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 1000..<1300)
            await self.world.wait(for: "committed p@1299")
            let snapshot = try #require(await fixture.supervisor.snapshot(of: "orders"))
            #expect(snapshot.figures.results == 1 && snapshot.figures.shortenedResults == 1)
            #expect(snapshot.counters.resultFailures == 0 && self.world.count("invoked") == 1)
        }
        let line = try #require(self.world.events.first { $0.hasPrefix("result {") }).dropFirst(
            "result ".count
        )
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
        return (try #require(object as? [String: Any]), line.utf8.count, self.world.count("result too large"))
    }

    @Test("A result that is too large comes without its event, which it says, and its records are settled")
    func tooLarge() async throws {
        let (document, bytes, refused) = try await self.result(within: 5000)
        #expect(refused == 1 && bytes <= 5000)
        #expect(document["requestPayload"] is NSNull)
        #expect(document["requestPayloadOmitted"] as? [String: Int] == ["bytes": 300 * "p@1000\n".utf8.count])
        #expect((document["responsePayload"] as? String)?.count == 999)
        #expect(document["responsePayloadOmitted"] == nil)
    }

    @Test("One that is still too large comes without the answer, too")
    func answerTooLarge() async throws {
        let (document, bytes, refused) = try await self.result(within: 3500)
        #expect(refused == 2 && bytes <= 3500)
        #expect(document["requestPayload"] is NSNull && document["responsePayload"] is NSNull)
        #expect(document["responsePayloadOmitted"] as? [String: Int] == ["bytes": 2000])
        let batch = try #require(document["batch"] as? [[String: Any]])
        #expect((batch.first?["positions"] as? [String])?.count == 300)
        #expect((document["requestContext"] as? [String: Any])?["condition"] as? String == "Success")
        #expect(document["trigger"] as? String == "orders")
    }

    @Test("One whose list of records is too large names the first and the last of each partition")
    func tooManyRecords() async throws {
        let (document, bytes, refused) = try await self.result(within: 560)
        #expect(refused == 3 && bytes <= 560)
        let batch = try #require(document["batch"] as? [[String: Any]])
        #expect(batch.count == 1 && batch[0]["partition"] as? String == "p")
        #expect(batch[0]["positions"] as? [String] == ["1000", "1299"])
        #expect(batch[0]["positionsOmitted"] as? Int == 298)
    }

    /// A result whose document is made of these members.
    private static func record(of members: [String]) -> InvocationRecord {
        InvocationRecord(
            id: "r",
            trigger: "orders",
            function: "f",
            attempt: 1,
            at: Timestamp(milliseconds: 1),
            json: Array((members.joined() + "}").utf8)
        )
    }

    /// Where one of them is in it.
    private static func range(_ place: Int, of members: [String]) -> Range<Int> {
        let start = members[..<place].reduce(0) { $0 + $1.utf8.count }
        return start..<start + members[place].utf8.count
    }

    @Test("One whose partitions are too many says how many records it is about, and has all other members")
    func tooManyPartitions() throws {
        let names = (0..<50).map { #"{"partition":"shard-\#($0)","positions":["1","2"]}"# }
        let head = #"{"version":"1.0","requestContext":{"requestId":"r"}"#
        let request = #","requestPayload":"\#(String(repeating: "x", count: 100))""#
        let context = #","responseContext":{}"#
        let answer = String(repeating: "A", count: 100)
        let payload = #","responsePayloadEncoding":"base64","responsePayload":"\#(answer)""#
        let middle = #","trigger":"orders","batch":"#
        let batch = "[\(names.joined(separator: ","))]"
        let members = [head, request, context, payload, middle, batch]
        var record = Self.record(of: members)
        #expect(ShortResult.forms(of: record).isEmpty)
        record.parts = InvocationRecord.Parts(
            request: Self.range(1, of: members),
            eventBytes: 102,
            payload: Self.range(3, of: members),
            answerBytes: 75,
            batch: Self.range(5, of: members)
        )
        let forms = ShortResult.forms(of: record)
        let sizes = [record.json.count] + forms.map(\.record.json.count)
        #expect(zip(sizes, sizes.dropFirst()).allSatisfy { $0 > $1 }, "\(sizes)")
        #expect(
            forms.map(\.leftOut) == [
                // Two positions of each are no fewer than all.
                "requestPayload", "requestPayload, responsePayload", "requestPayload, responsePayload, batch",
            ]
        )
        let texts = forms.map { String(decoding: $0.record.json, as: UTF8.self) }
        let without = head + #","requestPayload":null,"requestPayloadOmitted":{"bytes":102}"# + context
        #expect(texts.first == without + payload + middle + batch + "}")
        #expect(
            texts.last == without + #","responsePayload":null,"responsePayloadOmitted":{"bytes":75}"# + middle
                + #"[],"batchOmitted":{"partitions":50,"records":100}}"#
        )
        for form in forms {
            let object = try? JSONSerialization.jsonObject(with: Data(form.record.json))
            #expect(object != nil && form.record.id == "r")
        }
    }

    @Test("What is small stays where nothing is won without it")
    func small() throws {
        let head = #"{"version":"1.0""#
        let batch = #"[{"partition":"p","positions":["1","2","3","4","5","6","7","8","9"]}]"#
        let members = [head, #","requestPayload":{}"#, #","responsePayload":7"#, #","batch":"#, batch]
        var record = Self.record(of: members)
        record.parts = InvocationRecord.Parts(
            request: Self.range(1, of: members),
            eventBytes: 2,
            payload: Self.range(2, of: members),
            answerBytes: 1,
            batch: Self.range(4, of: members)
        )
        let forms = ShortResult.forms(of: record)
        #expect(forms.map(\.leftOut) == ["positions", "batch"])
        #expect(
            forms.map { String(decoding: $0.record.json, as: UTF8.self) } == [
                members[..<4].joined()
                    + #"[{"partition":"p","positions":["1","9"],"positionsOmitted":7}]}"#,
                members[..<4].joined() + #"[],"batchOmitted":{"partitions":1,"records":9}}"#,
            ]
        )
    }

    @Test("A failed invocation has no result, and its dead letters go where they always go")
    func failed() async throws {
        self.world.answer { _, _ in .rejected(Failure(type: "E", message: "never")) }
        try await SupervisorFixture.run(self.text()) { _ in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await self.world.wait(for: "committed p@1")
        }
        #expect(self.world.count("dead letter") == 2 && self.world.count("result ") == 0)
    }

    @Test("The dead-letter store takes no results, and a destination that cannot be made closes the other")
    func configuration() async throws {
        let malformed = #expect(throws: ScriptedPlan.Malformed.self) {
            _ = try ScriptedPlan.read(self.text("dead_letters"))
        }
        #expect(malformed?.findings.first?.contains("\"on_success\" must be { scripted: … }") == true)
        let broken = try ScriptedPlan.read(
            self.text("{ scripted: { world: \(self.world.name), label: broken } }")
        )
        let context = RuntimeContext(reactor: try TestReactor.shared(), logger: SupervisorFixture.quiet)
        await #expect(throws: DestinationError.self) {
            _ = try await Supervisor(plan: broken, store: LetterShelf([]), context: context)
        }
        #expect(self.world.count("destination closed") == 1 && self.world.count("f shut down") == 1)
    }
}
