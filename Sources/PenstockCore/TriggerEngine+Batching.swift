// SPDX-License-Identifier: Apache-2.0

import DequeModule

// MARK: - Choosing batches

extension TriggerEngine {
    /// Invokes and commits what can be.
    mutating func pump(_ now: Moment) {
        if let commitAt = self.commitAt, commitAt <= now.instant, !self.isCommitting, !self.dirty.isEmpty {
            self.commit()
        }
        self.pumpLeases(now)
        if let heldUntil = self.heldUntil, heldUntil <= now.instant { self.heldUntil = nil }
        guard self.heldUntil == nil, !self.isPaused, !self.isHalted, !self.isStopping else { return }
        self.tendWindows(now)
        while self.inFlight.count < self.allowedConcurrency {
            let hasStarted =
                !self.readyToRetry.isEmpty
                ? self.startRetry(now) : self.isBatchDue(now.instant) && self.startBatch(now)
            guard hasStarted else { return }
        }
    }

    private func isBatchDue(_ now: Instant) -> Bool {
        guard self.readyCount > 0 else { return false }
        if self.readyCount >= self.policy.batchSize { return true }
        if self.readyBytes >= self.policy.bodyBytesMax { return true }
        return self.windowEnd().map { $0 <= now } ?? false
    }

    /// When the first window of a ready lane ends.
    func windowEnd() -> Instant? {
        guard self.readyCount > 0 else { return nil }
        var end: Instant?
        for id in self.ready {
            guard let run = self.lanes[id]?.fresh.first else { continue }
            let own = self.windowEnd(of: id.partition, arrival: run.admitted.receivedAt)
            end = min(end ?? own, own)
        }
        return end
    }

    private func windowEnd(of partition: PartitionID, arrival: Instant) -> Instant {
        let window = self.policy.batchWindow
        guard case .lastInvocation = self.policy.windowStart, window > .zero,
            let opened = self.owned[partition]?.windowOpenedAt, opened < arrival
        else { return arrival + window }
        // The windows since `opened` without a record are over; the record fell into the one after them.
        let passed = (arrival - opened).wholeNanoseconds / window.wholeNanoseconds
        return opened + .nanoseconds((passed + 1) * window.wholeNanoseconds)
    }

    /// Tries the oldest failed parcel again, by itself.
    ///
    /// Returns whether the queue is worth another look.
    private mutating func startRetry(_ now: Moment) -> Bool {
        guard let id = self.readyToRetry.popFirst() else { return false }
        self.dequeue(id)
        guard !self.startFinal(id), !self.giveUpDoomed(id), !self.giveUpExpired(id, now: now) else {
            return true
        }
        guard let parcel = self.lanes[id]?.retries.popFirst() else {
            // What was to be tried again has been given back; untried records may be left.
            self.withLane(id) { _ in }
            return true
        }
        if let window = self.window(of: id) {
            self.retryInWindow(parcel, of: id, window)
            return true
        }
        self.launch(parcel, of: id, attempt: self.attempt(of: parcel))
        return true
    }

    /// Starts a batch of untried records of one or several lanes.
    ///
    /// Returns whether the queue is worth another look.
    private mutating func startBatch(_ now: Moment) -> Bool {
        if let tumbling = self.policy.tumbling { return self.startWindowBatch(tumbling, now) }
        // Each record counts its separator, and there is one less than records.
        var room = self.policy.bodyBytesMax - self.format.envelope + 1
        var missing = self.policy.batchSize
        var slices = self.takeSlices()
        while missing > 0, let id = self.ready.popFirst() {
            self.dequeue(id)
            guard !self.giveUpFiltered(id), !self.giveUpExpired(id, now: now),
                let partition = self.owned[id.partition]?.partition,
                let lane = self.lanes[id], !lane.isEmpty
            else { continue }
            let isNamed = slices.contains { $0.lane.partition == id.partition }
            let own = isNamed ? 0 : self.format.overhead(of: partition)
            let runs = lane.takeFresh(count: missing, bytes: room - own)
            guard !runs.isEmpty else {
                if slices.isEmpty {
                    self.giveUpOversized(id)
                    continue
                }
                self.requeue(id)
                break
            }
            let parcel = Parcel(runs: runs)
            room -= own + parcel.bytes + parcel.count
            missing -= parcel.count
            slices.append(Slice(lane: self.carrier(for: id), parcel: parcel))
        }
        guard !slices.isEmpty else {
            self.giveBack(slices)
            return self.isBatchDue(now.instant)
        }
        self.launch(self.gathered(slices), attempt: self.firstAttempt(of: slices))
        return true
    }

