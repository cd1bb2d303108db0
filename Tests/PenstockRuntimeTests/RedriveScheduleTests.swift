// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore
import Testing

@testable import PenstockRuntime

/// What a redrive sends next, on random worlds and by hand.
@Suite(.timeLimit(.minutes(5)))
struct RedriveScheduleTests {
    private static let failure = Failure(type: "E", message: "no")

    @Test("In any world each letter is told once, and lanes, concurrency and rate hold", arguments: 0..<400)
    func anyWorld(seed: UInt64) throws {
        var world = World(seed: seed)
        try world.run()
    }

    /// A schedule with so many letters, each in a lane of its own, whose first steps send as many as it lets.
    private static func full(_ concurrency: Int, letters: Int) -> (RedriveSchedule, [RedriveSchedule.Letter])
    {
        var schedule = RedriveSchedule(concurrency: concurrency, interval: nil)
        let function = schedule.function()
        for id in 0..<letters {
            schedule.add(.init(id: DeadLetterID(Int64(id)), function: function, lane: nil))
        }
        schedule.end()
        let sent = Self.sent(&schedule, .start)
        return (schedule, sent)
    }

    /// All that may be sent now.
    private static func sent(_ schedule: inout RedriveSchedule, _ now: Instant) -> [RedriveSchedule.Letter] {
        var sent: [RedriveSchedule.Letter] = []
        while true {
            switch schedule.next(now: now) {
            case .send(let letter): sent.append(letter)
            case .tell: continue
            case .read, .wait, .done: return sent
            }
        }
    }

    @Test("Without room half as many go side by side after a wait, and one more after each that had room")
    func fewer() {
        var (schedule, sent) = Self.full(4, letters: 20)
        #expect(sent.count == 4)
        schedule.finished(sent[0], .noRoom(retryAfter: .seconds(2), Self.failure), now: .start)
        for letter in sent[1...] { schedule.finished(letter, .succeeded, now: .start) }
        #expect(Self.sent(&schedule, .start).isEmpty)
        let later = Instant.start + .seconds(2)
        // Halved, and one more for each of three that had room.
        sent = Self.sent(&schedule, later)
        #expect(sent.map(\.id.rawValue) == [0, 4, 5, 6])
        schedule.finished(sent[0], .noRoom(retryAfter: nil, Self.failure), now: later)
        schedule.finished(sent[1], .noRoom(retryAfter: nil, Self.failure), now: later)
        schedule.finished(sent[2], .failed(Self.failure), now: later)
        schedule.finished(sent[3], .gone, now: later)
        // Halved once by the two, and one more for the one that failed.
        sent = Self.sent(&schedule, later + .milliseconds(100))
        #expect(sent.map(\.id.rawValue) == [0, 4, 7])
    }

    @Test("However many are refused together, half as many go side by side after the wait")
    func halvedOnce() {
        var (schedule, sent) = Self.full(16, letters: 32)
        #expect(sent.count == 16)
        for letter in sent {
            schedule.finished(letter, .noRoom(retryAfter: nil, Self.failure), now: .start)
        }
        let later = Instant.start + .milliseconds(100)
        sent = Self.sent(&schedule, later)
        #expect(sent.count == 8)
        // One that asks for a longer wait prolongs it.
        schedule.finished(sent[0], .noRoom(retryAfter: .seconds(1), Self.failure), now: later)
        schedule.finished(sent[1], .noRoom(retryAfter: .seconds(3), Self.failure), now: later)
        for letter in sent[2...] {
            schedule.finished(letter, .noRoom(retryAfter: nil, Self.failure), now: later)
        }
        #expect(Self.sent(&schedule, later + .seconds(2)).isEmpty)
        #expect(Self.sent(&schedule, later + .seconds(3)).count == 4)
    }

