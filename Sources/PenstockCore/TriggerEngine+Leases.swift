// SPDX-License-Identifier: Apache-2.0

import DequeModule
import HeapModule

/// What an engine keeps about leased deliveries.
struct Leases {
    var ledger: LeaseLedger
    var settlements = SettlementQueue()
    var attempts = AttemptTable()

    init(_ policy: LeasePolicy) {
        self.ledger = LeaseLedger(policy)
    }

    /// When something is due.
    var deadline: Instant? {
        let settleAt = self.settlements.isWaiting ? self.settlements.heldUntil : nil
        guard let settleAt, let leaseAt = self.ledger.deadline else {
            return settleAt ?? self.ledger.deadline
        }
        return min(settleAt, leaseAt)
    }
}

// MARK: - Settling leased deliveries

extension TriggerEngine {
    /// Settles deliveries that are still leased; the others were counted when their lease was lost.
    mutating func acknowledge(_ runs: some Collection<Run>, as counter: WritableKeyPath<Counters, UInt64>) {
        self.forgetAttempts(of: runs)
        for held in runs.flatMap({ self.leases?.ledger.close($0) ?? [] }) {
            self.counters[keyPath: counter] += UInt64(held.run.count)
            self.counters.inFlight -= UInt64(held.run.count)
            self.bytesInHand -= held.run.bytes
            self.leases?.settlements.add(.acknowledge, held)
        }
    }

    /// Gives deliveries back that are still leased.
    mutating func giveBack(_ runs: some Collection<Run>, _ kind: Settlement.Kind) {
        for held in runs.flatMap({ self.leases?.ledger.close($0) ?? [] }) {
            self.void(CollectionOfOne(held.run))
            self.leases?.settlements.add(kind, held)
        }
    }

    /// Counts what is in flight as released, without a word to upstream.
    mutating func abandon(_ runs: [Run]) {
        guard self.leases != nil else { return self.void(runs) }
        self.void(runs.flatMap { self.leases?.ledger.close($0).map(\.run) ?? [] })
    }

    private mutating func forgetAttempts(of runs: some Collection<Run>) {
        guard self.leases?.attempts.isEmpty == false else { return }
        for run in runs {
            for index in run.indices {
                self.leases?.attempts.forget(RecordIdentity(run.admitted.block, index))
            }
        }
    }

    /// Makes the calls that can be made now.
    mutating func pumpLeases(_ now: Moment) {
        guard self.leases != nil else { return }
        // Records that are not wanted now are not kept from others.
        if self.isPaused { self.releaseWaiting { _ in true } }
        self.pumpSettlements(now.instant)
    }

    /// Makes the calls that can be made now; without a time, those that wait for none.
    mutating func pumpSettlements(_ now: Instant = .start) {
        guard self.leases?.settlements.isWaiting == true, let ledger = self.leases?.ledger else { return }
        while let call = self.leases?.settlements.next(now: now, isBusy: { ledger.isExtending($0) }) {
            self.actions.append(.settle(call.0, call.1))
        }
    }

    /// A call of settlements ended; nil for an outcome that nobody knows.
    package mutating func settlementEnded(_ id: SettlementID, _ outcome: SettlementOutcome?, now: Moment) {
        let isRefused =
            self.leases?.settlements.ended(
                id,
                outcome,
                patience: self.policy.patience,
                using: &self.random,
                now: now.instant
            ) ?? false
        if isRefused { self.counters.commitFailures += 1 } else { self.counters.commits += 1 }
        self.counters.leasesLost += UInt64(outcome?.lost.reduce(0) { $0 + $1.count } ?? 0)
        self.pump(now)
    }

    /// Whether every settlement that was decided was carried out.
    package var isSettled: Bool { self.leases?.settlements.isEmpty ?? true }

    // MARK: - Leases

