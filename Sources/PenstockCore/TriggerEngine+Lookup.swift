// SPDX-License-Identifier: Apache-2.0

// MARK: - Where one record is

extension TriggerEngine {
    /// What the engine knows of the record at a position.
    ///
    /// A read that looks through everything in hand: for operators, not for the way of a batch.
    package func lookup(_ partition: String, _ position: Position) -> RecordLookup {
        let ids = Set(self.owned.filter { $0.value.partition.name == partition }.keys)
        guard !ids.isEmpty else { return RecordLookup() }
        var found = RecordLookup()
        found.held = self.held(ids, position)
        if let owned = self.latest[partition].flatMap({ self.owned[$0] }) {
            found.positions = PartitionPositions(
                received: owned.watermark.received,
                settled: owned.watermark.position
            )
        }
        let identity = RecordIdentity(partition: partition, position: position)
        if let past = self.leases?.attempts[identity] {
            found.returned = PastDeliveries(attempts: past.count, history: past.history)
        }
        return found
    }

    private func held(_ ids: Set<PartitionID>, _ position: Position) -> HeldRecord? {
        for (id, lane) in self.lanes where ids.contains(id.partition) {
            if let held = self.held(in: lane, position) { return held }
        }
        for (batch, slices) in self.inFlight {
            for slice in slices where ids.contains(slice.lane.partition) {
                if let held = self.held(slice, position, .inFlight(batch)) { return held }
            }
        }
        for result in self.results.values {
            for slice in result.slices
            where ids.contains(slice.lane.partition) && !result.released.contains(slice.lane) {
                let isRefused = if case .refused = self.lanes[slice.lane]?.state { true } else { false }
                if let held = self.held(slice, position, .reporting(isRefused: isRefused)) { return held }
            }
        }
        for (lane, ticket) in self.tickets.values where ids.contains(lane.partition) {
            guard let (run, index) = ticket.runs.find(position) else { continue }
            let isRefused = if case .blocked = self.lanes[lane]?.state { true } else { false }
            var held = HeldRecord(
                run,
                index,
                .deadLettering(ticket.reason, isRefused: isRefused),
                in: self.lanes[lane]
            )
            held.attempts = ticket.attemptCount
            held.history = ticket.attempts
            return held
        }
        return nil
    }

    /// A record of a lane that is not in flight.
    private func held(in lane: Lane, _ position: Position) -> HeldRecord? {
        for (place, parcel) in lane.retries.enumerated() {
            guard let (run, index) = parcel.runs.find(position) else { continue }
            var until: Instant?
            if case .waiting(let end) = lane.state, place == 0 { until = end }
            var held = HeldRecord(run, index, .retrying(until: until), in: lane)
            self.add(parcel, to: &held)
            if place > 0 || until == nil && lane.state != .idle {
                held.obstacle = .others
            } else if until == nil {
                held.obstacle = self.obstacle()
            }
            return held
        }
        guard let (run, index) = lane.fresh.find(position) else { return nil }
        var held = HeldRecord(run, index, .waiting, in: lane)
        held.isFiltered = run.isFiltered
        if lane.state != .idle || !lane.retries.isEmpty {
            held.obstacle = .others
        } else {
            held.obstacle = self.obstacle() ?? self.windowEnd().map { .window(until: $0) }
        }
        return held
    }

    private func held(_ slice: Slice, _ position: Position, _ state: HeldRecord.State) -> HeldRecord? {
        guard let (run, index) = slice.parcel.runs.find(position) else { return nil }
        var held = HeldRecord(run, index, state, in: self.lanes[slice.lane])
        self.add(slice.parcel, to: &held)
        return held
    }

    private func add(_ parcel: Parcel, to held: inout HeldRecord) {
        held.attempts = parcel.attempts
        held.history = parcel.history
        guard let leases = self.leases else { return }
        let past = leases.attempts[RecordIdentity(held.block, held.index)] ?? PastAttempts()
        let counted = held.block.lease?.attempts ?? []
        held.attempts = max(past.count, counted.isEmpty ? 0 : Int(counted[held.index]))
        held.history = past.history + parcel.history
    }

