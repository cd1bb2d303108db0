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
    /// The schedule's name in the trigger's set; nil for a trigger that is one schedule.
    var member: String?
    var shape: ScheduleEventShape
    /// The ARN as configured.
    var arn: String?

    /// The body for a fire.
    ///
    /// `key` names it among the trigger's, and makes its id. `input` is what is sent instead, with words to replace.
    func body(
        input: ArraySlice<UInt8>? = nil,
        scheduled: Int,
        at now: Timestamp,
        key: String
    ) -> [UInt8] {
        if let input, !input.contains(UInt8(ascii: "<")) { return Array(input) }
        let time = Self.text(scheduled)
        if let input { return self.replaced(input, scheduled, time, key, now) }
        let id = InvocationID.make(name: "\(self.name) \(key)")
        let resource = self.resource
        let parts = resource.split(separator: ":", omittingEmptySubsequences: false)
        let (region, account) = (parts.count > 4 ? parts[3] : "", parts.count > 4 ? parts[4] : "")
        var json: [UInt8] = []
        json.reserveCapacity(320 + resource.utf8.count)
        json += "{\"version\":\"0\",\"id\":\"".utf8
        json += id.utf8
        json += "\",\"detail-type\":\"Scheduled Event\",\"source\":\"aws.".utf8
        json += (self.shape == .rule ? "events" : "scheduler").utf8
        json += "\",\"account\":".utf8
        json += JSONText.escaped(String(account))
        json += ",\"time\":\"".utf8
        json += time.utf8
        json += "\",\"region\":".utf8
        json += JSONText.escaped(String(region))
        json += ",\"resources\":[".utf8
        json += JSONText.escaped(resource)
        json += (self.shape == .rule ? "],\"detail\":{}}" : "],\"detail\":\"{}\"}").utf8
        return json
    }

    /// Words that are replaced in inputs: those of EventBridge Scheduler, and ours.
    private enum Word: String, CaseIterable {
        case arn = "<aws.scheduler.schedule-arn>"
        case time = "<aws.scheduler.scheduled-time>"
        case id = "<aws.scheduler.execution-id>"
        case name = "<schedule.name>"
        case actualTime = "<schedule.actual-time>"
        /// A number.
        case late = "<schedule.late-ms>"

        static let bytes = Self.allCases.map { ($0, Array($0.rawValue.utf8)) }
    }

    /// In one pass: what a word stands for is not looked into.
    private func replaced(
        _ input: ArraySlice<UInt8>,
        _ scheduled: Int,
        _ time: String,
        _ key: String,
        _ now: Timestamp
    ) -> [UInt8] {
        var json: [UInt8] = []
        json.reserveCapacity(input.count + 64)
        var rest = input
        while let start = rest.firstIndex(of: UInt8(ascii: "<")) {
            json += rest[..<start]
            rest = rest[start...]
            guard let (word, bytes) = Word.bytes.first(where: { rest.starts(with: $0.1) }) else {
                json.append(rest.removeFirst())
                continue
            }
            rest = rest.dropFirst(bytes.count)
            switch word {
            case .arn: json += Self.inside(self.resource).utf8
            case .time: json += time.utf8
            case .id: json += InvocationID.make(name: "\(self.name) \(key)").utf8
            case .name: json += Self.inside(self.member ?? self.name).utf8
            case .actualTime: json += now.configurationText.utf8
            case .late: json += "\(now.milliseconds - Int64(scheduled) * 1000)".utf8
            }
        }
        return json + rest
    }

    /// Of one of a set, the group of EventBridge Scheduler, or the event bus of a rule, is the trigger.
    private var resource: String {
        if let arn = self.arn { return arn }
        switch (self.shape, self.member) {
        case (.rule, let member):
            return "arn:aws:events:local:000000000000:rule/\(self.name)\(member.map { "/\($0)" } ?? "")"
        case (.scheduler, let member):
            let path = member.map { "\(self.name)/\($0)" } ?? "default/\(self.name)"
            return "arn:aws:scheduler:local:000000000000:schedule/\(path)"
        }
    }

    /// A time as events have it: `2026-11-20T13:00:00Z`.
    static func text(_ time: Int) -> String {
        LocalTime.text(local: time, offset: 0).prefix(19) + "Z"
    }

    /// The same with its milliseconds, also when there are none: no text of a whole second.
    static func textWithMilliseconds(_ time: Timestamp) -> String {
        let parts = time.configurationText.dropLast().split(separator: ".")
        return "\(parts[0]).\(parts.count > 1 ? parts[1] : "000")Z"
    }

    /// Escaped for a place inside of a JSON string.
    private static func inside(_ text: String) -> String {
        String(decoding: JSONText.escaped(text).dropFirst().dropLast(), as: UTF8.self)
    }
}

/// The body of a fire is its event; a batch of several, as a trigger of many schedules may have them, is a list.
package struct ScheduleEventFormat: EventFormat {
    static let word = Array(ScheduleEvent.attemptWord.utf8)

    /// Whether one event is a list, too.
    private let isList: Bool
    /// The trigger, whose fires a function may name in its answer; nil for none.
    private let trigger: String?

    /// The format of single events, or of lists of a trigger's.
    package init(isList: Bool = false, trigger: String? = nil) {
        self.isList = isList
        self.trigger = trigger
    }

    package var contentType: String { "application/json" }

    /// Brackets around several, as a redrive by hand may have them in any case.
    package var envelope: Int { 2 }

    package func sizes(of block: RecordBlock) -> RecordSizes {
        // The number of an attempt is shorter than the word that stands for it.
        RecordSizes(count: block.count) { max(0, Int(block.entries[$0].bodyLength)) }
    }

    package func encode(_ batch: Batch, into writer: inout EventWriter) {
        let isList = self.isList || batch.count != 1
        if isList { writer.byte(UInt8(ascii: "[")) }
        var isFirst = true
        for run in batch.runs {
            for index in run.indices {
                if !isFirst { writer.byte(UInt8(ascii: ",")) }
                isFirst = false
                guard let body = unsafe run.admitted.block.body(at: index) else { continue }
                unsafe Self.write(body, attempt: batch.attempt, into: &writer)
            }
        }
        if isList { writer.byte(UInt8(ascii: "]")) }
    }

    private static func write(_ body: UnsafeRawBufferPointer, attempt: Int, into writer: inout EventWriter) {
        guard unsafe body.contains(UInt8(ascii: "<")) else { return unsafe writer.raw(body) }
        writer.raw(unsafe [UInt8](body).replacing(Self.word, with: Array("\(attempt)".utf8)))
    }

    /// By the event's `id`, or by the record's key.
    package func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        guard let trigger = self.trigger, case .text(let text) = item else { return nil }
        var place = 0
        for run in batch.runs {
            for index in run.indices {
                if let bytes = unsafe run.admitted.block.key(at: index) {
                    let key = unsafe String(decoding: bytes, as: UTF8.self)
                    if text == key || text == InvocationID.make(name: "\(trigger) \(key)") { return place }
                }
                place += 1
            }
        }
        return nil
    }
}
