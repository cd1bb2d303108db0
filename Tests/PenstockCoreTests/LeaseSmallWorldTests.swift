// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

/// Three leased records and everything that can become of them: each verdict at the first two invocations, and at each
/// step each way to end, or to go on with trouble.
@Suite struct LeaseSmallWorldTests {
    /// What happens after the choices.
    enum Turn: CaseIterable {
        /// Nothing more: all goes well.
        case well
        /// No settlement is answered at first.
        case unanswered
        /// The leases of all records in hand end, unknown to upstream's other side.
        case lapsed
        /// Upstream has lost the first record in hand.
        case lostFirst
        /// The engine stops, and results come late.
        case stop
        /// The engine stops and gives up on what is in flight.
        case abandoned
    }

    /// One world to walk through.
    struct Setting: CustomTestStringConvertible, Sendable {
        /// Records with the same key are in order; nil for no order at all.
        var keys: [String]?
        var bisect: Bool
        var retries: Int

        var policy: TriggerPolicy {
            var policy = TriggerPolicy.testing(size: 3, concurrency: 2)
            policy.ordering = self.keys == nil ? .none : .key(RecordKey())
            policy.lease = LeasePolicy(length: .seconds(30))
            policy.retry.bisect = self.bisect
            policy.retry.retries = self.retries
            return policy
        }

        func group(_ offset: UInt64) -> String { self.keys.map { $0[Int(offset)] } ?? "\(offset)" }

        var testDescription: String {
            "\(self.keys?.joined() ?? "none") bisect \(self.bisect) retries \(self.retries)"
        }

        static let all: [Setting] = [nil, ["a", "a", "a"], ["a", "b", "a"], ["a", "a", "b"]].flatMap { keys in
            [false, true].flatMap { bisect in
                (0...1).map { Setting(keys: keys, bisect: bisect, retries: $0) }
            }
        }
    }

    @Test(
        "Whatever the function and upstream say, and whenever it ends, the contract holds",
        arguments: Setting.all
    )
    func allPaths(setting: Setting) {
        var paths = 0
        self.walk(setting, [], &paths)
        #expect(paths > 300)
    }

    private func walk(_ setting: Setting, _ choices: [Int], _ paths: inout Int) {
        var open: Int?
        for turn in Turn.allCases {
            let next = self.replay(setting, choices, turn: turn)
            if turn == .well { open = next }
            paths += 1
        }
        guard choices.count < 2, let count = open else { return }
        for choice in 0..<SmallWorldTests.verdictCount(records: count) {
            self.walk(setting, choices + [choice], &paths)
        }
    }

    /// Plays the choices and the turn, and then goes on with success until all is settled.
    ///
    /// Returns the number of records of the invocation that comes after the choices; nil when there is none.
    private func replay(_ setting: Setting, _ choices: [Int], turn: Turn) -> Int? {
        var walker = Walker(setting)
        for choice in choices {
            guard walker.reachInvocation() else { return nil }
            let count = walker.world.invocations[0].count
            let verdict = choice % SmallWorldTests.verdictCount(records: count)
            walker.answer(SmallWorldTests.verdict(verdict, records: count))
        }
        let next = walker.reachInvocation() ? walker.world.invocations[0].count : nil
        walker.take(turn)
        if turn != .stop, turn != .abandoned {
            while walker.reachInvocation() { walker.answer(.succeeded) }
            walker.expect(walker.upstream.allSatisfy { $0 == .deleted }, "all is acknowledged in the end")
        }
        walker.expect(walker.world.counters.inFlight == 0, "nothing is in flight at the end")
        walker.expect(walker.world.isSettled, "every settlement was carried out")
        #expect(walker.broken.isEmpty, "\(setting.testDescription), choices \(choices), \(turn)")
        return next
    }

    /// A fixture with an upstream, and the checks of what it is asked to do.
    private struct Walker {
        enum Message {
            case visible, leased, deleted
        }

        let setting: Setting
        let world: EngineFixture
        var upstream = [Message](repeating: .visible, count: 3)
        /// Records that the function dealt with, or whose dead letters are durable.
        var dealtWith: Set<UInt64> = []
        var broken: [String] = []
        private var checked: Set<UInt64> = []

        init(_ setting: Setting) {
            self.setting = setting
            self.world = EngineFixture(setting.policy)
        }

        mutating func expect(_ holds: Bool, _ promise: String) {
            if !holds { self.broken.append(promise) }
        }

        private mutating func check() {
            self.expect(self.world.counters.isConserved, "the counters conserve")
            var running: Set<String> = []
            for batch in self.world.invocations {
                let offsets = EngineFixture.offsets(batch.runs)
                let groups = Set(offsets.map(self.setting.group))
                if self.setting.keys != nil {
                    self.expect(running.isDisjoint(with: groups), "one batch in flight for each key")
                }
                running.formUnion(groups)
                guard self.checked.insert(batch.id.rawValue).inserted else { continue }
                for (place, offset) in offsets.enumerated() {
                    let earlier = (0..<offset).filter { self.setting.group($0) == self.setting.group(offset) }
                    self.expect(
                        earlier.allSatisfy {
                            self.dealtWith.contains($0) || offsets.prefix(place).contains($0)
                        },
                        "nothing overtakes what is not settled"
                    )
                }
            }
        }

