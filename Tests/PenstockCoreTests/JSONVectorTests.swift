// SPDX-License-Identifier: Apache-2.0

import CJSON
import Glibc
import PenstockCore
import Testing

/// What looks at many bytes together finds what a look at each byte finds, and reads nothing behind a text.
@Suite struct JSONVectorTests {
    /// Bytes in front of memory that cannot be read.
    @safe
    private final class Fenced {
        static let size = 4096
        private let base: UnsafeMutableRawPointer

        init() throws {
            let map = unsafe mmap(
                nil,
                2 * Self.size,
                PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS,
                -1,
                0
            )
            unsafe self.base = try #require(unsafe map)
            try #require(unsafe mprotect(self.base + Self.size, Self.size, PROT_NONE) == 0)
        }

        deinit { unsafe munmap(self.base, 2 * Self.size) }

        /// Calls with a copy of a text whose last byte is the last one that can be read.
        func with<Result>(_ text: [UInt8], _ body: (UnsafePointer<UInt8>) throws -> Result) rethrows -> Result
        {
            let start = unsafe self.base + Self.size - text.count
            unsafe UnsafeMutableRawBufferPointer(start: start, count: text.count).copyBytes(from: text)
            return unsafe try body(UnsafePointer(start.assumingMemoryBound(to: UInt8.self)))
        }
    }

    /// Texts in which everything that matters is frequent.
    private static func text(_ count: Int, _ random: inout SplitMix64) -> [UInt8] {
        let bytes = Array("{}[]\"\\\\x,:é\u{1}".utf8)
        let plain = Int.random(in: 0...9, using: &random)
        return (0..<count).map { _ in
            Int.random(in: 0...9, using: &random) < plain
                ? UInt8(ascii: "x") : bytes.randomElement(using: &random) ?? 0
        }
    }

    @Test("Containers end where a look at each byte says, at any place and in any length of text")
    func containers() throws {
        let fenced = try Fenced()
        var random = SplitMix64(seed: .random(in: 0 ... .max))
        for round in 0..<40_000 {
            var text = Self.text(round % 300, &random)
            if !text.isEmpty { text[0] = UInt8(ascii: "{") }
            let index = text.isEmpty ? 0 : Int.random(in: 0..<text.count, using: &random)
            if !text.isEmpty { text[index] = UInt8(ascii: "[") }
            unsafe fenced.with(text) { bytes in
                let end = unsafe penstock_json_container_end(bytes, index, text.count)
                let expected = unsafe penstock_json_container_end_by_byte(bytes, index, text.count)
                // A backslash that is in no string, which JSON has not, may take away the meaning of a byte, or not.
                guard !Self.hasSlashOutside(text, from: index) else { return #expect(end <= text.count) }
                #expect(end == expected, "at \(index) of \(String(decoding: text, as: UTF8.self))")
            }
        }
    }

    private static func hasSlashOutside(_ text: [UInt8], from start: Int) -> Bool {
        var (index, isText) = (start, false)
        while index < text.count {
            if text[index] == UInt8(ascii: "\\") {
                if !isText { return true }
                index += 1
            } else if text[index] == UInt8(ascii: "\"") {
                isText.toggle()
            }
            index += 1
        }
        return false
    }

    @Test("Marks are found where a look at each byte says")
    func marks() throws {
        let fenced = try Fenced()
        var random = SplitMix64(seed: .random(in: 0 ... .max))
        for round in 0..<10_000 {
            let text = Self.text(round % 100, &random)
            let index = Int.random(in: 0...text.count, using: &random)
            unsafe fenced.with(text) { bytes in
                let marks: Set = [UInt8(ascii: "\""), UInt8(ascii: "\\")]
                #expect(
                    unsafe penstock_json_mark(bytes, index, text.count)
                        == text[index...].firstIndex { marks.contains($0) } ?? text.count
                )
                #expect(
                    unsafe penstock_json_special(bytes, index, text.count)
                        == text[index...].firstIndex { marks.contains($0) || $0 < 0x20 || $0 > 0x7F }
                        ?? text.count
                )
                let end = Int.random(in: index...text.count, using: &random)
                #expect(
                    unsafe penstock_json_has_blank_or_comma(bytes, index, end, text.count)
                        == text[index..<end].contains { $0 <= 0x20 || $0 == UInt8(ascii: ",") }
                )
            }
        }
    }
}
