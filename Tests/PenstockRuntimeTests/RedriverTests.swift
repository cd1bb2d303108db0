// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Synchronization
import Testing

/// Redrives from a real store to a scripted function.
@Suite(.timeLimit(.minutes(5)))
struct RedriverTests {
    private let world = ScriptedWorld()
    private let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("penstock-\(UUID().uuidString)")

    private func with(
        like model: String? = nil,
        _ body: (_ store: SQLiteStore, _ redriver: Redriver) async throws -> Void
    ) async throws {
        let store = try SQLiteStore.open(path: self.folder.appendingPathComponent("penstock.db").path)
        defer { try? FileManager.default.removeItem(at: self.folder) }
        let reactor = try TestReactor()
        try await body(
            store,
            Redriver(store: store, loop: reactor.reactor, route: try self.route(like: model))
        )
        await store.close()
    }

    private func route(like model: String? = nil) throws -> @Sendable (String) -> Redriver.Route? {
        let text = """
            functions: { f: { scripted: { world: \(self.world.name) } } }
            triggers: { orders: { source: { scripted: { world: \(self.world.name) } }, function: f } }
            """
        return try ScriptedPlan.read(text).routes(
            ["f": ScriptedFunction("f", self.world)],
            to: nil,
            like: model
        )
    }

    private static func letter(
        _ partition: String,
        _ offset: UInt64,
        trigger: String = "orders"
    ) -> DeadLetter {
        let verdict = DeadLetterVerdict(
            trigger: trigger,
            function: "f",
            reason: .retriesExhausted,
            at: VirtualLoop.epoch,
            attempts: [],
            attemptCount: 3,
            invocation: ""
        )
        return DeadLetter(
            partition: partition,
            position: Position(offset),
            timestamp: VirtualLoop.epoch,
            verdict: verdict
        )
    }

    private static func all(rate: Double? = nil, ids: Set<DeadLetterID>? = nil) -> Redriver.Order {
        Redriver.Order(query: DeadLetterQuery(), ids: ids, rate: rate)
    }

    @Test("Letters are sent one by one in order, and leave the store when the function has dealt with them")
    func succeeds() async throws {
        try await self.with { store, redriver in
            try await store.append([Self.letter("p", 0), Self.letter("q", 7), Self.letter("p", 1)])
            let report = Report()
            try await redriver.run(Self.all()) { report.add($0, $1) }
            #expect(report.lines == ["1 succeeded of 3", "2 succeeded of 3", "3 succeeded of 3"])
            #expect(self.world.events == ["invoked f p@0", "invoked f q@7", "invoked f p@1"])
            #expect(try await store.countDeadLetters(matching: DeadLetterQuery()).count == 0)
        }
    }

