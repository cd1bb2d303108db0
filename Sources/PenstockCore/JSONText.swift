// SPDX-License-Identifier: Apache-2.0

/// JSON string literals (RFC 8259 section 7).
package enum JSONText {
    /// `bytes` as a JSON string with quotes.
    ///
    /// Invalid UTF-8 becomes U+FFFD, control characters become `\u00XX`.
    package static func escaped(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        unsafe Self.escaped(String(decoding: bytes, as: UTF8.self))
    }

    /// A member of an object: its name, a colon, and a text.
    package static func member(_ name: String, _ text: String) -> [UInt8] {
        Self.escaped(name) + [UInt8(ascii: ":")] + Self.escaped(text)
    }

    /// `text` as a JSON string with quotes.
    package static func escaped(_ text: String) -> [UInt8] {
        var result: [UInt8] = [UInt8(ascii: "\"")]
        result.reserveCapacity(text.utf8.count + 2)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                result.append(UInt8(ascii: "\\"))
                result.append(byte)
            case 0x0A: result.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "n")])
            case 0x0D: result.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "r")])
            case 0x09: result.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "t")])
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                result.append(contentsOf: Array("\\u00".utf8))
                result.append(digits[Int(byte >> 4)])
                result.append(digits[Int(byte & 15)])
            default: result.append(byte)
            }
        }
        result.append(UInt8(ascii: "\""))
        return result
    }
}
