// SPDX-License-Identifier: Apache-2.0

/// A point on the monotonic clock of one event loop, to the nanosecond.
///
/// State machines get it as `now`; they never ask a clock. Instants of two loops do not compare.
package struct Instant: Comparable, Hashable, Sendable {
    /// Nanoseconds since the loop's own origin.
    package var nanoseconds: Int64

    /// The instant this many nanoseconds after the loop's origin.
    package init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// The loop's origin.
    package static let start = Instant(nanoseconds: 0)

    /// Later than everything that is ever reached.
    package static let distantFuture = Instant(nanoseconds: .max)

    package static func < (lhs: Self, rhs: Self) -> Bool {
        lhs.nanoseconds < rhs.nanoseconds
    }

    /// Saturates at ``distantFuture``.
    package static func + (lhs: Self, rhs: Duration) -> Self {
        let (sum, overflow) = lhs.nanoseconds.addingReportingOverflow(rhs.wholeNanoseconds)
        return overflow ? .distantFuture : Instant(nanoseconds: sum)
    }

    /// How long from `rhs` to `lhs`; negative when `rhs` is later.
    package static func - (lhs: Self, rhs: Self) -> Duration {
        .nanoseconds(lhs.nanoseconds &- rhs.nanoseconds)
    }
}

extension Duration {
    /// The length in nanoseconds, saturating: 292 years are enough.
    package var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = self.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        let (sum, carried) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return carried ? (seconds < 0 ? .min : .max) : sum
    }

    /// The length in milliseconds, rounded down.
    package var wholeMilliseconds: Int64 {
        self.wholeNanoseconds / 1_000_000
    }

    /// The length in seconds as a floating-point number, for metrics and messages.
    package var inSeconds: Double {
        Double(self.wholeNanoseconds) / 1e9
    }
}

/// A point on the wall clock: milliseconds since the Unix epoch, as record timestamps and documents use it.
@usableFromInline
package struct Timestamp: Comparable, Hashable, Sendable {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    @usableFromInline package var milliseconds: Int64

    /// The point this many milliseconds after the Unix epoch.
    @inlinable
    package init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    @inlinable
    package static func < (lhs: Self, rhs: Self) -> Bool {
        lhs.milliseconds < rhs.milliseconds
    }

    /// How long from `rhs` to `lhs`.
    package static func - (lhs: Self, rhs: Self) -> Duration {
        .milliseconds(lhs.milliseconds &- rhs.milliseconds)
    }
}