    @Test("Refusals of what was sent together make one wait, unless one asks for a longer one")
    func together() {
        var (schedule, sent) = Self.full(4, letters: 4)
        for letter in sent[..<3] {
            schedule.finished(letter, .noRoom(retryAfter: nil, Self.failure), now: .start)
        }
        schedule.finished(sent[3], .noRoom(retryAfter: .seconds(9), Self.failure), now: .start)
        var waits: [Duration] = []
        while case .waiting(let waiting) = schedule.nextEvent() { waits.append(waiting.duration) }
        #expect(waits == [.milliseconds(100), .seconds(9)])
        sent = Self.sent(&schedule, .start + .seconds(8))
        #expect(sent.isEmpty)
        #expect(Self.sent(&schedule, .start + .seconds(9)).map(\.id.rawValue) == [0, 1])
    }

    @Test("No more go to a function than it invokes side by side")
    func functionsLimit() {
        var schedule = RedriveSchedule(concurrency: 10, interval: nil)
        let functions = [schedule.function(concurrency: 2), schedule.function(concurrency: 3)]
        for id in 0..<20 {
            schedule.add(.init(id: DeadLetterID(Int64(id)), function: functions[id % 2], lane: nil))
        }
        schedule.end()
        let sent = Self.sent(&schedule, .start)
        #expect(sent.map(\.id.rawValue).sorted() == [0, 1, 2, 3, 5])
        for letter in sent { schedule.finished(letter, .succeeded, now: .start) }
        #expect(Self.sent(&schedule, .start).count == 5)
    }

    @Test("A function without room holds up no other")
    func twoFunctions() {
        var schedule = RedriveSchedule(concurrency: 1, interval: nil)
        let (full, free) = (schedule.function(), schedule.function())
        schedule.add(.init(id: DeadLetterID(1), function: full, lane: .init(stream: 0, key: 0)))
        schedule.add(.init(id: DeadLetterID(2), function: free, lane: .init(stream: 1, key: 0)))
        schedule.end()
        let sent = Self.sent(&schedule, .start)
        #expect(sent.map(\.id.rawValue) == [1])
        schedule.finished(sent[0], .noRoom(retryAfter: .seconds(60), Self.failure), now: .start)
        #expect(Self.sent(&schedule, .start).map(\.id.rawValue) == [2])
    }

    @Test("Of a store without end it reads no more than its window")
    func window() {
        var schedule = RedriveSchedule(concurrency: 8, interval: nil)
        let function = schedule.function()
        var read = 0
        // All in one lane: nothing is found to send beside the first.
        while case .read = schedule.next(now: .start) {
            schedule.add(
                .init(id: DeadLetterID(Int64(read)), function: function, lane: .init(stream: 0, key: 0))
            )
            read += 1
            _ = schedule.next(now: .start)
        }
        #expect(read == RedriveSchedule.window)
    }
}

/// A redrive of random letters with random answers.
private struct World {
    private var random: SplitMix64
    private var schedule: RedriveSchedule
    private let concurrency: Int
    private let interval: Duration?
    private let functions: [Int]
    private var unread: [RedriveSchedule.Letter] = []
    private var now = Instant.start
    private var lastSent: Instant?
    private var underWay: [RedriveSchedule.Letter] = []
    private var failed: Set<RedriveSchedule.Lane> = []
    private var finished: [RedriveSchedule.Lane: DeadLetterID] = [:]
    private var told: [DeadLetterID: Redriver.Outcome.Kind] = [:]
    private var expected: [DeadLetterID: Redriver.Outcome.Kind] = [:]
    /// How often there is no room, in ten.
    private let fullness: Int

    init(seed: UInt64) {
        self.random = SplitMix64(seed: seed)
        self.concurrency = Int.random(in: 1...4, using: &self.random)
        self.interval = Bool.random(using: &self.random) ? nil : .milliseconds(300)
        self.fullness = [0, 2, 10].randomElement(using: &self.random) ?? 0
        self.schedule = RedriveSchedule(concurrency: self.concurrency, interval: self.interval)
        self.functions = [self.schedule.function(), self.schedule.function()]
        for id in 0..<Int64.random(in: 0...40, using: &self.random) {
            let stream = UInt32.random(in: 0...3, using: &self.random)
            let lane = RedriveSchedule.Lane(
                stream: stream,
                key: UInt64.random(in: 0...1, using: &self.random)
            )
            self.unread.append(
                .init(
                    id: DeadLetterID(id),
                    function: self.functions[Int(stream % 2)],
                    lane: stream == 3 ? nil : lane
                )
            )
        }
    }