    /// The lane for what leaves a lane: itself, or a new one when the lane only takes what arrives.
    private mutating func carrier(for id: LaneID) -> LaneID {
        guard !self.policy.ordering.isKept, id.number == 0 else { return id }
        // It goes on with what it still has.
        self.withLane(id) { _ in }
        return self.newLane(of: id.partition)
    }

    /// A lane that no record was in.
    mutating func newLane(of partition: PartitionID) -> LaneID {
        self.lastLane = self.lastLane == .max ? 1 : self.lastLane + 1
        return LaneID(partition: partition, number: self.lastLane)
    }

    /// The slices of a partition side by side, as the event has them.
    private func gathered(_ slices: [Slice]) -> [Slice] {
        if case .partition = self.policy.ordering { return slices }
        var places: [PartitionID: Int] = [:]
        for slice in slices where places[slice.lane.partition] == nil {
            places[slice.lane.partition] = places.count
        }
        guard places.count > 1 else { return slices }
        var groups = [[Slice]](repeating: [], count: places.count)
        for slice in slices { groups[places[slice.lane.partition, default: 0]].append(slice) }
        return Array(groups.joined())
    }

    mutating func launch(_ slices: [Slice], attempt: Int, window: BatchWindow? = nil) {
        self.lastBatch += 1
        let id = BatchID(self.lastBatch)
        for slice in slices { self.withLane(slice.lane) { $0.state = .inFlight(id) } }
        self.inFlight[id] = slices
        self.counters.invocations += 1
        // The runs of a single slice are shared, not copied.
        let runs = slices.count == 1 ? slices[0].parcel.runs : slices.flatMap(\.parcel.runs)
        self.actions.append(.invoke(Batch(id: id, runs: runs, attempt: attempt, window: window)))
    }

    /// An empty list of slices: one that a batch left, if there is one.
    mutating func takeSlices() -> [Slice] { self.spareSlices.popLast() ?? [] }

    /// Starts a batch of one lane's records.
    mutating func launch(_ parcel: Parcel, of id: LaneID, attempt: Int, window: BatchWindow? = nil) {
        var slices = self.takeSlices()
        slices.append(Slice(lane: id, parcel: parcel))
        self.launch(slices, attempt: attempt, window: window)
    }

    /// Keeps the memory of a list of slices for another batch.
    mutating func giveBack(_ slices: consuming [Slice]) {
        slices.removeAll(keepingCapacity: true)
        self.spareSlices.append(slices)
    }

    /// Gives up the records at the head of a lane that no filter matched, where the policy keeps them.
    private mutating func giveUpFiltered(_ id: LaneID) -> Bool {
        guard let run = self.lanes[id]?.takeFiltered() else { return false }
        self.giveUp(Parcel(runs: [run]), of: self.carrier(for: id), reason: .filtered)
        return true
    }

    /// Gives up the expired records at the head of a lane (esm-spec 3.2: only the expired head is cut off).
    mutating func giveUpExpired(_ id: LaneID, now: Moment) -> Bool {
        guard self.policy.retry.maxAge != nil, let lane = self.lanes[id] else { return false }
        if var parcel = lane.retries.first {
            let expired = self.expiredPrefix(of: parcel.runs, now: now)
            guard expired > 0 else { return false }
            let dead = parcel.removePrefix(expired)
            lane.retries.removeFirst()
            if !parcel.runs.isEmpty { lane.retries.prepend(parcel) }
            self.giveUp(dead, of: id, reason: .ageExceeded)
            return true
        }
        let expired = self.expiredPrefix(of: lane.fresh.prefix(1), now: now)
        guard expired > 0 else { return false }
        let runs = lane.takeFresh(count: expired, bytes: .max)
        self.giveUp(Parcel(runs: runs), of: self.carrier(for: id), reason: .ageExceeded)
        return true
    }