    /// Extends the leases for which it is time, and lets those go that have ended.
    mutating func tendLeases(_ now: Moment) {
        guard let due = self.leases?.ledger.due(now: now.instant) else { return }
        for ticket in due.extend { self.actions.append(.extend(ticket)) }
        self.lose(due.ended)
    }

    /// An extension ended; nil for one of which nobody knows what became.
    package mutating func extensionEnded(_ id: LeaseTicket.ID, _ outcome: LeaseExtension?, now: Moment) {
        self.lose(self.leases?.ledger.extended(id, outcome, now: now.instant) ?? [])
        self.pump(now)
    }

    /// The leases of these deliveries, which are closed, were lost: upstream delivers the records again.
    ///
    /// Where order is kept, what waits behind one of them is given back, too, so that it comes after it.
    private mutating func lose(_ runs: [Run]) {
        guard !runs.isEmpty else { return }
        self.void(runs)
        self.counters.leasesLost += UInt64(runs.reduce(0) { $0 + $1.count })
        var held: [OrderPlace: HeldBack] = [:]
        if self.policy.ordering.isKept {
            for record in runs.flatMap(\.records) {
                let place = OrderPlace(record.partition.id, self.orderingKey(of: record))
                let first = min(held[place]?.behind ?? .max, record.firstDelivery)
                held[place] = HeldBack(behind: first, delay: .zero)
            }
        }
        for id in Array(self.lanes.keys) { self.sift(id, held) }
        // Nobody waits any more for a destination that refuses their letters.
        for (id, entry) in self.tickets {
            guard case .blocked = self.lanes[entry.lane]?.state else { continue }
            let isLeased = entry.ticket.runs.flatMap(\.records).contains { self.isLeased($0) }
            guard !isLeased else { continue }
            self.tickets[id] = nil
            self.withLane(entry.lane) { $0.state = .idle }
        }
        self.letGoLost()
    }

    /// Whether the lease of a block had ended before it arrived: its records are counted, and come again.
    mutating func isVoid(_ block: RecordBlock, now: Moment) -> Bool {
        guard let until = block.lease?.until, until <= now.instant else { return false }
        self.counters.received += UInt64(block.count)
        self.counters.released += UInt64(block.count)
        self.counters.leasesLost += UInt64(block.count)
        return true
    }

    /// What is given back with a delay, because a record before it is.
    struct HeldBack {
        var behind: UInt64
        var delay: Duration
    }

    /// Records that wait for each other.
    struct OrderPlace: Hashable {
        var partition: PartitionID
        var key: UInt64

        init(_ partition: PartitionID, _ key: UInt64) {
            self.partition = partition
            self.key = key
        }
    }

    /// Drops what waits in a lane and is not leased any more, and gives back what is held back.
    mutating func sift(_ id: LaneID, _ held: [OrderPlace: HeldBack]) {
        guard let lane = self.lanes[id], !lane.isEmpty else { return }
        let parcels = lane.retries.compactMap { parcel -> Parcel? in
            var rest = parcel
            rest.runs = self.sifted(parcel.runs, held)
            return rest.runs.isEmpty ? nil : rest
        }
        let fresh = self.sifted(Array(lane.fresh), held)
        self.withLane(id) { lane in
            _ = lane.clear()
            lane.retries = Deque(parcels)
            for run in fresh { lane.append(run) }
            // What it waited for may be gone.
            if case .waiting = lane.state, lane.retries.first?.notBefore == nil { lane.state = .idle }
        }
    }

    /// The records that are leased and not held back; the latter are released.
    private mutating func sifted(_ runs: [Run], _ held: [OrderPlace: HeldBack]) -> [Run] {
        var rest: [Run] = []
        for record in runs.flatMap(\.records) where self.isLeased(record) {
            let back =
                held.isEmpty
                ? nil : held[OrderPlace(record.partition.id, self.orderingKey(of: record))]
            if let back, back.behind < record.firstDelivery {
                self.release(CollectionOfOne(record), after: back.delay)
            } else {
                rest.add(record)
            }
        }
        return rest
    }

