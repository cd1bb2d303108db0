// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

@Suite struct PositionTests {
    private static let largest = "6277101735386680763835789423207666416102355444464034512895"

    @Test("A position of up to 192 bits is read and written exactly, whatever its width")
    func roundTrip() throws {
        var random = SeededGenerator(state: 0x5EED)
        for width in 0...192 {
            for _ in 0..<20 {
                let text = Self.decimal(bits: width, &random)
                let position = try #require(Position(text), "\(text) of \(width) bits")
                #expect(position.description == text)
                #expect(Position(position.description) == position)
                #expect(position.offset == UInt64(text))
                #expect(Position(String(repeating: "0", count: 58 - text.utf8.count) + text) == position)
            }
        }
    }

    @Test("Positions are in the order of their numbers, not of their texts")
    func order() throws {
        var random = SeededGenerator(state: 7)
        for _ in 0..<2000 {
            let left = Self.decimal(bits: Int.random(in: 0...192, using: &random), &random)
            let right = Self.decimal(bits: Int.random(in: 0...192, using: &random), &random)
            let isLess = (left.utf8.count, left) < (right.utf8.count, right)
            let (first, second) = (try #require(Position(left)), try #require(Position(right)))
            #expect((first < second) == isLess, "\(left) \(right)")
        }
    }

    @Test("The limits of 64, 128 and 192 bits are exact")
    func limits() {
        #expect(Position("18446744073709551615")?.offset == UInt64.max)
        #expect(Position("18446744073709551616")?.offset == nil)
        for text in [
            "0", "18446744073709551616", "340282366920938463463374607431768211455",
            "340282366920938463463374607431768211456", "10000000000000000000000000000000000000000",
            Self.largest,
        ] {
            #expect(Position(text)?.description == text)
        }
        #expect(Position(UInt64.max).description == "18446744073709551615")
    }

    @Test(
        "What is no decimal number of 192 bits is no position",
        arguments: [
            "", " ", "-1", "+1", "1 ", "0x10", "1e3", "1.0", "١", "1\0",
            "6277101735386680763835789423207666416102355444464034512896",
            "9999999999999999999999999999999999999999999999999999999999",
            "10000000000000000000000000000000000000000000000000000000000",
        ]
    )
    func refusal(text: String) {
        #expect(Position(text) == nil)
    }

    /// A random number of exactly this many bits, by doubling decimal digits: it shares nothing with the code.
    private static func decimal(bits: Int, _ random: inout SeededGenerator) -> String {
        var digits: [UInt8] = [0]
        for index in 0..<bits {
            var carry: UInt8 = index == 0 || Bool.random(using: &random) ? 1 : 0
            for place in digits.indices {
                let doubled = digits[place] * 2 + carry
                digits[place] = doubled % 10
                carry = doubled / 10
            }
            if carry > 0 { digits.append(carry) }
        }
        return String(decoding: digits.reversed().map { $0 + UInt8(ascii: "0") }, as: UTF8.self)
    }

    /// SplitMix64: the same numbers in each run.
    private struct SeededGenerator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            self.state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = self.state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }

    @Test(
        "Times that producers make up are told like any other",
        arguments: [Int64.min, .min + 86_399_998, -1, 0, .max]
    )
    func times(milliseconds: Int64) {
        let text = Timestamp(milliseconds: milliseconds).configurationText
        #expect(text.hasSuffix("Z") && text.contains("T"))
    }
}
