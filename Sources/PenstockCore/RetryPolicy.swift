// SPDX-License-Identifier: Apache-2.0

/// How long to wait before trying again: capped exponential, with jitter.
///
/// With the defaults and no jitter: 200 ms, 400 ms, 800 ms, 1.6 s, 3.2 s, 6.4 s, 12.8 s, 25.6 s, 30 s, 30 s, …
package struct Backoff: Sendable, Equatable {
    /// How the wait is spread, so that many triggers do not come back at once.
    package enum Jitter: String, Sendable, CaseIterable {
        /// Anything between zero and the computed wait.
        case full
        /// Exactly the computed wait.
        case none
    }

    /// The first wait.
    package var initial: Duration

    /// What each further wait is multiplied by.
    package var factor: Double

    /// The longest wait.
    package var max: Duration

    /// How the wait is spread.
    package var jitter: Jitter

    /// A backoff; the defaults are those of `failure.backoff`.
    package init(
        initial: Duration = .milliseconds(200),
        factor: Double = 2,
        max: Duration = .seconds(30),
        jitter: Jitter = .full
    ) {
        self.initial = initial
        self.factor = factor
        self.max = max
        self.jitter = jitter
    }

    /// The wait after the `attempt`-th failure in a row, from 1.
    package func delay(attempt: Int, using random: inout SplitMix64) -> Duration {
        let initial = Double(self.initial.wholeNanoseconds)
        let cap = Double(self.max.wholeNanoseconds)
        var wait = initial
        // At most about a hundred steps: the cap is reached long before, or never (factor 1).
        for _ in 1..<Swift.max(2, Swift.min(attempt, 128)) where wait < cap && attempt > 1 {
            wait *= self.factor
        }
        wait = Swift.min(wait, cap)
        switch self.jitter {
        case .full: wait *= Double(random.next() >> 11) / Double(1 << 53)
        case .none: break
        }
        return .nanoseconds(Int64(wait))
    }
}

/// What to do about failures of a trigger.
package struct RetryPolicy: Sendable, Equatable {
    /// Attempts after the first one; nil for unlimited, which must be asked for by name.
    package var retries: Int?

    /// Waits between attempts.
    package var backoff: Backoff

    /// Records older than this, by their own time, are given up; nil for never.
    package var maxAge: Duration?

    /// Whether a failed batch is split in two to find the bad record.
    ///
    /// A split costs no attempt (esm-spec 3.2).
    package var bisect: Bool

    /// A policy; the defaults are those of `failure:`.
    package init(
        retries: Int? = 10,
        backoff: Backoff = Backoff(),
        maxAge: Duration? = nil,
        bisect: Bool = false
    ) {
        self.retries = retries
        self.backoff = backoff
        self.maxAge = maxAge
        self.bisect = bisect
    }

    /// How long a record can be tried before it is given up, when each invocation takes `invocation` and each wait is as
    /// long as it can be; nil for without end.
    package func longest(invocation: Duration) -> Duration? {
        guard let retries = self.retries else { return self.maxAge }
        var backoff = self.backoff
        backoff.jitter = .none
        var random = SplitMix64(seed: 0)
        var (wait, attempt) = (Duration.zero, 1)
        // The waits grow for a hundred attempts or so, and are alike from then on.
        while attempt <= min(retries, 128) {
            wait += backoff.delay(attempt: attempt, using: &random)
            attempt += 1
        }
        if retries > 128 { wait += backoff.delay(attempt: 128, using: &random) * (retries - 128) }
        let tries = wait + invocation * (retries + 1)
        return self.maxAge.map { min($0, tries) } ?? tries
    }

    /// What the policy makes of records that failed for the `attempts`-th time.
    package func disposition(
        attempts: Int,
        count: Int,
        poison: Bool,
        using random: inout SplitMix64
    ) -> Disposition {
        if self.bisect, count > 1 { return .split }
        if poison { return .deadLetter(.rejected) }
        if let retries = self.retries, attempts > retries { return .deadLetter(.retriesExhausted) }
        return .retry(after: self.backoff.delay(attempt: attempts, using: &random))
    }

    /// Whether a record of this time is too old at `now`; never one that tells no time, which is 0 or -1.
    package func isExpired(_ timestamp: Timestamp, now: Timestamp) -> Bool {
        guard let maxAge = self.maxAge, timestamp.milliseconds > 0 else { return false }
        return now - timestamp > maxAge
    }
}

/// What the policy makes of a failure.
package enum Disposition: Sendable, Equatable {
    /// Try the same records again.
    case retry(after: Duration)
    /// Try the halves, each by itself.
    case split
    /// Give the records up.
    case deadLetter(DeadLetterReason)
}

/// A small seeded generator (SplitMix64, Steele et al.
///
/// 2014): the same seed gives the same run of a simulation.
package struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// A generator that starts at `seed`.
    package init(seed: UInt64) {
        self.state = seed
    }

    package mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
