// SPDX-License-Identifier: Apache-2.0

import DequeModule

// MARK: - Settling

extension TriggerEngine {
    mutating func settle(
        _ runs: some Collection<Run>,
        as counter: WritableKeyPath<Counters, UInt64>,
        of id: PartitionID,
        now: Moment
    ) {
        guard self.leases == nil else { return self.acknowledge(runs, as: counter) }
        let owned = self.owned[id]
        var (moved, count) = (false, 0)
        for run in runs {
            if owned?.watermark.settle(run) == true { moved = true }
            count += run.count
            self.bytesInHand -= run.bytes
        }
        owned?.watermark.takeClosed { self.blocks.close($0) }
        self.counters[keyPath: counter] += UInt64(count)
        self.counters.inFlight -= UInt64(count)
        guard moved else { return }
        self.dirty.insert(id)
        if self.commitAt == nil { self.commitAt = now.instant + self.policy.commitInterval }
    }

    mutating func commit() {
        let positions = self.uncommitted()
        self.dirty = []
        self.commitAt = nil
        guard !positions.isEmpty else { return }
        self.isCommitting = true
        self.actions.append(.commit(positions))
    }

    func position(of id: PartitionID) -> PartitionPosition? {
        guard let owned = self.owned[id], let position = owned.acknowledgeable,
            // A partition may come back while results of its last ownership are awaited: they come too late.
            self.latest[owned.partition.name] == id
        else { return nil }
        var reached = PartitionPosition(partition: id, name: owned.partition.name, position: position)
        if self.policy.tumbling != nil {
            reached.window = owned.window.kept(owned.watermark.position ?? position, closed: position)
        }
        return reached
    }

    // MARK: - Giving partitions up

    /// Gives records back; leased ones go back upstream, and may come again after a time.
    mutating func release(
        _ runs: some Collection<Run>,
        after delay: Duration = .zero,
        isFailure: Bool = false
    ) {
        guard self.leases == nil else {
            return self.giveBack(runs, .release(after: delay, isFailure: isFailure))
        }
        self.void(runs)
    }

    /// Counts records as released that nobody can settle any more.
    mutating func void(_ runs: some Collection<Run>) {
        for run in runs {
            self.counters.released += UInt64(run.count)
            self.counters.inFlight -= UInt64(run.count)
            self.bytesInHand -= run.bytes
        }
    }

    /// Releases what was tried in a lane that is being given up.
    mutating func releaseTried(_ parcels: [Parcel], of id: LaneID) {
        for parcel in parcels { self.release(parcel.runs) }
        self.withLane(id) { $0.state = .idle }
    }

    /// Releases what the lanes of some partitions hold that is not in flight, a refused dead letter or result included.
    mutating func releaseWaiting(ofPartitions isLeaving: (PartitionID) -> Bool) {
        for id in self.lanes.keys.filter({ isLeaving($0.partition) }) {
            var waiting: [Run] = []
            if case .blocked(let ticketID, _) = self.lanes[id]?.state,
                let entry = self.tickets.removeValue(forKey: ticketID)
            {
                waiting = entry.ticket.runs
            }
            if case .refused(let ticketID, _) = self.lanes[id]?.state {
                waiting = self.letGo(id, of: ticketID)
            }
            self.withLane(id) { lane in
                waiting += lane.clear()
                switch lane.state {
                case .waiting, .blocked, .refused: lane.state = .idle
                case .idle, .inFlight, .deadLettering, .reporting: break
                }
            }
            self.release(waiting)
        }
    }

    /// Forgets partitions whose lanes hold nothing any more.
    mutating func forget(_ partitions: [PartitionID]) {
        for id in self.lanes.keys.filter({ partitions.contains($0.partition) }) {
            if let lane = self.lanes.removeValue(forKey: id) { self.countOut(lane) }
        }
        self.ready.removeAll { partitions.contains($0.partition) }
        self.readyToRetry.removeAll { partitions.contains($0.partition) }
        for id in partitions {
            self.owned.removeValue(forKey: id)?.watermark.forEachOpen { self.blocks.close($0) }
            self.dirty.remove(id)
        }
    }

    /// Reports the revocations of which nothing is in flight any more.
    mutating func finishRevocations() {
        guard !self.revocations.isEmpty else { return }
        for (key, partitions) in self.revocations.sorted(by: { $0.key.rawValue < $1.key.rawValue })
        where partitions.allSatisfy({ self.owned[$0]?.busy ?? 0 == 0 }) {
            let positions = partitions.compactMap { self.position(of: $0) }.sorted { $0.name < $1.name }
            self.revocations[key] = nil
            self.forget(partitions)
            self.actions.append(.revoked(key, positions))
        }
    }
}
