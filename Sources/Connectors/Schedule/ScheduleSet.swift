// SPDX-License-Identifier: Apache-2.0

import PenstockCore
package import PenstockSchedules

/// Texts one behind the other: four bytes for each besides its own.
package struct PackedTexts: Sendable {
    private var bytes: [UInt8] = []
    private var ends: [UInt32] = []

    /// How many.
    package var count: Int { self.ends.count }

    /// Bytes of all of them.
    package var byteCount: Int { self.bytes.count }

    mutating func reserve(_ texts: Int, bytes: Int) {
        self.ends.reserveCapacity(texts)
        self.bytes.reserveCapacity(bytes)
    }

    mutating func append(_ text: some Collection<UInt8>) {
        self.bytes += text
        self.ends.append(UInt32(clamping: self.bytes.count))
    }

    package subscript(number: Int) -> ArraySlice<UInt8> {
        let start = number == 0 ? 0 : Int(self.ends[number - 1])
        return self.bytes[start..<Int(self.ends[number])]
    }
}

/// Many schedules of one trigger, in the order of their names' bytes.
///
/// Built for a hundred thousand: names and inputs stand in one buffer each, and schedules that are written alike share what
/// was read of them. Besides its name, its input, and its expression where no other has the same, a schedule takes twelve
/// bytes.
package struct ScheduleSet: Sendable {
    /// The most schedules of a set.
    package static let countMax = 1_000_000

    /// The longest name, in bytes.
    package static let nameBytesMax = 128

    let names: PackedTexts
    /// What is sent instead of the event; none has one when this is empty, and an empty one is none.
    private let inputs: PackedTexts
    /// Schedules that differ from one another; the anchor is not used.
    let rules: [Schedule]
    /// When each of the rules does not fire.
    private(set) var exclusions: [Exclusions]
    /// The rule of each schedule.
    private let ruleNumbers: [UInt32]

    fileprivate init(
        names: PackedTexts,
        inputs: PackedTexts,
        rules: [Schedule],
        exclusions: [Exclusions],
        ruleNumbers: [UInt32]
    ) {
        self.names = names
        self.inputs = inputs
        self.rules = rules
        self.exclusions = exclusions
        self.ruleNumbers = ruleNumbers
    }

    /// How many there are.
    package var count: Int { self.names.count }

    /// The same set, which does not fire when these say so, by the names of zones.
    func excluding(_ exclusions: [String: Exclusions]) -> ScheduleSet {
        var set = self
        set.exclusions = self.rules.map { exclusions[$0.zone.name] ?? Exclusions() }
        return set
    }

    /// Bytes of all names and inputs.
    package var textBytes: Int { self.names.byteCount + self.inputs.byteCount }

    func rule(of number: Int) -> Int { Int(self.ruleNumbers[number]) }

    /// The name of a schedule.
    package func name(_ number: Int) -> String { String(decoding: self.names[number], as: UTF8.self) }

    /// The schedule of that number, without an anchor.
    package func schedule(_ number: Int) -> Schedule { self.rules[self.rule(of: number)] }

    /// What is sent instead of the event; nil for the event.
    func input(of number: Int) -> ArraySlice<UInt8>? {
        guard self.inputs.count > 0 else { return nil }
        let input = self.inputs[number]
        return input.isEmpty ? nil : input
    }

    /// How many names are before this one, or are it.
    func countOfNames(through name: String) -> Int {
        let name = Array(name.utf8)
        var (low, high) = (0, self.count)
        while low < high {
            let middle = (low + high) / 2
            if name.lexicographicallyPrecedes(self.names[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// The number of the schedule of that name; nil when there is none.
    package func number(of name: String) -> Int? {
        let number = self.countOfNames(through: name) - 1
        return number >= 0 && self.names[number].elementsEqual(name.utf8) ? number : nil
    }
}

/// Puts a set together, schedule by schedule.
struct ScheduleSetBuilder {
    /// What is wrong with one schedule: a sentence without its beginning, which says where it stands.
    struct Problem: Error, Equatable {
        var message: String
    }

    private struct RuleName: Hashable {
        var expression: String
        var zone: String
    }

    private struct Entry {
        var name: [UInt8]
        var rule: UInt32
        var input: [UInt8]
    }

    private let zone: ZoneRules
    private let gapRule: Schedule.GapRule
    private var entries: [Entry] = []
    private var rules: [Schedule] = []
    private var numbers: [RuleName: UInt32] = [:]
    private var inputBytes = 0

    /// A builder; `zone` holds for schedules that name none.
    init(zone: ZoneRules, gapRule: Schedule.GapRule) {
        self.zone = zone
        self.gapRule = gapRule
    }

    var count: Int { self.entries.count }

    /// Adds a schedule.
    mutating func add(
        name: String,
        expression: String,
        zone: String?,
        input: [UInt8]?
    ) throws(Problem) {
        guard self.entries.count < ScheduleSet.countMax else {
            throw Problem(message: "is one too many: a trigger has \(ScheduleSet.countMax) schedules at most")
        }
        let bytes = Array(name.utf8)
        let isFine = !bytes.contains { $0 < 0x20 || $0 == 0x7F }
        guard isFine, !bytes.isEmpty, bytes.count <= ScheduleSet.nameBytesMax else {
            throw Problem(
                message:
                    "has the name \"\(name.prefix(80))\"; a name has 1 to \(ScheduleSet.nameBytesMax) bytes and no control characters"
            )
        }
        if let input { try self.check(input, of: name) }
        self.inputBytes += input?.count ?? 0
        guard self.inputBytes <= Int(UInt32.max) else {
            throw Problem(message: "has the input that makes all of them larger than 4 GiB")
        }
        let rule = try self.rule(expression, zone)
        self.entries.append(Entry(name: bytes, rule: rule, input: input ?? []))
    }

    private mutating func rule(_ text: String, _ zone: String?) throws(Problem) -> UInt32 {
        let name = RuleName(expression: text, zone: zone ?? self.zone.name)
        if let number = self.numbers[name] { return number }
        let expression: ScheduleExpression
        do throws(ScheduleProblem) {
            expression = try ScheduleExpression(text)
        } catch {
            throw Problem(message: "has the expression \"\(text.prefix(80))\": \(error.message)")
        }
        var rules = self.zone
        if let zone {
            do throws(ZoneDatabase.Problem) {
                rules = try ZoneDatabase.system.zone(zone)
            } catch {
                throw Problem(message: "has a timezone that cannot be used: \(error.description)")
            }
        }
        let schedule = Schedule(expression, in: rules, gapRule: self.gapRule)
        guard schedule.next(after: -2 * 86_400) != nil else {
            throw Problem(
                message:
                    "has the expression \"\(text.prefix(80))\", which never fires: there is no such time in the years 1970 to 2199"
            )
        }
        let number = UInt32(self.rules.count)
        self.rules.append(schedule)
        self.numbers[name] = number
        return number
    }

    /// JSON, once its words are replaced.
    private func check(_ input: [UInt8], of name: String) throws(Problem) {
        var json = input
        if input.contains(UInt8(ascii: "<")) {
            let event = ScheduleEvent(name: "trigger", member: name, shape: .rule)
            let body = event.body(input: input[...], scheduled: 0, at: Timestamp(milliseconds: 0), key: "")
            json = Array(body.replacing(ScheduleEventFormat.word, with: [0x31]))
        }
        guard !json.isEmpty, unsafe json.withUnsafeBytes({ unsafe JSONScanner.isValid($0) }) else {
            throw Problem(message: "has an input that is not JSON once its words are replaced")
        }
    }

    /// The set, and the names that came more than once.
    mutating func finish() -> (set: ScheduleSet, doubled: [String]) {
        var entries: [Entry] = []
        swap(&entries, &self.entries)
        entries.sort { $0.name.lexicographicallyPrecedes($1.name) }
        let hasInputs = self.inputBytes > 0
        var (names, inputs) = (PackedTexts(), PackedTexts())
        names.reserve(entries.count, bytes: entries.reduce(0) { $0 + $1.name.count })
        if hasInputs { inputs.reserve(entries.count, bytes: self.inputBytes) }
        var doubled: [String] = []
        var last: [UInt8]?
        for entry in entries {
            if entry.name == last { doubled.append(String(decoding: entry.name, as: UTF8.self)) }
            last = entry.name
            names.append(entry.name)
            if hasInputs { inputs.append(entry.input) }
        }
        let set = ScheduleSet(
            names: names,
            inputs: inputs,
            rules: self.rules,
            exclusions: self.rules.map { _ in Exclusions() },
            ruleNumbers: entries.map(\.rule)
        )
        return (set, doubled)
    }
}
