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
        ordering: Ordering = .partition,
        tumblingWindow: Duration? = nil,
        _ body: (_ store: SQLiteStore, _ redriver: Redriver) async throws -> Void
    ) async throws {
        let store = try SQLiteStore.open(path: self.folder.appendingPathComponent("penstock.db").path)
        defer { try? FileManager.default.removeItem(at: self.folder) }
        let reactor = try TestReactor()
        try await body(
            store,
            Redriver(
                store: store,
                loop: reactor.reactor,
                route: try self.route(like: model, ordering, tumblingWindow)
            )
        )
        await store.close()
    }

    private func route(
        like model: String? = nil,
        _ ordering: Ordering = .partition,
        _ tumblingWindow: Duration? = nil
    ) throws -> @Sendable (String) -> Redriver.Route? {
        let text = """
            functions: { f: { scripted: { world: \(self.world.name) } } }
            triggers: { orders: { source: { scripted: { world: \(self.world.name) } }, function: f } }
            """
        let routes = try ScriptedPlan.read(text).routes(
            ["f": ScriptedFunction("f", self.world)],
            to: nil,
            like: model
        )
        return { trigger in
            var route = routes(trigger)
            route?.ordering = ordering
            route?.tumblingWindow = tumblingWindow
            return route
        }
    }

    private static func letter(
        _ partition: String,
        _ offset: UInt64,
        trigger: String = "orders",
        key: String? = nil
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
        var letter = DeadLetter(
            partition: partition,
            position: Position(offset),
            timestamp: VirtualLoop.epoch,
            verdict: verdict
        )
        letter.key = key.map { Array($0.utf8) }
        return letter
    }

    private static func all(
        rate: RedriveRate? = nil,
        ids: Set<DeadLetterID>? = nil,
        concurrency: Int = 1
    ) -> Redriver.Order {
        Redriver.Order(query: DeadLetterQuery(), ids: ids, rate: rate, concurrency: concurrency)
    }

    @Test("A letter of a trigger with windows is a window by itself, in one call that is the final one")
    func window() async throws {
        try await self.with(tumblingWindow: .seconds(30)) { store, redriver in
            try await store.append([Self.letter("orders-0", 7)])
            let event = try #require(try await redriver.event(of: DeadLetterID(1)))
            let start = VirtualLoop.epoch.milliseconds
            #expect(
                String(decoding: event.body, as: UTF8.self)
                    == "window orders-0 \(start) true {}\norders-0@7\n"
            )
        }
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
                    "1 succeeded of 5", "2 failed of 5", "3 skipped behind 2 of 5", "4 skipped behind 2 of 5",
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

    /// Redrives letters in memory, on a virtual clock.
    private func redrive(
        _ letters: [DeadLetter],
        rate: RedriveRate? = nil,
        concurrency: Int = 1,
        loop: VirtualLoop = VirtualLoop(),
        ordering: Ordering = .partition
    ) throws -> (Report, LetterShelf) {
        let shelf = LetterShelf(letters)
        let redriver = Redriver(store: shelf, loop: loop, route: try self.route(ordering))
        let (report, ended) = (Report(), Latch())
        Task(executorPreference: loop) {
            try await redriver.run(Self.all(rate: rate, concurrency: concurrency)) { event, total in
                report.addTime(loop.now - Instant.start)
                return report.add(event, total)
            }
            ended.open()
        }
        #expect(loop.run(for: .seconds(10_000)) { ended.isOpen })
        return (report, shelf)
    }

    @Test("A letter without room waits as long as the function asks, or more and more, and is tried again")
    func throttled() throws {
        let failure = Failure(type: "Busy", message: "later")
        let script = Mutex<[InvocationResult]>([
            .throttled(retryAfter: .seconds(3), failure), .unavailable(failure),
            .throttled(retryAfter: nil, failure), .responded([]), .unavailable(failure),
        ])
        self.world.answer { _, _ in
            script.withLock { $0.isEmpty ? .responded([]) : $0.removeFirst() }
        }
        let (report, shelf) = try self.redrive([Self.letter("p", 0), Self.letter("p", 1)])
        #expect(
            report.lines == [
                "1 waits 3.0 seconds of 2", "1 waits 0.2 seconds of 2", "1 waits 0.4 seconds of 2",
                "1 succeeded of 2", "2 waits 0.1 seconds of 2", "2 succeeded of 2",
            ]
        )
        #expect(report.times == [0, 3000, 3200, 3600, 3600, 3700].map { Duration.milliseconds($0) })
        #expect(report.failures.isEmpty && shelf.ids.isEmpty)
    }

    @Test(
        "After five minutes without room the letters of the function are unavailable, and stay as they were"
    )
    func unavailable() throws {
        let failure = Failure(type: "Busy", message: "later")
        self.world.answer { _, _ in .unavailable(failure) }
        let (report, shelf) = try self.redrive([
            Self.letter("p", 0), Self.letter("p", 1), Self.letter("q", 0),
        ])
        let outcomes = report.lines.filter { !$0.contains("waits") }
        #expect(outcomes == ["1 unavailable of 3", "2 unavailable of 3", "3 unavailable of 3"])
        #expect(report.failures == ["later", "later", "later"])
        #expect(report.lines.contains("1 waits 30.0 seconds of 3"))
        let last = try #require(report.times.last)
        #expect(last >= .seconds(300) && last < .seconds(331))
        #expect(Set(self.world.events) == ["invoked f p@0"])
        #expect(shelf.ids == [1, 2, 3] && shelf.redrives.isEmpty)
    }

    @Test("A long wait that the function asks for is kept, and the letter tried once more")
    func longRetryAfter() throws {
        let failure = Failure(type: "Busy", message: "later")
        self.world.answer { _, _ in .throttled(retryAfter: .seconds(900), failure) }
        let (report, _) = try self.redrive([Self.letter("p", 0)])
        #expect(report.lines == ["1 waits 900.0 seconds of 1", "1 unavailable of 1"])
        #expect(report.times == [.zero, .seconds(900)])
        #expect(self.world.count("invoked") == 2)
    }

    /// Letters of one partition, with these keys.
    private static func letters(_ keys: [String?]) -> [DeadLetter] {
        keys.enumerated().map { Self.letter("p", UInt64($0), key: $1) }
    }

    /// Lets the function fail these records.
    private func fail(_ failing: String...) {
        self.world.answer { _, records in
            failing.contains(records[0])
                ? .failed(Failure(type: "E", message: "again")) : .responded(Array("{}".utf8))
        }
    }

    @Test("With order by key what fails holds up its key, and letters without one hold up nothing")
    func byKey() throws {
        self.fail("p@0", "p@4")
        let letters = Self.letters(["a", "b", "a", "b", nil, nil, "a"])
        let (report, shelf) = try self.redrive(letters, ordering: .key(RecordKey()))
        #expect(
            report.lines == [
                "1 failed of 7", "3 skipped behind 1 of 7", "7 skipped behind 1 of 7", "2 succeeded of 7",
                "4 succeeded of 7", "5 failed of 7", "6 succeeded of 7",
            ]
        )
        #expect(shelf.ids == [1, 3, 5, 7])
    }

    @Test("A key that is in the record's body is found there")
    func byBody() throws {
        self.fail("p@0")
        var letters = (0..<4).map { Self.letter("p", $0, key: "same") }
        for index in letters.indices { letters[index].body = [UInt8(index % 2)] }
        let (report, _) = try self.redrive(letters, ordering: .key(BodyKey()))
        #expect(
            report.lines == [
                "1 failed of 4", "3 skipped behind 1 of 4", "2 succeeded of 4", "4 succeeded of 4",
            ]
        )
    }

    @Test("Without order what fails holds up nothing")
    func unordered() throws {
        self.fail("p@0", "p@2")
        let (report, _) = try self.redrive(Self.letters(["a", "a", "a", "a"]), ordering: .none)
        #expect(
            report.lines == ["1 failed of 4", "2 succeeded of 4", "3 failed of 4", "4 succeeded of 4"]
        )
    }

    @Test("So many letters are sent side by side as it may, and those of one key one after the other")
    func sideBySide() throws {
        let loop = VirtualLoop()
        let active = Mutex<(now: Int, most: Int)>((0, 0))
        self.world.answer { [world = self.world] _, records in
            active.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            await loop.sleep(for: .seconds(1))
            active.withLock { $0.now -= 1 }
            world.note("answered \(records[0])")
            return .responded([])
        }
        let letters = Self.letters((0..<12).map { "\($0 % 4)" })
        let (report, shelf) = try self.redrive(
            letters,
            concurrency: 3,
            loop: loop,
            ordering: .key(RecordKey())
        )
        #expect(active.withLock { $0.most } == 3)
        #expect(report.times.last == .seconds(4))
        for key in 0..<4 {
            let own = self.world.events.filter { event in
                (event.split(separator: "@").last.flatMap { Int($0) } ?? -1) % 4 == key
            }
            #expect(
                own == (0..<3).flatMap { ["invoked f p@\(key + 4 * $0)", "answered p@\(key + 4 * $0)"] }
            )
        }
        #expect(shelf.ids.isEmpty)
    }

    @Test("A large store is read page by page, and letters that come meanwhile are not redriven")
    func pages() async throws {
        let (report, shelf) = try self.redrive((0..<3000).map { Self.letter("p", $0) }, concurrency: 4)
        #expect(report.lines == (1...3000).map { "\($0) succeeded of 3000" })
        #expect(shelf.pageMax <= 256 && shelf.ids.isEmpty)
        let stores = Mutex<(any StateStore)?>(nil)
        self.world.answer { _, records in
            if records == ["p@0"] { try? await stores.withLock { $0 }?.append([Self.letter("p", 9)]) }
            return .responded([])
        }
        try await self.with { store, redriver in
            stores.withLock { $0 = store }
            try await store.append((0..<2).map { Self.letter("p", $0) })
            let report = Report()
            try await redriver.run(Self.all()) { report.add($0, $1) }
            #expect(report.lines == ["1 succeeded of 2", "2 succeeded of 2"])
            #expect(try await store.deadLetters(matching: DeadLetterQuery()).map(\.id.rawValue) == [3])
        }
    }

    @Test("A store that fails stops the redrive with its own words, after what is under way has ended")
    func storeFails() async throws {
        let stores = Mutex<SQLiteStore?>(nil)
        self.world.answer { _, _ in
            await stores.withLock { $0 }?.close()
            return .responded([])
        }
        try await self.with { store, redriver in
            stores.withLock { $0 = store }
            try await store.append([Self.letter("p", 0), Self.letter("q", 0)])
            let report = Report()
            let error = await #expect(throws: StoreError.self) {
                try await redriver.run(Self.all(concurrency: 2)) { report.add($0, $1) }
            }
            #expect(error?.code == .closed)
            #expect(report.lines.isEmpty)
        }
    }

    @Test("A letter that somebody else drops before its turn is gone, and holds up nothing")
    func gone() async throws {
        let droppers = Mutex<(any StateStore)?>(nil)
        self.world.answer { _, records in
            let store = droppers.withLock { $0 }
            if records == ["p@0"] { _ = try? await store?.removeDeadLetters([DeadLetterID(2)]) }
            return .responded(Array("{}".utf8))
        }
        try await self.with { store, redriver in
            droppers.withLock { $0 = store }
            try await store.append((0..<3).map { Self.letter("p", $0) })
            let report = Report()
            try await redriver.run(Self.all()) { report.add($0, $1) }
            #expect(report.lines == ["1 succeeded of 3", "2 gone of 3", "3 succeeded of 3"])
            #expect(self.world.events == ["invoked f p@0", "invoked f p@2"])
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
            try await redriver.run(Self.all()) { event, total in
                _ = report.add(event, total)
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
            #expect(try await task.value == false, "what is left is not told as done")
            #expect(try await store.deadLetters(matching: DeadLetterQuery()).map(\.id.rawValue) == [2, 3])
            // What was cut off says nothing of the record.
            #expect(try await store.deadLetter(DeadLetterID(2))?.letter.attemptCount == 3)
        }
    }

    @Test("A rate of two a second sends one each half second, on the loop's clock")
    func rate() throws {
        let letters = (0..<5).map { Self.letter("p\($0)", $0) }
        let (report, _) = try self.redrive(letters, rate: RedriveRate(perSecond: 2))
        #expect(report.lines.count == 5)
        #expect(report.times == [0, 500, 1000, 1500, 2000].map { Duration.milliseconds($0) })
    }

    @Test(
        "A rate is from 0.001 to 100000 a second",
        arguments: [
            ("10/s", 10), ("0.5", 0.5), ("1e-3/s", 0.001), ("100000/s", 100_000), ("1e-10", nil),
            ("0/s", nil),
            ("-1", nil), ("100001", nil), ("nan", nil), ("inf/s", nil), ("fast", nil), ("", nil),
        ] as [(String, Double?)]
    )
    func rates(text: String, perSecond: Double?) {
        #expect(RedriveRate(text: text)?.perSecond == perSecond)
    }

    @Test("The slowest rate there is sends one in a thousand seconds")
    func slowest() throws {
        let rate = try #require(RedriveRate(perSecond: 0.001))
        let (report, _) = try self.redrive([Self.letter("p", 0), Self.letter("p", 1)], rate: rate)
        #expect(report.times == [.zero, .seconds(1000)])
    }
}

