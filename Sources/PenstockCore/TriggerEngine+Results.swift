// SPDX-License-Identifier: Apache-2.0

import DequeModule
import HeapModule

// MARK: - Results

extension TriggerEngine {
    /// An invocation that ended, and is judged when its result is durable.
    struct HeldResult {
        var slices: [Slice]
        var verdict: BatchVerdict
        var report: InvocationReport
        /// The lanes whose records were released meanwhile.
        var released: Set<LaneID> = []

        init(slices: [Slice], verdict: BatchVerdict, report: InvocationReport) {
            self.slices = slices
            self.verdict = verdict
            self.report = report
        }
    }

    /// Lets an invocation's lanes wait until its result is durable.
    mutating func hold(_ invocation: HeldResult, until record: InvocationRecord) {
        var held = invocation
        self.lastTicket += 1
        let id = ResultTicketID(rawValue: self.lastTicket)
        for slice in held.slices {
            if self.owned[slice.lane.partition] != nil {
                self.withLane(slice.lane) { $0.state = .reporting(id) }
            } else {
                self.release(slice.parcel.runs)
                held.released.insert(slice.lane)
            }
        }
        // Nobody is left whose records could be settled: they come again, and so does the result.
        guard held.released.count < held.slices.count else { return }
        self.results[id] = held
        self.actions.append(.report(ResultTicket(id: id, record: record)))
    }

    /// Judges the slices of an invocation; records of partitions that are gone are released.
    mutating func judge(
        _ slices: [Slice],
        by verdict: BatchVerdict,
        _ report: InvocationReport,
        except released: Set<LaneID> = [],
        now: Moment
    ) {
        var offset = 0
        for slice in slices {
            let (lane, parcel) = (slice.lane, slice.parcel)
            let how = Judgement(offset: offset, report: report, now: now)
            offset += parcel.count
            guard released.isEmpty || !released.contains(lane) else { continue }
            if let owned = self.owned[lane.partition] {
                owned.windowOpenedAt = now.instant
                guard !parcel.runs.isEmpty else {
                    self.judgeFinal(lane, by: verdict, now: now)
                    continue
                }
                self.keepState(report, of: lane.partition, by: verdict)
                self.judge(parcel, of: lane, by: verdict, how)
            } else {
                self.release(parcel.runs)
            }
        }
    }

    /// The result is durable: the invocation's records are judged.
    package mutating func resultWritten(_ id: ResultTicketID, now: Moment) {
        guard let held = self.results.removeValue(forKey: id) else { return }
        self.judge(held.slices, by: held.verdict, held.report, except: held.released, now: now)
        self.finishRevocations()
        self.pump(now)
    }

    /// The destination refused: the records stay unsettled, their lanes wait, and the write is tried again.
    package mutating func resultRefused(_ id: ResultTicketID, now: Moment) {
        self.counters.resultFailures += 1
        guard let held = self.results[id] else { return }
        let wait = self.policy.patience.delay(attempt: 6, using: &self.random)
        let until = now.instant + max(wait, .milliseconds(200))
        for slice in held.slices where !held.released.contains(slice.lane) {
            guard self.takesRecords(of: slice.lane.partition) else {
                self.release(self.letGo(slice.lane, of: id))
                if self.owned[slice.lane.partition] != nil { self.withLane(slice.lane) { $0.state = .idle } }
                continue
            }
            self.withLane(slice.lane) { lane in
                lane.state = .refused(id, until: until)
                lane.blockedSince = lane.blockedSince ?? now.wall
            }
            self.alarms.insert(Alarm(at: until, lane: slice.lane))
        }
        self.finishRevocations()
        self.pumpSettlements(now.instant)
    }

    /// Has a refused result written again, for all lanes that wait for it.
    mutating func reportAgain(_ id: ResultTicketID) {
        guard let held = self.results[id], let record = held.report.record else { return }
        for slice in held.slices where !held.released.contains(slice.lane) {
            self.withLane(slice.lane) { $0.state = .reporting(id) }
        }
        self.actions.append(.report(ResultTicket(id: id, record: record)))
    }

    /// Takes a lane out of a result that it waits for; gives what of the invocation was its.
    mutating func letGo(_ lane: LaneID, of id: ResultTicketID) -> [Run] {
        guard var held = self.results[id], let slice = held.slices.first(where: { $0.lane == lane }),
            held.released.insert(lane).inserted
        else { return [] }
        self.results[id] = held.released.count < held.slices.count ? held : nil
        return slice.parcel.runs
    }

    /// Lets lanes go on whose result is refused while all their records' leases were lost.
    mutating func letGoLost() {
        for (id, held) in self.results {
            for slice in held.slices {
                guard case .refused(id, _) = self.lanes[slice.lane]?.state,
                    !slice.parcel.runs.flatMap(\.records).contains(where: { self.isLeased($0) })
                else { continue }
                _ = self.letGo(slice.lane, of: id)
                self.withLane(slice.lane) { $0.state = .idle }
            }
        }
    }
}