    /// Whether the lease of a single record holds.
    func isLeased(_ record: Run) -> Bool {
        self.leases?.ledger.isOpen(record.admitted, record.range.lowerBound) ?? true
    }

    // MARK: - Attempts

    /// What is known of a record's earlier deliveries.
    private func past(of record: Run) -> PastAttempts {
        let block = record.admitted.block
        var past = self.leases?.attempts[RecordIdentity(block, record.first)] ?? PastAttempts()
        if let counted = block.lease?.attempts, !counted.isEmpty {
            past.count = max(past.count, Int(counted[record.first]))
        }
        return past
    }

    /// The number of the attempt that a parcel is about to be.
    func attempt(of parcel: Parcel) -> Int {
        guard let leases = self.leases else { return parcel.attempts + 1 }
        let isKnown =
            !leases.attempts.isEmpty
            || parcel.runs.contains { !($0.admitted.block.lease?.attempts ?? []).isEmpty }
        guard isKnown else { return 1 }
        return 1 + (parcel.runs.flatMap(\.records).map { self.past(of: $0).count }.max() ?? 0)
    }

    /// The number of the attempt that untried records are about to be.
    func firstAttempt(of slices: [Slice]) -> Int {
        guard self.leases != nil else { return 1 }
        return slices.map { self.attempt(of: $0.parcel) }.max() ?? 1
    }

    // MARK: - Judging

    /// Like the judgement of records that stay in hand, but what failed is given back and comes again as a new delivery.
    mutating func judgeLeased(
        _ parcel: Parcel,
        of id: LaneID,
        by verdict: BatchVerdict,
        _ how: Judgement
    ) {
        switch verdict {
        case .succeeded, .cancelled: preconditionFailure("what succeeded or was cancelled is settled")
        case .throttled:
            let rest = self.leasedPart(of: parcel)
            if rest.runs.isEmpty {
                self.goOn(id, hasAdvanced: false, now: how.now)
            } else {
                self.putBack(rest, of: id)
            }
        case .failed(let failure), .poison(let failure):
            let isPoison = if case .poison = verdict { true } else { false }
            if self.policy.retry.bisect, parcel.count > 1 {
                return self.bisect(parcel, of: id, failure: failure, how)
            }
            let verdicts = Array(repeating: isPoison ? Verdict.poison : .failed, count: parcel.count)
            self.judgeRecords(parcel, of: id, verdicts[...], failure: failure, how)
        case .partial(let verdicts, let failure):
            let end = how.offset + parcel.count
            precondition(end <= verdicts.count, "a verdict is missing")
            self.judgeRecords(parcel, of: id, verdicts[how.offset..<end], failure: failure, how)
        }
    }

    /// What of a parcel is still leased and may go on: nothing that follows a lost record, where order is kept.
    private mutating func leasedPart(of parcel: Parcel) -> Parcel {
        var rest = parcel
        rest.runs = []
        var lost: Set<UInt64> = []
        for record in parcel.runs.flatMap(\.records) {
            let key = self.orderingKey(of: record)
            if !self.isLeased(record) {
                lost.insert(key)
            } else if self.policy.ordering.isKept, lost.contains(key) {
                self.release(CollectionOfOne(record))
            } else {
                rest.runs.add(record)
            }
        }
        return rest
    }

    /// Tries the halves at once, without giving anything back; a split costs no attempt.
    private mutating func bisect(
        _ parcel: Parcel,
        of id: LaneID,
        failure: Failure,
        _ how: Judgement
    ) {
        var rest = self.leasedPart(of: parcel)
        rest.record(failure, in: how.report)
        guard rest.count > 1 else {
            if rest.count == 0 { return self.goOn(id, hasAdvanced: false, now: how.now) }
            return self.retryLater([rest], of: id, how)
        }
        self.counters.bisects += 1
        let first = rest.removePrefix(rest.count / 2)
        self.retryLater([first, rest], of: id, how)
    }

