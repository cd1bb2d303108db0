// SPDX-License-Identifier: Apache-2.0

/// JSON string literals (RFC 8259 section 7).
package enum JSONText {
    /// `bytes` as a JSON string with quotes.
    ///
    /// Invalid UTF-8 becomes U+FFFD, control characters become `\u00XX`.
    package static func escaped(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        unsafe Self.escaped(String(decoding: bytes, as: UTF8.self))
    }

    /// What must be done to a text to make it a JSON string.
    enum Plainness: Equatable {
        /// Nothing but the quotes.
        case plain
        /// Some bytes become escapes, which are so many bytes longer in all.
        case escaped(more: Int)
        /// It is not UTF-8.
        case invalid
    }

    /// Looks at a text without a copy of it.
    static func plainness(of bytes: UnsafeRawBufferPointer) -> Plainness {
        var more = 0
        var index = 0
        while index < bytes.count {
            while index + 8 <= bytes.count, unsafe Self.isPlain(bytes, wordAt: index) { index += 8 }
            guard index < bytes.count else { break }
            let byte = unsafe bytes[index]
            if byte >= 0x80 {
                let length = unsafe Self.scalarLength(bytes, index)
                guard length > 0 else { return .invalid }
                index += length
                continue
            }
            if byte < 0x20 {
                more += byte == 0x09 || byte == 0x0A || byte == 0x0D ? 1 : 5
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                more += 1
            }
            index += 1
        }
        return more == 0 ? .plain : .escaped(more: more)
    }

    /// Whether eight bytes are all of ASCII and need no escape, looked at together.
    private static func isPlain(_ bytes: UnsafeRawBufferPointer, wordAt index: Int) -> Bool {
        let each: UInt64 = 0x0101_0101_0101_0101
        let word = unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        // The high bit of a byte is set by what is not ASCII, and by a borrow of what is below a space, or is the quote or
        // the backslash. A borrow goes on to the next byte only where there was one.
        let found =
            word | (word &- each &* 0x20) | ((word ^ each &* UInt64(UInt8(ascii: "\""))) &- each)
            | ((word ^ each &* UInt64(UInt8(ascii: "\\"))) &- each)
        return found & (each &* 0x80) == 0
    }

    /// Bytes of the scalar that begins there with a byte above 0x7F; 0 when it is not UTF-8 (RFC 3629 section 4).
    private static func scalarLength(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Int {
        let first = unsafe bytes[index]
        let length: Int
        // The second byte is bounded further: no overlong forms, no surrogates, nothing above U+10FFFF.
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch first {
        case 0xC2...0xDF: length = 2
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        case 0xF1...0xF3: length = 4
        default: return 0
        }
        guard index + length <= bytes.count, unsafe second.contains(bytes[index + 1]) else { return 0 }
        for place in index + 2..<max(index + 2, index + length) {
            guard unsafe bytes[place] & 0xC0 == 0x80 else { return 0 }
        }
        return length
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
                result.append(contentsOf: Array("\\u00".utf8))
                result.append(Hexadecimal.digit(byte >> 4))
                result.append(Hexadecimal.digit(byte))
            default: result.append(byte)
            }
        }
        result.append(UInt8(ascii: "\""))
        return result
    }
}
