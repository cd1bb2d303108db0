// SPDX-License-Identifier: Apache-2.0

import DequeModule
import HeapModule
import PenstockCore
import PenstockStore

/// Decides which letters of a redrive are sent next, and what becomes of the others.
///
/// Pure: the caller passes `now`, and does what ``next(now:)`` says.
///
/// Letters whose order counts are in one lane, of which one is under way at a time; when it fails, the later ones of the
/// lane are skipped. Of the letters that may be sent, the one with the smallest id goes first. A function without room is
/// left alone for a while, and begins again with half as many invocations side by side, as in a trigger.
struct RedriveSchedule {
    /// Letters of which only one is sent at a time, in order.
    struct Lane: Hashable {
        /// The number of the trigger and partition.
        var stream: UInt32
        /// The hash of the key, where order is kept by key; else 0.
        var key: UInt64
    }

    /// A letter that was read.
    struct Letter: Comparable {
        /// Its id.
        var id: DeadLetterID
        /// The number of its function, from ``RedriveSchedule/function(concurrency:)``.
        var function: Int
        /// Its lane; nil for a letter that waits for no other.
        var lane: Lane?

        static func < (lhs: Self, rhs: Self) -> Bool { lhs.id < rhs.id }
    }

    /// What came of sending a letter.
    enum Answer: Sendable {
        /// The function dealt with the record.
        case succeeded
        /// The function failed.
        case failed(Failure)
        /// The function had no room.
        case noRoom(retryAfter: Duration?, Failure)
        /// There was no such letter any more.
        case gone
    }

    /// What is to be done.
    enum Step {
        /// Tell what happened.
        case tell(Redriver.Event)
        /// Send a letter, and call ``finished(_:_:now:)``.
        case send(Letter)
        /// Read more letters, and call ``add(_:)`` for each, or ``end()``.
        case read
        /// Wait for the answer to a letter, or until this time.
        case wait(until: Instant?)
        /// All was told.
        case done
    }

    /// Letters that are read ahead of what is sent, at most about so many: what is to be found among them are lanes with
    /// nothing under way.
    static let window = 1024

    private struct Function {
        var ready = Heap<Letter>()
        var underWay = 0
        /// Invocations side by side that it has room for, as far as is known.
        var allowed: Int
        let most: Int
        var patience = RedrivePatience()
        var heldUntil: Instant?
        /// Why its letters are left alone; nil while they are sent.
        var closed: Failure?

        func canTake(_ now: Instant) -> Bool {
            self.underWay < self.allowed && self.heldUntil.map { $0 <= now } ?? true
        }
    }

    private let concurrency: Int
    private let interval: Duration?
    private var functions: [Function] = []
    /// What waits behind the letter of the lane that is ready or under way.
    private var lanes: [Lane: Deque<Letter>] = [:]
    /// Lanes in which a letter failed.
    private var stuck: [Lane: DeadLetterID] = [:]
    private var events = Deque<Redriver.Event>()
    /// Letters read of which nothing was told yet.
    private var open = 0
    private var underWay = 0
    private var isAllRead = false
    private var earliest: Instant?

    /// A schedule with so many letters under way at most, and so long between two sendings at least.
    init(concurrency: Int, interval: Duration?) {
        self.concurrency = max(1, concurrency)
        self.interval = interval
    }

    /// Adds a function that makes so many invocations side by side, and returns its number.
    ///
    /// More would only wait for each other, and make triggers wait behind them.
    mutating func function(concurrency: Int = .max) -> Int {
        let most = min(self.concurrency, max(1, concurrency))
        self.functions.append(Function(allowed: most, most: most))
        return self.functions.count - 1
    }

    /// Adds a letter with a larger id than all before.
    mutating func add(_ letter: Letter) {
        self.open += 1
        guard let lane = letter.lane else { return self.makeReady(letter) }
        if let failed = self.stuck[lane] { return self.skip(letter, behind: failed) }
        guard self.lanes[lane] == nil else {
            self.lanes[lane]?.append(letter)
            return
        }
        self.lanes[lane] = []
        self.makeReady(letter)
    }

    /// There are no more letters.
    mutating func end() { self.isAllRead = true }

    /// What happened and was not told yet.
    mutating func nextEvent() -> Redriver.Event? { self.events.popFirst() }

