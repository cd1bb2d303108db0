// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

/// Limits of dead letters, and who keeps letters within them.
@Suite(.timeLimit(.minutes(5)))
struct LetterRetentionTests {
    private static let now = Timestamp(milliseconds: VirtualLoop.epoch.milliseconds)

    /// A letter that was given up so long before the virtual clock's origin.
    private static func letter(
        _ offset: UInt64,
        age: Duration,
        bytes: Int = 10,
        trigger: String = "orders"
    ) -> DeadLetter {
        let at = Self.now.milliseconds - age.wholeMilliseconds
        var letter = DeadLetter.fixture(offset, trigger: trigger, at: at)
        letter.body = [UInt8](repeating: 7, count: bytes)
        return letter
    }

    private static func count(_ bytes: Int, oldest: Duration) -> DeadLetterCount {
        let at = Timestamp(milliseconds: Self.now.milliseconds - oldest.wholeMilliseconds)
        return DeadLetterCount(count: 3, oldest: at, bytes: bytes, last: DeadLetterID(3))
    }

    /// Runs a keeper on a virtual clock for so many minutes.
    private static func keep(
        _ shelf: LetterShelf,
        _ retention: LetterRetention,
        minutes: Int64
    ) async {
        let loop = VirtualLoop()
        let keeper = LetterKeeper(shelf, retention, loop: loop, logger: SupervisorFixture.quiet)
        let task = Task(executorPreference: loop) { await keeper.run() }
        _ = loop.run(for: .seconds(60 * minutes)) { false }
        let ended = Latch()
        Task(executorPreference: loop) {
            await keeper.stop()
            await task.value
            ended.open()
        }
        #expect(loop.run { ended.isOpen })
    }

    @Test("Without limits nothing is used, warned of or dropped")
    func unlimited() async {
        let retention = LetterRetention()
        #expect(!retention.isLimited)
        let letters = Self.count(1 << 50, oldest: .seconds(1 << 30))
        #expect(retention.use(of: letters, now: Self.now) == nil)
        #expect(retention.warning(letters, now: Self.now) == nil)
        let shelf = LetterShelf([Self.letter(0, age: .seconds(1 << 30))])
        await Self.keep(shelf, retention, minutes: 10)
        #expect(shelf.ids == [1])
    }

