// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockSchedules
import PenstockStore
import PenstockTesting
import Testing

@testable import ScheduleConnector

/// Many schedules on a clock that the test sets.
@Suite(.timeLimit(.minutes(5)))
struct ScheduleSetPlannerTests {
    private static let midnight = 1_795_478_400  // 2026-11-24T00:00:00Z

    /// Milliseconds, so many seconds after midnight.
    private static func at(_ seconds: Int) -> Int64 { Int64(Self.midnight + seconds) * 1000 }

    private static func set(_ schedules: [(name: String, expression: String)]) throws -> ScheduleSet {
        var builder = ScheduleSetBuilder(zone: .utc, gapRule: .runAfter)
        for (name, expression) in schedules {
            try builder.add(name: name, expression: expression, zone: nil, input: nil)
        }
        let (set, doubled) = builder.finish()
        #expect(doubled.isEmpty)
        return set
    }

    /// A store as far as a planner needs one.
    private struct Kept {
        var mark: String?
        var members: [String: String] = [:]

        mutating func keep(_ planner: inout ScheduleSetPlanner) {
            for member in planner.changes.members { self.members[member.name] = member.mark }
            for name in planner.changes.removed { self.members[name] = nil }
            planner.keptChanges()
            self.mark = planner.mark
        }

        var list: [JournalMember] {
            self.members.map { JournalMember(name: $0.key, mark: $0.value) }
                .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        }

        func planner(_ set: ScheduleSet, _ policy: SchedulePolicy, now: Int64) -> ScheduleSetPlanner {
            ScheduleSetPlanner(
                set,
                policy: policy,
                seed: 7,
                mark: self.mark,
                members: self.list,
                now: now
            )
        }
    }

    private static func policy(_ change: (inout SchedulePolicy) -> Void = { _ in }) -> SchedulePolicy {
        var policy = SchedulePolicy()
        change(&policy)
        return policy
    }

    /// `a@60`, seconds after midnight.
    private static func names(_ fires: [ScheduleSetPlanner.Fire], _ set: ScheduleSet) -> [String] {
        fires.map { "\(set.name($0.number))@\($0.time - Self.midnight)" }
    }

    @Test("A heap gives what was put in by time, then by number, also when the first is put back later")
    func heap() {
        var random = SplitMix64(seed: 5)
        for count in [0, 1, 2, 3, 100] {
            var left = (0..<count).map {
                DueHeap.Item(due: Int64.random(in: 0..<20, using: &random), number: UInt32($0))
            }
            var heap = DueHeap(left)
            var seen = 0
            while let first = heap.first {
                left.sort { ($0.due, $0.number) < ($1.due, $1.number) }
                #expect(first == left.first)
                seen += 1
                if seen < 300, Bool.random(using: &random) {
                    left[0].due += Int64.random(in: 0..<20, using: &random)
                    heap.replaceFirst(due: left[0].due)
                } else {
                    left.removeFirst()
                    heap.replaceFirst(due: nil)
                }
            }
            #expect(left.isEmpty)
        }
    }

    @Test("What comes due together fires in the order of names, each once, and the next time is known")
    func order() throws {
        let set = try Self.set([("b", "* * * * *"), ("a", "* * * * *"), ("c", "30 * * * * *")])
        var planner = Kept().planner(set, Self.policy(), now: Self.at(0))
        #expect(planner.changes.members.map(\.name) == ["a", "b", "c"])
        #expect(planner.nextDue() == Self.at(30))
        #expect(planner.plan(now: Self.at(29)) == nil)
        #expect(planner.plan(now: Self.at(30)).map { Self.names($0.fires, set) } == ["c@30"])
        #expect(planner.plan(now: Self.at(30)) == nil)
        #expect(planner.plan(now: Self.at(90)).map { Self.names($0.fires, set) } == ["a@60", "b@60", "c@90"])
        #expect(planner.nextDue() == Self.at(120))
        #expect(planner.nextDue(of: 2) == Self.at(150))
        #expect(planner.mark == "set \(Self.at(90)) c")
    }

