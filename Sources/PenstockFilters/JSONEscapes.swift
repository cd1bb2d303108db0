// SPDX-License-Identifier: Apache-2.0

/// The escapes in JSON strings (RFC 8259, section 7).
enum JSONEscapes {
    /// Writes what a string means to `target`, which has room for as many bytes; nil when an escape is malformed.
    ///
    /// A surrogate without its other half becomes U+FFFD, as no UTF-8 exists for it.
    static func unescape(_ raw: Bytes, to target: UnsafeMutableRawPointer) -> Bytes? {
        var index = 0
        var count = 0
        func put(_ byte: UInt8) {
            unsafe target.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
            count += 1
        }
        while index < raw.count {
            let byte = raw[index]
            index += 1
            guard byte == UInt8(ascii: "\\") else {
                put(byte)
                continue
            }
            guard index < raw.count else { return nil }
            let escaped = raw[index]
            index += 1
            if escaped == UInt8(ascii: "u") {
                guard let scalar = Self.unicode(raw, &index) else { return nil }
                for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { put(byte) }
            } else {
                guard let plain = Self.plain(escaped) else { return nil }
                put(plain)
            }
        }
        return unsafe Bytes(base: UnsafeRawPointer(target), count: count)
    }

    /// Whether all escapes are well formed.
    static func areValid(_ raw: Bytes) -> Bool {
        var index = 0
        while index < raw.count {
            let byte = raw[index]
            index += 1
            guard byte == UInt8(ascii: "\\") else { continue }
            guard index < raw.count else { return false }
            let escaped = raw[index]
            index += 1
            if escaped == UInt8(ascii: "u") {
                guard Self.hexadecimal(raw, &index) != nil else { return false }
            } else if Self.plain(escaped) == nil {
                return false
            }
        }
        return true
    }

    private static func plain(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): byte
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        default: nil
        }
    }

    private static func unicode(_ raw: Bytes, _ index: inout Int) -> Unicode.Scalar? {
        guard let first = Self.hexadecimal(raw, &index) else { return nil }
        if (0xD800..<0xDC00).contains(first), index + 1 < raw.count,
            raw[index] == UInt8(ascii: "\\"), raw[index + 1] == UInt8(ascii: "u")
        {
            var after = index + 2
            guard let second = Self.hexadecimal(raw, &after) else { return nil }
            if (0xDC00..<0xE000).contains(second) {
                index = after
                return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
            }
        }
        return Unicode.Scalar(first) ?? "\u{FFFD}"
    }

    private static func hexadecimal(_ raw: Bytes, _ index: inout Int) -> UInt32? {
        guard index + 4 <= raw.count else { return nil }
        var value: UInt32 = 0
        for _ in 0..<4 {
            let byte = raw[index]
            index += 1
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt32(byte - 0x30)
            case 0x41...0x46: value = value << 4 | UInt32(byte - 0x41 + 10)
            case 0x61...0x66: value = value << 4 | UInt32(byte - 0x61 + 10)
            default: return nil
            }
        }
        return value
    }
}
