// SPDX-License-Identifier: Apache-2.0

// MARK: - What others ask

extension TriggerEngine {
    /// The settled positions that were not committed yet.
    package func uncommitted() -> [PartitionPosition] {
        self.dirty.compactMap { self.position(of: $0) }.sorted { $0.name < $1.name }
    }

    /// How much may be received now: nothing that could not soon be invoked (contract rule 5).
    ///
    /// What is parked has room of its own, as large as that of what is not, so that it starves nobody.
    package var budget: ReceiveAllowance {
        guard !self.isStopping else { return .none }
        if let leases = self.leases { return self.leaseBudget(leases) }
        let records =
            self.policy.intakeRecords + min(self.parked.records, self.policy.intakeRecords)
            - Int(self.counters.inFlight)
        let bytes =
            self.policy.intakeBytes + min(self.parked.bytes, self.policy.intakeBytes) - self.bytesInHand
        let memory = 2 * self.policy.intakeBytes - self.blocks.bytes
        // Who is held stays held when there is no room: the source must not take up partitions for nothing.
        let hasRoom = !self.isPaused && records > 0 && bytes > 0 && memory > 0
        return ReceiveAllowance(
            records: hasRoom ? records : 0,
            bytes: hasRoom ? min(bytes, memory) : 0,
            held: self.heldPartitions()
        )
    }

    /// Partitions that have their share of what may be parked: all shares together are half of the intake.
    ///
    /// When blocks are kept for few records, so that they take more memory than an intake, blocks count whole.
    private func heldPartitions() -> Set<PartitionID> {
        guard self.parked.records > 0 else { return [] }
        let shares = max(8, 2 * self.owned.count)
        let records = self.policy.intakeRecords / shares
        let bytes = self.policy.intakeBytes / shares
        let isCrowded = self.blocks.bytes > self.policy.intakeBytes
        let held = self.owned.values.filter {
            $0.parked.records > records || $0.parked.bytes > bytes
                || isCrowded && $0.parked.records > 0 && $0.watermark.memory > bytes
        }
        return Set(held.map(\.partition.id))
    }

    /// Memory of the blocks that are kept because a record of theirs is not settled.
    package var blockBytes: Int { self.leases?.ledger.memory ?? self.blocks.bytes }

    /// Invocations under way.
    package var invocationsInFlight: Int { self.inFlight.count }

    /// Partitions with lanes that do not advance, by name.
    package var blockedPartitions: [BlockedPartition] {
        var blocked: [PartitionID: BlockedPartition] = [:]
        for lane in self.lanes.values {
            guard let since = lane.blockedSince, let owned = self.owned[lane.id.partition] else { continue }
            var entry =
                blocked[lane.id.partition]
                ?? BlockedPartition(
                    partition: owned.partition.name,
                    since: since,
                    attempts: 0,
                    isRefused: false
                )
            entry.since = min(entry.since, since)
            let attempts = lane.retries.first?.attempts ?? lane.final?.attempts ?? 0
            entry.attempts = max(entry.attempts, attempts)
            switch lane.state {
            case .blocked, .refused: entry.isRefused = true
            case .idle, .inFlight, .waiting, .deadLettering, .reporting: break
            }
            blocked[lane.id.partition] = entry
        }
        return blocked.values.sorted { $0.partition < $1.partition }
    }

    /// Lanes that do not advance: partitions, or with `ordering: key` groups of keys.
    package var blockedLanes: Int { self.lanes.values.count { $0.blockedSince != nil } }

    /// The time of the first record of each partition owned that is not settled; nil where all are.
    package var oldestUnsettled: [String: Timestamp?] {
        if let leases = self.leases { return self.oldestLeased(leases) }
        return self.owned.values.reduce(into: [:]) {
            $0[$1.partition.name] = .some($1.watermark.oldestUnsettled)
        }
    }

    /// The partitions owned, by name.
    package var partitions: [String] { self.owned.values.map(\.partition.name).sorted() }
}

/// A partition that does not advance, in all its lanes or in some.
package struct BlockedPartition: Sendable, Equatable {
    /// The upstream's name of the partition.
    package var partition: String
    /// When the record that it waits for failed first.
    package var since: Timestamp
    /// Attempts made at that record.
    package var attempts: Int
    /// Whether a destination refused its dead letters or results.
    package var isRefused: Bool
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
