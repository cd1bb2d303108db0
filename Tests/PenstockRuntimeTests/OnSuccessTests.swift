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
                "f made", "source started", "invoked f p@4 p@5", "result", "committed p@5", "source stopped",
                "destination closed", "results closed", "f shut down",
            ]
        )
        let line = try #require(self.world.events.first { $0.hasPrefix("result ") }).dropFirst(
            "result ".count
        )
        #expect(!line.contains("\n"))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        let context = try #require(object["requestContext"] as? [String: Any])
        #expect(context["condition"] as? String == "Success" && context["functionArn"] as? String == "f")
        #expect(context["approximateInvokeCount"] as? Int == 1)
        #expect((context["requestId"] as? String)?.count == 36)
        #expect((object["responsePayload"] as? [String: Int]) == ["sum": 7])
        #expect((object["responseContext"] as? [String: Any])?["statusCode"] as? Int == 200)
        #expect(object["version"] as? String == "1.0" && object["trigger"] as? String == "orders")
        let batch = try #require(object["batch"] as? [[String: Any]])
        #expect(batch.count == 1 && batch[0]["partition"] as? String == "p")
        #expect(batch[0]["positions"] as? [String] == ["4", "5"])
    }

    @Test(
        "Any answer fits a document: nothing, JSON of any kind, text, and bytes",
        arguments: [
            ([], "\"responsePayload\":null"), (Array("[1,\"a\"]".utf8), "\"responsePayload\":[1,\"a\"]"),
            (Array("7".utf8), "\"responsePayload\":7"),
            (Array("it's \"done\"".utf8), #""responsePayload":"it's \"done\"""#),
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
