// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Synchronization

/// Partitions that come to an end, and those that come from them: each but the first has a parent, as shards of a stream that
/// are split again and again.
extension SimulatedWorld {
    /// Has partitions end behind their last record.
    package func endPartitions() {
        self.state.withLock { $0.hasEnds = true }
    }
}

extension SimulatedWorld.State {
    /// Whether all of a partition is settled and committed, its end too if it has one.
    func isComplete(_ name: String) -> Bool {
        let count = self.recordCounts[name] ?? 0
        if self.hasEnds { return self.hasEnded(name) }
        return count == 0 || self.committed[name] == count - 1
    }

    /// Whether a partition's end is committed.
    func hasEnded(_ name: String) -> Bool {
        self.hasEnds && self.committed[name] == self.recordCounts[name]
    }

    /// Whether a partition may be read: what it comes from has ended.
    func canBegin(_ name: String) -> Bool {
        guard self.hasEnds, let number = name.split(separator: "-").last.flatMap({ Int($0) }), number > 0
        else { return true }
        return self.hasEnded("orders-\((number - 1) / 2)")
    }
}
