// SPDX-License-Identifier: Apache-2.0

import DequeModule
import HeapModule

// MARK: - Judging results

extension TriggerEngine {
    /// What is the same for all slices of a batch, and where the slice stands in it.
    struct Judgement {
        var offset: Int
        var report: InvocationReport
        var now: Moment
    }

    mutating func noteCapacity(_ verdict: BatchVerdict, now: Moment) {
        switch verdict {
        case .throttled(let retryAfter, _):
            self.counters.throttles += 1
            self.throttlesInRow += 1
            self.allowedConcurrency = max(1, self.allowedConcurrency / 2)
            let wait =
                retryAfter ?? self.policy.patience.delay(attempt: self.throttlesInRow, using: &self.random)
            self.heldUntil = max(self.heldUntil ?? now.instant, now.instant + max(wait, .milliseconds(10)))
        case .cancelled: break
        case .succeeded, .failed, .partial, .poison:
            self.throttlesInRow = 0
            self.allowedConcurrency = min(self.policy.concurrency, self.allowedConcurrency + 1)
        }
        switch verdict {
        case .failed, .partial, .poison: self.counters.failures += 1
        case .succeeded, .throttled, .cancelled: break
        }
    }

    mutating func judge(_ parcel: Parcel, of lane: LaneID, by verdict: BatchVerdict, _ how: Judgement) {
        let isSettled =
            switch verdict {
            case .succeeded, .cancelled: true
            case .failed, .partial, .poison, .throttled: false
            }
        guard self.leases == nil || isSettled else {
            return self.judgeLeased(parcel, of: lane, by: verdict, how)
        }
        switch verdict {
        case .succeeded:
            self.settle(parcel.runs, as: \.succeeded, of: lane.partition, now: how.now)
            self.goOn(lane, hasAdvanced: true, now: how.now)
        case .cancelled:
            self.settle(parcel.runs, as: \.cancelled, of: lane.partition, now: how.now)
            self.goOn(lane, hasAdvanced: true, now: how.now)
        case .throttled:
            self.putBack(parcel, of: lane)
        case .failed(let failure):
            self.fail(parcel, of: lane, failure: failure, poison: false, how)
        case .poison(let failure):
            self.fail(parcel, of: lane, failure: failure, poison: true, how)
        case .partial(let verdicts, let failure):
            let end = how.offset + parcel.count
            precondition(end <= verdicts.count, "a verdict is missing")
            self.failPart(parcel, of: lane, verdicts: verdicts[how.offset..<end], failure: failure, how)
        }
    }

    mutating func putBack(_ parcel: Parcel, of id: LaneID) {
        guard self.takesRecords(of: id.partition) else { return self.releaseTried([parcel], of: id) }
        self.withLane(id) { lane in
            lane.state = .idle
            // Before what waits for another attempt, too: records that were split off and not tried yet have no history.
            let isFresh = parcel.history.isEmpty && lane.retries.isEmpty
            if isFresh { lane.putBack(parcel.runs) } else { lane.retries.prepend(parcel) }
        }
    }

    /// All records of the parcel failed.
    private mutating func fail(
        _ parcel: Parcel,
        of id: LaneID,
        failure: Failure,
        poison: Bool,
        _ how: Judgement
    ) {
        var parcel = parcel
        parcel.record(failure, in: how.report)
        let disposition = self.policy.retry.disposition(
            attempts: parcel.attempts + 1,
            count: parcel.count,
            poison: poison,
            using: &self.random
        )
        switch disposition {
        case .split:
            // A split costs no attempt.
            self.counters.bisects += 1
            let first = parcel.removePrefix(parcel.count / 2)
            self.retryLater([first, parcel], of: id, how)
        case .retry(let delay):
            parcel.attempts += 1
            parcel.notBefore = how.now.instant + delay
            self.retryLater([parcel], of: id, how)
        case .deadLetter(let reason):
            parcel.attempts += 1
            self.giveUp(parcel, of: id, reason: reason)
        }
    }

