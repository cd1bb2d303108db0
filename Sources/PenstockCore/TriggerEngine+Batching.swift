// SPDX-License-Identifier: Apache-2.0

import DequeModule

// MARK: - Choosing batches

extension TriggerEngine {
    /// Invokes and commits what can be.
    mutating func pump(_ now: Moment) {
        if let commitAt = self.commitAt, commitAt <= now.instant, !self.isCommitting, !self.dirty.isEmpty {
            self.commit()
        }
        if let heldUntil = self.heldUntil, heldUntil <= now.instant { self.heldUntil = nil }
        guard self.heldUntil == nil, !self.isPaused, !self.isHalted, !self.isStopping else { return }
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

    /// When the window of the oldest ready record ends.
    func windowEnd() -> Instant? {
        guard self.readyCount > 0 else { return nil }
        var oldest: Instant?
        for id in self.ready {
            guard let run = self.lanes[id]?.fresh.first else { continue }
            oldest = min(oldest ?? run.admitted.receivedAt, run.admitted.receivedAt)
        }
        return oldest.map { $0 + self.policy.batchWindow }
    }

    /// Tries the oldest failed parcel again, by itself.
    ///
    /// Returns whether the queue is worth another look.
    private mutating func startRetry(_ now: Moment) -> Bool {
        guard let id = self.readyToRetry.popFirst() else { return false }
        self.dequeue(id)
        guard !self.giveUpExpired(id, now: now), let parcel = self.lanes[id]?.retries.popFirst() else {
            return true
        }
        self.launch([(id, parcel)], attempt: parcel.attempts + 1)
        return true
    }

    /// Starts a batch of untried records of one or several lanes.
    ///
    /// Returns whether the queue is worth another look.
    private mutating func startBatch(_ now: Moment) -> Bool {
        let envelope = self.format.overhead(of: [])
        var room = self.policy.bodyBytesMax - envelope
        var missing = self.policy.batchSize
        var slices: [(lane: PartitionID, parcel: Parcel)] = []
        while missing > 0, let id = self.ready.popFirst() {
            self.dequeue(id)
            guard !self.giveUpExpired(id, now: now), let partition = self.lanes[id]?.partition else {
                continue
            }
            let own = self.format.overhead(of: [partition]) - envelope + 1
            let runs = self.lanes[id]?.takeFresh(count: missing, bytes: room - own) ?? []
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
            slices.append((id, parcel))
        }
        if !slices.isEmpty { self.launch(slices, attempt: 1) }
        return !slices.isEmpty || self.isBatchDue(now.instant)
    }

    private mutating func launch(_ slices: [(lane: PartitionID, parcel: Parcel)], attempt: Int) {
        self.lastBatch += 1
        let id = BatchID(self.lastBatch)
        for (lane, _) in slices {
            self.withLane(lane) { $0.state = .inFlight(id) }
        }
        self.inFlight[id] = InFlightBatch(slices: slices)
        self.counters.invocations += 1
        self.actions.append(.invoke(Batch(id: id, runs: slices.flatMap(\.parcel.runs), attempt: attempt)))
    }

    /// Gives up the expired records at the head of a lane (esm-spec 3.2: only the expired head is cut off).
    private mutating func giveUpExpired(_ id: PartitionID, now: Moment) -> Bool {
        guard self.policy.retry.maxAge != nil, let lane = self.lanes[id] else { return false }
        if var parcel = lane.retries.first {
            let expired = self.expiredPrefix(of: parcel.runs, now: now)
            guard expired > 0 else { return false }
            let dead = parcel.removePrefix(expired)
            self.lanes[id]?.retries.removeFirst()
            if !parcel.runs.isEmpty { self.lanes[id]?.retries.prepend(parcel) }
            self.giveUp(dead, of: id, reason: .ageExceeded)
            return true
        }
        let expired = self.expiredPrefix(of: lane.fresh.prefix(1), now: now)
        guard expired > 0, let runs = self.lanes[id]?.takeFresh(count: expired, bytes: .max) else {
            return false
        }
        self.giveUp(Parcel(runs: runs), of: id, reason: .ageExceeded)
        return true
    }

    private func expiredPrefix(of runs: some Sequence<Run>, now: Moment) -> Int {
        var count = 0
        for run in runs {
            for index in run.range {
                let timestamp = run.admitted.block.entries[index].timestamp
                guard self.policy.retry.isExpired(timestamp, now: now.wall) else { return count }
                count += 1
            }
        }
        return count
    }

    /// Gives up the first record of a lane: it does not fit an invocation by itself.
    private mutating func giveUpOversized(_ id: PartitionID) {
        guard let runs = self.lanes[id]?.takeFresh(count: 1, bytes: .max), !runs.isEmpty else { return }
        self.giveUp(Parcel(runs: runs), of: id, reason: .payloadTooLarge)
    }

    mutating func giveUp(_ parcel: Parcel, of id: PartitionID, reason: DeadLetterReason) {
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

    /// Changes a lane and keeps the queue of ready lanes and its sums true.
    mutating func withLane(_ id: PartitionID, _ change: (inout Lane) -> Void) {
        guard var lane = self.lanes.removeValue(forKey: id) else { return }
        self.countOut(lane)
        change(&lane)
        let wantsWork = lane.state == .idle && !lane.isEmpty && lane.revocation == nil
        let isNewlyReady = wantsWork && !lane.isQueued
        if isNewlyReady { lane.isQueued = true }
        self.countIn(lane)
        self.lanes[id] = lane
        guard isNewlyReady else { return }
        if lane.retries.isEmpty { self.ready.append(id) } else { self.readyToRetry.append(id) }
    }

    /// Takes note that a lane was taken out of its queue.
    private mutating func dequeue(_ id: PartitionID) {
        guard let lane = self.lanes[id] else { return }
        self.countOut(lane)
        self.lanes[id]?.isQueued = false
    }

    /// Puts a lane with untried records back to the front of the queue.
    private mutating func requeue(_ id: PartitionID) {
        guard var lane = self.lanes[id], !lane.isEmpty else { return }
        lane.isQueued = true
        self.ready.prepend(id)
        self.countIn(lane)
        self.lanes[id] = lane
    }

    /// The records of queued lanes count as ready.
    private mutating func countIn(_ lane: Lane) {
        guard lane.isQueued, lane.retries.isEmpty else { return }
        self.readyCount += lane.freshCount
        self.readyBytes += lane.freshBytes
    }

    mutating func countOut(_ lane: Lane) {
        guard lane.isQueued, lane.retries.isEmpty else { return }
        self.readyCount -= lane.freshCount
        self.readyBytes -= lane.freshBytes
    }
}
