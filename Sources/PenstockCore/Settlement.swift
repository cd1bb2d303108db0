// SPDX-License-Identifier: Apache-2.0

/// What a source is told about deliveries that it leased: each gets exactly one (contract rule 3).
package struct Settlement: Sendable {
    /// What is to become of the deliveries.
    package enum Kind: Sendable, Hashable {
        /// They are settled: upstream forgets them.
        case acknowledge
        /// They go back, and may come again after this time; `isFailure` when a function failed on them, for upstreams
        /// that count attempts.
        case release(after: Duration, isFailure: Bool)
    }

    /// What is to become of the deliveries.
    package let kind: Kind

    /// The deliveries.
    package internal(set) var runs: [Run]

    /// A settlement.
    package init(kind: Kind, runs: [Run]) {
        self.kind = kind
        self.runs = runs
    }
}

/// Names a call of ``Settlement``s on its way to the source.
package struct SettlementID: Hashable, Sendable {
    /// Unique within the engine.
    package let rawValue: UInt64
}

/// What became of ``Settlement``s, for those deliveries that were not settled.
package struct SettlementOutcome: Sendable {
    /// Not settled, but still leased: they are tried again.
    package var refused: [Run]

    /// No longer leased: nothing can be settled, and upstream delivers them again.
    package var lost: [Run]

    /// The deliveries that were not settled.
    package init(refused: [Run] = [], lost: [Run] = []) {
        self.refused = refused
        self.lost = lost
    }
}

/// Deliveries whose lease is to be made longer.
package struct LeaseTicket: Sendable {
    /// Names a ticket in the report.
    package struct ID: Hashable, Sendable {
        /// Unique within the engine.
        package let rawValue: UInt64

        /// The id with this number.
        package init(rawValue: UInt64) {
            self.rawValue = rawValue
        }
    }

    /// Names the ticket in the report.
    package let id: ID

    /// The deliveries.
    package let runs: [Run]

    /// How long the lease is to be from now on.
    package let length: Duration

    /// A ticket.
    package init(id: ID, runs: [Run], length: Duration) {
        self.id = id
        self.runs = runs
        self.length = length
    }
}

/// What became of a ``LeaseTicket``.
package struct LeaseExtension: Sendable {
    /// When the lease ends now, on the loop's clock, reckoned from before the request left.
    package var until: Instant

    /// Not extended, but their lease has not ended either: it is tried again.
    package var refused: [Run]

    /// No longer leased.
    package var lost: [Run]

    /// All deliveries of the ticket are leased until then, but these.
    package init(until: Instant, refused: [Run] = [], lost: [Run] = []) {
        self.until = until
        self.refused = refused
        self.lost = lost
    }
}

/// How a source leases its records.
package struct LeasePolicy: Sendable, Equatable {
    /// What an extension asks for.
    package var length: Duration

    /// How long a delivery may be held in all, from its receipt; nil for ever.
    package var longest: Duration?

    /// After how long a released record can come again, at most; nil for any time.
    package var longestDelay: Duration?

    /// A policy.
    package init(length: Duration, longest: Duration? = nil, longestDelay: Duration? = nil) {
        self.length = length
        self.longest = longest
        self.longestDelay = longestDelay
    }
}

/// The settlements that are decided and not carried out yet.
///
/// Few calls are under way at a time, and each takes all that waits: under load a call carries many deliveries.
struct SettlementQueue {
    private struct Item {
        var kind: Settlement.Kind
        var run: Run
        /// When the delivery's lease ends: what was not settled by then comes again.
        var until: Instant?
    }

    private static let callsMax = 4

    private var waiting: [Item] = []
    private var underWay: [SettlementID: [Item]] = [:]
    private var lastID: UInt64 = 0
    private var refusalsInRow = 0

    /// Deliveries that are not settled yet.
    private(set) var count = 0

    /// Bytes of their events: their blocks are held until they are.
    private(set) var bytes = 0

    /// After a refusal: when the next call may leave.
    private(set) var heldUntil: Instant?

    var isEmpty: Bool { self.waiting.isEmpty && self.underWay.isEmpty }
    var isWaiting: Bool { !self.waiting.isEmpty }

    mutating func add(_ kind: Settlement.Kind, _ held: HeldRun) {
        self.waiting.append(Item(kind: kind, run: held.run, until: held.until))
        self.count += held.run.count
        self.bytes += held.run.bytes
    }

    /// The next call; nil when there is none to make now.
    ///
    /// What `isBusy` is waits: a release must not be overtaken by an extension that is under way.
    mutating func next(now: Instant, isBusy: (Run) -> Bool) -> (SettlementID, [Settlement])? {
        guard !self.waiting.isEmpty, self.underWay.count < Self.callsMax else { return nil }
        if let heldUntil = self.heldUntil {
            guard heldUntil <= now else { return nil }
            self.heldUntil = nil
        }
        var items: [Item] = []
        var later: [Item] = []
        for item in self.waiting {
            if let until = item.until, until <= now {
                // Void: nothing is settled that may be somebody else's by now.
                self.count -= item.run.count
                self.bytes -= item.run.bytes
            } else if item.kind != .acknowledge, isBusy(item.run) {
                later.append(item)
            } else {
                items.append(item)
            }
        }
        self.waiting = later
        guard !items.isEmpty else { return nil }
        self.lastID += 1
        let id = SettlementID(rawValue: self.lastID)
        self.underWay[id] = items
        var settlements: [Settlement] = []
        var places: [Settlement.Kind: Int] = [:]
        for item in items {
            if let place = places[item.kind] {
                settlements[place].runs.append(item.run)
            } else {
                places[item.kind] = settlements.count
                settlements.append(Settlement(kind: item.kind, runs: [item.run]))
            }
        }
        return (id, settlements)
    }

    /// A call ended; nil for an outcome that nobody knows: all of it is tried again.
    ///
    /// Returns whether anything was refused.
    mutating func ended(
        _ id: SettlementID,
        _ outcome: SettlementOutcome?,
        patience: Backoff,
        using random: inout SplitMix64,
        now: Instant
    ) -> Bool {
        guard let items = self.underWay.removeValue(forKey: id) else { return false }
        var isRefused = outcome == nil
        for item in items {
            let refused = outcome.map { item.run.parts(in: $0.refused) } ?? [item.run]
            let again = refused.reduce(0) { $0 + $1.count }
            self.count -= item.run.count - again
            self.bytes -= item.run.bytes - refused.reduce(0) { $0 + $1.bytes }
            if again > 0 { isRefused = true }
            for run in refused { self.waiting.append(Item(kind: item.kind, run: run, until: item.until)) }
        }
        self.refusalsInRow = isRefused ? self.refusalsInRow + 1 : 0
        if isRefused {
            let wait = patience.delay(attempt: self.refusalsInRow, using: &random)
            self.heldUntil = now + max(wait, .milliseconds(50))
        }
        return isRefused
    }
}
