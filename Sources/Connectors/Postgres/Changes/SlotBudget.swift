// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Synchronization

/// What a reader of a slot may hand out; any thread.
final class SlotBudget: Sendable {
    /// What is left.
    struct Room: Sendable, Equatable {
        var records: Int
        var bytes: Int

        static let none = Room(records: 0, bytes: 0)

        var isOpen: Bool { self.records > 0 && self.bytes > 0 }
    }

    private struct State {
        var records = 0
        var bytes = 0
        var isHeld = false
        /// Handed out, and not with the pipeline yet: the next budget is made without knowing of it.
        var unreturned = 0
        var unreturnedBytes = 0
    }

    private let state = Mutex(State())

    /// The pipeline replaced the budget.
    func grant(_ budget: ReceiveBudget, of partition: PartitionID) {
        self.state.withLock { state in
            state.records = budget.records - state.unreturned
            state.bytes = budget.bytes - state.unreturnedBytes
            state.isHeld = budget.held.contains(partition)
        }
    }

    /// The pipeline took what was handed out.
    func returned(records: Int, bytes: Int) {
        self.state.withLock { state in
            state.unreturned -= records
            state.unreturnedBytes -= bytes
        }
    }

    /// So much is handed out.
    func handedOut(records: Int, bytes: Int) {
        self.state.withLock { state in
            state.records -= records
            state.bytes -= bytes
            state.unreturned += records
            state.unreturnedBytes += bytes
        }
    }

    /// What may be handed out now.
    var room: Room {
        self.state.withLock { $0.isHeld ? .none : Room(records: $0.records, bytes: $0.bytes) }
    }
}
