// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

/// Three records and everything that can become of them: each verdict at the first two invocations, and each way to end at
/// each step.
///
/// Ledger, watermark, lanes, bisecting and settling are all in it, because the engine is.
@Suite struct SmallWorldTests {
    /// How a path ends before all is settled.
    enum End: CaseIterable {
        case stop, lost, revoked, abandoned
    }

    /// One world to walk through.
    struct Setting: CustomTestStringConvertible, Sendable {
        var ordering: SimulatedWorld.Order
        var keys: [String?]
        var bisect: Bool
        var retries: Int

        var policy: TriggerPolicy {
            var policy = TriggerPolicy.testing(size: 3, concurrency: 2)
            policy.ordering =
                switch self.ordering {
                case .partition: .partition
                case .key: .key(RecordKey())
                case .none: .none
                }
            policy.retry.bisect = self.bisect
            policy.retry.retries = self.retries
            return policy
        }

        /// What a record waits for: records of the same number are invoked in order.
        func group(_ offset: UInt64) -> Int {
            switch self.ordering {
            case .partition: 0
            case .key:
                self.keys[Int(offset)] == nil ? 10 + Int(offset) : self.keys[Int(offset)] == "a" ? 1 : 2
            case .none: Int(offset)
            }
        }

        var testDescription: String {
            let keys = self.keys.map { $0 ?? "-" }.joined()
            return "\(self.ordering) \(keys) bisect \(self.bisect) retries \(self.retries)"
        }

        static let all: [Setting] = {
            var all: [Setting] = []
            for bisect in [false, true] {
                for retries in 0...1 {
                    func add(_ ordering: SimulatedWorld.Order, _ keys: [String?]) {
                        all.append(Setting(ordering: ordering, keys: keys, bisect: bisect, retries: retries))
                    }
                    add(.partition, [nil, nil, nil])
                    add(.none, [nil, nil, nil])
                    for keys in [["a", "a", "a"], ["a", "b", "a"], [nil, "a", "a"]] as [[String?]] {
                        add(.key, keys)
                    }
                }
            }
            return all
        }()
    }

    @Test("Whatever the function says and whenever it ends, the contract holds", arguments: Setting.all)
    func allPaths(setting: Setting) {
        var paths = 0
        self.walk(setting, [], &paths)
        #expect(paths > 500)
    }

    /// Walks all paths that begin with these choices; a choice is the number of a verdict.
    private func walk(_ setting: Setting, _ choices: [Int], _ paths: inout Int) {
        for end in End.allCases {
            self.replay(setting, choices, end: end)
            paths += 1
        }
        let open = self.replay(setting, choices, end: nil)
        paths += 1
        guard choices.count < 2, let count = open else { return }
        for choice in 0..<Self.verdictCount(records: count) { self.walk(setting, choices + [choice], &paths) }
    }

    static func verdictCount(records: Int) -> Int {
        3 + (0..<records).reduce(1) { product, _ in product * 3 }
    }

    static func verdict(_ choice: Int, records: Int) -> BatchVerdict {
        let failure = EngineFixture.failure
        switch choice {
        case 0: return .failed(failure)
        case 1: return .poison(failure)
        case 2: return .throttled(retryAfter: nil, failure)
        default:
            var rest = choice - 3
            let verdicts = (0..<records).map { _ -> Verdict in
                defer { rest /= 3 }
                return [.succeeded, .failed, .poison][rest % 3]
            }
            return .partial(verdicts, failure)
        }
    }

