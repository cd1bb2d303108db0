// SPDX-License-Identifier: Apache-2.0

import Crypto
import PenstockCore

/// Names that are the same for the same text, made from its SHA-256.
package enum StableID {
    /// 64 hexadecimal digits.
    package static func digest(_ text: [UInt8]) -> String {
        Hexadecimal.text(SHA256.hash(data: text))
    }

    /// The form of a UUID (RFC 9562, version 8).
    package static func uuid(_ text: String) -> String {
        var number = SHA256.hash(data: Array(text.utf8)).prefix(16).reduce(UInt128(0)) {
            $0 << 8 | UInt128($1)
        }
        number = number & ~(UInt128(0xF) << 76) | UInt128(8) << 76
        number = number & ~(UInt128(3) << 62) | UInt128(2) << 62
        return Hexadecimal.uuid(number)
    }

    private static let lengthMax = 128

    /// The text itself where it may be the id of a message group (AWS: at most 128 letters, digits and punctuation), its
    /// digest otherwise.
    package static func group(_ text: [UInt8]) -> String {
        let isPlain = (1...Self.lengthMax).contains(text.count) && text.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        return isPlain ? String(decoding: text, as: UTF8.self) : Self.digest(text)
    }
}
