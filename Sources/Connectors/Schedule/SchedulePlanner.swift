// SPDX-License-Identifier: Apache-2.0

import PenstockCore
package import PenstockSchedules

/// What becomes of times that passed while nobody was there to fire.
package enum CatchUp: String, Sendable, CaseIterable {
    /// They are missed.
    case skip
    /// The last of them fires, unless a later one is on time.
    case latest
    /// All of them fire.
    case all
}

/// What becomes of a fire while earlier ones are not settled.
package enum Overlap: String, Sendable, CaseIterable {
    /// It is left out.
    case skip
    /// One waits; more are left out.
    case bufferOne = "buffer_one"
    /// All wait.
    case bufferAll = "buffer_all"
    /// All run side by side.
    case allow
    /// It takes the place of earlier ones.
    case cancelOther = "cancel_other"
}

/// How a schedule is carried out.
package struct SchedulePolicy: Sendable, Equatable {
    /// What becomes of times that passed.
    package var catchUp = CatchUp.latest
    /// Times longer ago than this, in seconds, are missed whatever ``catchUp`` says.
    package var catchUpWindow = 86_400
    /// What becomes of fires while others wait.
    package var overlap = Overlap.bufferAll
    /// Each fire comes later by up to so many milliseconds.
    package var jitter = 0
    /// Nothing fires before; intervals are counted from it.
    package var start: Int?
    /// Nothing fires after.
    package var end: Int?
    /// When nothing fires.
    package var except = Exclusions()

    /// The defaults.
    package init() {}

    /// The first time of a schedule after `time`, within ``start`` and ``end``, that is not excluded; nil for none.
    func next(of schedule: Schedule, except: Exclusions, after time: Int) -> Int? {
        var time = max(time, (self.start ?? .min + 1) - 1)
        while let next = schedule.next(after: time) {
            if let end = self.end, next > end { return nil }
            guard let end = except.end(at: next) else { return next }
            time = end - 1
        }
        return nil
    }

    /// When a time comes due, in milliseconds: with jitter, which is the same whenever it is asked for.
    func due(_ time: Int, seed: UInt64) -> Int64 {
        guard self.jitter > 0 else { return Int64(time) * 1000 }
        var hash = seed ^ UInt64(bitPattern: Int64(time)) &* 0x9E37_79B9_7F4A_7C15
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash ^= hash >> 31
        return Int64(time) * 1000 + Int64(hash % UInt64(self.jitter + 1))
    }

    /// FNV-1a: the same in every process.
    package static func hash(_ bytes: some Sequence<UInt8>, _ seed: UInt64 = 0) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325 ^ seed) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}

