// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
import PenstockSchedules
import PenstockStore
import Synchronization

/// Fills a trigger's journal with the fires of many schedules.
///
/// The scheduled time and the schedule's name are an entry's key. The time stands first, so that what comes due together
/// stands together in the store, and the name is all behind the first space.
package final class ScheduleSetFeed: JournalFeed {
    private let set: ScheduleSet
    private let policy: SchedulePolicy
    private let deletes: Bool
    private let event: ScheduleEvent
    private let input: [UInt8]?
    private let planner = Mutex<ScheduleSetPlanner?>(nil)
    /// The time of the last fire that was ordered, in milliseconds: no two have the same.
    private let lastOrdered = Mutex(Int64.min)

    /// Times in one order at most; the log has room for several orders.
    private static let orderMax = 1000

    /// The feed of a trigger with this configuration, which must be one of many schedules.
    package init(_ set: ScheduleSet, _ configuration: ScheduleConfiguration, trigger: String) {
        self.set = set
        self.policy = configuration.policy
        self.deletes = configuration.afterCompletion == .delete
        self.input = configuration.input.map { Array($0.utf8) }
        self.event = ScheduleEvent(
            name: trigger,
            member: nil,
            shape: configuration.shape,
            arn: configuration.arn
        )
    }

    /// Lines that the fire log keeps of a set of so many schedules.
    package static func firesKept(_ count: Int) -> Int {
        min(max(ScheduleFire.keptMax, 10 * count), 1_000_000)
    }

    package var needs: JournalNeeds {
        switch self.policy.overlap {
        case .skip, .bufferOne: [.members, .waiting]
        case .bufferAll, .allow, .cancelOther: .members
        }
    }

    package var overtakes: Bool { self.policy.overlap == .cancelOther }

    package var isOver: Bool {
        self.deletes && self.planner.withLock { $0.map { $0.nextDue() == nil } ?? false }
    }

    package var firesKept: Int { Self.firesKept(self.set.count) }

    package func begin(_ past: JournalPast, now: Timestamp) {
        var planner = ScheduleSetPlanner(
            self.set,
            policy: self.policy,
            seed: SchedulePolicy.hash(self.event.name.utf8),
            mark: past.mark,
            members: past.members,
            now: now.milliseconds
        )
        planner.recount(past.waiting.compactMap { self.number(ofKey: $0) })
        self.planner.withLock { $0 = planner }
    }

    package func due(now: Timestamp, waiting: Int) -> JournalIntake? {
        self.planner.withLock { planner in
            if let changes = planner?.changes, !changes.members.isEmpty || !changes.removed.isEmpty {
                // Before anything fires: what a schedule was when it was first seen.
                var write = JournalWrite(entries: [], mark: planner?.mark)
                (write.members, write.removedMembers) = changes
                write.firesKept = self.firesKept
                planner?.keptChanges()
                return JournalIntake(write)
            }
            guard let plan = planner?.plan(now: now.milliseconds), let mark = planner?.mark else {
                return nil
            }
            var write = JournalWrite(entries: [], mark: mark)
            write.firesKept = self.firesKept
            var keys = KeyWriter(set: self.set)
            write.entries.reserveCapacity(plan.fires.count)
            write.fires.reserveCapacity(plan.fires.count + plan.missed.count + plan.skipped.count)
            for fire in plan.missed { write.fires.append(keys.fire(fire, now, .missed)) }
            for fire in plan.fires {
                let line = keys.fire(fire, now, .waiting)
                write.entries.append(self.entry(fire.number, line, fire.time, now))
                write.fires.append(line)
            }
            for fire in plan.skipped { write.fires.append(keys.fire(fire, now, .skipped)) }
            return JournalIntake(
                write,
                gap: ScheduleFeed.gap(missed: plan.missedCount, skipped: plan.skipped.count)
            )
        }
    }

    package func next() -> Timestamp? {
        self.planner.withLock { $0?.nextDue() }.map { Timestamp(milliseconds: $0) }
    }

    package func next(of member: String) -> Timestamp? {
        guard let number = self.set.number(of: member) else { return nil }
        return self.planner.withLock { $0?.nextDue(of: number) }.map { Timestamp(milliseconds: $0) }
    }

    package func recount(waiting keys: [String]) {
        let numbers = keys.compactMap { self.number(ofKey: $0) }
        self.planner.withLock { $0?.recount(numbers) }
    }

    package func settled(_ keys: [String]) {
        let numbers = keys.compactMap { self.number(ofKey: $0) }
        self.planner.withLock { planner in
            for number in numbers { planner?.settled(number) }
        }
    }

    package func lane(of key: String) -> String { String(Self.name(ofKey: key)) }

    package func ordered(_ order: FireOrder, of member: String?, now: Timestamp) -> OrderedFires? {
        guard let number = member.flatMap({ self.set.number(of: $0) }) else { return nil }
        switch order {
        case .now:
            let milliseconds = self.lastOrdered.withLock { last in
                last = max(now.milliseconds, last == .min ? last : last + 1)
                return last
            }
            let at = Timestamp(milliseconds: milliseconds)
            let key = "\(ScheduleEvent.textWithMilliseconds(at)) \(self.set.name(number))"
            let line = ScheduleFire(key: key, scheduled: at, at: at, outcome: .waiting, isOrdered: true)
            return OrderedFires(
                entries: [self.entry(number, line, Int(milliseconds / 1000), at)],
                fires: [line]
            )
        case .times(let from, let through):
            // A part of a second belongs to the second before it.
            let first = Int((from.milliseconds + 999) / 1000)
            let last = Int(through.milliseconds / 1000)
            let found = self.planner.withLock {
                $0?.times(of: number, from: first, through: last, limit: Self.orderMax)
            }
            guard let (times, hasMore) = found else { return nil }
            var keys = KeyWriter(set: self.set)
            let lines = times.map { time in
                var line = keys.fire(ScheduleSetPlanner.Fire(number: number, time: time), now, .waiting)
                line.isOrdered = true
                return line
            }
            return OrderedFires(
                entries: zip(times, lines).map { self.entry(number, $1, $0, now) },
                fires: lines,
                rest: hasMore ? times.last.map { Timestamp(milliseconds: Int64($0 + 1) * 1000) } : nil
            )
        }
    }

    private func entry(_ number: Int, _ line: ScheduleFire, _ time: Int, _ now: Timestamp) -> JournalEntry {
        var event = self.event
        event.member = self.set.name(number)
        let input = self.set.input(of: number) ?? self.input.map { $0[...] }
        return JournalEntry(
            key: line.key,
            timestamp: line.scheduled,
            body: event.body(input: input, scheduled: time, at: now, key: line.key)
        )
    }

    /// The name in a key.
    private static func name(ofKey key: String) -> Substring {
        guard let space = key.utf8.firstIndex(of: 0x20) else { return "" }
        return key[key.utf8.index(after: space)...]
    }

    private func number(ofKey key: String) -> Int? { self.set.number(of: String(Self.name(ofKey: key))) }

    /// Writes lines of the fire log; many have the same time.
    private struct KeyWriter {
        let set: ScheduleSet
        private var time = Int.min
        private var text = ""

        init(set: ScheduleSet) {
            self.set = set
        }

        mutating func fire(
            _ fire: ScheduleSetPlanner.Fire,
            _ now: Timestamp,
            _ outcome: ScheduleFire.Outcome
        ) -> ScheduleFire {
            if fire.time != self.time {
                self.time = fire.time
                self.text = ScheduleEvent.text(fire.time) + " "
            }
            return ScheduleFire(
                key: self.text + self.set.name(fire.number),
                scheduled: Timestamp(milliseconds: Int64(fire.time) * 1000),
                at: now,
                outcome: outcome
            )
        }
    }
}

/// Keeps the fires of one schedule in order, and lets others run beside them: the name in the key of an entry.
struct ScheduleNameKey: OrderingKey {
    func hash(of block: RecordBlock, at index: Int) -> UInt64? {
        guard let key = unsafe block.key(at: index), let space = unsafe key.firstIndex(of: 0x20) else {
            return nil
        }
        return unsafe RecordKey.hash(UnsafeRawBufferPointer(rebasing: key[(space + 1)...]))
    }
}
