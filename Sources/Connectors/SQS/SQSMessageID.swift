// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// A message's id as our position, and back: the same in each delivery of the message.
///
/// AWS's ids are UUIDs, which are numbers of 128 bits. What is none is hashed to as many.
enum SQSMessageID {
    static let byteCount = 36

    /// The position of the message of this id.
    static func position(of id: some Collection<UInt8>) -> Position {
        Position(wide: Self.number(id) ?? Self.hash(id))
    }

    /// The number in `8-4-4-4-12` hexadecimal digits; nil for anything else.
    private static func number(_ id: some Collection<UInt8>) -> UInt128? {
        guard id.count == Self.byteCount else { return nil }
        var number: UInt128 = 0
        for (offset, byte) in id.enumerated() {
            if Self.isHyphen(offset) {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            default: return nil
            }
            number = number << 4 | UInt128(digit)
        }
        return number
    }

    private static func isHyphen(_ offset: Int) -> Bool {
        offset == 8 || offset == 13 || offset == 18 || offset == 23
    }

    /// Twice FNV-1a, from two starts.
    private static func hash(_ id: some Collection<UInt8>) -> UInt128 {
        var (high, low): (UInt64, UInt64) = (0xCBF2_9CE4_8422_2325, 0x8422_2325_CBF2_9CE4)
        for byte in id {
            high = (high ^ UInt64(byte)) &* 0x100_0000_01B3
            low = (low ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        return UInt128(high) << 64 | UInt128(low)
    }

    /// The id of a record that has none of its own: its position in the form of a UUID.
    static func text(of position: Position) -> String {
        Hexadecimal.uuid(position.wide ?? 0)
    }
}
