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

    /// Reads a sequence number from its digits; nil for anything else.
    static func read(_ digits: some Collection<UInt8>) -> Position? {
        guard !digits.isEmpty, digits.count <= 40 else { return nil }
        var value: UInt128 = 0
        // In parts that fit a word.
        var (part, scale): (UInt64, UInt64) = (0, 1)
        for byte in digits {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            part = part &* 10 &+ UInt64(byte &- UInt8(ascii: "0"))
            scale &*= 10
            guard scale == Self.partMax else { continue }
            value = value &* UInt128(scale) &+ UInt128(part)
            (part, scale) = (0, 1)
        }
        value = value &* UInt128(scale) &+ UInt128(part)
        if digits.count <= 38 { return Position(wide: value) }
        return Position(String(decoding: digits, as: UTF8.self))
    }
}
