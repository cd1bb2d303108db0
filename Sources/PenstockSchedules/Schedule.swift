// SPDX-License-Identifier: Apache-2.0

/// An expression in a time zone: which times it fires at.
///
/// Pure: no clock. Times are whole seconds since 1970-01-01T00:00:00Z. The rule for clocks that are set forward or
/// back is one for all grammars, and docs/SCHEDULES.md tells it:
/// - An expression that names its hours fires once for each local time: right after the gap when clocks jump over it,
///   at the first of the two when clocks show it twice.
/// - An expression that fires in every hour, and an interval, follow elapsed time.
package struct Schedule: Hashable, Sendable {
    /// What becomes of a local time that clocks jump over.
    package enum GapRule: String, Sendable, CaseIterable {
        /// It fires right after the gap.
        case runAfter = "run_after"
        /// It does not fire that day, as on AWS.
        case aws
    }

    /// What was written.
    package let expression: ScheduleExpression

    /// The zone that local times are in.
    package let zone: ZoneRules

    /// What becomes of local times that do not exist.
    package let gapRule: GapRule

    /// Where intervals are counted from; it does not matter for the others.
    package let anchor: Int

    /// An expression in a zone.
    package init(
        _ expression: ScheduleExpression,
        in zone: ZoneRules,
        gapRule: GapRule = .runAfter,
        anchor: Int = 0
    ) {
        self.expression = expression
        self.zone = zone
        self.gapRule = gapRule
        self.anchor = anchor
    }

    /// The first time after `time` at which it fires; nil when it never does again.
    package func next(after time: Int) -> Int? {
        switch self.expression.timing {
        case .interval(let seconds):
            guard time >= self.anchor else { return self.anchor }
            let next = time + seconds - (time - self.anchor) % seconds
            return next < YearSet.endLocal ? next : nil
        case .once(let local): return self.time(ofLocal: local).flatMap { $0 > time ? $0 : nil }
        case .calendar(let fields):
            return fields.isHourly
                ? self.nextElapsed(fields, after: time) : self.nextFixed(fields, after: time)
        }
    }

    /// When a local time that is named fires.
    private func time(ofLocal local: Int) -> Int? {
        switch self.zone.meaning(ofLocal: local) {
        case .at(let time): time
        case .gap(let end): self.gapRule == .runAfter ? end : nil
        }
    }

    /// Each local time, once, in order.
    private func nextFixed(_ fields: CronFields, after time: Int) -> Int? {
        var index = self.zone.index(at: time)
        var local = time + self.zone.spans[index].offset + 1
        // What clocks show for the second time has fired.
        while index > 0 {
            let repeatEnd = self.zone.spans[index].start + self.zone.spans[index - 1].offset
            if local < repeatEnd { local = repeatEnd }
            index -= 1
            // Nothing repeats for longer than two days.
            if time - self.zone.spans[index].start > 2 * 86_400 { break }
        }
        while let next = fields.next(from: local, before: YearSet.endLocal) {
            if let found = self.time(ofLocal: next), found > time { return found }
            local = next + 1
        }
        return nil
    }

    /// Each time whose local time matches.
    private func nextElapsed(_ fields: CronFields, after time: Int) -> Int? {
        var index = self.zone.index(at: time)
        var start = time + 1
        while true {
            let (offset, end) = (self.zone.spans[index].offset, self.zone.end(of: index))
            let localEnd = end.map { $0 + offset } ?? YearSet.endLocal
            if let next = fields.next(from: start + offset, before: localEnd) { return next - offset }
            guard let end, end < YearSet.endLocal + 86_400 else { return nil }
            (index, start) = (index + 1, end)
        }
    }

    package static func == (lhs: Self, rhs: Self) -> Bool {
        lhs.expression == rhs.expression && lhs.zone.name == rhs.zone.name && lhs.gapRule == rhs.gapRule
            && lhs.anchor == rhs.anchor
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.expression)
        hasher.combine(self.zone.name)
        hasher.combine(self.gapRule)
        hasher.combine(self.anchor)
    }
}
