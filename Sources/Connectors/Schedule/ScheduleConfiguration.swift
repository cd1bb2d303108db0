// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
import PenstockSchedules

/// What becomes of a schedule that has fired for the last time (EventBridge Scheduler: ActionAfterCompletion).
package enum AfterCompletion: String, Sendable, CaseIterable {
    /// Its fire log stays.
    case none
    /// What the store has of it is removed.
    case delete
}

/// `source.schedule:` of a trigger.
package struct ScheduleConfiguration: ConfigurationTable {
    static let expressionField = Field.string(
        "expression",
        "cron(0 2 * * ? *), rate(5 minutes), at(2026-11-20T13:00:00), 0 2 * * *, 30 0 2 * * *, @daily or @every 90s; docs/SCHEDULES.md has all."
    )
    static let timezoneField = Field.string("timezone", "An IANA name such as Europe/Berlin.", default: "UTC")
    static let gapField = Field.choice(
        "dst",
        "What becomes of a time that clocks jump over: `run_after` fires right after the gap, `aws` not at all.",
        of: Schedule.GapRule.self,
        default: .runAfter
    )
    static let catchUpField = Field.choice(
        "catch_up",
        "What becomes of times that passed while nothing ran, more than a minute ago: `skip` none, `latest` the last one, `all` each.",
        of: CatchUp.self,
        default: .latest
    )
    static let windowField = Field.duration(
        "catch_up_window",
        "Times longer ago than this are missed.",
        default: .seconds(86_400),
        in: .seconds(60) ... .seconds(365 * 86_400)
    )
    static let overlapField = Field.choice(
        "overlap",
        "What becomes of a fire while earlier ones are not settled: `buffer_all` lets it wait, `buffer_one` lets one wait, `skip` leaves it out, `allow` invokes them side by side, `cancel_other` cancels the earlier ones.",
        of: Overlap.self,
        default: .bufferAll
    )
    static let jitterField = Field.duration(
        "jitter",
        "Each fire comes later by up to this; keep it below the distance of two fires.",
        default: .zero,
        in: .zero ... .seconds(86_400)
    )
    static let flexibleWindowField = Field.duration(
        "flexible_window",
        "The flexible time window of EventBridge Scheduler, which is `jitter` by another name: each fire comes within this time.",
        in: .seconds(60) ... .seconds(86_400)
    ).optional
    static let afterCompletionField = Field.choice(
        "after_completion",
        "What becomes of the schedule in the store when it has fired for the last time: `none` keeps its fire log, `delete` removes all of it.",
        of: AfterCompletion.self,
        default: AfterCompletion.none
    )
    static let startField = Field.timestamp("start", "Nothing fires before; intervals are counted from it.")
        .optional
    static let endField = Field.timestamp("end", "Nothing fires after.").optional
    static let exceptField = Field.strings(
        "except",
        "Days in the time zone on which nothing fires, such as 2026-12-25, and iCalendar files, such as holidays.ics, during whose events nothing fires.",
        default: [],
        count: 0...1000
    )
    static let shapeField = Field.choice(
        "event",
        "The event: `rule` is that of a scheduled rule of EventBridge, `scheduler` that of EventBridge Scheduler.",
        of: ScheduleEventShape.self,
        default: .rule
    )
    static let arnField = Field.string(
        "arn",
        "The ARN in the event; made of the trigger's name when left out."
    ).optional
    static let inputField = Field.string(
        "input",
        "JSON to send instead of the event; docs/SCHEDULES.md has the words that are replaced in it."
    ).optional
    package static let table = FieldTable(
        "schedule",
        "A schedule: one invocation for each time at which it fires.",
        [
            expressionField, timezoneField, gapField, catchUpField, windowField, overlapField, jitterField,
            flexibleWindowField, startField, endField, afterCompletionField, exceptField, shapeField,
            arnField, inputField,
        ]
    )

    let expression: ScheduleExpression
    let zone: ZoneRules
    let gapRule: Schedule.GapRule
    let policy: SchedulePolicy
    let afterCompletion: AfterCompletion
    let shape: ScheduleEventShape
    let arn: String?
    let input: String?

    package init(_ reader: inout ConfigurationReader) {
        self.expression = Self.expression(&reader)
        self.zone = Self.zone(&reader)
        self.gapRule = reader[Self.gapField]
        var policy = SchedulePolicy()
        policy.catchUp = reader[Self.catchUpField]
        policy.catchUpWindow = Int(reader[Self.windowField].components.seconds)
        policy.overlap = reader[Self.overlapField]
        policy.jitter = Int(reader[Self.jitterField].wholeMilliseconds)
        if let window = reader[Self.flexibleWindowField] {
            reader.require(
                policy.jitter == 0,
                at: Self.flexibleWindowField,
                "is \"jitter\" by another name, and both are set",
                suggestion: "remove one of them"
            )
            policy.jitter = Int(window.wholeMilliseconds)
        }
        policy.start = reader[Self.startField].map { Int($0.milliseconds / 1000) }
        policy.end = reader[Self.endField].map { Int($0.milliseconds / 1000) }
        policy.except = Self.exclusions(&reader, in: self.zone)
        if let start = policy.start, let end = policy.end {
            reader.require(start <= end, at: Self.endField, "must not be before \"start\"")
        }
        self.policy = policy
        self.afterCompletion = reader[Self.afterCompletionField]
        reader.advise(
            self.afterCompletion == .none || policy.end != nil || self.expression.isOnce
                || self.expression.grammar == .aws,
            at: Self.afterCompletionField,
            "does nothing: the schedule has no last time",
            suggestion: "give it an end, or remove it"
        )
        self.shape = reader[Self.shapeField]
        self.arn = reader[Self.arnField]
        self.input = reader[Self.inputField]
        if let input = self.input {
            let event = ScheduleEvent(name: "name", shape: self.shape, arn: self.arn, input: input)
            let body = String(
                decoding: event.body(scheduled: 0, at: Timestamp(milliseconds: 0), key: ""),
                as: UTF8.self
            )
            .replacing(ScheduleEvent.attemptWord, with: "1")
            let findings = ConfigurationLoader.parseJSON(Array(body.utf8), file: "input").findings
            reader.require(
                !findings.hasErrors,
                at: Self.inputField,
                code: .badValue,
                "is not JSON once its words are replaced: \(findings.first?.message ?? "")"
            )
        }
        let first = Schedule(self.expression, in: self.zone, gapRule: self.gapRule).next(after: -2 * 86_400)
        reader.require(
            first != nil,
            at: Self.expressionField,
            code: .badValue,
            "never fires: there is no such time in the years 1970 to 2199"
        )
    }

    private static let placeholder = "@daily"

    private static func expression(_ reader: inout ConfigurationReader) -> ScheduleExpression {
        let text = reader[Self.expressionField]
        do {
            return try ScheduleExpression(text)
        } catch {
            // Without the key there is a finding already.
            reader.require(
                !reader.has(Self.expressionField),
                at: Self.expressionField,
                code: .badValue,
                "\"\(text.prefix(80))\": \(error.message)"
            )
            return .daily
        }
    }

    /// The days and the calendars' events of `except`.
    private static func exclusions(_ reader: inout ConfigurationReader, in zone: ZoneRules) -> Exclusions {
        var spans: [Range<Int>] = []
        for text in reader[Self.exceptField] {
            var problem: String?
            if text.lowercased().hasSuffix(".ics") {
                do throws(FileReadError) {
                    let bytes = try ConfigurationLoader.process.readFile(text, CalendarFile.bytesMax)
                    do throws(CalendarFile.Problem) {
                        spans += try CalendarFile(bytes).spans(in: zone)
                    } catch {
                        problem = "\(error)"
                    }
                } catch {
                    problem = "the file \(error.detail)"
                }
                problem = problem.map { ", which cannot be used: \($0)" }
            } else if text.utf8.count == 10, let seconds = LocalTime.seconds(text.utf8) {
                spans.append(zone.span(ofLocalDay: seconds / 86_400))
            } else {
                problem = ", which is no date; write 2026-12-25, or the path of an .ics file"
            }
            reader.require(
                problem == nil,
                at: Self.exceptField,
                code: .badValue,
                "holds \"\(text.prefix(200))\"\(problem ?? "")"
            )
        }
        return Exclusions(spans)
    }

    private static func zone(_ reader: inout ConfigurationReader) -> ZoneRules {
        do {
            return try ZoneDatabase.system.zone(reader[Self.timezoneField])
        } catch {
            reader.require(
                false,
                at: Self.timezoneField,
                code: .badValue,
                "cannot be used: \(error.description)"
            )
            return .utc
        }
    }
}
