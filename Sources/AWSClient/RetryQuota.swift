// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// How much a client may repeat, over all of its calls: the token bucket of the AWS SDKs' mode "standard".
///
/// Pure. While a service fails, repetitions use it up, and calls fail at the first error, so that a service in trouble is not
/// asked thrice for everything. Successes fill it again.
struct RetryQuota {
    /// Tokens at first, and at most.
    static let capacity = 500
    /// What a repetition takes.
    static let cost = 5
    /// What a repetition takes after no answer came in time.
    static let timeoutCost = 10
    /// What a success at the first attempt gives back.
    static let refill = 1

    /// What is left.
    private(set) var tokens = RetryQuota.capacity

    /// Takes what a repetition after this error costs; nil, and nothing taken, when there is not enough.
    mutating func take(after error: AWSError) -> Int? {
        let cost = error.isTimeout ? Self.timeoutCost : Self.cost
        guard self.tokens >= cost else { return nil }
        self.tokens -= cost
        return cost
    }

    /// A call succeeded; `cost` is what its last repetition took, nil when there was none.
    mutating func succeeded(after cost: Int?) {
        self.tokens = min(Self.capacity, self.tokens + (cost ?? Self.refill))
    }
}

/// Whether, and when, one call is repeated (AWS SDKs and Tools Reference Guide, "Retry behavior", mode "standard").
///
/// Pure.
struct CallRetries {
    /// Attempts of a call at most.
    static let attemptsMax = 3

    /// A service that asks for a longer wait is left to who calls.
    static let waitMax = Duration.seconds(20)

    private static let backoff = Backoff(
        initial: .seconds(1),
        factor: 2,
        max: CallRetries.waitMax,
        jitter: .full
    )

    /// Attempts so far.
    private(set) var attempts = 0

    /// What the last repetition took of the quota; nil when there was none.
    private(set) var cost: Int?

    /// How long to wait before the call is made again; nil when its error is final.
    mutating func wait(
        after error: AWSError,
        _ quota: inout RetryQuota,
        using random: inout SplitMix64
    ) -> Duration? {
        self.attempts += 1
        guard self.attempts < Self.attemptsMax, error.isTransient else { return nil }
        var asked = Duration.zero
        if case .throttled(let after?) = error.kind { asked = after }
        guard asked <= Self.waitMax, let cost = quota.take(after: error) else { return nil }
        self.cost = cost
        return max(asked, Self.backoff.delay(attempt: self.attempts, using: &random))
    }
}