    @Test("The use is that of the nearer limit, and from 80 % on there is a warning that says what and when")
    func warning() {
        let retention = LetterRetention(maxAge: .seconds(1000), maxBytes: 2_000_000)
        let fine = Self.count(1_590_000, oldest: .seconds(799))
        #expect(retention.use(of: fine, now: Self.now) == 0.799)
        #expect(retention.warning(fine, now: Self.now) == nil)
        let both = Self.count(1_600_000, oldest: .seconds(900))
        #expect(retention.use(of: both, now: Self.now) == 0.9)
        #expect(
            retention.warning(both, now: Self.now)
                == "the oldest dead letter is 15m old, and dropped at 16m40s (dead_letters.max_age); "
                + "dead letters take 1600000 bytes, and the oldest are dropped above 2000000 "
                + "(dead_letters.max_size); redrive or drop them, or raise the limit"
        )
        let none = DeadLetterCount(count: 0, oldest: nil, bytes: 0, last: nil)
        #expect(retention.use(of: none, now: Self.now) == 0)
        #expect(retention.warning(none, now: Self.now) == nil)
    }

    @Test("What is too old or too much is a prefix of the oldest: no letter goes before an older one")
    func excess() {
        let ages = [500, 400, 300, 200].enumerated().map { index, age in
            StoredDeadLetter.Age(
                id: DeadLetterID(Int64(index)),
                trigger: "t",
                at: Timestamp(milliseconds: Self.now.milliseconds - Int64(age) * 1000),
                bytes: 10
            )
        }
        func excess(_ maxAge: Int64?, _ maxBytes: Int?) -> Int {
            LetterRetention(maxAge: maxAge.map { .seconds($0) }, maxBytes: maxBytes)
                .excess(of: ages, bytes: 40, now: Self.now)
        }
        #expect(excess(nil, nil) == 0)
        #expect(excess(500, nil) == 0, "kept for as long as was said")
        #expect(excess(499, nil) == 1 && excess(250, nil) == 3 && excess(60, nil) == 4)
        #expect(excess(nil, 40) == 0 && excess(nil, 39) == 1 && excess(nil, 15) == 3 && excess(nil, 0) == 4)
        #expect(excess(350, 35) == 2 && excess(450, 15) == 3)
    }

    @Test("The first look only warns; a minute later the oldest are dropped, and counted for each trigger")
    func drops() async {
        let letters = [
            Self.letter(0, age: .seconds(90)), Self.letter(1, age: .seconds(300), trigger: "b"),
            Self.letter(2, age: .seconds(200)), Self.letter(3, age: .zero),
        ]
        let retention = LetterRetention(maxAge: .seconds(180))
        let shelf = LetterShelf(letters)
        await Self.keep(shelf, retention, minutes: 0)
        #expect(shelf.ids == [1, 2, 3, 4], "nothing at the start")
        await Self.keep(shelf, retention, minutes: 1)
        #expect(shelf.ids == [1, 4])
        await Self.keep(shelf, retention, minutes: 4)
        #expect(shelf.ids == [])
    }

    @Test("Letters are dropped until they take what they may, more than fit one transaction")
    func size() async {
        let count = 3 * LetterKeeper.droppedTogether
        let letters = (0..<count).map {
            Self.letter(UInt64($0), age: .seconds(Int64(count - $0)), bytes: 4096)
        }
        let shelf = LetterShelf(letters)
        await Self.keep(shelf, LetterRetention(maxBytes: 100 * 4096), minutes: 1)
        #expect(shelf.ids == Array(Int64(count - 99)...Int64(count)))
    }

    @Test("What a keeper has dropped and warned of can be asked, also after the store refused for a while")
    func status() async throws {
        let reactor = try TestReactor()
        let now = reactor.reactor.wallNow
        let shelf = LetterShelf([
            .fixture(0, at: now.milliseconds - 300_000),
            .fixture(1, trigger: "b", at: now.milliseconds - 290_000),
            .fixture(2, at: now.milliseconds),
        ])
        let keeper = LetterKeeper(
            shelf,
            LetterRetention(maxAge: .seconds(180)),
            loop: reactor.reactor,
            logger: SupervisorFixture.quiet
        )
        #expect(await keeper.warning == nil)
        await keeper.look()
        #expect(await keeper.warning?.hasPrefix("the oldest dead letter is 5m") == true)
        shelf.refuse(StoreError(.diskFull, "the disk is full"))
        await keeper.look()
        #expect(await keeper.dropped.isEmpty && shelf.ids == [1, 2, 3])
        shelf.refuse(nil)
        await keeper.look()
        #expect(await keeper.dropped == ["orders": 1, "b": 1] && shelf.ids == [3])
        #expect(await keeper.warning == nil)
    }

    @Test("The limits are read from dead_letters, and are none when it is left out")
    func configuration() throws {
        #expect(try ScriptedPlan.read("triggers:").deadLetters == LetterRetention())
        let plan = try ScriptedPlan.read("dead_letters: { max_age: 14d, max_size: 1GiB }\ntriggers:")
        #expect(plan.deadLetters == LetterRetention(maxAge: .seconds(14 * 86_400), maxBytes: 1 << 30))
        for text in ["max_age: 59s", "max_size: 1MB", "max_age: 14"] {
            #expect(throws: ScriptedPlan.Malformed.self) {
                _ = try ScriptedPlan.read("dead_letters: { \(text) }\ntriggers:")
            }
        }
    }
}