        /// Upstream carries out the oldest settlements.
        mutating func settle(isAnswered: Bool = true) {
            for settlement in self.world.settlements[0].settlements {
                for offset in EngineFixture.offsets(settlement.runs) {
                    if settlement.kind == .acknowledge {
                        self.expect(self.dealtWith.contains(offset), "only what is settled is acknowledged")
                        self.upstream[Int(offset)] = .deleted
                    } else if self.upstream[Int(offset)] == .leased {
                        self.upstream[Int(offset)] = .visible
                    }
                }
            }
            self.world.settled(isAnswered ? SettlementOutcome() : nil)
        }

        /// Leases what upstream has, in order; nothing of a key of which something is leased.
        private mutating func receive() -> Bool {
            let offsets = (0..<UInt64(3)).filter { offset in
                let isBlocked = (0..<UInt64(3)).contains {
                    self.upstream[Int($0)] == .leased && self.setting.group($0) == self.setting.group(offset)
                }
                return self.upstream[Int(offset)] == .visible && !isBlocked
            }
            guard !offsets.isEmpty, self.world.budget.records >= 3 else { return false }
            for offset in offsets { self.upstream[Int(offset)] = .leased }
            self.world.lease(offsets, keys: offsets.map { self.setting.group($0) })
            return true
        }

        /// Lets everything else be done until the function is asked; false when all is quiet.
        mutating func reachInvocation() -> Bool {
            for _ in 0..<60 {
                self.check()
                if !self.world.settlements.isEmpty {
                    self.settle()
                } else if !self.world.invocations.isEmpty {
                    return true
                } else if let ticket = self.world.tickets.first {
                    self.dealtWith.formUnion(EngineFixture.offsets(ticket.runs))
                    self.world.letterWritten()
                } else if !self.world.extensions.isEmpty {
                    self.world.extended()
                } else if self.receive() {
                    continue
                } else if let deadline = self.world.deadline {
                    self.world.pass(deadline - self.world.now.instant)
                } else {
                    return false
                }
            }
            self.expect(false, "it comes to an end")
            return false
        }

        mutating func answer(_ verdict: BatchVerdict) {
            let offsets = EngineFixture.offsets(self.world.invocations[0].runs)
            switch verdict {
            case .succeeded: self.dealtWith.formUnion(offsets)
            case .partial(let verdicts, _):
                self.dealtWith.formUnion(zip(offsets, verdicts).filter { $0.1 == .succeeded }.map(\.0))
            case .failed, .poison, .throttled, .cancelled: break
            }
            self.world.answer(verdict)
            self.check()
        }

        mutating func take(_ turn: Turn) {
            switch turn {
            case .well: break
            case .unanswered:
                if !self.world.invocations.isEmpty { self.answer(.succeeded) }
                if !self.world.settlements.isEmpty { self.settle(isAnswered: false) }
            case .lapsed: self.lapse()
            case .lostFirst: self.loseFirst()
            case .stop: self.stop()
            case .abandoned:
                self.stop(answers: false)
                self.world.engine.abandon()
                self.world.invocations = []
                self.world.tickets = []
                self.world.collect()
                while !self.world.settlements.isEmpty { self.settle() }
            }
            self.check()
        }

        /// No extension is answered until all leases have ended.
        private mutating func lapse() {
            let held = self.world.counters.inFlight
            let end = self.world.now.instant + .seconds(31)
            while self.world.now.instant < end {
                self.world.pass(.seconds(1))
                self.world.extensions = self.world.extensions.filter { _ in false }
            }
            self.expect(self.world.counters.inFlight == 0, "what is not leased is not in flight")
            self.expect(self.world.counters.leasesLost >= held, "lost leases are counted")
            for place in self.upstream.indices where self.upstream[place] == .leased {
                self.upstream[place] = .visible
            }
            self.answerLate()
        }

        /// Upstream says at the next extension that it has lost the first record of it.
        private mutating func loseFirst() {
            guard self.world.counters.inFlight > 0 else { return }
            self.world.pass(.seconds(15))
            guard let run = self.world.extensions.first?.runs.first else { return }
            let first = Run(
                admitted: run.admitted,
                range: run.range.lowerBound..<run.range.lowerBound + 1
            )
            self.world.extended(lost: [first])
            for offset in EngineFixture.offsets([first]) { self.upstream[Int(offset)] = .visible }
        }

        /// Results of deliveries that are void.
        private mutating func answerLate() {
            let before = self.world.counters.succeeded
            for _ in 0..<self.world.invocations.count { self.answer(.succeeded) }
            self.expect(self.world.counters.succeeded == before, "what is void is not counted twice")
            self.expect(self.world.settlements.isEmpty, "what is void is not settled")
        }

        private mutating func stop(answers: Bool = true) {
            self.world.engine.stop()
            self.world.collect()
            let before = self.world.counters.invocations
            while answers, !self.world.invocations.isEmpty { self.answer(.succeeded) }
            while !self.world.settlements.isEmpty { self.settle() }
            while answers, let ticket = self.world.tickets.first {
                self.dealtWith.formUnion(EngineFixture.offsets(ticket.runs))
                self.world.letterWritten()
                while !self.world.settlements.isEmpty { self.settle() }
            }
            self.expect(self.world.counters.invocations == before, "nothing new is invoked after the stop")
            if answers { self.expect(self.world.isDrained, "the stop drains") }
        }
    }
}