    @Test(
        "A letter that fails stays with the attempt in its history, and the later ones of its partition are not tried"
    )
    func fails() async throws {
        self.world.answer { _, records in
            records == ["p@1"] ? .failed(Failure(type: "E", message: "again")) : .responded(Array("{}".utf8))
        }
        try await self.with { store, redriver in
            try await store.append((0..<4).map { Self.letter("p", $0) } + [Self.letter("q", 0)])
            let report = Report()
            try await redriver.run(Self.all()) { report.add($0, $1) }
            #expect(
                report.lines == [
                    "1 succeeded of 5", "2 failed of 5", "3 skipped of 5", "4 skipped of 5",
                    "5 succeeded of 5",
                ]
            )
            #expect(try await store.deadLetters(matching: DeadLetterQuery()).map(\.id.rawValue) == [2, 3, 4])
            let failed = try #require(try await store.deadLetter(DeadLetterID(2)))
            #expect(failed.letter.attemptCount == 4)
            #expect(failed.letter.attempts.map(\.failure) == [Failure(type: "E", message: "again")])
            #expect(try await store.deadLetter(DeadLetterID(3))?.letter.attemptCount == 3)
        }
    }

    @Test("No room is not an attempt: the letter stays as it was", arguments: [true, false])
    func throttled(isThrottled: Bool) async throws {
        let failure = Failure(type: "Busy", message: "later")
        self.world.answer { _, _ in
            isThrottled ? .throttled(retryAfter: .seconds(1), failure) : .unavailable(failure)
        }
        try await self.with { store, redriver in
            try await store.append([Self.letter("p", 0)])
            let report = Report()
            try await redriver.run(Self.all()) { report.add($0, $1) }
            #expect(report.lines == ["1 failed of 1"])
            let letter = try #require(try await store.deadLetter(DeadLetterID(1))).letter
            #expect(letter.attemptCount == 3 && letter.attempts.isEmpty)
        }
    }

    @Test("Only the letters asked for are sent")
    func selects() async throws {
        try await self.with { store, redriver in
            try await store.append((0..<3).map { Self.letter("p", $0) })
            let report = Report()
            try await redriver.run(Self.all(ids: [DeadLetterID(2)])) { report.add($0, $1) }
            #expect(report.lines == ["2 succeeded of 1"])
            #expect(try await store.deadLetters(matching: DeadLetterQuery()).map(\.id.rawValue) == [1, 3])
        }
    }

    @Test("A letter of a trigger that is gone says so, and stays")
    func unknownTrigger() async throws {
        try await self.with { store, redriver in
            try await store.append([Self.letter("p", 0, trigger: "gone")])
            let report = Report()
            try await redriver.run(Self.all()) { report.add($0, $1) }
            #expect(
                report.failures == [
                    "the trigger \"gone\" is not configured any more: name one whose events are alike with --like, "
                        + "and another function than its own with --function"
                ]
            )
            #expect(try await store.countDeadLetters(matching: DeadLetterQuery()).count == 1)
        }
    }

    @Test("A letter of a trigger that is gone is sent like those of another, and the others as ever")
    func likeAnother() async throws {
        try await self.with(like: "orders") { store, redriver in
            try await store.append([Self.letter("p", 0, trigger: "gone"), Self.letter("p", 1)])
            let report = Report()
            try await redriver.run(Self.all()) { report.add($0, $1) }
            #expect(report.lines == ["1 succeeded of 2", "2 succeeded of 2"])
            #expect(self.world.events == ["invoked f p@0", "invoked f p@1"])
        }
    }

    @Test("When nobody listens any more, it stops; what was not tried stays")
    func listenerGone() async throws {
        try await self.with { store, redriver in
            try await store.append((0..<5).map { Self.letter("p", $0) })
            let report = Report()
            try await redriver.run(Self.all()) { outcome, total in
                _ = report.add(outcome, total)
                return report.lines.count < 2
            }
            #expect(self.world.count("invoked") == 2)
            #expect(try await store.deadLetters(matching: DeadLetterQuery()).map(\.id.rawValue) == [3, 4, 5])
        }
    }

    @Test("Cancelled in the middle of an invocation, it loses no letter")
    func cancelled() async throws {
        let (invoked, release) = (Latch(), Latch())
        self.world.answer { _, records in
            guard records == ["p@1"] else { return .responded(Array("{}".utf8)) }
            invoked.open()
            await release.wait()
            return .failed(Failure(type: "E", message: "cut off"))
        }
        try await self.with { store, redriver in
            try await store.append((0..<3).map { Self.letter("p", $0) })
            let task = Task { try await redriver.run(Self.all()) { _, _ in true } }
            await invoked.wait()
            task.cancel()
            release.open()
            try await task.value
            #expect(try await store.deadLetters(matching: DeadLetterQuery()).map(\.id.rawValue) == [2, 3])
        }
    }

    @Test("A rate of two a second sends one each half second, on the loop's clock")
    func rate() throws {
        let loop = VirtualLoop()
        let letters = LetterShelf((0..<5).map { Self.letter("p\($0)", $0) })
        let redriver = Redriver(store: letters, loop: loop, route: try self.route())
        let (report, ended) = (Report(), Latch())
        Task(executorPreference: loop) {
            try await redriver.run(Self.all(rate: 2)) { outcome, total in
                report.addTime(loop.now - Instant.start)
                return report.add(outcome, total)
            }
            ended.open()
        }
        #expect(loop.run(for: .seconds(60)) { ended.isOpen })
        #expect(report.lines.count == 5)
        #expect(report.times == [0, 500, 1000, 1500, 2000].map { Duration.milliseconds($0) })
    }
}

/// What a redrive told.
private final class Report: Sendable {
    private let outcomes = Mutex<[(Redriver.Outcome, Int)]>([])
    private let clock = Mutex<[Duration]>([])

    var lines: [String] {
        self.outcomes.withLock { $0.map { "\($0.0.id.rawValue) \($0.0.kind.rawValue) of \($0.1)" } }
    }

    var failures: [String] { self.outcomes.withLock { $0.compactMap(\.0.failure?.message) } }

    var times: [Duration] { self.clock.withLock { $0 } }

    func addTime(_ time: Duration) { self.clock.withLock { $0.append(time) } }

    func add(_ outcome: Redriver.Outcome, _ total: Int) -> Bool {
        self.outcomes.withLock { $0.append((outcome, total)) }
        return true
    }
}