    /// Why nothing is invoked now; nil when it could be.
    private func obstacle() -> HeldRecord.Obstacle? {
        if self.isPaused { return .pause }
        if self.isHalted { return .store }
        if let heldUntil = self.heldUntil { return .throttling(until: heldUntil) }
        return self.inFlight.count >= self.allowedConcurrency ? .concurrency : nil
    }
}

/// What an engine knows of one record.
package struct RecordLookup: Sendable {
    /// Where it is, while it is in hand.
    package var held: HeldRecord?

    /// What is known of earlier deliveries of a leased record; nil for nothing.
    package var returned: PastDeliveries?

    /// What is known of its partition; nil when that is not owned.
    package var positions: PartitionPositions?

    /// Nothing.
    package init() {}
}

/// Deliveries of a leased record that failed and were given back.
package struct PastDeliveries: Sendable, Equatable {
    /// Failed attempts.
    package var attempts: Int
    /// Their details, as far as they are kept.
    package var history: [Attempt]
}

/// How far a partition has come under its present owner.
package struct PartitionPositions: Sendable, Equatable {
    /// The first and the last position received; nil before the first record, and for leased records.
    package var received: ClosedRange<Position>?
    /// Up to and including it all is settled; nil before the first settlement.
    package var settled: Position?

    /// How far a partition has come.
    package init(received: ClosedRange<Position>? = nil, settled: Position? = nil) {
        self.received = received
        self.settled = settled
    }
}

/// A record that a trigger has received and not settled.
package struct HeldRecord: Sendable {
    /// Where it is.
    package enum State: Sendable, Equatable {
        /// Not tried yet, or put back by throttling.
        case waiting
        /// Tried in vain; until then its next attempt waits.
        case retrying(until: Instant?)
        /// In an invocation.
        case inFlight(BatchID)
        /// Its dead letter is being written, or was refused and is written again after a while.
        case deadLettering(DeadLetterReason, isRefused: Bool)
        /// The result of its invocation is being written, or was refused and is written again after a while.
        case reporting(isRefused: Bool)
    }

    /// What it waits for.
    package enum Obstacle: Sendable, Equatable {
        /// Records before it, of its partition or of keys in its lane.
        case others
        /// An operator paused the trigger.
        case pause
        /// The store refuses checkpoints.
        case store
        /// The function had no room.
        case throttling(until: Instant)
        /// As many invocations run as may.
        case concurrency
        /// More records, for a full batch.
        case window(until: Instant)
    }

    /// Where it is.
    package var state: State
    /// What it waits for; nil for nothing but its turn.
    package var obstacle: Obstacle?
    /// The block it came in, and where it stands there.
    package var block: RecordBlock
    package var index: Int
    /// When it was received.
    package var receivedAt: Instant
    /// Failed attempts.
    package var attempts = 0
    /// Their details, as far as they are kept.
    package var history: [Attempt] = []
    /// Whether no filter matched it, so that it will be a dead letter.
    package var isFiltered = false
    /// Since when its lane does not advance.
    package var blockedSince: Timestamp?

    init(_ run: Run, _ index: Int, _ state: State, in lane: Lane?) {
        self.state = state
        self.block = run.admitted.block
        self.index = index
        self.receivedAt = run.admitted.receivedAt
        self.blockedSince = lane?.blockedSince
    }
}

extension Collection<Run> {
    /// The run with a record at that position, and the record's index in its block.
    fileprivate func find(_ position: Position) -> (run: Run, index: Int)? {
        for run in self {
            guard run.admitted.block.lease == nil else {
                // Positions of leased records tell no order.
                let entries = run.admitted.block.entries
                guard let index = run.indices.first(where: { entries[$0].position == position }) else {
                    continue
                }
                return (run, index)
            }
            if let offset = run.offset(of: position) {
                return (run, run.admitted.index(at: run.range.lowerBound + offset))
            }
        }
        return nil
    }
}
