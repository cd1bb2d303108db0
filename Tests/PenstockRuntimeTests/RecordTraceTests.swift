// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Testing

/// What a running trigger tells of one record.
@Suite(.timeLimit(.minutes(5)))
struct RecordTraceTests {
    private let world = ScriptedWorld()

    private func text(_ more: String) -> String {
        """
        functions: { f: { scripted: { world: \(self.world.name) } } }
        triggers:
          orders:
            source: { scripted: { world: \(self.world.name) } }
            function: f
            batch: { size: 2, window: 0s }
            \(more)
        """
    }

    private static func trace(_ fixture: SupervisorFixture, _ address: String) async throws -> RecordTrace {
        let address = try #require(RecordAddress(address))
        return try #require(try await fixture.supervisor.trace(address, of: "orders"))
    }

    @Test("An address is a partition and a position, and its text the same again")
    func addresses() {
        #expect(RecordAddress("a:b:7") == RecordAddress(partition: "a:b", place: "7"))
        #expect(RecordAddress("7") == RecordAddress(partition: nil, place: "7"))
        for text in ["orders-3:1042", "7", "a:b:7"] { #expect(RecordAddress(text)?.description == text) }
        for text in ["", ":", ":7", "p:"] { #expect(RecordAddress(text) == nil) }
    }

    @Test("From an invocation to the next attempt, the dead letter and what comes behind it")
    func life() async throws {
        let (world, held, mended) = (self.world, Latch(), Latch())
        world.answer { _, records in
            if !held.isOpen { await held.wait() }
            let isBad = records.contains("p@1") && !mended.isOpen
            return isBad ? .failed(Failure(type: "Bad", message: "one")) : .responded([])
        }
        let text = self.text("failure: { retries: 1, backoff: { initial: 60s, max: 60s, jitter: none } }")
        try await SupervisorFixture.run(text) { fixture in
            await world.wait(for: "source started")
            world.deliver("p", 0..<5)
            await world.wait(for: "invoked f p@0 p@1")
            let flying = try await Self.trace(fixture, "p:1")
            #expect(flying.state == .inFlight && flying.detail.hasPrefix("being invoked since "))
            #expect(flying.invocations.map(\.word) == [nil] && flying.filtering == .unfiltered)
            #expect(flying.positions?.received == Position(0)...Position(4))
            let waiting = try await Self.trace(fixture, "3")
            #expect(waiting.state == .waiting)
            #expect(waiting.detail == "not invoked yet; it waits for records before it")
            let ahead = try await Self.trace(fixture, "p:5")
            #expect(ahead.state == .notReceived && !ahead.isSeen)
            #expect(ahead.detail == "not received yet: p was received up to 4")
            held.open()
            var retrying = try await Self.trace(fixture, "p:1")
            while retrying.state == .inFlight { retrying = try await Self.trace(fixture, "p:1") }
            #expect(retrying.state == .retrying && retrying.attempts == 1)
            #expect(retrying.detail.hasPrefix("1 attempt failed; the next one is due at "))
            let call = try #require(retrying.invocations.first)
            #expect(call.word == .failed && call.failure?.type == "Bad" && call.attempt == 1)
            #expect(call.batch.map(\.positions) == [Position(0)...Position(1)])
            await #expect(throws: RecordTraceError.noPartition("q", known: ["p"])) {
                _ = try await Self.trace(fixture, "q:1")
            }
            for place in ["x", "-1", "1 "] {
                await #expect(throws: RecordTraceError.noPosition(place)) {
                    _ = try await Self.trace(fixture, "p:\(place)")
                }
            }
        }
    }

    @Test("A record that was given up and one behind it that succeeded are told apart, also after a restart")
    func givenUp() async throws {
        let world = self.world
        world.answer { _, records in
            records.contains("p@1") ? .failed(Failure(type: "Bad", message: "one")) : .responded([])
        }
        let text = self.text("failure: { retries: 0, bisect: true }")
        try await SupervisorFixture.run(text) { fixture in
            await world.wait(for: "source started")
            world.deliver("p", 0..<3)
            await world.wait(for: "committed p@2")
            let dead = try await Self.trace(fixture, "p:1")
            #expect(dead.state == .deadLettered && dead.attempts == 1)
            #expect(dead.invocations.map(\.word) == [.failed, .failed])
            #expect(dead.letter?.letter.position == Position(1))
            let good = try await Self.trace(fixture, "p:0")
            #expect(good.state == .settled && good.detail == "settled: the function dealt with it")
            #expect(good.invocations.map(\.word) == [.failed, .succeeded])
            #expect(good.positions?.settled == Position(2))

            world.tell(.lost([PartitionID(1)]))
            var gone = try await Self.trace(fixture, "p:0")
            while gone.positions != nil { gone = try await Self.trace(fixture, "p:0") }
            #expect(gone.state == .settled && gone.detail == "settled: the checkpoint of p is 2")
            #expect(gone.invocations.count == 2, "they are still known")
            let ahead = try await Self.trace(fixture, "p:9")
            let reason = "not settled: the checkpoint of p is 2, and this Penstock does not read p"
            #expect(ahead.state == .notReceived && ahead.detail == reason)
        }
    }

    @Test("A record that no filter matched is told with the condition, and one that passed as passed")
    func filtered() async throws {
        try await SupervisorFixture.run(self.text("filters: [{ offset: [1] }]")) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<3)
            await self.world.wait(for: "committed p@2")
            let out = try await Self.trace(fixture, "p:2")
            #expect(out.state == .filtered)
            #expect(out.detail == "settled without an invocation, because no filter matches it")
            guard case .filtered(let misses) = out.filtering else {
                Issue.record("\(out.filtering)")
                return
            }
            #expect(misses.map(\.condition) == ["triggers.orders.filters[0].offset"])
            let passed = try await Self.trace(fixture, "p:1")
            #expect(passed.state == .settled && passed.filtering == .passed)
        }
    }

    @Test(
        "Records before the first one received, and what is known when the log has nothing, are told as such"
    )
    func before() async throws {
        try await SupervisorFixture.run(self.text("")) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 100..<101)
            await self.world.wait(for: "committed p@100")
            let before = try await Self.trace(fixture, "p:99")
            #expect(before.state == .settled)
            let words = "before what this process has received: reading began here at 100"
            #expect(before.detail.hasPrefix(words), "\(before.detail)")
        }
    }

    @Test("A record that waits for a function without room says until when, and what each try was told")
    func throttled() async throws {
        let world = self.world
        world.answer { _, _ in .throttled(retryAfter: .seconds(60), Failure(type: "Busy", message: "later")) }
        try await SupervisorFixture.run(self.text("")) { fixture in
            await world.wait(for: "source started")
            world.deliver("p", 0..<1)
            await world.wait(for: "invoked f p@0")
            var trace = try await Self.trace(fixture, "p:0")
            while trace.state == .inFlight { trace = try await Self.trace(fixture, "p:0") }
            #expect(trace.state == .waiting && trace.attempts == 0)
            let words = "not invoked yet; the function has no room or cannot be reached; the next try is at "
            #expect(trace.detail.hasPrefix(words), "\(trace.detail)")
            #expect(trace.invocations.map(\.word) == [.throttled])
            #expect(try await fixture.supervisor.setPaused(true, trigger: "orders"))
            let paused = try await Self.trace(fixture, "p:0")
            #expect(paused.detail == "not invoked yet; the trigger is paused")
        }
    }
}