    /// The function named the records that failed.
    ///
    /// Order is kept (esm-spec section 4): what follows a failed record of its partition, or of its key, counts as failed
    /// whatever was said of it. The rest is settled.
    private mutating func failPart(
        _ parcel: Parcel,
        of id: LaneID,
        verdicts: ArraySlice<Verdict>,
        failure: Failure,
        _ how: Judgement
    ) {
        let parts = self.sorted(parcel.runs, by: verdicts)
        let hasAdvanced = !parts.succeeded.isEmpty
        self.settle(parts.succeeded, as: \.succeeded, of: id.partition, now: how.now)
        guard !(parts.rest.isEmpty && parts.poison.isEmpty) else {
            return self.goOn(id, hasAdvanced: true, now: how.now)
        }
        guard parts.poison.isEmpty else {
            var dead = self.cut(parts.poison, from: parcel)
            dead.attempts += 1
            dead.record(failure, in: how.report)
            // What was not refused is tried again behind it, which costs no attempt.
            let rest = self.cut(parts.rest, from: parcel)
            if rest.count > 0 { self.keep(rest, of: id) }
            return self.giveUp(dead, of: id, reason: .rejected)
        }
        var rest = self.cut(parts.rest, from: parcel)
        rest.record(failure, in: how.report)
        if self.policy.retry.bisect, rest.count > 1 {
            // The cut is made at the failed record, which goes on alone; that costs no attempt.
            self.counters.bisects += 1
            let bad = rest.removePrefix(1)
            rest.startOver(with: rest.runs)
            return self.retryLater([bad, rest], of: id, hasAdvanced: hasAdvanced, how)
        }
        rest.attempts += 1
        let disposition = self.policy.retry.disposition(
            attempts: rest.attempts,
            count: 1,
            poison: false,
            using: &self.random
        )
        switch disposition {
        case .split: preconditionFailure("one record cannot be split")
        case .retry(let delay):
            rest.notBefore = how.now.instant + delay
            self.retryLater([rest], of: id, hasAdvanced: hasAdvanced, how)
        case .deadLetter(let reason) where self.policy.tumbling != nil:
            // A window's state covers what stands before the first failed record, and nothing behind it.
            let bad = rest.removePrefix(1)
            if rest.count > 0 {
                rest.startOver(with: rest.runs)
                self.keep(rest, of: id)
            }
            self.giveUp(bad, of: id, reason: reason)
        case .deadLetter(let reason):
            // The records that the function named are given up; it dealt with those between them.
            self.settle(parts.followers, as: \.succeeded, of: id.partition, now: how.now)
            rest.runs = parts.named
            self.giveUp(rest, of: id, reason: reason)
        }
    }

    /// Some records of a parcel that was tried: with its attempts, unless other records stood in front in them.
    private func cut(_ runs: [Run], from parcel: Parcel) -> Parcel {
        var cut = parcel
        let isBehind = runs.first?.firstDelivery != parcel.runs[0].firstDelivery
        if self.policy.ordering.isKept, isBehind { cut.startOver(with: []) }
        cut.runs = runs
        return cut
    }

    /// What a list of verdicts makes of records.
    private struct Parts {
        /// The function dealt with them, and nothing before them of their key failed.
        var succeeded: [Run] = []
        /// Refused for good, and nothing before them of their key failed.
        var poison: [Run] = []
        /// All others, in order.
        var rest: [Run] = []
        /// Of the rest, those that the function named.
        var named: [Run] = []
        /// Of the rest, those that it did not.
        var followers: [Run] = []
    }

