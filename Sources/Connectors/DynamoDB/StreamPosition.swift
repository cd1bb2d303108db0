// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// What positions of a shard say: a sequence number, or what is no record.
///
/// Sequence numbers have 21 to 40 digits and are their own positions. A checkpoint must say two things more, and does so by
/// numbers beyond all of them: that nothing was read since a time, and that the shard is read to its end.
enum StreamPosition {
    /// The shard is read to its end, and all of it is settled.
    static let end = Self.number("2", 0)

    /// Nothing was settled yet of a shard from which what was written since then is wanted.
    static func since(_ time: Timestamp) -> Position {
        Self.number("1", UInt64(max(0, time.milliseconds)))
    }

    /// Nothing was settled yet of a shard from which all is wanted.
    static let oldest = Self.since(Timestamp(milliseconds: 0))

    /// The time of ``since(_:)``; nil for any other position.
    static func time(in position: Position) -> Timestamp? {
        guard position >= Self.first, position < Self.end else { return nil }
        return Int64(position.description.dropFirst()).map { Timestamp(milliseconds: $0) }
    }

    /// Whether a position is a sequence number.
    static func isSequence(_ position: Position) -> Bool { position < Self.first }

    /// The sequence number as DynamoDB writes it, with as many digits as those of its shard.
    static func text(_ position: Position, digits: Int = Self.digitsMin) -> String {
        let text = position.description
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }

    /// Digits of a sequence number at least.
    static let digitsMin = 21

    /// Digits behind the first one of what is no sequence number.
    private static let zeros = 50

    private static let partMax: UInt64 = 1_000_000_000_000_000_000
    private static let first = Self.number("1", 0)

    private static func number(_ kind: String, _ value: UInt64) -> Position {
        let digits = String(value)
        let text = kind + String(repeating: "0", count: Self.zeros - digits.utf8.count) + digits
        // Far below 2^192.
        return Position(text) ?? Position(wide: .max)
    }

    /// Reads a sequence number; nil for anything else.
    static func read(_ text: String) -> Position? {
        var text = text
        return text.withUTF8 { unsafe Self.read(UnsafeRawBufferPointer($0)) }
    }

    /// Reads a sequence number from its digits; nil for anything else.
    static func read(_ digits: UnsafeRawBufferPointer) -> Position? {
        guard unsafe !digits.isEmpty, digits.count <= 40 else { return nil }
        var value: UInt128 = 0
        var index = 0
        // Two words of eight digits together, as few products of 128 bits as can be.
        while index + 16 <= digits.count {
            guard let high = unsafe Self.eight(digits, at: index),
                let low = unsafe Self.eight(digits, at: index + 8)
            else { return nil }
            value = value &* 10_000_000_000_000_000 &+ UInt128(high &* 100_000_000 &+ low)
            index += 16
        }
        var (rest, scale): (UInt64, UInt64) = (0, 1)
        while index < digits.count {
            let digit = unsafe digits[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            (rest, scale) = (rest &* 10 &+ UInt64(digit), scale &* 10)
            index += 1
        }
        value = value &* UInt128(scale) &+ UInt128(rest)
        if digits.count <= 38 { return Position(wide: value) }
        return Position(unsafe String(decoding: digits, as: UTF8.self))
    }

    /// The number that eight digits are; nil when one is none.
    private static func eight(_ digits: UnsafeRawBufferPointer, at index: Int) -> UInt64? {
        // The first digit is the lowest byte: each step joins neighbours, of one, two and four digits.
        var word = unsafe UInt64(littleEndian: digits.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        word = word &- 0x3030_3030_3030_3030
        guard (word | (word &+ 0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 == 0 else { return nil }
        word = word &* 10 &+ word >> 8
        word = ((word & 0x00FF_00FF_00FF_00FF) &* 100) &+ ((word >> 16) & 0x00FF_00FF_00FF_00FF)
        word = ((word & 0x0000_FFFF_0000_FFFF) &* 10000) &+ ((word >> 32) & 0x0000_FFFF_0000_FFFF)
        return word & 0xFFFF_FFFF
    }
}