/// A key that is the first byte of the body.
private struct BodyKey: OrderingKey {
    func hash(of block: RecordBlock, at index: Int) -> UInt64? {
        unsafe block.body(at: index)?.first.map { UInt64($0) }
    }
}

/// What a redrive told.
private final class Report: Sendable {
    private let events = Mutex<[(Redriver.Event, Int)]>([])
    private let clock = Mutex<[Duration]>([])

    var lines: [String] {
        self.events.withLock { events in
            events.map { event, total in
                switch event {
                case .outcome(let outcome):
                    "\(outcome.id.rawValue) \(outcome.kind.rawValue)"
                        + (outcome.behind.map { " behind \($0.rawValue)" } ?? "") + " of \(total)"
                case .waiting(let waiting): "\(waiting.id.rawValue) waits \(waiting.duration) of \(total)"
                }
            }
        }
    }

    /// Of the outcomes.
    var failures: [String] {
        self.events.withLock { events in
            events.compactMap {
                if case .outcome(let outcome) = $0.0 { outcome.failure?.message } else { nil }
            }
        }
    }

    var times: [Duration] { self.clock.withLock { $0 } }

    func addTime(_ time: Duration) { self.clock.withLock { $0.append(time) } }

    func add(_ event: Redriver.Event, _ total: Int) -> Bool {
        self.events.withLock { $0.append((event, total)) }
        return true
    }
}
