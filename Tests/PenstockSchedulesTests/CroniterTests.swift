// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockSchedules
import PenstockTesting
import Testing

/// Random expressions beside croniter, a cron of other people (Python, in the tests' environment).
///
/// In UTC, because it has another rule for changed clocks, and without what it reads otherwise: a day field that lists all
/// days restricts here, and is a star there.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct CroniterTests {
    private static let times = 8

    private static let script = """
        import sys
        from croniter import croniter, CroniterBadDateError
        for line in open(sys.argv[1]):
            start, expression = line.rstrip("\\n").split("|")
            try:
                cron = croniter(expression, float(start), second_at_beginning=True)
                print(" ".join(str(int(cron.get_next(float))) for _ in range(\(Self.times))))
            except CroniterBadDateError:
                print("never")
        """

    /// What the fields of an expression have.
    private struct Field {
        var range: ClosedRange<Int>
        var names: [String] = []
        var isDay = false
    }

    private static let fields = [
        Field(range: 0...59), Field(range: 0...59), Field(range: 0...23),
        Field(range: 1...31, isDay: true),
        Field(
            range: 1...12,
            names: [
                "", "jan", "FEB", "mar", "Apr", "may", "jun", "JUL", "aug", "sep", "oct", "nov", "dec",
            ]
        ),
        Field(range: 0...6, names: ["sun", "MON", "tue", "Wed", "thu", "fri", "sat"], isDay: true),
    ]

    private static func text(_ field: Field, _ random: inout SeededRandom) -> String {
        while true {
            var numbers: Set<Int> = []
            let terms = (0..<Int.random(in: 0...3, using: &random)).map { _ in
                Self.term(field, &numbers, &random)
            }
            if terms.isEmpty { return "*" }
            if !field.isDay || numbers.count < field.range.count { return terms.joined(separator: ",") }
        }
    }

    private static func term(
        _ field: Field,
        _ numbers: inout Set<Int>,
        _ random: inout SeededRandom
    ) -> String {
        let first = Int.random(in: field.range, using: &random)
        let last = Int.random(in: first...field.range.upperBound, using: &random)
        let before = Int.random(in: field.range.lowerBound...first, using: &random)
        let step = Int.random(in: 2...max(2, field.range.count / 2), using: &random)
        let useNames = !field.names.isEmpty && Bool.random(using: &random)
        func name(_ number: Int) -> String { useNames ? field.names[number] : "\(number)" }
        switch Int.random(in: 0..<6, using: &random) {
        case 5 where before < first:
            // Over the end; with a step it counts anew from there, and ours goes on.
            numbers.formUnion(first...field.range.upperBound)
            numbers.formUnion(field.range.lowerBound...before)
            return "\(name(first))-\(name(before))"
        case 0:
            numbers.formUnion(first...last)
            return first == last ? name(first) : "\(name(first))-\(name(last))"
        case 1 where first < last:
            numbers.formUnion(stride(from: first, through: last, by: step))
            return "\(first)-\(last)/\(step)"
        case 2:
            numbers.formUnion(stride(from: field.range.lowerBound, through: field.range.upperBound, by: step))
            return "*/\(step)"
        default:
            numbers.insert(first)
            return name(first)
        }
    }

    @Test(
        "Random expressions of five and of six fields fire when croniter says",
        arguments: [1, nil] as [UInt64?]
    )
    func random(seed fixed: UInt64?) throws {
        let seed = fixed ?? UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        let cases = (0..<1000).map { number -> (start: Int, text: String) in
            let fields = number.isMultiple(of: 2) ? Self.fields[...] : Self.fields.dropFirst()
            let text = fields.map { Self.text($0, &random) }.joined(separator: " ")
            return (Int.random(in: 0..<4_000_000_000, using: &random), text)
        }
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "croniter-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let list = folder.appendingPathComponent("cases")
        try cases.map { "\($0.start)|\($0.text)\n" }.joined().write(
            to: list,
            atomically: true,
            encoding: .utf8
        )
        let process = try ForeignProcess(TestEnvironment.python, ["-c", Self.script, list.path])
        let status = process.status(within: .seconds(120))
        try #require(status == 0, "croniter is missing? Run make setup: \(process.standardError)")
        let lines = process.standardOutput.split(separator: "\n")
        try #require(lines.count == cases.count)
        for (line, (start, text)) in zip(lines, cases) {
            let schedule = Schedule(try ScheduleExpression(text), in: .utc)
            guard line != "never" else {
                // It looks fifty years ahead.
                let next = schedule.next(after: start).map { $0 - start } ?? .max
                #expect(next > 49 * 365 * 86_400, "\(text) after \(start), seed \(seed)")
                continue
            }
            var last = start
            for expected in line.split(separator: " ") {
                let next = schedule.next(after: last)
                try #require(next.map(String.init) == String(expected), "\(text) after \(last), seed \(seed)")
                last = next ?? last
            }
        }
    }
}
