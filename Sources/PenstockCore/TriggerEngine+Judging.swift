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
        case .succeeded, .failed, .partial, .poison:
            self.throttlesInRow = 0
            self.allowedConcurrency = min(self.policy.concurrency, self.allowedConcurrency + 1)
        }
        switch verdict {
        case .failed, .partial, .poison: self.counters.failures += 1
        case .succeeded, .throttled: break
        }
    }

    mutating func judge(_ parcel: Parcel, of lane: PartitionID, by verdict: BatchVerdict, _ how: Judgement) {
        switch verdict {
        case .succeeded:
            self.settle(parcel.runs, as: \.succeeded, lane: lane, now: how.now)
            self.withLane(lane) { $0.state = .idle }
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

    private mutating func putBack(_ parcel: Parcel, of id: PartitionID) {
        guard self.lanes[id]?.revocation == nil, !self.isStopping else {
            self.releaseTried([parcel], of: id)
            return
        }
        self.withLane(id) { lane in
            lane.state = .idle
            if parcel.history.isEmpty { lane.putBack(parcel.runs) } else { lane.retries.prepend(parcel) }
        }
    }

    /// All records of the parcel failed.
    private mutating func fail(
        _ parcel: Parcel,
        of id: PartitionID,
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
            self.retryLater([first, parcel], of: id, after: .zero, how)
        case .retry(let delay):
            parcel.attempts += 1
            self.retryLater([parcel], of: id, after: delay, how)
        case .deadLetter(let reason):
            parcel.attempts += 1
            self.giveUp(parcel, of: id, reason: reason)
        }
    }

    /// The function named the records that failed.
    ///
    /// Order is kept: what comes before the first of them is settled, and everything from it on is tried
    /// again (esm-spec section 4), until the policy gives the named ones up.
    private mutating func failPart(
        _ parcel: Parcel,
        of id: PartitionID,
        verdicts: ArraySlice<Verdict>,
        failure: Failure,
        _ how: Judgement
    ) {
        guard let first = verdicts.firstIndex(where: { $0 != .succeeded }) else {
            self.settle(parcel.runs, as: \.succeeded, lane: id, now: how.now)
            self.withLane(id) { $0.state = .idle }
            return
        }
        var rest = parcel
        let settled = first - verdicts.startIndex
        if settled > 0 {
            self.settle(rest.removePrefix(settled).runs, as: \.succeeded, lane: id, now: how.now)
            // Another record stands in front now; earlier attempts were not at it.
            rest.attempts = 0
            rest.history = []
        }
        rest.record(failure, in: how.report)
        rest.attempts += 1
        let disposition = self.policy.retry.disposition(
            attempts: rest.attempts,
            count: 1,
            poison: verdicts[first] == .poison,
            using: &self.random
        )
        switch disposition {
        case .split, .retry(after: _):
            let delay = if case .retry(let after) = disposition { after } else { Duration.zero }
            self.retryLater([rest], of: id, after: delay, how)
        case .deadLetter(let reason):
            self.giveUpNamed(rest, of: id, verdicts: verdicts[first...], reason: reason, how)
        }
    }

    /// Gives up the records at the front that the function named, and settles those it dealt with.
    ///
    /// A poison record in front is given up alone; the rest is tried again.
    private mutating func giveUpNamed(
        _ parcel: Parcel,
        of id: PartitionID,
        verdicts: ArraySlice<Verdict>,
        reason: DeadLetterReason,
        _ how: Judgement
    ) {
        var rest = parcel
        if reason == .rejected {
            let dead = rest.removePrefix(1)
            if rest.count > 0 {
                rest.attempts = 0
                rest.history = []
                let remainder = rest
                self.withLane(id) { $0.retries.prepend(remainder) }
            }
            self.giveUp(dead, of: id, reason: reason)
            return
        }
        var dead = parcel
        dead.runs = []
        var index = verdicts.startIndex
        while index < verdicts.endIndex {
            let hasFailed = verdicts[index] != .succeeded
            var end = index + 1
            while end < verdicts.endIndex, (verdicts[end] != .succeeded) == hasFailed { end += 1 }
            let part = rest.removePrefix(end - index)
            if hasFailed {
                dead.runs += part.runs
            } else {
                self.settle(part.runs, as: \.succeeded, lane: id, now: how.now)
            }
            index = end
        }
        self.giveUp(dead, of: id, reason: reason)
    }

    private mutating func retryLater(
        _ parcels: [Parcel],
        of id: PartitionID,
        after delay: Duration,
        _ how: Judgement
    ) {
        guard self.lanes[id]?.revocation == nil, !self.isStopping else {
            self.releaseTried(parcels, of: id)
            return
        }
        let until = how.now.instant + delay
        self.withLane(id) { lane in
            for parcel in parcels.reversed() { lane.retries.prepend(parcel) }
            lane.state = delay > .zero ? .waiting(until: until) : .idle
        }
        if delay > .zero { self.alarms.insert(Alarm(at: until, lane: id)) }
    }
}