    /// Settles each record by its own verdict and its own attempts.
    ///
    /// Order is kept (esm-spec section 4): what follows a failed record of its key counts as failed whatever was said of
    /// it, and goes back with it.
    private mutating func judgeRecords(
        _ parcel: Parcel,
        of id: LaneID,
        _ verdicts: ArraySlice<Verdict>,
        failure: Failure,
        _ how: Judgement
    ) {
        var tried = parcel
        tried.record(failure, in: how.report)
        let isKept = self.policy.ordering.isKept
        var succeeded: [Run] = []
        var dead: [Parcel] = []
        var followers: [Run] = []
        var held: [OrderPlace: HeldBack] = [:]
        var deadKeys: Set<UInt64> = []
        var failed = FailedRecords(tried: tried)
        for (record, verdict) in zip(parcel.runs.flatMap(\.records), verdicts) {
            let key = self.orderingKey(of: record)
            let place = OrderPlace(id.partition, key)
            guard self.isLeased(record) else {
                // It comes again, and what follows it must come after it.
                if isKept, verdict != .succeeded, held[place] == nil {
                    held[place] = HeldBack(behind: record.firstDelivery, delay: .zero)
                }
                continue
            }
            if verdict == .succeeded {
                if isKept, let back = held[place] {
                    self.release(CollectionOfOne(record), after: back.delay)
                } else if isKept, deadKeys.contains(key) {
                    followers.add(record)
                } else {
                    succeeded.add(record)
                }
                continue
            }
            let past = failed.past(of: record) { self.past(of: record) }
            if isKept, let back = held[place] {
                self.remember(past, of: record)
                self.release(CollectionOfOne(record), after: back.delay, isFailure: true)
                continue
            }
            if verdict == .poison {
                dead.add(record, past, reason: .rejected)
                deadKeys.insert(key)
            } else if let retries = self.policy.retry.retries, past.count > retries {
                dead.add(record, past, reason: .retriesExhausted)
                deadKeys.insert(key)
            } else {
                let delay = self.delay(attempt: past.count)
                self.remember(past, of: record)
                self.release(CollectionOfOne(record), after: delay, isFailure: true)
                held[place] = HeldBack(behind: record.firstDelivery, delay: delay)
            }
        }
        self.settle(succeeded, as: \.succeeded, of: id.partition, now: how.now)
        if isKept, !held.isEmpty { self.sift(id, held) }
        self.goOn(id, dead: dead, followers: followers, hasAdvanced: !succeeded.isEmpty, how)
    }

    private mutating func delay(attempt: Int) -> Duration {
        let delay = self.policy.retry.backoff.delay(attempt: attempt, using: &self.random)
        return min(delay, self.policy.lease?.longestDelay ?? delay)
    }

    private mutating func remember(_ past: PastAttempts, of record: Run) {
        self.leases?.attempts.set(past, for: RecordIdentity(record.admitted.block, record.first))
    }

    /// Lets a lane go on: first with what it gives up, then with what follows that, then with what it has.
    private mutating func goOn(
        _ id: LaneID,
        dead: [Parcel],
        followers: [Run],
        hasAdvanced: Bool,
        _ how: Judgement
    ) {
        guard !dead.isEmpty else { return self.goOn(id, hasAdvanced: hasAdvanced, now: how.now) }
        if !followers.isEmpty { self.keep(Parcel(runs: followers), of: id) }
        self.giveUpInTurn(dead, of: id)
    }

    /// Gives the first of them up; the others stand at the head of the lane, which must not be queued for them before.
    private mutating func giveUpInTurn(_ dead: [Parcel], of id: LaneID) {
        guard let first = dead.first, let reason = first.doom else { return }
        self.giveUp(first, of: id, reason: reason)
        for parcel in dead.dropFirst().reversed() { self.keep(parcel, of: id) }
    }