    /// What is to be done now.
    mutating func next(now: Instant) -> Step {
        if let event = self.nextEvent() { return .tell(event) }
        guard self.underWay < self.concurrency else { return .wait(until: nil) }
        if let function = self.readyFunction(now) {
            if let earliest, earliest > now { return .wait(until: earliest) }
            return self.send(from: function, now: now)
        }
        if !self.isAllRead, self.open < Self.window { return .read }
        if self.open == 0, self.isAllRead { return .done }
        let held = self.functions.filter { !$0.ready.isEmpty && $0.underWay < $0.allowed }.compactMap(
            \.heldUntil
        )
        return .wait(until: held.min())
    }

    /// The function with the first of the letters that may be sent.
    private func readyFunction(_ now: Instant) -> Int? {
        let able = self.functions.indices.filter { self.functions[$0].canTake(now) }
        return able.compactMap { index in self.functions[index].ready.min.map { ($0.id, index) } }.min {
            $0 < $1
        }?.1
    }

    private mutating func send(from function: Int, now: Instant) -> Step {
        let letter = self.functions[function].ready.removeMin()
        self.functions[function].underWay += 1
        self.underWay += 1
        if let interval { self.earliest = max(now, self.earliest ?? now) + interval }
        return .send(letter)
    }

    // MARK: - Answers

    /// A letter that was sent has its answer.
    mutating func finished(_ letter: Letter, _ answer: Answer, now: Instant) {
        self.underWay -= 1
        self.functions[letter.function].underWay -= 1
        switch answer {
        case .succeeded:
            self.noteRoom(letter.function)
            self.tell(letter, .succeeded)
            self.advance(letter.lane)
        case .gone:
            self.tell(letter, .gone)
            self.advance(letter.lane)
        case .failed(let failure):
            self.noteRoom(letter.function)
            self.tell(letter, .failed, failure)
            self.block(letter)
        case .noRoom(let retryAfter, let failure):
            // Before the later ones of its lane, as it was.
            self.makeReady(letter)
            self.noteNoRoom(letter, retryAfter, failure, now)
        }
    }

    private mutating func noteRoom(_ index: Int) {
        self.functions[index].patience.hadRoom()
        self.functions[index].allowed = min(self.functions[index].most, self.functions[index].allowed + 1)
    }

    private mutating func noteNoRoom(
        _ letter: Letter,
        _ retryAfter: Duration?,
        _ failure: Failure,
        _ now: Instant
    ) {
        var function = self.functions[letter.function]
        defer { self.functions[letter.function] = function }
        guard function.closed == nil else { return }
        // What was sent before the wait began tells nothing new, unless it asks for more.
        let heldUntil = function.heldUntil ?? now
        if heldUntil > now, now + (retryAfter ?? .zero) <= heldUntil { return }
        // Once a wait, however many were refused together.
        if heldUntil <= now { function.allowed = max(1, function.allowed / 2) }
        switch function.patience.refused(retryAfter: retryAfter, now: now) {
        case .wait(let duration):
            function.heldUntil = now + duration
            self.events.append(.waiting(.init(id: letter.id, duration: duration, failure: failure)))
        case .giveUp:
            function.closed = failure
            let ready = function.ready
            function.ready = []
            self.functions[letter.function] = function
            for letter in ready.unordered.sorted() { self.makeReady(letter) }
        }
    }

    /// Lets a letter that is the first of its lane be sent, or tells that it will not be.
    private mutating func makeReady(_ letter: Letter) {
        guard let failure = self.functions[letter.function].closed else {
            self.functions[letter.function].ready.insert(letter)
            return
        }
        self.tell(letter, .unavailable, failure)
        guard let lane = letter.lane else { return }
        for waiting in self.lanes.removeValue(forKey: lane) ?? [] {
            self.tell(waiting, .unavailable, failure)
        }
    }

    /// Goes on to the next letter of a lane.
    private mutating func advance(_ lane: Lane?) {
        guard let lane else { return }
        guard let next = self.lanes[lane]?.popFirst() else {
            self.lanes[lane] = nil
            return
        }
        self.makeReady(next)
    }

    /// Leaves alone what comes after a letter that failed.
    private mutating func block(_ letter: Letter) {
        guard let lane = letter.lane else { return }
        self.stuck[lane] = letter.id
        for waiting in self.lanes.removeValue(forKey: lane) ?? [] { self.skip(waiting, behind: letter.id) }
    }

    private mutating func skip(_ letter: Letter, behind failed: DeadLetterID) {
        self.tell(letter, .skipped, behind: failed)
    }

    private mutating func tell(
        _ letter: Letter,
        _ kind: Redriver.Outcome.Kind,
        _ failure: Failure? = nil,
        behind: DeadLetterID? = nil
    ) {
        self.open -= 1
        self.events.append(.outcome(.init(id: letter.id, kind: kind, failure: failure, behind: behind)))
    }
}
