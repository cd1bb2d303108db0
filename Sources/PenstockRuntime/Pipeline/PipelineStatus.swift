// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// What a pipeline tells about itself.
struct PipelineStatus: Sendable {
    var counters: Counters
    var figures: TriggerFigures
    var invocationsInFlight: Int
    var hasPartitions: Bool
    var partitions: [String]
    var blocked: [TriggerSnapshot.BlockedPartition]
    var lag: [PartitionLag]
    var gaps: [TriggerSnapshot.Gap]
    var ages: [String: Duration]
    var blockedLanes: Int
    var lastFailure: Attempt?
    var lastProgress: Timestamp?

    /// What outside must heal before the trigger can go on; nil when nothing.
    var problem: String?

    /// What is worth knowing although the trigger goes on.
    var remark: String?
}

extension Pipeline {
    var status: PipelineStatus {
        PipelineStatus(
            counters: self.engine.counters,
            figures: self.figures,
            invocationsInFlight: self.engine.invocationsInFlight,
            hasPartitions: self.hasPartitions,
            partitions: self.engine.partitions,
            blocked: self.blocked,
            lag: self.parts.source.lag(),
            gaps: self.latestGaps,
            ages: self.ages,
            blockedLanes: self.engine.blockedLanes,
            lastFailure: self.lastFailure,
            lastProgress: self.lastProgress,
            problem: self.problem,
            remark: self.remark
        )
    }

    private var blocked: [TriggerSnapshot.BlockedPartition] {
        let now = self.now.wall
        return self.engine.blockedPartitions.map {
            TriggerSnapshot.BlockedPartition(
                name: $0.partition,
                since: $0.since,
                attempts: $0.attempts,
                isRefused: $0.isRefused,
                isOverdue: now - $0.since > self.parts.policy.blockedAfter
            )
        }
    }

    /// Without partitions whose first record tells no time.
    private var ages: [String: Duration] {
        let now = self.now.wall
        return self.engine.oldestUnsettled.compactMapValues { oldest in
            guard let oldest else { return .zero }
            return oldest.milliseconds > 0 ? max(.zero, now - oldest) : nil
        }
    }

    private var remark: String? {
        if let overdue = self.blocked.filter(\.isOverdue).min(by: { $0.since < $1.since }) {
            return overdue.remark
        }
        if case .warned(let detail) = self.sourceStatus { return detail }
        return self.latestGaps.first.map { "records are missing upstream: \($0.partition): \($0.detail)" }
    }

    private var problem: String? {
        if let failure = self.storeFailure { return failure }
        if let failure = self.destinationFailure ?? self.resultFailure { return failure }
        if case .disconnected(let detail) = self.sourceStatus { return detail }
        return self.functionFailure
    }
}