    /// Whatever the policy, a planner that is replaced by one behind its mark again and again decides what one that goes
    /// on for ever does.
    @Test("A restart between any two plans neither loses nor repeats a time", arguments: 0..<24)
    func restarts(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let expressions = [
            "* * * * * *", "*/3 * * * * *", "* * * * *", "@every 7s", "rate(1 minute)", "10,11 * * * * *",
            "at(2026-11-24T00:01:00)", "0 0 0 1 1 *",
        ]
        let set = try Self.set(
            (0..<30).map { ("s\($0)", expressions[Int.random(in: 0..<expressions.count, using: &random)]) }
        )
        let policy = Self.policy { policy in
            policy.jitter = [0, 0, 900, 5000][Int(seed) % 4]
            policy.catchUp = [.all, .latest, .skip][Int(seed) % 3]
            policy.overlap = .allow
        }
        var (whole, parts) = (Kept(), Kept())
        var now = Self.at(0)
        var steady = whole.planner(set, policy, now: now)
        var restarted = parts.planner(set, policy, now: now)
        whole.keep(&steady)
        parts.keep(&restarted)
        var (expected, seen): ([String], [String]) = ([], [])
        for _ in 0..<300 {
            // On time for most of it, and sometimes away for longer than a fire is on time.
            now += Int64.random(in: 0..<2500, using: &random)
            if Int.random(in: 0..<40, using: &random) == 0 {
                now += Int64.random(in: 0..<200_000, using: &random)
            }
            while let plan = steady.plan(now: now) { expected += Self.names(plan.fires, set) }
            while let plan = restarted.plan(now: now) {
                seen += Self.names(plan.fires, set)
                parts.keep(&restarted)
                if Int.random(in: 0..<3, using: &random) == 0 {
                    restarted = parts.planner(set, policy, now: now)
                    #expect(restarted.changes.members.isEmpty && restarted.changes.removed.isEmpty)
                }
            }
        }
        #expect(!expected.isEmpty)
        #expect(seen == expected)
        #expect(Set(seen).count == seen.count)
    }

    @Test(
        "A plan has no more fires than go into one transaction, and a restart goes on in the midst of an instant"
    )
    func chunks() throws {
        let count = ScheduleSetPlanner.firesMax * 2 + 10
        let set = try Self.set((0..<count).map { ("n\($0)", "* * * * *") })
        var kept = Kept()
        var planner = kept.planner(set, Self.policy(), now: Self.at(0))
        kept.keep(&planner)
        var seen: [ScheduleSetPlanner.Fire] = []
        while let plan = planner.plan(now: Self.at(60)) {
            #expect(plan.fires.count <= ScheduleSetPlanner.firesMax)
            seen += plan.fires
            kept.keep(&planner)
            planner = kept.planner(set, Self.policy(), now: Self.at(60))
        }
        #expect(seen.map(\.number) == Array(0..<count))
        #expect(seen.allSatisfy { $0.time == Self.midnight + 60 })
    }

    @Test(
        "After a pause, each schedule catches up by the policy; missed times are counted, and the latest ones named"
    )
    func catchUp() throws {
        let set = try Self.set([("m", "* * * * *"), ("h", "0 * * * *")])
        func run(_ change: (inout SchedulePolicy) -> Void) -> (fires: [String], missed: Int, named: [String])
        {
            var planner = Kept().planner(set, Self.policy(change), now: Self.at(0))
            var (fires, missed, named): ([String], Int, [String]) = ([], 0, [])
            while let plan = planner.plan(now: Self.at(2 * 3600 + 90)) {
                fires += Self.names(plan.fires, set)
                missed += plan.missedCount
                named += Self.names(plan.missed, set)
            }
            return (fires, missed, named)
        }
        let latest = run { $0.catchUp = .latest }
        #expect(latest.fires == ["h@7200", "m@7260"])
        #expect(latest.missed == 121)
        #expect(latest.named == (111...120).map { "m@\($0 * 60)" } + ["h@3600"] || latest.named.count == 11)
        let skip = run { $0.catchUp = .skip }
        #expect(skip.fires == ["m@7260"] && skip.missed == 122)
        let all = run { $0.catchUp = .all }
        #expect(all.fires.count == 123 && all.missed == 0)
        #expect(all.fires.first == "m@60" && all.fires.last == "m@7260")
        let window = run { ($0.catchUp, $0.catchUpWindow) = (.all, 3600) }
        #expect(window.fires.first == "m@3720" && window.missed == 62)
    }

