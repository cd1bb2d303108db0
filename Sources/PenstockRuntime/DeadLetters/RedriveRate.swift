// SPDX-License-Identifier: Apache-2.0

/// How many invocations a second a redrive may make: one in a thousand seconds at least, so that it gets somewhere.
package struct RedriveRate: Sendable, Equatable {
    /// Invocations a second.
    package let perSecond: Double

    /// What ``perSecond`` may be.
    private static let range = 0.001...100_000

    /// The range in words, for messages: what follows "must be".
    package static let rangeText = "from 0.001 to 100000 a second"

    /// A rate; nil when it is out of range, or no number.
    package init?(perSecond: Double) {
        guard Self.range.contains(perSecond) else { return nil }
        self.perSecond = perSecond
    }

    /// A rate as operators write it: `10/s` or `10`; nil when it is out of range, or no number.
    package init?(text: String) {
        guard let number = Double(text.hasSuffix("/s") ? String(text.dropLast(2)) : text) else { return nil }
        self.init(perSecond: number)
    }

    /// Between the beginnings of two invocations, at least.
    var interval: Duration { .nanoseconds(Int64(1e9 / self.perSecond)) }
}
