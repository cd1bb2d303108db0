// SPDX-License-Identifier: Apache-2.0

import DequeModule
import HeapModule

// MARK: - Tumbling windows

extension TriggerEngine {
    /// These partitions are read to their end, and stand there once all before is settled; the windows that are open in them
    /// end before that.
    package mutating func readOut(_ positions: [PartitionPosition], now: Moment) {
        for position in positions where self.takesRecords(of: position.partition) {
            self.owned[position.partition]?.isReadOut = true
        }
        self.advanced(positions, now: now)
    }

    /// Lets windows end whose time is over, and finds out when the next one's is.
    mutating func tendWindows(_ now: Moment) {
        self.windowsDueAt = nil
        guard let policy = self.policy.tumbling else { return }
        let canArrive = self.isSourceConnected && !self.windowsPaused && self.budget.records > 0
        self.windowsPaused = false
        var due: [PartitionID] = []
        for (id, owned) in self.owned where owned.revocation == nil {
            guard let open = owned.window.open else { continue }
            if !canArrive { owned.window.quietSince = now.instant }
            let lane = self.lanes[LaneID(partition: id, number: 0)]
            guard lane?.state ?? .idle == .idle, lane?.retries.isEmpty ?? true, lane?.final == nil else {
                continue
            }
            if open.isEndingEarly {
                due.append(id)
            } else if let head = lane?.fresh.first {
                if WindowEdge(end: open.span.end, now: now.wall).isBehind(head.firstTimestamp) {
                    due.append(id)
                }
            } else if owned.isReadOut {
                due.append(id)
            } else {
                let end = now.instant + (open.span.end - now.wall)
                let isBehind = self.partitionsBehind.contains(owned.partition.name)
                let wait = isBehind ? policy.patience : policy.grace
                var at = max(end, owned.window.quietSince) + wait
                if at <= now.instant {
                    due.append(id)
                } else {
                    // It may have caught up by then.
                    if isBehind { at = min(at, max(end, now.instant) + policy.grace) }
                    self.windowsDueAt = min(self.windowsDueAt ?? at, at)
                }
            }
        }
        for id in due.sorted(by: { $0.rawValue < $1.rawValue }) {
            self.endWindow(of: LaneID(partition: id, number: 0))
        }
    }

    /// Has the final call of a lane's window made, before its next records.
    private mutating func endWindow(of id: LaneID) {
        if self.lanes[id]?.isQueued == true {
            self.ready.removeAll { $0 == id }
            self.dequeue(id)
        }
        self.withLane(id) { $0.final = FinalCall() }
    }

    /// Makes the final call of a lane that was taken out of its queue, if that is due; whether it is.
    mutating func startFinal(_ id: LaneID) -> Bool {
        guard let lane = self.lanes[id], let final = lane.final, lane.retries.isEmpty,
            let window = self.window(of: id, isFinal: true)
        else { return false }
        self.launch(Parcel(runs: []), of: id, attempt: final.attempts + 1, window: window)
        return true
    }

    /// What a batch of a lane is told of the window that is open; nil without one.
    func window(of id: LaneID, isFinal: Bool = false) -> BatchWindow? {
        guard let owned = self.owned[id.partition], let open = owned.window.open else { return nil }
        return BatchWindow(
            partition: owned.partition,
            open: open,
            isFinal: isFinal,
            settled: owned.watermark.position
        )
    }

