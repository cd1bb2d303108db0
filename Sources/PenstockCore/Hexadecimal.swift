// SPDX-License-Identifier: Apache-2.0

/// Lowercase hexadecimal digits, as texts of digests, ids and escapes have them.
package enum Hexadecimal {
    /// The digit of the low four bits.
    package static func digit(_ value: some BinaryInteger) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: value) & 15
        return value + (value < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
    }

    /// Two digits for each byte.
    package static func digits(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var digits: [UInt8] = []
        digits.reserveCapacity(2 * bytes.underestimatedCount)
        for byte in bytes {
            digits.append(Self.digit(byte >> 4))
            digits.append(Self.digit(byte))
        }
        return digits
    }

    /// The same as a text.
    package static func text(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: Self.digits(bytes), as: UTF8.self)
    }

    /// The same of bytes in memory; one allocation.
    package static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        unsafe String(unsafeUninitializedCapacity: 2 * bytes.count) { digits in
            for place in 0..<bytes.count {
                unsafe digits[2 * place] = Self.digit(bytes[place] >> 4)
                unsafe digits[2 * place + 1] = Self.digit(bytes[place])
            }
            return 2 * bytes.count
        }
    }

    /// A number in the form of a UUID (RFC 9562), `8-4-4-4-12` digits; one allocation.
    package static func uuid(_ number: UInt128) -> String {
        unsafe String(unsafeUninitializedCapacity: 36) { bytes in
            var place = 0
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    unsafe bytes[place] = UInt8(ascii: "-")
                    place += 1
                }
                unsafe bytes[place] = Self.digit(number >> UInt128(124 - 4 * index))
                place += 1
            }
            return place
        }
    }
}
