// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore

extension BehaviorExpectations {
    /// What is not as expected.
    func failures(_ observation: Observation, unsettled: RecordNumbers) -> [BehaviorFailure] {
        [
            self.invocationFailure(observation.calls),
            self.letterFailure(observation.deadLetters),
            self.checkpointFailure(observation.checkpoints),
            Self.failure("succeeded", self.succeeded, observation.succeeded),
            Self.failure("filtered", self.filtered, observation.filtered),
            Self.failure("unsettled", self.unsettled, unsettled),
            self.durationFailure(observation.lastSettled),
        ].compactMap(\.self)
    }

    // MARK: - Invocations

    private func invocationFailure(_ calls: [Observation.Call]) -> BehaviorFailure? {
        guard let expected = self.invocations else { return nil }
        var patterns = expected.value
        let isOpen = patterns.last.map { $0.value.records == nil } ?? false
        if isOpen { patterns.removeLast() }
        let count = isOpen ? patterns.count : max(patterns.count, calls.count)
        let rows = (0..<count).map { index in
            let call = index < calls.count ? calls[index] : nil
            let before = index > 0 && index <= calls.count ? calls[index - 1].end : .zero
            let pattern = index < patterns.count ? patterns[index].value : nil
            return Self.row(index, pattern, call, before: before)
        }
        guard let first = rows.firstIndex(where: { $0.differs }) else { return nil }
        let message =
            if first >= calls.count {
                "invocations: the \(ordinal(first + 1)) is missing"
            } else if first >= patterns.count {
                "invocations: the \(ordinal(first + 1)) is one too many"
            } else {
                "invocations: the \(ordinal(first + 1)) differs"
            }
        let place = first < patterns.count ? patterns[first].place : expected.place
        return BehaviorFailure(place: place, subject: "invocations", message: message, rows: rows)
    }

    /// `before` is when the invocation before it ended; nil when it had not.
    private static func row(
        _ index: Int,
        _ pattern: ExpectedInvocation?,
        _ call: Observation.Call?,
        before: Duration?
    ) -> BehaviorFailure.Row {
        let wait = before.flatMap { end in call.map { $0.begin - end } }
        let isTimely: Bool
        let when: String
        switch pattern?.moment ?? .anytime {
        case .anytime: (isTimely, when) = (true, "")
        case .at(let moment):
            isTimely = call?.begin.wholeMilliseconds == moment.wholeMilliseconds
            when = call.map { " at \($0.begin.configurationText)" } ?? ""
        case .after(let moment):
            isTimely = wait?.wholeMilliseconds == moment.wholeMilliseconds
            when = wait.map { " after \($0.configurationText)" } ?? (call == nil ? "" : " before it ended")
        }
        return BehaviorFailure.Row(
            label: "\(index + 1)",
            expected: pattern?.description ?? "",
            actual: call.map { "\($0.records.invocation)\(when)" } ?? "",
            remark: call.map { call in
                when.isEmpty ? "\(call.answer), at \(call.begin.configurationText)" : call.answer
            } ?? "",
            differs: pattern?.records != call?.records || !isTimely
        )
    }

    // MARK: - Records

    private func letterFailure(_ letters: [Int: DeadLetterReason]) -> BehaviorFailure? {
        guard let expected = self.deadLetters else { return nil }
        var wanted: [Int: (reason: DeadLetterReason?, place: Place)] = [:]
        for entry in expected.value {
            for number in entry.value.records.elements { wanted[number] = (entry.value.reason, entry.place) }
        }
        let rows = Set(wanted.keys).union(letters.keys).sorted().map { number in
            let reason = letters[number]
            let pattern = wanted[number]
            let isRight = pattern != nil && reason != nil && (pattern?.reason ?? reason) == reason
            return BehaviorFailure.Row(
                label: "\(number)",
                expected: pattern.map { $0.reason?.rawValue ?? "given up" } ?? "",
                actual: reason?.rawValue ?? "",
                differs: !isRight
            )
        }
        guard let first = rows.first(where: { $0.differs }) else { return nil }
        let message =
            if first.actual.isEmpty {
                "dead_letters: record \(first.label) was not given up"
            } else if first.expected.isEmpty {
                "dead_letters: record \(first.label) was given up"
            } else {
                "dead_letters: record \(first.label) was given up for another reason"
            }
        let place = Int(first.label).flatMap { wanted[$0]?.place } ?? expected.place
        return BehaviorFailure(place: place, subject: "dead_letters", message: message, rows: rows)
    }

    private func checkpointFailure(_ checkpoints: [String: Position]) -> BehaviorFailure? {
        guard let expected = self.checkpoints else { return nil }
        let rows = expected.value.map { entry in
            let actual = checkpoints[entry.name]
            return BehaviorFailure.Row(
                label: entry.name,
                expected: entry.value.value.position?.description ?? "none",
                actual: actual?.description ?? "none",
                differs: actual != entry.value.value.position
            )
        }
        guard let first = rows.firstIndex(where: { $0.differs }) else { return nil }
        let (name, row) = (expected.value[first].name, rows[first])
        return BehaviorFailure(
            place: expected.value[first].value.place,
            subject: "checkpoints",
            message: "checkpoints: expected \(row.expected) in \(name), not \(row.actual)",
            rows: rows.count > 1 ? rows : []
        )
    }

    private static func failure(
        _ subject: String,
        _ expected: Located<RecordNumbers>?,
        _ actual: RecordNumbers
    ) -> BehaviorFailure? {
        guard let expected, expected.value != actual else { return nil }
        let message = "\(subject): expected \(expected.value), not \(actual)"
        return BehaviorFailure(place: expected.place, subject: subject, message: message)
    }

    private func durationFailure(_ actual: Duration?) -> BehaviorFailure? {
        guard let expected = self.duration else { return nil }
        if actual?.wholeMilliseconds == expected.value.wholeMilliseconds { return nil }
        let text = actual.map { "not \($0.configurationText)" } ?? "and nothing was settled"
        return BehaviorFailure(
            place: expected.place,
            subject: "duration",
            message: "duration: expected \(expected.value.configurationText), \(text)"
        )
    }
}

extension ExpectedInvocation: CustomStringConvertible {
    var description: String {
        let when =
            switch self.moment {
            case .anytime: ""
            case .at(let duration): " at \(duration.configurationText)"
            case .after(let duration): " after \(duration.configurationText)"
            }
        return "\(self.records?.invocation ?? "...")\(when)"
    }
}

extension RecordNumbers {
    /// The invocation of these records: without any, the final call of a window.
    fileprivate var invocation: String { self.isEmpty ? "final" : self.description }
}

/// `1st`, `2nd`, `3rd`, `4th`, `11th`, `21st`.
private func ordinal(_ number: Int) -> String {
    let suffixes = [1: "st", 2: "nd", 3: "rd"]
    let suffix = (11...13).contains(number % 100) ? nil : suffixes[number % 10]
    return "\(number)\(suffix ?? "th")"
}