    /// Starts a batch of untried records of one partition and one window.
    ///
    /// Returns whether the queue is worth another look.
    mutating func startWindowBatch(_ policy: TumblingPolicy, _ now: Moment) -> Bool {
        guard let id = self.ready.popFirst() else { return false }
        self.dequeue(id)
        guard !self.giveUpExpired(id, now: now) else { return true }
        guard let owned = self.owned[id.partition], let lane = self.lanes[id], let head = lane.fresh.first
        else {
            self.withLane(id) { _ in }
            return true
        }
        let open =
            owned.window.open
            ?? owned.window.next(for: head.firstTimestamp, now: now.wall, length: policy.length)
        let edge = WindowEdge(end: open.span.end, now: now.wall)
        guard !open.isEndingEarly, !edge.isBehind(head.firstTimestamp) else {
            self.endWindow(of: id)
            return true
        }
        let window = BatchWindow(
            partition: owned.partition,
            open: open,
            settled: owned.watermark.position
        )
        let runs = lane.takeFresh(count: self.policy.batchSize, bytes: self.room(for: window), before: edge)
        guard !runs.isEmpty else {
            self.giveUpOversized(id)
            return true
        }
        if owned.window.open == nil { owned.window.begin(open, behind: owned.watermark.position) }
        self.launch(Parcel(runs: runs), of: id, attempt: 1, window: window)
        return true
    }

    /// Tries a parcel again with the state as it is now, in parts when that leaves too little room for the whole.
    mutating func retryInWindow(_ parcel: Parcel, of id: LaneID, _ window: BatchWindow) {
        var parcel = parcel
        let room = self.room(for: window)
        while parcel.count > 1, parcel.bytes + parcel.count > room {
            let first = parcel.removePrefix(parcel.count / 2)
            self.lanes[id]?.retries.prepend(parcel)
            parcel = first
        }
        guard parcel.bytes + parcel.count <= room else {
            return self.giveUp(parcel, of: id, reason: .payloadTooLarge)
        }
        self.launch(parcel, of: id, attempt: parcel.attempts + 1, window: window)
    }

    /// Bytes for the records of a batch in a window, each with its separator.
    private func room(for window: BatchWindow) -> Int {
        // There is one separator less than records.
        self.policy.bodyBytesMax + 1 - self.format.envelope - self.format.overhead(of: window.partition)
            - self.format.overhead(of: window)
    }

    // MARK: - What the function answered

    /// Keeps the state that the function answered, as far as it dealt with any record.
    func keepState(_ report: InvocationReport, of id: PartitionID, by verdict: BatchVerdict) {
        guard let policy = self.policy.tumbling, let state = report.state else { return }
        switch verdict {
        case .succeeded: break
        case .partial(let verdicts, _): guard verdicts.first == .succeeded else { return }
        case .failed, .poison, .throttled, .cancelled: return
        }
        self.owned[id]?.window.keep(state, limit: policy.stateBytesMax)
    }

    /// Ends the window, or tries the final call again: without end, because there is no record to give up.
    mutating func judgeFinal(_ id: LaneID, by verdict: BatchVerdict, now: Moment) {
        guard self.takesRecords(of: id.partition) || verdict == .succeeded else {
            return self.withLane(id) { lane in
                lane.final = nil
                lane.state = .idle
            }
        }
        switch verdict {
        case .succeeded:
            self.owned[id.partition]?.window.end()
            self.withLane(id) { lane in
                lane.final = nil
                lane.blockedSince = nil
                lane.state = .idle
            }
            // At once: who comes after a crash before the commit makes the final call again.
            self.dirty.insert(id.partition)
            self.commitAt = now.instant
        case .throttled, .cancelled:
            self.withLane(id) { $0.state = .idle }
        case .failed, .partial, .poison:
            let attempts = (self.lanes[id]?.final?.attempts ?? 0) + 1
            let wait = self.policy.retry.backoff.delay(attempt: attempts, using: &self.random)
            let until = now.instant + max(wait, .milliseconds(10))
            self.withLane(id) { lane in
                lane.final?.attempts = attempts
                lane.blockedSince = lane.blockedSince ?? now.wall
                lane.state = .waiting(until: until)
            }
            self.alarms.insert(Alarm(at: until, lane: id))
        }
    }
}

extension Run {
    /// The time of its first record.
    var firstTimestamp: Timestamp { self.admitted.block.entries[self.first].timestamp }
}
