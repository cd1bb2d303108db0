// SPDX-License-Identifier: Apache-2.0

internal import CJSON

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
        var index = unsafe Self.special(in: bytes, from: 0)
        while index < bytes.count {
            let byte = unsafe bytes[index]
            if byte >= 0x80 {
                let length = unsafe Self.scalarLength(bytes, index)
                guard length > 0 else { return .invalid }
                index += length
            } else {
                more += Self.escapeLength(of: byte) - 1
                index += 1
            }
            index = unsafe Self.special(in: bytes, from: index)
        }
        return more == 0 ? .plain : .escaped(more: more)
    }

    /// Where the next byte is that has to be escaped, or is not of ASCII; the end when there is none.
    @inline(__always)
    static func special(in bytes: UnsafeRawBufferPointer, from index: Int) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        return unsafe penstock_json_special(base.assumingMemoryBound(to: UInt8.self), index, bytes.count)
    }

    /// Bytes of a byte of ASCII in a string.
    private static func escapeLength(of byte: UInt8) -> Int {
        switch byte {
        case 0x09, 0x0A, 0x0D, UInt8(ascii: "\""), UInt8(ascii: "\\"): 2
        case ..<0x20: 6
        default: 1
        }
    }

    /// Bytes of the scalar that begins there with a byte above 0x7F; 0 when it is not UTF-8 (RFC 3629 section 4).
    static func scalarLength(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Int {
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