/// Decides which times of a schedule fire, and when.
///
/// Pure: the caller passes the wall clock.
package struct SchedulePlanner: Sendable {
    /// What has come due.
    package struct Plan: Equatable, Sendable {
        /// The times that fire, in order.
        package var fires: [Int] = []
        /// The times that are missed, in order.
        package var missed: [Int] = []
        /// The times that are left out because earlier ones wait, in order.
        package var skipped: [Int] = []

        /// Nothing.
        package init() {}
    }

    /// A fire is on time for so many seconds; one minute is what AWS promises.
    package static let onTime = 60

    private static let firesMax = 1000
    private static let stepsMax = 100_000

    private let schedule: Schedule
    private let policy: SchedulePolicy
    private let seed: UInt64
    /// All times up to this one are decided.
    private var decided: Int

    /// Goes on behind the mark of an earlier run of the same schedule, or begins at `now` (milliseconds).
    package init(
        _ expression: ScheduleExpression,
        in zone: ZoneRules,
        gapRule: Schedule.GapRule,
        policy: SchedulePolicy,
        seed: UInt64 = 0,
        mark: String?,
        now: Int64
    ) {
        self.policy = policy
        self.seed = seed
        let numbers = mark.flatMap { Self.numbers($0, of: expression, zone, gapRule, policy) }
        let begin = Int(now / 1000)
        let anchor = policy.start ?? numbers?.anchor ?? begin
        self.schedule = Schedule(expression, in: zone, gapRule: gapRule, anchor: anchor)
        // An interval without a start fires at once, as on AWS; a time that is over when the trigger is made does not.
        self.decided = numbers?.decided ?? (expression.isInterval ? begin - 1 : begin)
    }

    /// What to give the next run: where it goes on, and of which schedule.
    package var mark: String {
        "\(self.schedule.anchor) \(self.decided) "
            + Self.name(self.schedule.expression, self.schedule.zone, self.schedule.gapRule, self.policy)
    }

    /// The mark of another schedule tells nothing about this one.
    private static func numbers(
        _ mark: String,
        of expression: ScheduleExpression,
        _ zone: ZoneRules,
        _ gapRule: Schedule.GapRule,
        _ policy: SchedulePolicy
    ) -> (anchor: Int, decided: Int)? {
        let parts = mark.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[2] == self.name(expression, zone, gapRule, policy),
            let anchor = Int(parts[0]), let decided = Int(parts[1])
        else { return nil }
        return (anchor, decided)
    }

    /// Tells schedules from one another that were written differently, in 64 bits.
    static func signature(_ schedule: Schedule, _ policy: SchedulePolicy) -> UInt64 {
        SchedulePolicy.hash(self.name(schedule.expression, schedule.zone, schedule.gapRule, policy).utf8)
    }

    private static func name(
        _ expression: ScheduleExpression,
        _ zone: ZoneRules,
        _ gapRule: Schedule.GapRule,
        _ policy: SchedulePolicy
    ) -> String {
        "\(zone.name) \(gapRule.rawValue) \(policy.start.map(String.init) ?? "-") \(expression.text)"
    }

    /// Decides what is due at `now` (milliseconds) while `waiting` fires are not settled; nil when nothing is.
    package mutating func plan(now: Int64, waiting: Int) -> Plan? {
        var plan = Plan()
        var lastLate: Int?
        var steps = 0
        while steps < Self.stepsMax, plan.fires.count < Self.firesMax, let time = self.nextTime(),
            self.due(time) <= now
        {
            steps += 1
            self.decided = time
            let age = Int(now / 1000) - time - self.policy.jitter / 1000
            if age <= Self.onTime {
                plan.fires.append(time)
            } else if self.policy.catchUp == .skip || age > self.policy.catchUpWindow {
                plan.missed.append(time)
            } else if self.policy.catchUp == .all {
                plan.fires.append(time)
            } else {
                if let lastLate { plan.missed.append(lastLate) }
                lastLate = time
            }
        }
        guard steps > 0 else { return nil }
        if let lastLate {
            // Later ones that are due stand for it.
            let hasLater = !plan.fires.isEmpty || self.nextTime().map { self.due($0) <= now } == true
            if hasLater { plan.missed.append(lastLate) } else { plan.fires = [lastLate] }
        }
        if self.policy.overlap == .cancelOther {
            // The last one would take the place of the others before they began.
            plan.skipped = Array(plan.fires.dropLast())
            plan.fires.removeFirst(plan.skipped.count)
            return plan
        }
        let room =
            switch self.policy.overlap {
            case .skip: max(0, 1 - waiting)
            case .bufferOne: max(0, 2 - waiting)
            case .bufferAll, .allow, .cancelOther: Int.max
            }
        plan.skipped = Array(plan.fires.dropFirst(room))
        plan.fires.removeLast(plan.skipped.count)
        return plan
    }

    /// The times from `from` on through `end`, at most so many, and whether there are more.
    package func times(from: Int, through end: Int, limit: Int) -> (times: [Int], hasMore: Bool) {
        var times: [Int] = []
        while let next = self.nextTime(after: times.last ?? from - 1), next <= end {
            guard times.count < limit else { return (times, true) }
            times.append(next)
        }
        return (times, false)
    }

    /// When the next fire comes due, in milliseconds; nil for never.
    package func nextDue() -> Int64? {
        self.nextTime().map { self.due($0) }
    }

    private func nextTime() -> Int? { self.nextTime(after: self.decided) }

    private func nextTime(after start: Int) -> Int? {
        self.policy.next(of: self.schedule, except: self.policy.except, after: start)
    }

    private func due(_ time: Int) -> Int64 { self.policy.due(time, seed: self.seed) }
}