    private func expiredPrefix(of runs: some Sequence<Run>, now: Moment) -> Int {
        var count = 0
        for run in runs {
            for index in run.indices {
                let timestamp = run.admitted.block.entries[index].timestamp
                guard self.policy.retry.isExpired(timestamp, now: now.wall) else { return count }
                count += 1
            }
        }
        return count
    }

    /// Gives up the first record of a lane: it does not fit an invocation by itself.
    mutating func giveUpOversized(_ id: LaneID) {
        guard let runs = self.lanes[id]?.takeFresh(count: 1, bytes: .max), !runs.isEmpty else { return }
        self.giveUp(Parcel(runs: runs), of: self.carrier(for: id), reason: .payloadTooLarge)
    }

    mutating func giveUp(_ parcel: Parcel, of id: LaneID, reason: DeadLetterReason) {
        guard self.leases == nil || parcel.doom != nil else {
            return self.doom(parcel, of: id, reason: reason)
        }
        self.lastTicket += 1
        let ticket = DeadLetterTicket(
            id: DeadLetterTicketID(rawValue: self.lastTicket),
            runs: parcel.runs,
            reason: reason,
            attempts: parcel.history,
            attemptCount: parcel.attempts,
            invocation: parcel.invocation
        )
        self.tickets[ticket.id] = (id, ticket)
        self.withLane(id) { $0.state = .deadLettering(ticket.id) }
        self.actions.append(.deadLetter(ticket))
    }

    // MARK: - Lanes and the ready queue

    /// Changes a lane, which begins and ends with its records, and keeps queues and sums true.
    mutating func withLane(_ id: LaneID, _ change: (Lane) -> Void) {
        guard let owned = self.owned[id.partition] else { return }
        let kept = self.lanes[id]
        let lane = kept ?? Lane(id)
        self.countOut(lane)
        change(lane)
        let wantsWork =
            lane.state == .idle && (!lane.isEmpty || lane.final != nil) && owned.revocation == nil
        let isNewlyReady = wantsWork && !lane.isQueued
        if isNewlyReady { lane.isQueued = true }
        self.countIn(lane)
        let isNeeded = lane.state != .idle || !lane.isEmpty || lane.isQueued || id.number == 0
        if isNeeded, kept == nil { self.lanes[id] = lane }
        if !isNeeded, kept != nil { self.lanes[id] = nil }
        guard isNewlyReady else { return }
        if lane.isFresh { self.ready.append(id) } else { self.readyToRetry.append(id) }
    }

    /// Takes note that a lane was taken out of its queue.
    mutating func dequeue(_ id: LaneID) {
        guard let lane = self.lanes[id] else { return }
        self.countOut(lane)
        lane.isQueued = false
    }

    /// Puts a lane with untried records back to the front of the queue.
    private mutating func requeue(_ id: LaneID) {
        guard let lane = self.lanes[id] else { return }
        lane.isQueued = true
        self.ready.prepend(id)
        self.countIn(lane)
    }

    /// Adds a lane to the sums: what is ready when it is queued, what is parked while it waits.
    private mutating func countIn(_ lane: Lane) {
        if lane.isQueued, lane.isFresh {
            self.readyCount += lane.freshCount
            self.readyBytes += lane.freshBytes
        }
        if lane.state != .idle { self.owned[lane.id.partition]?.busy += 1 }
        if lane.isParked {
            self.parked += lane.held
            self.owned[lane.id.partition]?.parked += lane.held
        }
    }

    mutating func countOut(_ lane: Lane) {
        if lane.isQueued, lane.isFresh {
            self.readyCount -= lane.freshCount
            self.readyBytes -= lane.freshBytes
        }
        if lane.state != .idle { self.owned[lane.id.partition]?.busy -= 1 }
        if lane.isParked {
            self.parked -= lane.held
            self.owned[lane.id.partition]?.parked -= lane.held
        }
    }
}
