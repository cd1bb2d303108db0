// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Whose turn it is on a stream that some triggers have read further than others.
///
/// Pure. A stream that began again for a trigger far behind waits for that one when it has no room, for a while: else it would
/// soon be left behind again. Then the stream runs on to those that are ahead, and they have their turn before it begins
/// again. So neither starves: the one behind has most of the time, as long as it takes what comes, and those ahead hear
/// of their changes within about a turn of it.
struct SlotTurns: Sendable, Equatable {
    /// How long the stream waits for one that is behind, in all.
    static let behindTurn = Duration.seconds(10)
    /// How long it waits for one that takes nothing.
    static let stallMax = Duration.seconds(2)
    /// How long those ahead are left alone, once the stream is where they are.
    static let aheadTurn = Duration.seconds(3)
    /// Between two beginnings, whoever reads.
    static let restartPause = Duration.seconds(1)

    private var waitsUntil = Instant.start
    private var lastTaken = Instant.start
    private var nextRestart = Instant.start
    /// Whether the stream is before where somebody who reads is.
    private var isBehind = false

    /// The stream begins; `isBehind` says whether somebody has what comes first already.
    mutating func begun(_ now: Instant, isBehind: Bool) {
        self.isBehind = isBehind
        self.waitsUntil = isBehind ? now + Self.behindTurn : now
        self.lastTaken = now
        self.nextRestart = now + Self.restartPause
    }

    /// How it is at a turn; `isTaking` says whether one of those behind has room.
    mutating func note(_ now: Instant, isBehind: Bool, isTaking: Bool) {
        if self.isBehind, !isBehind { self.nextRestart = max(self.nextRestart, now + Self.aheadTurn) }
        self.isBehind = isBehind
        if isTaking { self.lastTaken = now }
    }

    /// Until when the stream waits for the ones behind when they have no room; in the past when it does not.
    var waitEnd: Instant {
        self.isBehind ? min(self.waitsUntil, self.lastTaken + Self.stallMax) : .start
    }

    /// When the stream may begin again for one that was left behind; nil while it is on its way to those ahead.
    ///
    /// - Parameters:
    ///   - now: The time.
    ///   - isAlone: Whether nobody else reads.
    /// - Returns: The time, now or later.
    func restart(_ now: Instant, isAlone: Bool) -> Instant? {
        if isAlone { return now }
        return self.isBehind ? nil : max(now, self.nextRestart)
    }
}