    /// Gives up what is still leased of a parcel, each record with the history of all its deliveries.
    mutating func doom(_ parcel: Parcel, of id: LaneID, reason: DeadLetterReason) {
        var dead: [Parcel] = []
        for record in parcel.runs.flatMap(\.records) where self.isLeased(record) {
            var past = self.past(of: record)
            past.append(parcel.history)
            if past.invocation.isEmpty { past.invocation = parcel.invocation }
            dead.add(record, past, reason: reason)
        }
        guard !dead.isEmpty else { return self.withLane(id) { $0.state = .idle } }
        self.giveUpInTurn(dead, of: id)
    }

    /// Gives up the parcel at the head of a lane of which that was decided.
    mutating func giveUpDoomed(_ id: LaneID) -> Bool {
        guard let reason = self.lanes[id]?.retries.first?.doom,
            let parcel = self.lanes[id]?.retries.popFirst()
        else { return false }
        self.giveUp(parcel, of: id, reason: reason)
        return true
    }

    // MARK: - Status

    /// What the invocations that may run can soon take, and a batch beyond it.
    ///
    /// What waits uses up its lease, and the source counts what is received. What is being settled takes no invocation's
    /// place, unless it piles up, in records or in bytes.
    func leaseBudget(_ leases: Leases) -> ReceiveAllowance {
        guard !self.isPaused, self.heldUntil == nil else { return .none }
        let room = min((self.allowedConcurrency + 1) * self.policy.batchSize, self.policy.intakeRecords)
        let records =
            room + min(self.parked.records, room) - Int(self.counters.inFlight)
            - max(0, leases.settlements.count - room)
        let bytes =
            self.policy.intakeBytes + min(self.parked.bytes, self.policy.intakeBytes) - self.bytesInHand
            - max(0, leases.settlements.bytes - self.policy.intakeBytes)
        let memory = 2 * self.policy.intakeBytes - leases.ledger.memory
        guard records > 0, bytes > 0, memory > 0 else { return .none }
        return ReceiveAllowance(records: records, bytes: min(bytes, memory), held: [])
    }

    func oldestLeased(_ leases: Leases) -> [String: Timestamp?] {
        let oldest = leases.ledger.oldest
        return self.owned.values.reduce(into: [:]) { $0[$1.partition.name] = .some(oldest) }
    }
}

extension Run {
    /// Its records, each by itself.
    var records: [Run] {
        self.range.map { Run(admitted: self.admitted, range: $0..<$0 + 1, isFiltered: self.isFiltered) }
    }
}

/// What is known of the records on which an invocation failed: one that it had more than once has failed once.
private struct FailedRecords {
    let tried: Parcel
    private var known: [RecordIdentity: PastAttempts] = [:]

    init(tried: Parcel) {
        self.tried = tried
    }

    /// A record's attempts with this one, of which `earlier` gives those before.
    mutating func past(of record: Run, _ earlier: () -> PastAttempts) -> PastAttempts {
        let identity = RecordIdentity(record.admitted.block, record.first)
        if let past = self.known[identity] { return past }
        var past = earlier()
        past.add(self.tried.history, invocation: self.tried.invocation)
        self.known[identity] = past
        return past
    }
}

extension [Parcel] {
    /// Adds a record that is to be given up, to the records before it when their history is the same.
    fileprivate mutating func add(_ record: Run, _ past: PastAttempts, reason: DeadLetterReason) {
        if let last = self.last, last.doom == reason, last.attempts == past.count,
            last.history == past.history
        {
            self[self.count - 1].runs.add(record)
            return
        }
        var parcel = Parcel(runs: [record])
        parcel.attempts = past.count
        parcel.history = past.history
        parcel.invocation = past.invocation
        parcel.doom = reason
        self.append(parcel)
    }
}
