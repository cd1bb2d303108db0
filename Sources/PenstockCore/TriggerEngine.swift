// SPDX-License-Identifier: Apache-2.0

import DequeModule
import HeapModule

/// Everything a trigger decides: what is batched and invoked when, what a result means for each record, what is
/// retried, given up, settled and committed.
///
/// Pure: no clock, no I/O, no locks. The shell tells it what happened, with the time, and carries out the
/// ``Action``s it takes out by ``takeActions()`` after each call. Records move through it as runs (``Run``); work per
/// record is only done when a failure splits a run.
package struct TriggerEngine: ~Copyable {
    /// What the shell has to do.
    package enum Action: Sendable {
        /// Invoke the function with this batch, then call ``invocationEnded(_:verdict:report:now:)``.
        case invoke(Batch)
        /// Make these dead letters durable, then call ``deadLettersWritten(_:now:)`` or ``deadLettersRefused(_:now:)``.
        case deadLetter(DeadLetterTicket)
        /// Keep these positions durably and commit them upstream, then call ``commitEnded(_:accepted:)``.
        case commit([PartitionPosition])
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

    struct InFlightBatch {
        var slices: [(lane: PartitionID, parcel: Parcel)]
    }

    struct Alarm: Comparable {
        var at: Instant
        var lane: PartitionID

        static func < (lhs: Self, rhs: Self) -> Bool {
            (lhs.at, lhs.lane.rawValue) < (rhs.at, rhs.lane.rawValue)
        }
    }

    package let policy: TriggerPolicy
    package internal(set) var counters = Counters()

    let format: any EventFormat
    var random: SplitMix64
    var actions: [Action] = []
    var lanes: [PartitionID: Lane] = [:]
    var watermarks: [PartitionID: Watermark] = [:]
    var inFlight: [BatchID: InFlightBatch] = [:]
    var tickets: [DeadLetterTicketID: (lane: PartitionID, ticket: DeadLetterTicket)] = [:]

    /// Idle lanes whose next records were not tried yet, in the order in which they became ready; a lane stands in it once.
    var ready = Deque<PartitionID>()
    var readyCount = 0
    var readyBytes = 0

    /// Idle lanes that have something to try again.
    var readyToRetry = Deque<PartitionID>()

    /// When waiting and blocked lanes go on; entries whose lane has moved on are skipped.
    var alarms = Heap<Alarm>()

    private var nextDelivery: UInt64 = 0
    var lastBatch: UInt64 = 0
    var lastTicket: UInt64 = 0

    /// Bytes of the events of all records in hand.
    package internal(set) var bytesInHand = 0

    // Throttling: nothing is invoked before `heldUntil`; then few at a time (additive increase, halved on each refusal).
    var heldUntil: Instant?
    var throttlesInRow = 0
    var allowedConcurrency: Int

    // Commits: one at a time, at most one in each interval.
    var dirty: Set<PartitionID> = []
    var commitAt: Instant?
    var isCommitting = false

    /// Whether new batches are invoked; switched by an operator.
    package var isPaused = false

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
    package init(policy: TriggerPolicy, format: any EventFormat, seed: UInt64) {
        self.policy = policy
        self.format = format
        self.random = SplitMix64(seed: seed)
        self.allowedConcurrency = policy.concurrency
    }

    /// The actions since the last call, in order.
    package mutating func takeActions() -> [Action] {
        defer { self.actions = [] }
        return self.actions
    }

    // MARK: - What the source said

    /// These partitions are owned from now on.
    package mutating func assigned(_ partitions: [Partition]) {
        for partition in partitions {
            self.lanes[partition.id] = Lane(partition: partition)
            self.watermarks[partition.id] = Watermark()
        }
    }

    /// Records arrived.
    package mutating func received(_ block: RecordBlock, now: Moment) {
        guard block.count > 0 else { return }
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: self.nextDelivery,
            receivedAt: now.instant,
            sizes: self.format.sizes(of: block).sums
        )
        self.nextDelivery += UInt64(block.count)
        self.counters.received += UInt64(block.count)
        self.counters.inFlight += UInt64(block.count)
        self.bytesInHand += admitted.sizes[block.count]
        var start = 0
        while start < block.count {
            let index = block.entries[start].partitionIndex
            var end = start + 1
            while end < block.count, block.entries[end].partitionIndex == index { end += 1 }
            self.admit(Run(admitted: admitted, range: start..<end))
            start = end
        }
        self.pump(now)
    }

    private mutating func admit(_ run: Run) {
        let id = run.partition.id
        guard !self.isStopping, let lane = self.lanes[id], lane.revocation == nil else {
            // Of a partition given up meanwhile: somebody else gets it again.
            self.release(run.count, bytes: run.bytes)
            return
        }
        self.watermarks[id]?.admit(run)
        self.withLane(id) { $0.append(run) }
    }

    /// These partitions are to be given up.
    ///
    /// ``Action/revoked(_:_:)`` follows when nothing of them is in flight.
    package mutating func revoking(_ key: RevocationKey, _ partitions: [PartitionID], now: Moment) {
        let owned = partitions.filter { self.lanes[$0] != nil }
        if owned.isEmpty { self.actions.append(.revoked(key, [])) }
        for id in owned {
            self.releaseWaiting(id)
            self.lanes[id]?.revocation = key
        }
        self.finishRevocations()
        self.pump(now)
    }

    /// These partitions are gone: what is in flight can no longer be settled.
    package mutating func lost(_ partitions: [PartitionID], now: Moment) {
        for id in partitions where self.lanes[id] != nil {
            self.releaseWaiting(id)
            self.forget(id)
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
        guard let batch = self.inFlight.removeValue(forKey: id) else {
            preconditionFailure("an invocation ended twice: \(id)")
        }
        self.noteCapacity(verdict, now: now)
        var offset = 0
        for (lane, parcel) in batch.slices {
            let count = parcel.count
            guard self.lanes[lane] != nil else {
                self.release(count, bytes: parcel.bytes)
                offset += count
                continue
            }
            self.judge(parcel, of: lane, by: verdict, Judgement(offset: offset, report: report, now: now))
            offset += count
        }
        self.finishRevocations()
        self.pump(now)
    }

    /// The letters are durable: their records are settled.
    package mutating func deadLettersWritten(_ id: DeadLetterTicketID, now: Moment) {
        guard let (lane, ticket) = self.tickets.removeValue(forKey: id) else { return }
        guard self.lanes[lane] != nil else {
            self.release(ticket.count, bytes: ticket.bytes)
            return
        }
        self.settle(ticket.runs, as: \.deadLettered, lane: lane, now: now)
        self.withLane(lane) { $0.state = .idle }
        self.finishRevocations()
        self.pump(now)
    }

    /// The destination refused: the records stay unsettled, their lane waits, and the write is tried again.
    package mutating func deadLettersRefused(_ id: DeadLetterTicketID, now: Moment) {
        self.counters.deadLetterFailures += 1
        guard let (lane, ticket) = self.tickets[id] else { return }
        guard let current = self.lanes[lane], current.revocation == nil, !self.isStopping else {
            self.tickets[id] = nil
            self.release(ticket.count, bytes: ticket.bytes)
            if self.lanes[lane] != nil { self.withLane(lane) { $0.state = .idle } }
            self.finishRevocations()
            return
        }
        let wait = self.policy.patience.delay(attempt: 6, using: &self.random)
        let until = now.instant + max(wait, .milliseconds(200))
        self.withLane(lane) { $0.state = .blocked(id, until: until) }
        self.alarms.insert(Alarm(at: until, lane: lane))
    }

    /// A commit ended; refused positions are committed again with the next one.
    package mutating func commitEnded(_ positions: [PartitionPosition], accepted: Bool, now: Moment) {
        self.isCommitting = false
        if accepted {
            self.counters.commits += 1
        } else {
            self.counters.commitFailures += 1
            for position in positions where self.lanes[position.partition] != nil {
                self.dirty.insert(position.partition)
            }
            self.commitAt = now.instant + self.policy.commitInterval
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
                if !self.ready.isEmpty || !self.readyToRetry.isEmpty { consider(heldUntil) }
            } else {
                consider(self.windowEnd())
            }
        }
        if !self.isCommitting, !self.dirty.isEmpty { consider(self.commitAt) }
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
            case .idle, .inFlight, .waiting, .deadLettering, .blocked, nil:
                continue
            }
        }
        self.pump(now)
    }

    /// Begins the stop: what is not in flight is released, what is may finish.
    ///
    /// ``isDrained`` tells when.
    package mutating func stop() {
        self.isStopping = true
        for id in Array(self.lanes.keys) { self.releaseWaiting(id) }
    }

    /// Gives up on what is still in flight; results that come later are ignored by the shell.
    package mutating func abandon() {
        for (_, batch) in self.inFlight {
            for (_, parcel) in batch.slices { self.release(parcel.count, bytes: parcel.bytes) }
        }
        for (_, entry) in self.tickets { self.release(entry.ticket.count, bytes: entry.ticket.bytes) }
        self.inFlight = [:]
        self.tickets = [:]
        for id in Array(self.lanes.keys) { self.releaseWaiting(id) }
    }

    /// Whether nothing is in flight any more.
    package var isDrained: Bool { self.inFlight.isEmpty && self.tickets.isEmpty }

    /// Whether an invocation with this batch is under way; false after ``abandon()``.
    package func isInFlight(_ id: BatchID) -> Bool { self.inFlight[id] != nil }

    /// The settled positions that were not committed yet.
    package func uncommitted() -> [PartitionPosition] {
        self.dirty.compactMap { self.position(of: $0) }.sorted { $0.name < $1.name }
    }

    /// How much may be received now: nothing that could not soon be invoked (contract rule 5).
    package var budget: ReceiveAllowance {
        guard !self.isStopping, !self.isPaused else { return .none }
        let records = self.policy.intakeRecords - Int(self.counters.inFlight)
        let bytes = self.policy.intakeBytes - self.bytesInHand
        guard records > 0, bytes > 0 else { return .none }
        return ReceiveAllowance(records: records, bytes: bytes, held: self.heldPartitions())
    }

    /// Partitions that wait for a retry or a dead letter and already hold an eighth of the intake: they must not starve
    /// the others.
    private func heldPartitions() -> Set<PartitionID> {
        guard
            self.bytesInHand > self.policy.intakeBytes / 8
                || self.counters.inFlight > self.policy.intakeRecords / 8
        else { return [] }
        var held: Set<PartitionID> = []
        for (id, lane) in self.lanes {
            switch lane.state {
            case .waiting, .blocked, .deadLettering:
                let isLarge =
                    lane.freshBytes > self.policy.intakeBytes / 8
                    || lane.freshCount > self.policy.intakeRecords / 8
                if isLarge { held.insert(id) }
            case .idle, .inFlight: continue
            }
        }
        return held
    }

    /// Invocations under way.
    package var invocationsInFlight: Int { self.inFlight.count }

    /// Partitions that do not advance: waiting for a retry, or for the dead-letter destination.
    package var blockedPartitions: [(partition: String, attempts: Int, isRefused: Bool)] {
        self.lanes.values.compactMap { lane in
            switch lane.state {
            case .waiting: (lane.partition.name, lane.retries.first?.attempts ?? 0, false)
            case .blocked: (lane.partition.name, 0, true)
            case .idle, .inFlight, .deadLettering: nil
            }
        }.sorted { $0.partition < $1.partition }
    }

    /// The partitions owned, by name.
    package var partitions: [String] { self.lanes.values.map(\.partition.name).sorted() }
}

/// How much a source may hand out, as the engine sees it.
package struct ReceiveAllowance: Sendable, Equatable {
    /// Records.
    package var records: Int
    /// Bytes.
    package var bytes: Int
    /// Partitions to leave alone.
    package var held: Set<PartitionID>

    /// Nothing may be handed out.
    package static let none = ReceiveAllowance(records: 0, bytes: 0, held: [])
}

extension Parcel {
    /// Bytes of the records' events.
    var bytes: Int { self.runs.reduce(0) { $0 + $1.bytes } }
}

extension DeadLetterTicket {
    /// Bytes of the records' events.
    var bytes: Int { self.runs.reduce(0) { $0 + $1.bytes } }
}
