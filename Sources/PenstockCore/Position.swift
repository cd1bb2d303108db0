// SPDX-License-Identifier: Apache-2.0

/// Where a record stands in its partition: an unsigned number of 192 bits.
///
/// Opaque to the core, which only compares positions of one partition. Wide enough for a Kafka offset, a DynamoDB
/// sequence number (up to 40 decimal digits) and a Postgres LSN with an index. Its text is the decimal number.
@usableFromInline
package struct Position: Comparable, Hashable, Sendable, LosslessStringConvertible {
    @usableFromInline var high: UInt64
    @usableFromInline var low: UInt128

    /// The position with this number, such as a Kafka offset.
    @inlinable
    package init(_ value: UInt64) {
        self.high = 0
        self.low = UInt128(value)
    }

    /// The position with this number, such as a UUID of 128 bits.
    @inlinable
    package init(wide value: UInt128) {
        self.high = 0
        self.low = value
    }

    /// The number if it fits 128 bits, as UUIDs do.
    @inlinable package var wide: UInt128? { self.high == 0 ? self.low : nil }

    /// Reads a decimal number; nil when `text` is anything else or needs more than 192 bits.
    @usableFromInline
    package init?(_ text: String) {
        guard !text.isEmpty, text.utf8.count <= 58 else { return nil }
        self.init(0)
        for digit in text.utf8 {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            let (carry, product) = self.low.multipliedFullWidth(by: 10)
            let (sum, overflow) = product.addingReportingOverflow(UInt128(digit - UInt8(ascii: "0")))
            let (shifted, tooLarge) = self.high.multipliedReportingOverflow(by: 10)
            let (next, carriedOut) = shifted.addingReportingOverflow(
                UInt64(truncatingIfNeeded: carry) &+ (overflow ? 1 : 0)
            )
            guard !tooLarge, !carriedOut else { return nil }
            self.low = sum
            self.high = next
        }
    }

    /// The number if it fits 64 bits, as Kafka offsets do.
    @inlinable package var offset: UInt64? {
        self.high == 0 ? UInt64(exactly: self.low) : nil
    }

    @usableFromInline package var description: String {
        guard self.high != 0 else { return self.offset.map { String($0) } ?? String(self.low) }
        // Long division by 10^19 of three 64-bit digits, most significant first.
        let base: UInt64 = 10_000_000_000_000_000_000
        var digits = [
            self.high, UInt64(truncatingIfNeeded: self.low >> 64), UInt64(truncatingIfNeeded: self.low),
        ]
        var parts: [UInt64] = []
        while digits.contains(where: { $0 != 0 }) {
            var remainder: UInt64 = 0
            for index in digits.indices {
                (digits[index], remainder) = base.dividingFullWidth((remainder, digits[index]))
            }
            parts.append(remainder)
        }
        var text = String(parts.removeLast())
        for part in parts.reversed() {
            let padded = String(part)
            text += String(repeating: "0", count: 19 - padded.utf8.count) + padded
        }
        return text
    }

    @inlinable
    package static func < (lhs: Self, rhs: Self) -> Bool {
        (lhs.high, lhs.low) < (rhs.high, rhs.low)
    }
}
