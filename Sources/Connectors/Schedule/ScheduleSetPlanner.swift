// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockSchedules
package import PenstockStore

/// Decides which times of many schedules fire, and when, in the order in which they come due.
///
/// Pure: the caller passes the wall clock. Times are decided one by one, by due time and of one moment by name, so that a
/// mark with both says exactly what is decided: whoever goes on behind it neither repeats nor loses a time. What each
/// schedule was when it was first seen is kept beside the mark; only a schedule that is new or has changed adds to that.
package struct ScheduleSetPlanner: Sendable {
    /// One time of one schedule.
    package struct Fire: Equatable, Sendable {
        /// The schedule's number in its set.
        package var number: Int
        /// Unix seconds.
        package var time: Int
    }

    /// What has come due.
    package struct Plan: Equatable, Sendable {
        /// The times that fire, in order.
        package var fires: [Fire] = []
        /// The latest of each schedule's times that are missed.
        package var missed: [Fire] = []
        /// How many are missed in all.
        package var missedCount = 0
        /// The times that are left out because earlier ones wait, in order.
        package var skipped: [Fire] = []
    }

    /// Of the times that one schedule missed at once, so many are named.
    package static let missedMax = 10

    /// Times that fire in one plan, and are put into the store in one transaction.
    package static let firesMax = 2048
    private static let stepsMax = 100_000

    private let set: ScheduleSet
    private let policy: SchedulePolicy
    private let seed: UInt64
    /// Where intervals are counted from, by number; empty when there is none.
    private var anchors: [Int]
    /// The next time that is not decided, by number; `Int.max` for none.
    private var times: [Int]
    private var heap: DueHeap
    /// Fires that are not settled, by number; empty when the policy does not ask.
    private var waiting: [UInt16]
    /// All that came due before this is decided, and what came due then, of the schedules up to this name.
    private var decided: (due: Int64, name: String)
    /// The schedule whose name that is; nil when it is the name of an earlier run.
    private var decidedNumber: Int?
    /// What is to be kept of new and changed schedules before anything fires, and the names of those that are gone.
    package private(set) var changes: (members: [JournalMember], removed: [String])

    /// Goes on behind the mark of an earlier run, for schedules that were the same then; others begin at `now`
    /// (milliseconds), or behind the mark if the clock was set back.
    package init(
        _ set: ScheduleSet,
        policy: SchedulePolicy,
        seed: UInt64,
        mark: String?,
        members: [JournalMember],
        now: Int64
    ) {
        self.set = set
        self.policy = policy
        self.seed = seed
        self.heap = DueHeap([])
        self.waiting =
            policy.overlap == .skip || policy.overlap == .bufferOne
            ? [UInt16](repeating: 0, count: set.count) : []
        self.times = [Int](repeating: .max, count: set.count)
        let hasIntervals = policy.start == nil && set.rules.contains { $0.expression.isInterval }
        self.anchors = hasIntervals ? [Int](repeating: policy.start ?? 0, count: set.count) : []
        self.changes = ([], [])
        let before = mark.flatMap { Self.read($0) }
        self.decided = before ?? (now / 1000 * 1000 - 1, "")
        self.begin(members, now: now)
    }

    // MARK: - Marks

    /// What to give the next run.
    package var mark: String {
        "set \(self.decided.due) \(self.decidedNumber.map { self.set.name($0) } ?? self.decided.name)"
    }

    private static func read(_ mark: String) -> (due: Int64, name: String)? {
        let parts = mark.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "set", let due = Int64(parts[1]) else { return nil }
        return (due, String(parts[2]))
    }

    /// Goes through the schedules and what was kept of them, both in the order of their names.
    private mutating func begin(_ members: [JournalMember], now: Int64) {
        let signatures = self.set.rules.map { SchedulePlanner.signature($0, self.policy) }
        let through = self.decided.name.isEmpty ? 0 : self.set.countOfNames(through: self.decided.name)
        // Nothing that is new comes due before the mark.
        let begin = max(Int(now / 1000), Int(self.decided.due / 1000) + 1)
        var items: [DueHeap.Item] = []
        items.reserveCapacity(self.set.count)
        var (known, number) = (members[...], 0)
        while number < self.set.count {
            let name = self.set.names[number]
            while let first = known.first, first.name.utf8.lexicographicallyPrecedes(name) {
                self.changes.removed.append(first.name)
                known.removeFirst()
            }
            let rule = self.set.rule(of: number)
            var kept: (anchor: Int, decided: Int)?
            if let first = known.first, first.name.utf8.elementsEqual(name) {
                kept = Self.numbers(first.mark, signature: signatures[rule])
                known.removeFirst()
            }
            let isInterval = self.set.rules[rule].expression.isInterval
            let anchor = kept?.anchor ?? self.policy.start ?? begin
            if !self.anchors.isEmpty { self.anchors[number] = anchor }
            let start: Int
            if let kept {
                let limit = number < through ? self.decided.due : self.decided.due - 1
                start = self.last(of: number, dueBy: limit, after: kept.decided)
            } else {
                // An interval without a start fires at once, as on AWS.
                start = isInterval ? begin - 1 : begin
                self.changes.members.append(
                    JournalMember(
                        name: self.set.name(number),
                        mark: "\(anchor) \(start) \(String(signatures[rule], radix: 16))"
                    )
                )
            }
            if let time = self.next(of: number, after: start) {
                self.times[number] = time
                items.append(DueHeap.Item(due: self.due(number, time), number: UInt32(number)))
            }
            number += 1
        }
        self.changes.removed += known.map(\.name)
        self.heap = DueHeap(items)
    }

    /// What was kept of a schedule says nothing about another one.
    private static func numbers(_ mark: String, signature: UInt64) -> (anchor: Int, decided: Int)? {
        let parts = mark.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, UInt64(parts[2], radix: 16) == signature, let anchor = Int(parts[0]),
            let decided = Int(parts[1])
        else { return nil }
        return (anchor, decided)
    }

    /// The last of a schedule's times before which, itself included, all come due by `limit`.
    private func last(of number: Int, dueBy limit: Int64, after decided: Int) -> Int {
        var last = max(decided, Int((limit - Int64(self.policy.jitter)) / 1000))
        while let next = self.next(of: number, after: last), self.due(number, next) <= limit { last = next }
        return last
    }

    /// What was to be kept is kept.
    package mutating func keptChanges() {
        self.changes = ([], [])
    }

    // MARK: - Deciding

    /// Decides what is due at `now` (milliseconds), or a part of it; nil when nothing is.
    package mutating func plan(now: Int64) -> Plan? {
        var plan = Plan()
        var steps = 0
        while steps < Self.stepsMax, plan.fires.count < Self.firesMax, let first = self.heap.first,
            first.due <= now
        {
            let number = Int(first.number)
            self.decide(number, dueBy: first.due, now: now, &plan, &steps)
            let time = self.times[number]
            let due = time == .max ? nil : self.due(number, time)
            self.heap.replaceFirst(due: due)
            // Behind the limit of steps a schedule goes on in the next plan.
            if due.map({ $0 > first.due }) ?? true {
                self.decided.due = first.due
                self.decidedNumber = number
            }
        }
        return steps > 0 ? plan : nil
    }

    /// Decides a schedule's times that come due by then, and of those that came due since all that are missed in any case:
    /// to decide these again changes nothing.
    private mutating func decide(
        _ number: Int,
        dueBy limit: Int64,
        now: Int64,
        _ plan: inout Plan,
        _ steps: inout Int
    ) {
        var missed: [Int] = []
        while self.times[number] != .max, steps < Self.stepsMax {
            let time = self.times[number]
            let next = self.next(of: number, after: time)
            let isLast = next.map { self.due(number, $0) > now } ?? true
            let age = Int(now / 1000) - time - self.policy.jitter / 1000
            let isLate = age > SchedulePlanner.onTime
            if isLate, self.isMissed(age: age, isLast: isLast) {
                plan.missedCount += 1
                if missed.count == 2 * Self.missedMax { missed.removeFirst(Self.missedMax) }
                missed.append(time)
            } else if self.due(number, time) > limit {
                break
            } else if self.hasRoom(number, isLast: isLast) {
                if !self.waiting.isEmpty { self.waiting[number] += self.waiting[number] < .max ? 1 : 0 }
                plan.fires.append(Fire(number: number, time: time))
            } else {
                plan.skipped.append(Fire(number: number, time: time))
            }
            steps += 1
            self.times[number] = next ?? .max
        }
        plan.missed += missed.suffix(Self.missedMax).map { Fire(number: number, time: $0) }
    }

    private func isMissed(age: Int, isLast: Bool) -> Bool {
        if age > self.policy.catchUpWindow { return true }
        return switch self.policy.catchUp {
        case .skip: true
        case .latest: !isLast
        case .all: false
        }
    }

    private func hasRoom(_ number: Int, isLast: Bool) -> Bool {
        switch self.policy.overlap {
        case .skip: self.waiting[number] < 1
        case .bufferOne: self.waiting[number] < 2
        case .cancelOther: isLast
        case .bufferAll, .allow: true
        }
    }

    // MARK: - Waiting

    /// These wait, and no others.
    package mutating func recount(_ numbers: some Sequence<Int>) {
        guard !self.waiting.isEmpty else { return }
        for number in self.waiting.indices { self.waiting[number] = 0 }
        for number in numbers where self.waiting[number] < .max { self.waiting[number] += 1 }
    }

    /// A fire of this schedule is settled.
    package mutating func settled(_ number: Int) {
        guard !self.waiting.isEmpty, self.waiting[number] > 0 else { return }
        self.waiting[number] -= 1
    }

    // MARK: - Times

    /// When the first of all comes due, in milliseconds; nil for never.
    package func nextDue() -> Int64? { self.heap.first?.due }

    /// When the next fire of one comes due, in milliseconds; nil for never.
    package func nextDue(of number: Int) -> Int64? {
        let time = self.times[number]
        return time == .max ? nil : self.due(number, time)
    }

    /// The times of one from `from` on through `end`, at most so many, and whether there are more.
    package func times(
        of number: Int,
        from: Int,
        through end: Int,
        limit: Int
    ) -> (times: [Int], hasMore: Bool) {
        var times: [Int] = []
        while let next = self.next(of: number, after: times.last ?? from - 1), next <= end {
            guard times.count < limit else { return (times, true) }
            times.append(next)
        }
        return (times, false)
    }

    private func next(of number: Int, after time: Int) -> Int? {
        let rule = self.set.rule(of: number)
        let schedule = self.set.rules[rule]
        let exclusions = self.set.exclusions[rule]
        guard schedule.expression.isInterval else {
            return self.policy.next(of: schedule, except: exclusions, after: time)
        }
        let anchored = Schedule(
            schedule.expression,
            in: schedule.zone,
            gapRule: schedule.gapRule,
            anchor: self.anchors.isEmpty ? self.policy.start ?? 0 : self.anchors[number]
        )
        return self.policy.next(of: anchored, except: exclusions, after: time)
    }

    /// When a time of a schedule comes due, in milliseconds: the same whenever it is asked for.
    package func due(_ number: Int, _ time: Int) -> Int64 {
        guard self.policy.jitter > 0 else { return Int64(time) * 1000 }
        let seed = SchedulePolicy.hash(self.set.names[number], self.seed)
        return self.policy.due(time, seed: seed)
    }
}
