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
    private let planner = Mutex<SchedulePlanner?>(nil)

    init(_ configuration: ScheduleConfiguration, trigger: String) {
        self.configuration = configuration
        self.event = ScheduleEvent(
            name: trigger,
            shape: configuration.shape,
            arn: configuration.arn,
            input: configuration.input
        )
    }

    func begin(mark: String?, now: Timestamp) {
        let planner = SchedulePlanner(
            self.configuration.expression,
            in: self.configuration.zone,
            gapRule: self.configuration.gapRule,
            policy: self.configuration.policy,
            seed: self.event.name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 },
            mark: mark,
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
            let entries = plan.fires.map { time in
                JournalEntry(
                    key: ScheduleEvent.text(time),
                    timestamp: Timestamp(milliseconds: Int64(time) * 1000),
                    body: self.event.body(scheduled: time, at: now)
                )
            }
            return JournalIntake(entries: entries, mark: mark, gap: Self.gap(plan))
        }
    }

    func next() -> Timestamp? {
        self.planner.withLock { $0?.nextDue() }.map { Timestamp(milliseconds: $0) }
    }

    private static func gap(_ plan: SchedulePlanner.Plan) -> String? {
        var parts: [String] = []
        if plan.missed > 0 { parts.append("\(plan.missed) missed while nothing ran (see catch_up)") }
        if plan.skipped > 0 { parts.append("\(plan.skipped) left out while earlier ones ran (see overlap)") }
        return parts.isEmpty ? nil : "fires: " + parts.joined(separator: ", ")
    }
}
