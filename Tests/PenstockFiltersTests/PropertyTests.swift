// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

@testable import PenstockFilters

/// Random patterns and events that often have something to do with each other.
struct PatternGenerator {
    var random: SplitMix64

    private static let keys = ["a", "a", "b", "b", "a.b", "longer-than-eight"]
    private static let texts = ["", "x", "xy", "yx", "Xy", "x*y", "é", "É", "10.0.0.1", "q\"\\/\n"]
    private static let numbers = ["0", "1", "-1", "1.0", "2.5", "1e1", "10", "100e-1"]

    mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &self.random)]
    }

    private mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &self.random) < percent
    }

    private mutating func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case "\n": result += "\\n"
            default:
                // The same letter in its other spelling now and then.
                let digits = String(scalar.value, radix: 16)
                let escaped = "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                result += self.chance(5) ? escaped : String(scalar)
            }
        }
        return result + "\""
    }

    mutating func text() -> String { self.quoted(self.pick(Self.texts)) }

    private mutating func list(_ count: ClosedRange<Int>, _ element: (inout Self) -> String) -> String {
        (0..<Int.random(in: count, using: &self.random)).map { _ in element(&self) }.joined(separator: ",")
    }

    // MARK: - Events

    mutating func event() -> String { self.object(depth: 0) }

    private mutating func object(depth: Int) -> String {
        var keys: Set<String> = []
        let members = (0..<Int.random(in: 0...4, using: &self.random)).compactMap { _ -> String? in
            let key = self.pick(Self.keys)
            // Keys are given once; what equal keys mean is in the table.
            guard keys.insert(key).inserted else { return nil }
            return self.quoted(key) + (self.chance(20) ? " : " : ":") + self.value(depth: depth + 1)
        }
        // Both spellings of one path, and arrays there: out of scope.
        let isAmbiguous = keys.contains("a.b") && keys.contains("a")
        return isAmbiguous ? "{}" : "{" + members.joined(separator: self.chance(20) ? " ,\n" : ",") + "}"
    }

    private mutating func value(depth: Int) -> String {
        switch Int.random(in: 0..<10, using: &self.random) {
        case 0, 1: return self.text()
        case 2, 3: return self.pick(Self.numbers)
        case 4: return self.pick(["true", "false", "null"])
        case 5,
            6 where depth < 4:
            return self.object(depth: depth)
        case 7,
            8 where depth < 4:
            return "[" + self.list(0...3) { $0.value(depth: depth + 1) } + "]"
        default: return self.text()
        }
    }

    // MARK: - Patterns

    mutating func pattern() -> String { self.fields(depth: 0) }

    private mutating func fields(depth: Int) -> String {
        var members: [String: String] = [:]
        for _ in 0...Int.random(in: 0...1, using: &self.random) {
            let key = self.pick(Self.keys)
            members[key] = depth < 3 && self.chance(40) ? self.fields(depth: depth + 1) : self.rules()
        }
        if members["a.b"] != nil { members["a"] = nil }
        var texts = members.sorted { $0.key < $1.key }.map { self.quoted($0.key) + ":" + $0.value }
        if depth == 0, self.chance(15) {
            // Fields of its own, so that no condition replaces another.
            let branches = self.list(2...2) { "{\"d\":\($0.rules()),\"e\":\($0.rules())}" }
            texts.append("\"$or\":[\(branches)]")
        }
        return "{" + texts.joined(separator: ",") + "}"
    }

    private mutating func rules() -> String { "[" + self.list(1...2) { $0.rule() } + "]" }

    private mutating func rule() -> String {
        switch Int.random(in: 0..<14, using: &self.random) {
        case 0, 1: self.text()
        case 2, 3: self.pick(Self.numbers)
        case 4: self.pick(["true", "false", "null"])
        case 5: "{\"exists\":\(self.pick(["true", "false"]))}"
        case 6: "{\"\(self.pick(["prefix", "suffix", "exactly", "equals-ignore-case"]))\":\(self.text())}"
        case 7: "{\"\(self.pick(["prefix", "suffix"]))\":{\"equals-ignore-case\":\(self.text())}}"
        case 8: "{\"wildcard\":\(self.pick(["\"*\"", "\"x*\"", "\"*y\"", "\"x*y\"", "\"*x*\"", "\"xy\""]))}"
        case 9: "{\"numeric\":[\"\(self.pick(["=", "<", "<=", ">", ">="]))\",\(self.pick(Self.numbers))]}"
        case 10: "{\"anything-but\":[\(self.list(1...2) { $0.text() })]}"
        case 11: "{\"anything-but\":\(self.pick(Self.numbers))}"
        case 12:
            "{\"anything-but\":{\"\(self.pick(["equals-ignore-case"]))\":[\(self.list(1...2) { $0.text() })]}}"
        default: "{\"anything-but\":{\"\(self.pick(["prefix", "suffix", "wildcard"]))\":\"x\"}}"
        }
    }
}

@Suite struct PropertyTests {
    @Test(
        "The matcher agrees with a slow and obvious one",
        arguments: [UInt64.random(in: .min ... .max), 1, 2, 3]
    )
    func agrees(seed: UInt64) throws {
        var generator = PatternGenerator(random: SplitMix64(seed: seed))
        var matched = 0
        for round in 0..<500 {
            let pattern = generator.pattern()
            let read = ReadPattern(pattern)
            let compiled = try #require(
                read.pattern,
                "seed \(seed) round \(round): \(pattern): \(read.lines)"
            )
            let matcher = PatternMatcher([compiled])
            for _ in 0..<4 {
                let event = generator.event()
                guard let expected = ReferenceMatcher.matches(pattern, event) else {
                    Issue.record("seed \(seed): not JSON: \(event)")
                    return
                }
                matched += expected ? 1 : 0
                let outcome = matcher.match(Array(event.utf8))
                #expect(
                    outcome == (expected ? .match(0) : .noMatch),
                    "seed \(seed) round \(round): \(pattern) on \(event)"
                )
                if outcome != (expected ? .match(0) : .noMatch) { return }
            }
        }
        // The generator makes both.
        #expect(matched > 60 && matched < 1900, "seed \(seed): \(matched) of 2000 match")
    }

    @Test("Several patterns in one program match when one of them does", arguments: [UInt64(11), 12])
    func together(seed: UInt64) throws {
        var generator = PatternGenerator(random: SplitMix64(seed: seed))
        for round in 0..<100 {
            let patterns = (0..<6).map { _ in generator.pattern() }
            let compiled = try patterns.map { try #require(ReadPattern($0).pattern) }
            let matcher = PatternMatcher(compiled)
            for _ in 0..<5 {
                let event = Array(generator.event().utf8)
                let first = compiled.firstIndex { PatternMatcher([$0]).match(event) == .match(0) }
                #expect(
                    matcher.match(event) == (first.map { .match($0) } ?? .noMatch),
                    "seed \(seed) round \(round): \(patterns) on \(String(decoding: event, as: UTF8.self))"
                )
            }
        }
    }
}
