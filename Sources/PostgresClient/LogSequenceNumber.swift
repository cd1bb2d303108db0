// SPDX-License-Identifier: Apache-2.0

/// A place in a server's write-ahead log (Postgres: `pg_lsn`).
///
/// Its text is Postgres' own, such as `0/16B3748`.
package struct LogSequenceNumber: Hashable, Comparable, Sendable, LosslessStringConvertible {
    /// Bytes since the log's begin.
    package var rawValue: UInt64

    /// The place with this number.
    package init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// No place.
    package static let none = LogSequenceNumber(0)

    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count <= 8 && $0.first?.isHexDigit == true }),
            let high = UInt32(parts[0], radix: 16), let low = UInt32(parts[1], radix: 16)
        else { return nil }
        self.rawValue = UInt64(high) << 32 | UInt64(low)
    }

    package var description: String {
        let (high, low) = (self.rawValue >> 32, self.rawValue & 0xFFFF_FFFF)
        return "\(String(high, radix: 16, uppercase: true))/\(String(low, radix: 16, uppercase: true))"
    }

    package static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
}
