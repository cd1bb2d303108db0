// SPDX-License-Identifier: Apache-2.0

import DequeModule

// MARK: - Settling

extension TriggerEngine {
    mutating func settle(
        _ runs: [Run],
        as counter: WritableKeyPath<Counters, UInt64>,
        lane id: PartitionID,
        now: Moment
    ) {
        var moved = false
        for run in runs {
            if self.watermarks[id]?.settle(run) == true { moved = true }
            self.counters[keyPath: counter] += UInt64(run.count)
            self.counters.inFlight -= UInt64(run.count)
            self.bytesInHand -= run.bytes
        }
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
        guard let lane = self.lanes[id], let position = self.watermarks[id]?.position else { return nil }
        return PartitionPosition(partition: id, name: lane.partition.name, position: position)
    }

    // MARK: - Giving partitions up

    mutating func release(_ count: Int, bytes: Int) {
        self.counters.released += UInt64(count)
        self.counters.inFlight -= UInt64(count)
        self.bytesInHand -= bytes
    }

    /// Releases what was tried in a lane that is being given up.
    mutating func releaseTried(_ parcels: [Parcel], of id: PartitionID) {
        for parcel in parcels { self.release(parcel.count, bytes: parcel.bytes) }
        self.withLane(id) { $0.state = .idle }
    }

    /// Releases what a lane holds that is not in flight, a refused dead letter included.
    mutating func releaseWaiting(_ id: PartitionID) {
        guard let lane = self.lanes[id] else { return }
        let bytes = lane.freshBytes + lane.retries.reduce(0) { $0 + $1.bytes }
        var count = 0
        self.withLane(id) { lane in
            count = lane.clear()
            if case .waiting = lane.state { lane.state = .idle }
        }
        self.release(count, bytes: bytes)
        if case .blocked(let ticketID, _) = lane.state, let entry = self.tickets.removeValue(forKey: ticketID)
        {
            self.release(entry.ticket.count, bytes: entry.ticket.bytes)
            self.withLane(id) { $0.state = .idle }
        }
    }

    mutating func forget(_ id: PartitionID) {
        if let lane = self.lanes[id] { self.countOut(lane) }
        if self.lanes.removeValue(forKey: id)?.isQueued == true {
            self.ready.removeAll { $0 == id }
            self.readyToRetry.removeAll { $0 == id }
        }
        self.watermarks[id] = nil
        self.dirty.remove(id)
    }

    /// Reports the revocations of which nothing is in flight any more.
    mutating func finishRevocations() {
        var pending: Set<RevocationKey> = []
        var drained: [RevocationKey: [PartitionID]] = [:]
        for (id, lane) in self.lanes {
            guard let key = lane.revocation else { continue }
            if lane.state == .idle { drained[key, default: []].append(id) } else { pending.insert(key) }
        }
        for (key, partitions) in drained.sorted(by: { $0.key.rawValue < $1.key.rawValue })
        where !pending.contains(key) {
            let positions = partitions.compactMap { self.position(of: $0) }.sorted { $0.name < $1.name }
            for id in partitions { self.forget(id) }
            self.actions.append(.revoked(key, positions))
        }
    }
}
