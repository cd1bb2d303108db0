// SPDX-License-Identifier: Apache-2.0

import PenstockSchedules
import ScheduleConnector
import Testing

/// Each policy, on a clock that the test sets.
@Suite struct SchedulePlannerTests {
    private static let midnight = 1_795_478_400  // 2026-11-24T00:00:00Z

    /// Milliseconds, so many seconds after midnight.
    private static func at(_ seconds: Int) -> Int64 { Int64(Self.midnight + seconds) * 1000 }

    private static func planner(
        _ text: String = "* * * * *",
        _ policy: SchedulePolicy = SchedulePolicy(),
        mark: String? = nil,
        at seconds: Int = 0
    ) throws -> SchedulePlanner {
        SchedulePlanner(
            try ScheduleExpression(text),
            in: .utc,
            gapRule: .runAfter,
            policy: policy,
            mark: mark,
            now: Self.at(seconds)
        )
    }

    private static func policy(_ change: (inout SchedulePolicy) -> Void) -> SchedulePolicy {
        var policy = SchedulePolicy()
        change(&policy)
        return policy
    }

    /// A plan by what fires and how much does not.
    private struct Counts: Equatable {
        var fires: [Int]
        var missed: Int
        var skipped: Int

        static func == (plan: SchedulePlanner.Plan?, counts: Self) -> Bool {
            plan.map { Self(fires: $0.fires, missed: $0.missed.count, skipped: $0.skipped.count) } == counts
        }
    }

    private static func fires(_ seconds: [Int], missed: Int = 0, skipped: Int = 0) -> Counts {
        Counts(fires: seconds.map { Self.midnight + $0 }, missed: missed, skipped: skipped)
    }

    @Test("Times that are missed or left out are named, in order")
    func named() throws {
        var planner = try Self.planner("0 * * * *", Self.policy { $0.catchUp = .latest })
        #expect(planner.times(from: Self.midnight + 1, through: Self.midnight + 10_800, limit: 2).hasMore)
        let found = planner.times(from: Self.midnight + 3600, through: Self.midnight + 7200, limit: 2)
        #expect(found.times == [3600, 7200].map { Self.midnight + $0 } && !found.hasMore)
        let late = planner.plan(now: Self.at(3 * 3600 + 600), waiting: 0)
        #expect(late?.missed == [3600, 7200].map { Self.midnight + $0 })
        planner = try Self.planner("0 * * * *", Self.policy { $0.overlap = .skip })
        #expect(planner.plan(now: Self.at(3600), waiting: 1)?.skipped == [Self.midnight + 3600])
    }

    @Test("All may run side by side; where one takes the place of others, the last of several fires")
    func sideBySide() throws {
        var planner = try Self.planner(
            "* * * * * *",
            Self.policy { $0.overlap = .allow }
        )
        #expect(planner.plan(now: Self.at(3), waiting: 100) == Self.fires([1, 2, 3]))
        planner = try Self.planner("* * * * * *", Self.policy { $0.overlap = .cancelOther })
        #expect(planner.plan(now: Self.at(1), waiting: 5) == Self.fires([1]))
        let plan = planner.plan(now: Self.at(4), waiting: 1)
        #expect(plan?.fires == [Self.midnight + 4])
        #expect(plan?.skipped == [2, 3].map { Self.midnight + $0 })
    }

    @Test("A time fires when it has come, once, and the next one is known")
    func onTime() throws {
        var planner = try Self.planner()
        #expect(planner.nextDue() == Self.at(60))
        #expect(planner.plan(now: Self.at(60) - 1, waiting: 0) == nil)
        #expect(planner.plan(now: Self.at(60), waiting: 0) == Self.fires([60]))
        #expect(planner.plan(now: Self.at(60), waiting: 0) == nil)
        #expect(planner.nextDue() == Self.at(120))
    }

    @Test("A restart in the very second neither loses nor doubles a fire")
    func restart() throws {
        var first = try Self.planner()
        _ = first.plan(now: Self.at(60), waiting: 0)
        var second = try Self.planner(mark: first.mark, at: 60)
        #expect(second.plan(now: Self.at(60), waiting: 0) == nil)
        // The mark of before the fire: what it stands for was not kept.
        var third = try Self.planner(mark: try Self.planner().mark, at: 60)
        #expect(third.plan(now: Self.at(60), waiting: 0) == Self.fires([60]))
    }

    @Test(
        "Times that passed fire as the policy says, and the others are counted",
        arguments: [
            (CatchUp.skip, [3540, 3600], 58), (.latest, [3540, 3600], 58),
            (.all, Array(stride(from: 60, through: 3600, by: 60)), 0),
        ]
    )
    func catchUp(catchUp: CatchUp, fires: [Int], missed: Int) throws {
        var planner = try Self.planner("* * * * *", Self.policy { $0.catchUp = catchUp })
        #expect(planner.plan(now: Self.at(3600), waiting: 0) == Self.fires(fires, missed: missed))
    }

    @Test("When none is on time, the latest of those that passed fires, or none, or all")
    func late() throws {
        func plan(_ catchUp: CatchUp, _ window: Int = 86_400) throws -> SchedulePlanner.Plan? {
            let policy = Self.policy { ($0.catchUp, $0.catchUpWindow) = (catchUp, window) }
            var planner = try Self.planner("0 * * * *", policy)
            return planner.plan(now: Self.at(3 * 3600 + 600), waiting: 0)
        }
        #expect(try plan(.skip) == Self.fires([], missed: 3))
        #expect(try plan(.latest) == Self.fires([10_800], missed: 2))
        #expect(try plan(.all) == Self.fires([3600, 7200, 10_800]))
        #expect(try plan(.all, 2 * 3600) == Self.fires([7200, 10_800], missed: 1))
        #expect(try plan(.latest, 60) == Self.fires([], missed: 3))
    }

