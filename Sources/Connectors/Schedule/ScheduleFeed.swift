// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockSchedules
import PenstockStore
import Synchronization

/// Fills a trigger's journal with the fires of its schedule.
///
/// The scheduled time is an entry's key, so that an instant is in the journal once; the planner's mark is kept with it.
final class ScheduleFeed: JournalFeed {
    private let configuration: ScheduleConfiguration
    private let event: ScheduleEvent
    private let input: [UInt8]?
    private let planner = Mutex<SchedulePlanner?>(nil)
    /// The time of the last fire that was ordered, in milliseconds: no two have the same.
    private let lastOrdered = Mutex(Int64.min)

    init(_ configuration: ScheduleConfiguration, trigger: String) {
        self.configuration = configuration
        self.event = ScheduleEvent(
            name: trigger,
            member: nil,
            shape: configuration.shape,
            arn: configuration.arn
        )
        self.input = configuration.input.map { Array($0.utf8) }
    }

    var overtakes: Bool { self.configuration.policy.overlap == .cancelOther }

    var isOver: Bool {
        self.configuration.afterCompletion == .delete
            && self.planner.withLock { $0.map { $0.nextDue() == nil } ?? false }
    }

    func begin(_ past: JournalPast, now: Timestamp) {
        let planner = SchedulePlanner(
            self.configuration.expression,
            in: self.configuration.zone,
            gapRule: self.configuration.gapRule,
            policy: self.configuration.policy,
            seed: SchedulePolicy.hash(self.event.name.utf8),
            mark: past.mark,
            now: now.milliseconds
        )
        self.planner.withLock { $0 = planner }
    }

    func due(now: Timestamp, waiting: Int) -> JournalIntake? {
        self.planner.withLock { planner in
            guard let plan = planner?.plan(now: now.milliseconds, waiting: waiting), let mark = planner?.mark
            else {
                return nil
            }
            let missed = plan.missed.suffix(ScheduleFire.keptMax).map { Self.fire($0, now, .missed) }
            let skipped = plan.skipped.map { Self.fire($0, now, .skipped) }
            let fires = plan.fires.map { Self.fire($0, now, .waiting) }
            return JournalIntake(
                entries: plan.fires.map { self.entry($0, now) },
                mark: mark,
                gap: Self.gap(missed: plan.missed.count, skipped: plan.skipped.count),
                fires: missed + fires + skipped
            )
        }
    }

    /// Times in one order at most; the log has room for several orders.
    private static let orderMax = 1000

    func ordered(_ order: FireOrder, of member: String?, now: Timestamp) -> OrderedFires? {
        guard member == nil else { return nil }
        switch order {
        case .now:
            let milliseconds = self.lastOrdered.withLock { last in
                last = max(now.milliseconds, last == .min ? last : last + 1)
                return last
            }
            let now = Timestamp(milliseconds: milliseconds)
            // With milliseconds, so that it is never the key of one of the schedule's own times.
            let key = ScheduleEvent.textWithMilliseconds(now)
            let body = self.event.body(
                input: self.input.map { $0[...] },
                scheduled: Int(now.milliseconds / 1000),
                at: now,
                key: key
            )
            return OrderedFires(
                entries: [JournalEntry(key: key, timestamp: now, body: body)],
                fires: [ScheduleFire(key: key, scheduled: now, at: now, outcome: .waiting, isOrdered: true)]
            )
        case .times(let from, let through):
            // A part of a second belongs to the second before it.
            let first = Int((from.milliseconds + 999) / 1000)
            let last = Int(through.milliseconds / 1000)
            let found = self.planner.withLock { $0?.times(from: first, through: last, limit: Self.orderMax) }
            guard let (times, hasMore) = found else { return nil }
            return OrderedFires(
                entries: times.map { self.entry($0, now) },
                fires: times.map { Self.fire($0, now, .waiting, isOrdered: true) },
                rest: hasMore ? times.last.map { Timestamp(milliseconds: Int64($0 + 1) * 1000) } : nil
            )
        }
    }

    private func entry(_ time: Int, _ now: Timestamp) -> JournalEntry {
        let key = ScheduleEvent.text(time)
        return JournalEntry(
            key: key,
            timestamp: Timestamp(milliseconds: Int64(time) * 1000),
            body: self.event.body(input: self.input.map { $0[...] }, scheduled: time, at: now, key: key)
        )
    }

    private static func fire(
        _ time: Int,
        _ now: Timestamp,
        _ outcome: ScheduleFire.Outcome,
        isOrdered: Bool = false
    ) -> ScheduleFire {
        ScheduleFire(
            key: ScheduleEvent.text(time),
            scheduled: Timestamp(milliseconds: Int64(time) * 1000),
            at: now,
            outcome: outcome,
            isOrdered: isOrdered
        )
    }

    func next() -> Timestamp? {
        self.planner.withLock { $0?.nextDue() }.map { Timestamp(milliseconds: $0) }
    }

    /// What operators read about times that did not fire; nil when all did.
    static func gap(missed: Int, skipped: Int) -> String? {
        var parts: [String] = []
        if missed > 0 { parts.append("\(missed) missed while nothing ran (see catch_up)") }
        if skipped > 0 { parts.append("\(skipped) left out because of others (see overlap)") }
        return parts.isEmpty ? nil : "fires: " + parts.joined(separator: ", ")
    }
}