    /// Plays the choices, and then ends, or goes on with success until all is settled.
    ///
    /// Returns the number of records of the invocation that comes after the choices; nil when there is none.
    @discardableResult
    private func replay(_ setting: Setting, _ choices: [Int], end: End?) -> Int? {
        var walker = Walker(setting)
        walker.world.arrive(keys: setting.keys)
        for choice in choices {
            guard walker.reachInvocation() else { return nil }
            let count = walker.world.invocations[0].count
            walker.answer(Self.verdict(choice % Self.verdictCount(records: count), records: count))
        }
        var next: Int?
        if end == nil || end == .revoked {
            if walker.reachInvocation() { next = walker.world.invocations[0].count }
        }
        if let end {
            walker.end(end)
        } else {
            while walker.reachInvocation() { walker.answer(.succeeded) }
            walker.expect(walker.settled.count == 3, "all is settled")
            walker.world.pass(.seconds(2))
            walker.expect(walker.world.commits.last?.first?.position == Position(2), "all is committed")
        }
        walker.expect(walker.world.counters.isConserved, "the counters conserve")
        walker.expect(walker.world.counters.inFlight == 0, "nothing is in flight at the end")
        #expect(
            walker.broken.isEmpty,
            "\(setting.testDescription), choices \(choices), end \(String(describing: end))"
        )
        return next
    }

    /// A fixture with the checks of what it is asked to do.
    private struct Walker {
        let setting: Setting
        let world: EngineFixture
        /// Records that the function dealt with, or whose dead letters are durable.
        var settled: Set<UInt64> = []
        var broken: [String] = []
        private var checked: Set<UInt64> = []

        init(_ setting: Setting) {
            self.setting = setting
            self.world = EngineFixture(setting.policy)
        }

        mutating func expect(_ holds: Bool, _ promise: String) {
            if !holds { self.broken.append(promise) }
        }

        /// Lets letters be written and time pass until the function is asked; false when all is quiet.
        mutating func reachInvocation() -> Bool {
            for _ in 0..<50 {
                self.checkInvocations()
                if !self.world.invocations.isEmpty { return true }
                if let ticket = self.world.tickets.first {
                    self.settled.formUnion(EngineFixture.offsets(ticket.runs))
                    self.world.letterWritten()
                } else if self.world.counters.inFlight > 0, let deadline = self.world.deadline {
                    self.world.pass(deadline - self.world.now.instant)
                } else {
                    return false
                }
            }
            self.expect(false, "it comes to an end")
            return false
        }

        /// Order, and one batch in flight for each group.
        private mutating func checkInvocations() {
            var running: Set<Int> = []
            for batch in self.world.invocations {
                let offsets = EngineFixture.offsets(batch.runs)
                let groups = Set(offsets.map(self.setting.group))
                self.expect(running.isDisjoint(with: groups), "one batch in flight for each key")
                running.formUnion(groups)
                guard self.checked.insert(batch.id.rawValue).inserted else { continue }
                for offset in offsets {
                    let earlier = (0..<offset).filter { self.setting.group($0) == self.setting.group(offset) }
                    let before = offsets.prefix { $0 != offset }
                    self.expect(
                        earlier.allSatisfy { self.settled.contains($0) || before.contains($0) },
                        "nothing overtakes what is not settled"
                    )
                }
            }
        }

        mutating func answer(_ verdict: BatchVerdict) {
            let offsets = EngineFixture.offsets(self.world.invocations[0].runs)
            let before = self.world.counters
            self.world.answer(verdict)
            switch verdict {
            case .succeeded: self.settled.formUnion(offsets)
            case .partial(let verdicts, _):
                // What follows a failure of its group is tried again or settled; the position below tells which.
                var failed: Set<Int> = []
                for (offset, verdict) in zip(offsets, verdicts) {
                    let group = self.setting.group(offset)
                    if verdict != .succeeded { failed.insert(group) }
                    if !failed.contains(group) { self.settled.insert(offset) }
                }
                let succeeded = zip(offsets, verdicts).filter { $0.1 == .succeeded }.map(\.0)
                let more = Int(self.world.counters.succeeded - before.succeeded)
                if more == succeeded.count { self.settled.formUnion(succeeded) }
                self.expect(more <= succeeded.count, "only what succeeded counts as succeeded")
            case .failed, .poison, .throttled, .cancelled:
                self.expect(self.world.counters.succeeded == before.succeeded, "failure settles nothing")
            }
            self.checkPosition()
        }

        private mutating func checkPosition() {
            for position in self.world.uncommitted {
                guard let last = position.position.offset else { continue }
                let waiting = Set(self.world.tickets.flatMap { EngineFixture.offsets($0.runs) })
                self.expect(
                    (0...last).allSatisfy { self.settled.contains($0) && !waiting.contains($0) },
                    "the position stands only above what is settled"
                )
            }
        }

        /// Ends early, with results that come after it.
        mutating func end(_ end: End) {
            switch end {
            case .stop: self.world.engine.stop()
            case .lost: self.world.engine.lost([PartitionID(1)], now: self.world.now)
            case .revoked:
                self.world.engine.revoking(RevocationKey(1), [PartitionID(1)], now: self.world.now)
            case .abandoned:
                self.world.engine.stop()
                self.world.engine.abandon()
                self.world.invocations = []
                self.world.tickets = []
            }
            self.world.collect()
            let after = self.world.counters.invocations
            while !self.world.invocations.isEmpty || !self.world.tickets.isEmpty {
                if self.world.invocations.isEmpty {
                    self.world.letterWritten()
                } else {
                    self.world.answer(.succeeded)
                }
            }
            self.expect(self.world.counters.invocations == after, "nothing new is invoked after the end")
            if end == .lost { self.expect(self.world.uncommitted.isEmpty, "what was lost is not committed") }
            if end == .revoked {
                self.expect(self.world.revoked.count == 1, "the revocation is answered once")
            }
            if end == .stop || end == .abandoned { self.expect(self.world.isDrained, "the stop drains") }
        }
    }
}