    private func sorted(_ runs: [Run], by verdicts: ArraySlice<Verdict>) -> Parts {
        var parts = Parts()
        var failed: Set<UInt64> = []
        var verdict = verdicts.startIndex
        for run in runs {
            for place in run.range {
                defer { verdict += 1 }
                let record = Run(admitted: run.admitted, range: place..<place + 1)
                let key = self.orderingKey(of: record)
                if failed.contains(key) {
                    parts.rest.add(record)
                    if verdicts[verdict] == .succeeded {
                        parts.followers.add(record)
                    } else {
                        parts.named.add(record)
                    }
                    continue
                }
                switch verdicts[verdict] {
                case .succeeded: parts.succeeded.add(record)
                case .poison:
                    parts.poison.add(record)
                    failed.insert(key)
                case .failed:
                    parts.rest.add(record)
                    parts.named.add(record)
                    failed.insert(key)
                }
            }
        }
        return parts
    }

    /// What a record is ordered by within its lane: records of the same number wait for each other.
    func orderingKey(of record: Run) -> UInt64 {
        switch self.policy.ordering {
        case .partition: 0
        case .key(let key): key.hash(of: record.admitted.block, at: record.first) ?? record.firstDelivery
        case .none: record.firstDelivery
        }
    }

    // MARK: - Trying again

    /// Queues parcels, in order, before everything else of their lane.
    ///
    /// Without an order each gets a lane of its own.
    mutating func retryLater(
        _ parcels: [Parcel],
        of id: LaneID,
        hasAdvanced: Bool = false,
        _ how: Judgement
    ) {
        guard self.takesRecords(of: id.partition) else { return self.releaseTried(parcels, of: id) }
        if case .none = self.policy.ordering {
            for (index, parcel) in parcels.enumerated() {
                let lane = index == 0 ? id : self.newLane(of: id.partition)
                self.goOn(lane, with: [parcel], hasAdvanced: hasAdvanced, now: how.now)
            }
        } else {
            self.goOn(id, with: parcels, hasAdvanced: hasAdvanced, now: how.now)
        }
    }

    /// Puts a parcel before everything else of a lane that is in flight; releases it when the partition is leaving.
    mutating func keep(_ parcel: Parcel, of id: LaneID) {
        if self.takesRecords(of: id.partition) {
            self.withLane(id) { $0.retries.prepend(parcel) }
        } else {
            self.release(parcel.runs)
        }
    }

    /// Tries at once what waits for its next attempt, in lanes whose first record is urgent.
    package mutating func hurry(now: Moment, _ isUrgent: (Position) -> Bool) {
        for id in Array(self.lanes.keys) {
            guard case .waiting = self.lanes[id]?.state,
                let first = self.lanes[id]?.retries.first?.runs.first, isUrgent(first.firstPosition)
            else { continue }
            self.withLane(id) { $0.retries[$0.retries.startIndex].notBefore = nil }
            self.goOn(id, hasAdvanced: false, now: now)
        }
        self.pump(now)
    }

    /// Lets a lane go on with these parcels and what it has, as soon as the first one may be tried.
    mutating func goOn(_ id: LaneID, with parcels: [Parcel] = [], hasAdvanced: Bool, now: Moment) {
        var wait: Instant?
        self.withLane(id) { lane in
            for parcel in parcels.reversed() { lane.retries.prepend(parcel) }
            if hasAdvanced { lane.blockedSince = nil }
            if let until = lane.retries.first?.notBefore, until > now.instant {
                wait = until
                lane.state = .waiting(until: until)
            } else {
                lane.state = .idle
            }
            if lane.retries.isEmpty {
                lane.blockedSince = nil
            } else {
                lane.blockedSince = lane.blockedSince ?? now.wall
            }
        }
        if let wait { self.alarms.insert(Alarm(at: wait, lane: id)) }
    }
}

extension [Run] {
    /// Adds one record at the end.
    mutating func add(_ record: Run) {
        if let last = self.last, last.admitted === record.admitted, last.isFiltered == record.isFiltered,
            last.range.upperBound == record.range.lowerBound
        {
            self[self.count - 1].range = last.range.lowerBound..<record.range.upperBound
        } else {
            self.append(record)
        }
    }
}