    @Test("A schedule that is new or changed begins now, one that is gone is forgotten, others go on")
    func changes() throws {
        let first = try Self.set([("a", "* * * * *"), ("b", "* * * * *"), ("x", "* * * * *")])
        var kept = Kept()
        var planner = kept.planner(first, Self.policy(), now: Self.at(0))
        kept.keep(&planner)
        let second = try Self.set([("a", "* * * * *"), ("b", "*/2 * * * *"), ("c", "@every 1h")])
        planner = kept.planner(second, Self.policy { $0.catchUp = .all }, now: Self.at(250))
        #expect(planner.changes.members.map(\.name) == ["b", "c"])
        #expect(planner.changes.removed == ["x"])
        kept.keep(&planner)
        let plan = planner.plan(now: Self.at(250))
        #expect(plan.map { Self.names($0.fires, second) } == ["a@60", "a@120", "a@180", "a@240", "c@250"])
        kept.keep(&planner)
        // An interval is counted from where it began.
        planner = kept.planner(second, Self.policy(), now: Self.at(900))
        #expect(planner.nextDue(of: 2) == Self.at(250 + 3600))
        // The mark of a single schedule is none of a set's.
        planner = ScheduleSetPlanner(
            second,
            policy: Self.policy(),
            seed: 0,
            mark: "0 \(Self.midnight) UTC run_after - * * * * *",
            members: [],
            now: Self.at(0)
        )
        #expect(planner.mark == "set \(Self.at(0) - 1) ")
    }

    @Test("Overlap looks at the fires of the same schedule")
    func overlap() throws {
        let set = try Self.set([("a", "* * * * * *"), ("b", "* * * * * *")])
        var planner = Kept().planner(set, Self.policy { $0.overlap = .skip }, now: Self.at(0))
        #expect(planner.plan(now: Self.at(1)).map { Self.names($0.fires, set) } == ["a@1", "b@1"])
        planner.settled(1)
        var plan = planner.plan(now: Self.at(2))
        #expect(plan.map { Self.names($0.fires, set) } == ["b@2"])
        #expect(plan.map { Self.names($0.skipped, set) } == ["a@2"])
        planner.recount([1, 1])
        plan = planner.plan(now: Self.at(3))
        #expect(plan.map { Self.names($0.fires, set) } == ["a@3"])

        planner = Kept().planner(set, Self.policy { $0.overlap = .bufferOne }, now: Self.at(0))
        #expect(
            planner.plan(now: Self.at(3)).map { Self.names($0.fires, set) } == ["a@1", "b@1", "a@2", "b@2"]
        )
        planner = Kept().planner(set, Self.policy { $0.overlap = .cancelOther }, now: Self.at(0))
        plan = planner.plan(now: Self.at(2))
        #expect(plan.map { Self.names($0.fires, set) } == ["a@2", "b@2"])
        #expect(plan.map { Self.names($0.skipped, set) } == ["a@1", "b@1"])
    }

    @Test("Names are found, and told from those that are near")
    func names() throws {
        let names = ["", "a", "a b", "ab", "b", "z/1", "ü"]
        let set = try Self.set(names.dropFirst().map { ($0, "@daily") })
        for (number, name) in names.dropFirst().enumerated() {
            #expect(set.number(of: name) == number && set.name(number) == name)
        }
        for name in ["", "A", "a ", "aa", "c", "z", "z/2", "\u{FF}"] { #expect(set.number(of: name) == nil) }
    }

    @Test("A hundred thousand schedules take less than 400 bytes each besides names and inputs")
    func memory() throws {
        // What the process has is measured by the bench; this is what the tables are made of, expressions all different.
        let perSchedule =
            MemoryLayout<Schedule>.stride + MemoryLayout<Exclusions>.stride
            + MemoryLayout<DueHeap.Item>.stride + 2 * MemoryLayout<Int>.stride + 3
            * MemoryLayout<UInt32>.stride
            + MemoryLayout<UInt16>.stride
        // And the expression's text, which is longer than fits into a String itself.
        #expect(perSchedule + 64 < 400, "\(perSchedule)")
    }
}