    mutating func run() throws {
        let count = self.unread.count
        for _ in 0..<100_000 {
            switch self.schedule.next(now: self.now) {
            case .done:
                #expect(self.told.count == count && self.underWay.isEmpty && self.unread.isEmpty)
                for (id, kind) in self.expected { #expect(self.told[id] == kind) }
                return
            case .tell(.waiting(let waiting)):
                #expect(waiting.duration > .zero && self.told[waiting.id] == nil)
            case .tell(.outcome(let outcome)): self.note(outcome)
            case .read: self.read()
            case .send(let letter): self.send(letter)
            case .wait(let until): self.wait(until)
            }
        }
        Issue.record("it does not end")
    }

    private mutating func note(_ outcome: Redriver.Outcome) {
        #expect(self.told.updateValue(outcome.kind, forKey: outcome.id) == nil, "told once")
        #expect((outcome.behind != nil) == (outcome.kind == .skipped))
        if let behind = outcome.behind { #expect(behind < outcome.id && self.told[behind] == .failed) }
    }

    private mutating func read() {
        let page = self.unread.prefix(Int.random(in: 1...5, using: &self.random))
        self.unread.removeFirst(page.count)
        for letter in page { self.schedule.add(letter) }
        if page.isEmpty { self.schedule.end() }
    }

    private mutating func send(_ letter: RedriveSchedule.Letter) {
        #expect(self.told[letter.id] == nil)
        if let lane = letter.lane {
            #expect(!self.failed.contains(lane), "nothing goes behind a failure")
            #expect(!self.underWay.contains { $0.lane == lane }, "one of a lane is under way")
            if let last = self.finished[lane] { #expect(last < letter.id, "a lane is in order") }
        }
        self.underWay.append(letter)
        #expect(self.underWay.count <= self.concurrency)
        if let interval, let lastSent { #expect(self.now - lastSent >= interval) }
        self.lastSent = self.now
        if Bool.random(using: &self.random) { self.answer() }
    }

    private mutating func wait(_ until: Instant?) {
        if let until { #expect(until > self.now) }
        if let until, self.underWay.isEmpty || Bool.random(using: &self.random) {
            self.now = until
        } else {
            #expect(!self.underWay.isEmpty, "it waits for something")
            self.now = self.now + .milliseconds(Int.random(in: 0...500, using: &self.random))
            self.answer()
        }
    }

    /// One of those under way has its answer.
    private mutating func answer() {
        guard let index = self.underWay.indices.randomElement(using: &self.random) else { return }
        let letter = self.underWay.remove(at: index)
        let failure = Failure(type: "E", message: "no")
        if Int.random(in: 0..<10, using: &self.random) < self.fullness, letter.function == self.functions[0] {
            let retryAfter: Duration? = Bool.random(using: &self.random) ? nil : .seconds(20)
            return self.schedule.finished(letter, .noRoom(retryAfter: retryAfter, failure), now: self.now)
        }
        let answers: [(RedriveSchedule.Answer, Redriver.Outcome.Kind)] = [
            (.succeeded, .succeeded), (.failed(failure), .failed), (.gone, .gone), (.succeeded, .succeeded),
        ]
        let (answer, kind) = answers[Int.random(in: 0...3, using: &self.random)]
        self.expected[letter.id] = kind
        if let lane = letter.lane {
            if kind == .failed { self.failed.insert(lane) }
            self.finished[lane] = letter.id
        }
        self.schedule.finished(letter, answer, now: self.now)
    }
}
