// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// How long a redrive waits for a function that has no room.
///
/// Pure. As in a trigger, no room costs no attempt, and a wait that the function asks for is kept. Else the waits grow from
/// 100 ms to 30 s. A trigger waits without end; a redrive, for which somebody waits, gives up when the function has had no
/// room for ``limit``.
struct RedrivePatience: Sendable {
    /// How long a function may be without room.
    static let limit = Duration.seconds(300)

    /// What to do about a function without room.
    enum Advice: Equatable {
        /// Try again after a while.
        case wait(Duration)
        /// Leave its letters alone.
        case giveUp
    }

    private static let backoff = Backoff(
        initial: .milliseconds(100),
        factor: 2,
        max: .seconds(30),
        jitter: .none
    )

    /// Since when there is no room; nil when there was some the last time.
    private var since: Instant?
    private var refusals = 0
    // Without jitter it is not used.
    private var random = SplitMix64(seed: 0)

    /// The function had no room.
    mutating func refused(retryAfter: Duration?, now: Instant) -> Advice {
        let since = self.since ?? now
        guard now - since < Self.limit else { return .giveUp }
        self.since = since
        self.refusals += 1
        let wait = retryAfter ?? Self.backoff.delay(attempt: self.refusals, using: &self.random)
        return .wait(max(wait, .milliseconds(10)))
    }

    /// The function had room.
    mutating func hadRoom() {
        self.since = nil
        self.refusals = 0
    }
}
