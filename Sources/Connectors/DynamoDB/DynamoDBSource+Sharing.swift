// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor
import Synchronization

/// How the shards of a trigger are shared with other Penstocks.
struct ShardShare: Sendable {
    /// The trigger.
    let trigger: String
    /// What must be held to read a shard.
    let leases: PartitionLeases
    /// What all of them have settled.
    let store: any CheckpointStore
}

// MARK: - Sharing shards with other Penstocks

/// Each shard that is due is wanted, and read by the member that holds its lease, behind what the store has of it then. That a
/// member has read a shard to its end is seen in its checkpoint, which every member with shards that others read looks at: only
/// then children are due.
extension DynamoDBSource {
    /// Between looks at the checkpoints of other members.
    private static let refreshPause = Duration.seconds(2)

    /// Takes and gives back shards as leases come and go.
    func share(_ share: ShardShare) async {
        while await !self.leaseCalls.takeAll().isEmpty { await self.tend(share) }
    }

    private func tend(_ share: ShardShare) async {
        guard let stream = self.stream, !self.isStopped else { return }
        let due = self.tree.due
        share.leases.want(Set(due.map { stream.partition(of: $0) }))
        let held = share.leases.held()
        self.giveUp(held, share)
        let reading = Set(self.readers.values.map(\.shard.id))
        let others = due.subtracting(reading)
        let gained = others.filter { held[stream.partition(of: $0)]?.isAsked == false }
        let now = self.reactor.now
        guard !gained.isEmpty || (!others.isEmpty && now >= self.refreshAt) else { return }
        do throws(StoreError) {
            try await self.refresh(share)
        } catch {
            // A shard may be further than is known here: nothing begins before the store has said so.
            self.note("\(self.configuration.summary): the store did not say how far its shards are: \(error)")
            self.refreshAt = self.reactor.now + Self.refreshPause
            _ = self.reactor.schedule(at: self.refreshAt) { [weak self] in self?.leaseCalls.put(()) }
            return
        }
        guard self.stream == stream, !self.isStopped else { return }
        self.begin(gained, under: held, share)
        self.refreshAt = self.reactor.now + Self.refreshPause
        _ = self.reactor.schedule(at: self.refreshAt) { [weak self] in self?.leaseCalls.put(()) }
        // Children may be due now.
        if self.tree.due != due { self.leaseCalls.put(()) }
        if self.tree.isFinished { self.looks.put(()) }
    }

    /// Reads what the store has by now.
    private func refresh(_ share: ShardShare) async throws(StoreError) {
        let checkpoints = try await share.store.checkpoints(of: share.trigger)
        let windows = self.hasWindows ? try await share.store.windows(of: share.trigger) : [:]
        let read = Set(self.readers.values.map(\.partition.name))
        for (partition, position) in checkpoints where !read.contains(partition) {
            let name = ShardName(partition)
            guard let stream = StreamName(name.stream) else { continue }
            self.kept.keep(position, of: name.shard, in: stream)
            guard stream == self.stream else { continue }
            let window = windows[partition]
            self.windows[partition] = window
            self.tree.update(name.shard, window?.position ?? position, isUnfinished: window?.open != nil)
        }
    }

    /// Begins shards whose leases were gained before the checkpoints were read, and are held since.
    private func begin(_ gained: Set<String>, under held: [String: HeldLease], _ share: ShardShare) {
        guard let stream = self.stream else { return }
        let now = share.leases.held()
        var (ready, fences): ([(ShardTree.Shard, ShardTree.Reading)], [String: Fence]) = ([], [:])
        for id in gained.sorted() {
            let name = stream.partition(of: id)
            guard let fence = now[name]?.fence, fence == held[name]?.fence else { continue }
            if let (shard, reading) = self.tree.take(id) {
                ready.append((shard, reading))
                fences[name] = fence
            } else if !self.tree.due.contains(id) {
                // Another member has come to its end.
                share.leases.finish([name])
            }
        }
        self.begin(ready, under: fences)
    }

    // MARK: - Giving shards up

    /// Gives up what was lost, at once, and what others want, drained.
    private func giveUp(_ held: [String: HeldLease], _ share: ShardShare) {
        let readers = self.readers.values.sorted { $0.partition.id.rawValue < $1.partition.id.rawValue }
        let lost = readers.filter { held[$0.partition.name]?.fence != $0.fence }
        self.lose(lost)
        let lostNames = Set(lost.map(\.partition.name))
        let asked = readers.filter { reader in
            !reader.isLeaving && !lostNames.contains(reader.partition.name)
                && held[reader.partition.name]?.isAsked == true
        }
        let reading = Set(readers.map(\.partition.name))
        share.leases.giveBack(Set(held.filter { $0.value.isAsked && !reading.contains($0.key) }.keys))
        guard !asked.isEmpty else { return }
        self.lastRevocation += 1
        let id = RevocationID(self.lastRevocation)
        let partitions = asked.map(\.partition.id)
        self.leaving[id] = partitions
        for reader in asked {
            reader.isLeaving = true
            self.turns.withLock { $0.remove(reader.partition.id) }
            self.leave(reader)
        }
        let drain = share.leases.drainTimeout
        self.events.put(.revoking(Revocation(id: id, partitions: partitions, within: drain)))
        _ = self.reactor.schedule(at: self.reactor.now + drain) { [weak self] in
            self?.assumeIsolated { $0.revocationExpired(id) }
        }
    }

    /// Shards that somebody else may read from now on.
    private func lose(_ readers: [ShardReader]) {
        guard !readers.isEmpty else { return }
        for reader in readers {
            self.turns.withLock { $0.remove(reader.partition.id) }
            self.leave(reader)
            self.forget(reader)
            self.tree.giveBack(reader.shard.id)
        }
        self.events.put(.lost(readers.map(\.partition.id)))
    }

    private func forget(_ reader: ShardReader) {
        let id = reader.partition.id
        self.readers[id] = nil
        self.committed.withLock { $0[id] = nil }
        self.shardProblems[id] = nil
        self.showProblem()
    }

    /// The shards of a revocation are drained, and these positions are in the store.
    func revoked(_ id: RevocationID, _ positions: [PartitionPosition]) {
        guard let share, let partitions = self.leaving.removeValue(forKey: id) else { return }
        for partition in partitions {
            guard let reader = self.readers[partition] else { continue }
            self.forget(reader)
            let position = positions.first { $0.partition == partition }?.position
            if let position { self.kept.keep(position, of: reader.shard.id, in: reader.stream) }
            if position == StreamPosition.end {
                self.tree.finish(reader.shard.id)
                share.leases.finish([reader.partition.name])
            } else {
                self.tree.giveBack(reader.shard.id)
                share.leases.giveBack([reader.partition.name])
            }
        }
        self.leaseCalls.put(())
    }

    /// Nobody has answered: what is in flight is void.
    private func revocationExpired(_ id: RevocationID) {
        guard let share, !self.isStopped, let partitions = self.leaving.removeValue(forKey: id) else {
            return
        }
        let readers = partitions.compactMap { self.readers[$0] }
        self.lose(readers)
        share.leases.giveBack(Set(readers.map(\.partition.name)))
        self.leaseCalls.put(())
    }
}