    @Test("A long absence of a schedule with seconds is worked off in parts, with one fire for the latest")
    func longAbsence() throws {
        var planner = try Self.planner("* * * * * *")
        let now = Self.at(250_000)
        var (fires, missed, parts) = ([Int](), 0, 0)
        while let plan = planner.plan(now: now, waiting: 0) {
            (fires, missed, parts) = (fires + plan.fires, missed + plan.missed.count, parts + 1)
        }
        #expect(parts > 1)
        #expect(fires.count + missed == 250_000)
        #expect(fires.last == Self.midnight + 250_000)
        #expect(fires.count == 61)
    }

    @Test("A fire while others wait is left out, or waits, as the policy says")
    func overlap() throws {
        func plan(_ overlap: Overlap, waiting: Int) throws -> SchedulePlanner.Plan? {
            var planner = try Self.planner("* * * * *", Self.policy { $0.overlap = overlap })
            return planner.plan(now: Self.at(60), waiting: waiting)
        }
        #expect(try plan(.skip, waiting: 0) == Self.fires([60]))
        #expect(try plan(.skip, waiting: 1) == Self.fires([], skipped: 1))
        #expect(try plan(.bufferOne, waiting: 1) == Self.fires([60]))
        #expect(try plan(.bufferOne, waiting: 2) == Self.fires([], skipped: 1))
        #expect(try plan(.bufferAll, waiting: 9) == Self.fires([60]))
    }

    @Test("A clock that is set back fires nothing twice, and one that is set forward catches up")
    func clockJumps() throws {
        var planner = try Self.planner()
        #expect(planner.plan(now: Self.at(120), waiting: 0) == Self.fires([60, 120]))
        #expect(planner.plan(now: Self.at(0), waiting: 0) == nil)
        #expect(planner.plan(now: Self.at(120), waiting: 0) == nil)
        #expect(
            planner.plan(now: Self.at(3720), waiting: 0)?.fires == [3660, 3720].map { Self.midnight + $0 }
        )
    }

    @Test("Nothing fires before the start, after the end, and on days that are excepted")
    func bounds() throws {
        let policy = Self.policy {
            $0.start = Self.midnight + 86_400
            $0.end = Self.midnight + 4 * 86_400
            $0.except = Exclusions([ZoneRules.utc.span(ofLocalDay: Self.midnight / 86_400 + 2)])
            $0.catchUp = .all
            $0.catchUpWindow = 365 * 86_400
        }
        var planner = try Self.planner("0 0 * * *", policy)
        #expect(planner.nextDue() == Self.at(86_400))
        let plan = planner.plan(now: Self.at(10 * 86_400), waiting: 0)
        #expect(plan == Self.fires([86_400, 3 * 86_400, 4 * 86_400]))
        #expect(planner.nextDue() == nil)
    }

    @Test("An interval fires at once, and then counts from there, also after a restart; or from its start")
    func interval() throws {
        var planner = try Self.planner("rate(5 minutes)", at: 17)
        #expect(planner.plan(now: Self.at(17), waiting: 0) == Self.fires([17]))
        var again = try Self.planner("rate(5 minutes)", mark: planner.mark, at: 100)
        #expect(again.plan(now: Self.at(100), waiting: 0) == nil)
        #expect(again.nextDue() == Self.at(317))
        let started = try Self.planner("rate(5 minutes)", Self.policy { $0.start = Self.midnight }, at: 17)
        #expect(started.nextDue() == Self.at(300))
    }

    @Test("A single time fires once, and never again after a restart")
    func once() throws {
        var planner = try Self.planner("at(2026-11-24T00:01:00)")
        #expect(planner.plan(now: Self.at(61), waiting: 0) == Self.fires([60]))
        let again = try Self.planner("at(2026-11-24T00:01:00)", mark: planner.mark, at: 70)
        #expect(planner.nextDue() == nil && again.nextDue() == nil)
    }

    @Test("The mark of another schedule is not taken for this one's")
    func otherMark() throws {
        var planner = try Self.planner("* * * * *")
        _ = planner.plan(now: Self.at(60), waiting: 0)
        let other = try Self.planner("*/2 * * * *", mark: planner.mark, at: 600)
        #expect(other.nextDue() == Self.at(720))
        for mark in ["", "x", "1 2", "a b UTC run_after - */2 * * * *"] {
            #expect(try Self.planner("*/2 * * * *", mark: mark, at: 600).nextDue() == Self.at(720))
        }
    }

    @Test("With jitter a fire comes later within it, and at the same time whenever it is asked for")
    func jitter() throws {
        let policy = Self.policy { $0.jitter = 30_000 }
        var delays: Set<Int64> = []
        for minute in 0..<50 {
            let planner = try Self.planner("* * * * *", policy, at: minute * 60)
            let due = try #require(planner.nextDue())
            let delay = due - Self.at(minute * 60 + 60)
            #expect((0...30_000).contains(delay))
            #expect(try Self.planner("* * * * *", policy, at: minute * 60 + 1).nextDue() == due)
            delays.insert(delay)
        }
        #expect(delays.count > 40)
    }
}
