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
    ).optional
    static let schedulesField = Field<[ScheduleEntry]>(
        "schedules",
        "Many schedules of one trigger, instead of `expression`.",
        .list(of: .table(ScheduleEntry.self), count: 1...10_000)
    ).optional
    static let fileField = Field.string(
        "file",
        "A file of many schedules, instead of `expression`: .jsonl with one object a line, or .csv; docs/SCHEDULES.md has their form."
    ).optional
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
        "A schedule, or many of one trigger: one invocation for each time at which one fires.",
        [
            expressionField, schedulesField, fileField, timezoneField, gapField, catchUpField, windowField,
            overlapField, jitterField,
            flexibleWindowField, startField, endField, afterCompletionField, exceptField, shapeField,
            arnField, inputField,
        ]
    )

    /// Not the one that holds when there is a ``set``.
    let expression: ScheduleExpression
    /// Many schedules instead of the one.
    package let set: ScheduleSet?
    /// Stands for the contents of the files that were read; nil when none was.
    let filesHash: Int?
    let zone: ZoneRules
    let gapRule: Schedule.GapRule
    package let policy: SchedulePolicy
    let afterCompletion: AfterCompletion
    let shape: ScheduleEventShape
    let arn: String?
    let input: String?

    package init(_ reader: inout ConfigurationReader) {
        self.zone = Self.zone(&reader)
        self.gapRule = reader[Self.gapField]
        var files = ScheduleFiles()
        let exceptions = ScheduleExceptions(&reader, at: Self.exceptField, reading: &files)
        self.set = Self.set(&reader, zone: self.zone, gapRule: self.gapRule, exceptions, &files)
        self.expression = Self.expression(&reader)
        self.filesHash = files.hash
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
        if self.set == nil { policy.except = exceptions.exclusions(in: self.zone, &reader) }
        if let start = policy.start, let end = policy.end {
            reader.require(start <= end, at: Self.endField, "must not be before \"start\"")
        }
        self.policy = policy
        self.afterCompletion = reader[Self.afterCompletionField]
        reader.advise(
            self.afterCompletion == .none || policy.end != nil || self.set != nil || self.expression.isOnce
                || self.expression.grammar == .aws,
            at: Self.afterCompletionField,
            "does nothing: the schedule has no last time",
            suggestion: "give it an end, or remove it"
        )
        self.shape = reader[Self.shapeField]
        self.arn = reader[Self.arnField]
        self.input = reader[Self.inputField]
        if let input = self.input {
            let event = ScheduleEvent(name: "name", member: nil, shape: self.shape, arn: self.arn)
            let body = event.body(
                input: Array(input.utf8)[...],
                scheduled: 0,
                at: Timestamp(milliseconds: 0),
                key: ""
            )
            .replacing(ScheduleEventFormat.word, with: [UInt8(ascii: "1")])
            let findings = ConfigurationLoader.parseJSON(Array(body), file: "input").findings
            reader.require(
                !findings.hasErrors,
                at: Self.inputField,
                code: .badValue,
                "is not JSON once its words are replaced: \(findings.first?.message ?? "")"
            )
        }
        let first = Schedule(self.expression, in: self.zone, gapRule: self.gapRule).next(after: -2 * 86_400)
        reader.require(
            first != nil || self.set != nil,
            at: Self.expressionField,
            code: .badValue,
            "never fires: there is no such time in the years 1970 to 2199"
        )
    }

    /// Also checks that one of the three forms is there.
    private static func expression(_ reader: inout ConfigurationReader) -> ScheduleExpression {
        let forms: [any AnyField] = [Self.expressionField, Self.schedulesField, Self.fileField]
        let given = forms.filter { reader.has($0) }
        reader.require(
            given.count == 1,
            at: given.last ?? Self.expressionField,
            code: given.isEmpty ? .missingKey : .conflict,
            given.isEmpty ? "is missing" : "and \"\(given[0].name)\" are both set",
            suggestion: given.isEmpty
                ? "give an expression, or many schedules by \"schedules\" or \"file\"" : "keep one of them"
        )
        guard let text = reader[Self.expressionField] else { return .daily }
        do {
            return try ScheduleExpression(text)
        } catch {
            reader.require(
                false,
                at: Self.expressionField,
                code: .badValue,
                "\"\(text.prefix(80))\": \(error.message)"
            )
            return .daily
        }
    }

    /// Many schedules; nil when there is one.
    private static func set(
        _ reader: inout ConfigurationReader,
        zone: ZoneRules,
        gapRule: Schedule.GapRule,
        _ exceptions: ScheduleExceptions,
        _ files: inout ScheduleFiles
    ) -> ScheduleSet? {
        let (entries, path) = (reader[Self.schedulesField], reader[Self.fileField])
        guard entries != nil || path != nil else { return nil }
        var zones: [String: ZoneRules] = [:]
        var builder = ScheduleSetBuilder(zone: zone, gapRule: gapRule)
        for (index, entry) in (entries ?? []).enumerated() {
            do throws(ScheduleSetBuilder.Problem) {
                try builder.add(
                    name: entry.name,
                    expression: entry.expression,
                    zone: entry.timezone,
                    input: entry.input.map { Array($0.utf8) }
                )
            } catch {
                reader.require(
                    false,
                    at: Self.schedulesField,
                    code: .badValue,
                    "has number \(index + 1), which \(error.message)"
                )
            }
        }
        var problems: [String] = []
        if let path {
            if !ScheduleSetFile.isName(path) {
                problems.append("its name must end in .jsonl, .ndjson or .csv, which says its form")
            } else {
                do throws(FileReadError) {
                    let bytes = try files.read(path, ScheduleSetFile.bytesMax)
                    problems += ScheduleSetFile.read(bytes, path: path, into: &builder)
                    if problems.isEmpty, builder.count == 0 { problems.append("it has no schedules") }
                } catch {
                    problems.append("it \(error.detail)")
                }
            }
        }
        let (set, doubled) = builder.finish()
        let field: any AnyField = path == nil ? Self.schedulesField : Self.fileField
        let what = path.map { "names \"\($0.prefix(200))\", which cannot be used: " } ?? ""
        if let first = doubled.first {
            problems.append("\(path == nil ? "has" : "it has") more than one \"\(first)\"; each name once")
        }
        for problem in problems { reader.require(false, at: field, code: .badValue, what + problem) }
        for rule in set.rules { zones[rule.zone.name] = rule.zone }
        return set.excluding(zones.mapValues { exceptions.exclusions(in: $0, &reader) })
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

/// One of many schedules in the configuration.
struct ScheduleEntry: ConfigurationTable {
    static let nameField = Field.string("name", "Its name among the trigger's schedules.")
    static let expressionField = Field.string("expression", "When it fires; as for one schedule.")
    static let timezoneField = Field.string("timezone", "An IANA name; that of all when left out.").optional
    static let inputField = Field.string(
        "input",
        "JSON to send instead of the event; that of all when left out."
    )
    .optional
    static let table = FieldTable(
        "schedules",
        "One of many schedules.",
        [nameField, expressionField, timezoneField, inputField]
    )

    let name: String
    let expression: String
    let timezone: String?
    let input: String?

    init(_ reader: inout ConfigurationReader) {
        self.name = reader[Self.nameField]
        self.expression = reader[Self.expressionField]
        self.timezone = reader[Self.timezoneField]
        self.input = reader[Self.inputField]
    }
}
