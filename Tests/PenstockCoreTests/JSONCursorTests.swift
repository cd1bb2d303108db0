// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PenstockCore

/// Walking over JSON, many bytes at a time, finds what a look at each byte finds.
@Suite struct JSONCursorTests {
    /// A random value of JSON, with strings of all lengths around those of vectors.
    private struct Writer {
        var random: SplitMix64
        var text = ""

        mutating func value(depth: Int) {
            switch Int.random(in: depth > 4 ? 3...6 : 0...6, using: &self.random) {
            case 0, 1: self.members("{", "}", depth: depth) { $0.string() + $0.blank() + ":" }
            case 2: self.members("[", "]", depth: depth) { _ in "" }
            case 3: self.text += self.pick(["true", "false", "null"])
            case 4: self.text += self.pick(["0", "-12.5e+10", "3", "120.5"])
            default: self.text += self.string()
            }
        }

        private mutating func members(
            _ open: String,
            _ close: String,
            depth: Int,
            _ name: (inout Writer) -> String
        ) {
            self.text += open + self.blank()
            for place in 0..<Int.random(in: 0...4, using: &self.random) {
                if place > 0 { self.text += "," + self.blank() }
                self.text += name(&self) + self.blank()
                self.value(depth: depth + 1)
                self.text += self.blank()
            }
            self.text += close
        }

        mutating func string() -> String {
            let parts = ["x", "\\\"", "\\\\", "{", "}", "[", "]", ",", "é", "\\u00e9", "order-7301"]
            var string = "\""
            for _ in 0..<Int.random(in: 0...40, using: &self.random) { string += self.pick(parts) }
            return string + "\""
        }

        mutating func blank() -> String { self.pick(["", "", "", " ", "\n\t"]) }

        private mutating func pick(_ texts: [String]) -> String {
            texts.randomElement(using: &self.random) ?? ""
        }
    }

    /// Where a value ends, byte by byte.
    private static func end(_ bytes: [UInt8]) -> Int? {
        var (depth, index) = (0, 0)
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""):
                index += 1
                while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                    index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
                }
                guard index < bytes.count else { return nil }
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
            index += 1
            if depth == 0 { return index }
        }
        return nil
    }

    private static func text(_ seed: UInt64) -> [UInt8] {
        var writer = Writer(random: SplitMix64(seed: seed))
        writer.text = "{\"a\":"
        writer.value(depth: 0)
        return Array("\(writer.text)} , 1".utf8)
    }

    @Test("A value ends where a look at each byte says")
    func ends() throws {
        for _ in 0..<2000 {
            let seed = UInt64.random(in: 0 ... .max)
            let bytes = Self.text(seed)
            var cursor = JSONCursor(bytes)
            #expect(try cursor.value() == 0..<(try #require(Self.end(bytes))), "seed \(seed)")
            var inside = JSONCursor(bytes)
            try inside.members { (cursor, name) throws(JSONCursor.Malformed) in
                #expect(cursor.isEqual(name, "a") && !cursor.isEqual(name, "b"), "seed \(seed)")
                try cursor.skip()
            }
            #expect(inside.index == cursor.index, "seed \(seed)")
        }
    }

    @Test("A text that is cut off at any byte is malformed")
    func cuts() {
        for _ in 0..<50 {
            let bytes = Self.text(.random(in: 0 ... .max))
            let end = Self.end(bytes) ?? 0
            for count in 0..<end {
                var cursor = JSONCursor(Array(bytes[..<count]))
                #expect(throws: JSONCursor.Malformed.self) { try cursor.skip() }
                #expect(cursor.index <= count)
            }
        }
    }

    @Test("Texts are what they were before they were escaped, wherever escapes stand")
    func texts() throws {
        var random = SplitMix64(seed: .random(in: 0 ... .max))
        let characters = Array("ab\"\\\n\u{1}é€😀 ")
        for _ in 0..<2000 {
            let count = Int.random(in: 0...70, using: &random)
            let text = String((0..<count).map { _ in characters.randomElement(using: &random) ?? "a" })
            var cursor = JSONCursor(JSONText.escaped(text))
            let place = try cursor.string()
            #expect(try cursor.value(place) == text)
            let buffer = EventBuffer()
            let bytes = Array(text.utf8)
            unsafe bytes.withUnsafeBytes { bytes in
                buffer.write(upTo: unsafe EventWriter.stringSize(of: bytes)) { unsafe $0.string(bytes) }
                #expect(buffer.count == (unsafe EventWriter.stringSize(of: bytes)))
            }
            #expect(unsafe [UInt8](buffer.bytes) == JSONText.escaped(text))
        }
    }

    @Test(
        "Names are compared to their last byte",
        arguments: ["", "a", "eventID", "dynamodb", "eventSourceARN"]
    )
    func names(name: String) throws {
        let wanted: [StaticString] = ["", "a", "eventID", "dynamodb", "eventSourceARN"]
        for other in wanted {
            var cursor = JSONCursor(Array("\"\(name)\"".utf8))
            #expect(cursor.isEqual(try cursor.string(), other) == (name == "\(other)"))
        }
        guard !name.isEmpty else { return }
        var cursor = JSONCursor(Array("\"\(name.dropLast())x\"".utf8))
        let text = try cursor.string()
        #expect(!wanted.contains { cursor.isEqual(text, $0) })
    }
}
