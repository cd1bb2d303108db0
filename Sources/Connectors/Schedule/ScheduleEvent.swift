// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
import PenstockRuntime
import PenstockSchedules

/// Which event a schedule sends.
package enum ScheduleEventShape: String, Sendable, CaseIterable {
    /// That of a scheduled rule of EventBridge: `detail` is an object.
    case rule
    /// That of EventBridge Scheduler: `detail` is a text.
    case scheduler
}

/// The event of one fire, as it is kept in the journal.
///
/// The number of the attempt is not known then; ``ScheduleEventFormat`` puts it in.
struct ScheduleEvent: Sendable {
    /// The word that stands for the number of the attempt.
    static let attemptWord = "<aws.scheduler.attempt-number>"

    /// The trigger's name.
    var name: String
    var shape: ScheduleEventShape
    /// The ARN as configured.
    var arn: String?
    /// What is sent instead, with words to replace.
    var input: String?

    /// The body for a fire; `key` names it among the schedule's, and makes its id.
    func body(scheduled: Int, at now: Timestamp, key: String) -> [UInt8] {
        let time = Self.text(scheduled)
        let id = InvocationID.make(name: "\(self.name) \(key)")
        if let input = self.input { return Array(self.replaced(input, time, id, now).utf8) }
        let parts = self.resource.split(separator: ":", omittingEmptySubsequences: false)
        let (region, account) = (parts.count > 4 ? parts[3] : "", parts.count > 4 ? parts[4] : "")
        var json = Array(
            "{\"version\":\"0\",\"id\":\"\(id)\",\"detail-type\":\"Scheduled Event\",\"source\":".utf8
        )
        json += Array((self.shape == .rule ? "\"aws.events\"" : "\"aws.scheduler\"").utf8)
        json += Array(",\"account\":".utf8) + JSONText.escaped(String(account))
        json += Array(",\"time\":\"\(time)\",\"region\":".utf8) + JSONText.escaped(String(region))
        json += Array(",\"resources\":[".utf8) + JSONText.escaped(self.resource)
        return json + Array((self.shape == .rule ? "],\"detail\":{}}" : "],\"detail\":\"{}\"}").utf8)
    }

    /// The words of EventBridge Scheduler and ours; `<schedule.late-ms>` is a number.
    private func replaced(_ input: String, _ time: String, _ id: String, _ now: Timestamp) -> String {
        let scheduled = LocalTime.seconds(time.utf8.dropLast()).map { Int64($0) * 1000 } ?? now.milliseconds
        let words: [(String, String)] = [
            ("<aws.scheduler.schedule-arn>", Self.inside(self.resource)),
            ("<aws.scheduler.scheduled-time>", time),
            ("<aws.scheduler.execution-id>", id), ("<schedule.name>", Self.inside(self.name)),
            ("<schedule.actual-time>", Self.text(Int(now.milliseconds / 1000))),
            ("<schedule.late-ms>", "\(now.milliseconds - scheduled)"),
        ]
        return words.reduce(input) { $0.replacing($1.0, with: $1.1) }
    }

    private var resource: String {
        if let arn = self.arn { return arn }
        return self.shape == .rule
            ? "arn:aws:events:local:000000000000:rule/\(self.name)"
            : "arn:aws:scheduler:local:000000000000:schedule/default/\(self.name)"
    }

    /// A time as events have it: `2026-11-20T13:00:00Z`.
    static func text(_ time: Int) -> String {
        LocalTime.text(local: time, offset: 0).prefix(19) + "Z"
    }

    /// Escaped for a place inside of a JSON string.
    private static func inside(_ text: String) -> String {
        String(decoding: JSONText.escaped(text).dropFirst().dropLast(), as: UTF8.self)
    }
}

/// A fire is one invocation, and its body the event.
package struct ScheduleEventFormat: EventFormat {
    private static let word = Array(ScheduleEvent.attemptWord.utf8)

    package init() {}

    package var contentType: String { "application/json" }

    /// Brackets around several, as a redrive by hand may have them.
    package var envelope: Int { 2 }

    package func sizes(of block: RecordBlock) -> RecordSizes {
        // The number of an attempt is shorter than the word that stands for it.
        RecordSizes(count: block.count) { max(0, Int(block.entries[$0].bodyLength)) }
    }

    package func encode(_ batch: Batch, into writer: inout EventWriter) {
        let isList = batch.count != 1
        if isList { writer.byte(UInt8(ascii: "[")) }
        var isFirst = true
        for run in batch.runs {
            for index in run.indices {
                if !isFirst { writer.byte(UInt8(ascii: ",")) }
                isFirst = false
                guard let body = unsafe run.admitted.block.body(at: index) else { continue }
                unsafe Self.write([UInt8](body), attempt: batch.attempt, into: &writer)
            }
        }
        if isList { writer.byte(UInt8(ascii: "]")) }
    }

    private static func write(_ body: [UInt8], attempt: Int, into writer: inout EventWriter) {
        let parts = body.split(separator: Self.word)
        guard parts.count > 1 || parts.first?.count != body.count else { return writer.raw(body) }
        writer.raw(Array(body.replacing(Self.word, with: Array("\(attempt)".utf8))))
    }

    package func index(of item: ItemIdentifier, in batch: Batch) -> Int? { nil }
}
