// SPDX-License-Identifier: Apache-2.0

import DequeModule
import HeapModule

/// Everything a trigger decides: what is batched and invoked when, what a result means for each record, what is
/// retried, given up, settled and committed.
///
/// Pure: no clock, no I/O, no locks. The shell tells it what happened, with the time, and carries out the
/// ``Action``s it takes out by ``nextAction()`` after each call. Records move through it as runs (``Run``); work per
/// record is only done when a failure splits a run.
package struct TriggerEngine: ~Copyable {
    /// What the shell has to do.
    package enum Action: Sendable {
        /// Invoke the function with this batch, then call ``invocationEnded(_:verdict:report:now:)``.
        case invoke(Batch)
        /// Make these dead letters durable, then call ``deadLettersWritten(_:now:)`` or ``deadLettersRefused(_:now:)``.
        case deadLetter(DeadLetterTicket)
        /// Make this result durable, then call ``resultWritten(_:now:)`` or ``resultRefused(_:now:)``.
        case report(ResultTicket)
        /// Keep these positions durably and commit them upstream, then call ``commitEnded(_:accepted:now:)``.
        case commit([PartitionPosition])
        /// Settle these leased deliveries upstream, then call ``settlementEnded(_:_:now:)``.
        case settle(SettlementID, [Settlement])
        /// Make these leases longer, then call ``extensionEnded(_:_:now:)``.
        case extend(LeaseTicket)
        /// The partitions of a revocation are drained: keep and commit these positions, and give the partitions up.
        case revoked(RevocationKey, [PartitionPosition])
    }

    /// The two clocks at one moment.
    package struct Moment: Sendable {
        /// The loop's monotonic clock, for waits.
        package var instant: Instant
        /// The wall clock, for ages and histories.
        package var wall: Timestamp

        /// A moment.
        package init(instant: Instant, wall: Timestamp) {
            self.instant = instant
            self.wall = wall
        }
    }

    /// The part of a batch that is one lane's: judged by itself.
    struct Slice {
        var lane: LaneID
        var parcel: Parcel
    }

    struct Alarm: Comparable {
        var at: Instant
        var lane: LaneID

        static func < (lhs: Self, rhs: Self) -> Bool {
            (lhs.at, lhs.lane.partition.rawValue, lhs.lane.number)
                < (rhs.at, rhs.lane.partition.rawValue, rhs.lane.number)
        }
    }

    package let policy: TriggerPolicy
    package internal(set) var counters = Counters()

    let format: any EventFormat
    private let filter: (any RecordFilter)?
    var random: SplitMix64
    var actions = Deque<Action>()
    let ring: LaneRing
    var owned: [PartitionID: OwnedPartition] = [:]
    /// The latest ownership of each partition: only its positions are kept and committed.
    var latest: [String: PartitionID] = [:]
    var lanes: [LaneID: Lane] = [:]
    var inFlight: [BatchID: [Slice]] = [:]
    var spareSlices: [[Slice]] = []
    var tickets: [DeadLetterTicketID: (lane: LaneID, ticket: DeadLetterTicket)] = [:]
    var results: [ResultTicketID: HeldResult] = [:]
    var revocations: [RevocationKey: [PartitionID]] = [:]

    /// Idle lanes whose next records were not tried yet, in the order in which they became ready; a lane stands in it once.
    var ready = Deque<LaneID>()
    var readyCount = 0
    var readyBytes = 0

    /// Idle lanes that have something to try again.
    var readyToRetry = Deque<LaneID>()

    /// When waiting and blocked lanes go on; entries whose lane has moved on are skipped.
    var alarms = Heap<Alarm>()

    /// What is kept about leased deliveries; nil for records that are settled by their position.
    var leases: Leases?

    private var nextDelivery: UInt64 = 0
    var lastBatch: UInt64 = 0
    var lastTicket: UInt64 = 0
    var lastLane: UInt32 = 0

    /// Bytes of the events of all records in hand.
    package internal(set) var bytesInHand = 0

    /// What lanes hold that wait for something that may take long.
    var parked = Load()

    /// The blocks that are kept because a record of theirs is not settled.
    var blocks = BlockLedger()

    // Throttling: nothing is invoked before `heldUntil`; then few at a time (additive increase, halved on each refusal).
    var heldUntil: Instant?
    var throttlesInRow = 0
    var allowedConcurrency: Int

    // Commits: one at a time, at most one in each interval.
    var dirty: Set<PartitionID> = []
    var commitAt: Instant?
    var isCommitting = false

    /// When the next window ends of which no more records are in hand.
    var windowsDueAt: Instant?
    /// Whether nothing could be received since windows were looked at last.
    var windowsPaused = false

    /// Whether new batches are invoked; switched by an operator.
    package var isPaused = false {
        didSet { self.windowsPaused = true }
    }

    /// Partitions of which upstream may have more records, by name: their windows wait longer for these.
    package var partitionsBehind: Set<String> = []

    /// Whether the source can reach its upstream: no window ends for want of records while it cannot.
    package var isSourceConnected = true {
        didSet { if self.isSourceConnected != oldValue { self.windowsPaused = true } }
    }

    /// Whether the last commit could not be kept durably.
    ///
    /// New batches wait until one can, as long as there is one to try.
    package var isStoreRefusing = false
    var isHalted: Bool { self.isStoreRefusing && (self.isCommitting || !self.dirty.isEmpty) }

    /// Whether the engine only finishes what is in flight.
    package private(set) var isStopping = false

    /// An engine without partitions.
    ///
    /// The same seed and the same calls give the same actions.
    package init(
        policy: TriggerPolicy,
        format: any EventFormat,
        filter: (any RecordFilter)? = nil,
        seed: UInt64
    ) {
        self.policy = policy
        self.format = format
        self.filter = filter
        self.random = SplitMix64(seed: seed)
        self.allowedConcurrency = policy.concurrency
        self.ring = LaneRing(concurrency: policy.concurrency, isLeased: policy.lease != nil)
        self.leases = policy.lease.map { Leases($0) }
    }

    /// Takes out the oldest action that was not carried out yet.
    package mutating func nextAction() -> Action? { self.actions.popFirst() }

    // MARK: - What the source said

    /// These partitions are owned from now on.
    package mutating func assigned(_ partitions: [Partition], now: Moment) {
        for partition in partitions {
            self.owned[partition.id] = OwnedPartition(partition, at: now.instant)
            self.latest[partition.name] = partition.id
        }
        // A window that was kept may end without another record.
        if self.policy.tumbling != nil { self.pump(now) }
    }

    /// Records arrived.
    package mutating func received(_ block: RecordBlock, now: Moment) {
        guard block.count > 0, !self.isVoid(block, now: now) else { return }
        let first = self.nextDelivery
        let sizes = self.format.sizes(of: block).sums
        self.nextDelivery += UInt64(block.count)
        self.counters.received += UInt64(block.count)
        self.counters.inFlight += UInt64(block.count)
        self.bytesInHand += sizes[block.count]
        let order =
            if case .key(let key) = self.policy.ordering {
                LaneOrder(of: block, by: key, ring: self.ring, firstDelivery: first)
            } else {
                LaneOrder(byPartition: block)
            }
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: first,
            receivedAt: now.instant,
            sizes: sizes,
            order: order.order
        )
        // First every record stands in a ledger, then lanes take them.
        if self.leases != nil {
            self.leases?.ledger.admit(admitted, now: now.instant)
        } else {
            LaneOrder.forEachStretch(of: block) { partition, indices in
                guard self.takesRecords(of: partition.id) else { return }
                self.owned[partition.id]?.watermark.admit(admitted, indices)
                self.blocks.open(admitted)
            }
        }
        if self.policy.tumbling != nil {
            for partition in block.partitions { self.owned[partition.id]?.window.quietSince = now.instant }
        }
        let passing = self.filter?.select(block)
        for (lane, places) in order.runs {
            let run = Run(admitted: admitted, range: places)
            guard self.takesRecords(of: lane.partition) else {
                // Of a partition given up meanwhile: somebody else gets it again.
                self.release(CollectionOfOne(run))
                continue
            }
            guard let passing else {
                self.withLane(lane) { $0.append(run) }
                continue
            }
            for part in run.split(by: passing) { self.admit(part, to: lane, now: now) }
        }
        self.pump(now)
    }

    /// Queues records that a filter was asked about, or settles those that did not pass.
    private mutating func admit(_ run: Run, to lane: LaneID, now: Moment) {
        if run.isFiltered, self.policy.filtered == .acknowledge {
            self.settle(CollectionOfOne(run), as: \.filtered, of: lane.partition, now: now)
        } else if run.isFiltered, self.policy.filtered == .release, self.leases != nil {
            // After a moment, or it would be received again at once.
            let delay = self.policy.retry.backoff.delay(attempt: 1, using: &self.random)
            self.release(CollectionOfOne(run), after: delay)
        } else if run.isFiltered, self.policy.filtered == .release {
            self.settle(CollectionOfOne(run), as: \.released, of: lane.partition, now: now)
        } else {
            self.withLane(lane) { $0.append(run) }
        }
    }

    /// Whether records of a partition may be queued: it is owned, and neither given up nor part of a stop.
    func takesRecords(of id: PartitionID) -> Bool {
        guard let owned = self.owned[id] else { return false }
        return owned.revocation == nil && !self.isStopping
    }

    /// Nothing else comes in these partitions up to these positions, which hold once all before them is settled.
    package mutating func advanced(_ positions: [PartitionPosition], now: Moment) {
        for position in positions {
            let id = position.partition
            // While records are no longer taken, the position would stand behind some that were given back.
            guard self.leases == nil, self.takesRecords(of: id),
                self.owned[id]?.watermark.reach(position.position) == true
            else { continue }
            self.dirty.insert(id)
            if self.commitAt == nil { self.commitAt = now.instant + self.policy.commitInterval }
        }
        self.pump(now)
    }

    /// These partitions have come to their end, and all that they had is committed.
    package mutating func ended(_ partitions: [PartitionID], now: Moment) {
        for id in partitions {
            guard let name = self.owned[id]?.partition.name, self.latest[name] == id else { continue }
            self.latest[name] = nil
        }
        self.lost(partitions, now: now)
    }

    /// These partitions are to be given up.
    ///
    /// ``Action/revoked(_:_:)`` follows when nothing of them is in flight.
    package mutating func revoking(_ key: RevocationKey, _ partitions: [PartitionID], now: Moment) {
        let leaving = partitions.filter { self.owned[$0] != nil }
        if leaving.isEmpty { self.actions.append(.revoked(key, [])) } else { self.revocations[key] = leaving }
        for id in leaving { self.owned[id]?.revocation = key }
        self.releaseWaiting { leaving.contains($0) }
        self.finishRevocations()
        self.pump(now)
    }

    /// These partitions are gone: what is in flight can no longer be settled.
    package mutating func lost(_ partitions: [PartitionID], now: Moment) {
        self.void(self.leases?.ledger.close { partitions.contains($0) } ?? [])
        self.releaseWaiting { partitions.contains($0) }
        self.forget(partitions)
        for (key, leaving) in self.revocations {
            let rest = leaving.filter { !partitions.contains($0) }
            self.revocations[key] = rest.isEmpty ? nil : rest
        }
        self.finishRevocations()
        self.pump(now)
    }

    // MARK: - What came of the actions

    /// An invocation ended.
    ///
    /// Late results of partitions that are gone are counted as released, and change nothing else.
    package mutating func invocationEnded(
        _ id: BatchID,
        verdict: BatchVerdict,
        report: InvocationReport,
        now: Moment
    ) {
        guard let slices = self.inFlight.removeValue(forKey: id) else {
            preconditionFailure("an invocation ended twice: \(id)")
        }
        self.noteCapacity(verdict, now: now)
        if let record = report.record {
            self.hold(HeldResult(slices: slices, verdict: verdict, report: report), until: record)
        } else {
            self.judge(slices, by: verdict, report, now: now)
            self.giveBack(slices)
        }
        self.finishRevocations()
        self.pump(now)
    }

    /// The letters are durable: their records are settled.
    package mutating func deadLettersWritten(_ id: DeadLetterTicketID, now: Moment) {
        guard let (lane, ticket) = self.tickets.removeValue(forKey: id) else { return }
        guard self.owned[lane.partition] != nil else {
            self.release(ticket.runs)
            return
        }
        self.settle(ticket.runs, as: \.deadLettered, of: lane.partition, now: now)
        self.goOn(lane, hasAdvanced: true, now: now)
        self.finishRevocations()
        self.pump(now)
    }

    /// The destination refused: the records stay unsettled, their lane waits, and the write is tried again.
    ///
    /// - Parameters:
    ///   - id: the ticket.
    ///   - delivered: which of its records the destination took nevertheless, by their places in the ticket.
    ///   - now: the time.
    package mutating func deadLettersRefused(
        _ id: DeadLetterTicketID,
        delivered: [Int] = [],
        now: Moment
    ) {
        self.counters.deadLetterFailures += 1
        self.tickets[id]?.ticket.delivered.formUnion(delivered)
        guard let (lane, ticket) = self.tickets[id] else { return }
        guard self.takesRecords(of: lane.partition) else {
            self.tickets[id] = nil
            self.release(ticket.runs)
            if self.owned[lane.partition] != nil { self.withLane(lane) { $0.state = .idle } }
            self.finishRevocations()
            self.pumpSettlements(now.instant)
            return
        }
        let wait = self.policy.patience.delay(attempt: 6, using: &self.random)
        let until = now.instant + max(wait, .milliseconds(200))
        self.withLane(lane) { lane in
            lane.state = .blocked(id, until: until)
            lane.blockedSince = lane.blockedSince ?? now.wall
        }
        self.alarms.insert(Alarm(at: until, lane: lane))
    }

    /// A commit ended: upstream accepted some of the positions, or refused it (nil).
    ///
    /// What was not accepted is committed again with the next one, while it is owned.
    package mutating func commitEnded(
        _ positions: [PartitionPosition],
        accepted: [PartitionPosition]?,
        now: Moment
    ) {
        self.isCommitting = false
        if let accepted {
            if !accepted.isEmpty { self.counters.commits += 1 }
        } else {
            self.counters.commitFailures += 1
        }
        if accepted?.count != positions.count {
            let taken = Set((accepted ?? []).map(\.partition))
            for position in positions where !taken.contains(position.partition) {
                if self.owned[position.partition] != nil { self.dirty.insert(position.partition) }
            }
            if !self.dirty.isEmpty { self.commitAt = now.instant + self.policy.commitInterval }
        }
        self.pump(now)
    }

    // MARK: - Time, stop, status

    /// When ``wake(now:)`` is to be called at the latest; nil when only an event can change anything.
    package func nextDeadline() -> Instant? {
        var deadline = self.alarms.min?.at
        func consider(_ other: Instant?) {
            if let other { deadline = min(deadline ?? other, other) }
        }
        if !self.isPaused, !self.isHalted, !self.isStopping, self.inFlight.count < self.allowedConcurrency {
            if let heldUntil = self.heldUntil {
                // With windows, one that is due may wait for the end of the hold alone.
                let waits = !self.ready.isEmpty || !self.readyToRetry.isEmpty || self.policy.tumbling != nil
                if waits { consider(heldUntil) }
            } else {
                consider(self.windowEnd())
                consider(self.windowsDueAt)
            }
        }
        if !self.isCommitting, !self.dirty.isEmpty { consider(self.commitAt) }
        if let leases = self.leases {
            consider(leases.deadline)
            // What may be received depends on it.
            consider(self.heldUntil)
        }
        return deadline
    }

    /// Does what has become due.
    package mutating func wake(now: Moment) {
        while let alarm = self.alarms.min, alarm.at <= now.instant {
            self.alarms.removeMin()
            switch self.lanes[alarm.lane]?.state {
            case .waiting(let until) where until <= now.instant:
                self.withLane(alarm.lane) { $0.state = .idle }
            case .blocked(let id, let until) where until <= now.instant:
                guard let (_, ticket) = self.tickets[id] else { continue }
                self.withLane(alarm.lane) { $0.state = .deadLettering(id) }
                self.actions.append(.deadLetter(ticket))
            case .refused(let id, let until) where until <= now.instant:
                self.reportAgain(id)
            case .idle, .inFlight, .waiting, .deadLettering, .blocked, .reporting, .refused, nil:
                continue
            }
        }
        self.tendLeases(now)
        self.pump(now)
    }

    /// Begins the stop: what is not in flight is released, what is may finish.
    ///
    /// ``isDrained`` tells when.
    package mutating func stop() {
        self.isStopping = true
        self.releaseWaiting { _ in true }
        self.pumpSettlements()
    }

    /// Gives up on what is still in flight; results that come later are ignored by the shell.
    package mutating func abandon() {
        // A function may still be at work: the leases of its records end by themselves.
        for slice in self.inFlight.values.joined() { self.abandon(slice.parcel.runs) }
        for (_, entry) in self.tickets { self.release(entry.ticket.runs) }
        for held in self.results.values {
            for slice in held.slices where !held.released.contains(slice.lane) {
                self.release(slice.parcel.runs)
            }
        }
        self.inFlight = [:]
        self.tickets = [:]
        self.results = [:]
        self.releaseWaiting { _ in true }
        self.pumpSettlements()
    }

    /// Whether nothing is in flight any more.
    package var isDrained: Bool { self.inFlight.isEmpty && self.tickets.isEmpty && self.results.isEmpty }

    /// Whether an invocation with this batch is under way; false after ``abandon()``.
    package func isInFlight(_ id: BatchID) -> Bool { self.inFlight[id] != nil }
}
