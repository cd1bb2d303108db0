// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockStore

/// An action on its way to a task, and its turn when it saves positions.
struct PipelineJob: Sendable {
    var action: TriggerEngine.Action
    var turn: SaveTurns.Turn?
}

/// Lets saves of positions go to the store one after the other, in the order in which the engine asked for them.
///
/// Tasks carry out actions side by side: without turns, the older positions of a commit could be kept after the newer ones
/// of a revocation, and a checkpoint step back.
struct SaveTurns {
    /// A place in the order; whoever has one takes it once.
    struct Turn: Hashable, Sendable {
        fileprivate var number: UInt64
    }

    private var last: UInt64 = 0
    private var current: UInt64 = 1
    private var waiting: [Turn: CheckedContinuation<Void, Never>] = [:]

    /// The next turn in the order.
    mutating func take() -> Turn {
        self.last += 1
        return Turn(number: self.last)
    }

    func isDue(_ turn: Turn) -> Bool { turn.number == self.current }

    mutating func wait(for turn: Turn, _ waiter: CheckedContinuation<Void, Never>) {
        if self.isDue(turn) { waiter.resume() } else { self.waiting[turn] = waiter }
    }

    /// The save whose turn it was has ended.
    mutating func end() {
        self.current += 1
        self.waiting.removeValue(forKey: Turn(number: self.current))?.resume()
    }
}

extension Pipeline {
    /// Keeps the positions durably, then commits them upstream; returns what upstream accepted, nil when it refused.
    func commit(_ positions: [PartitionPosition], _ turn: SaveTurns.Turn) async -> [PartitionPosition]? {
        guard await self.save(positions, turn) else { return nil }
        do {
            return try await self.parts.source.commit(positions)
        } catch {
            self.logger.warning("commit refused; it is tried again", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Waits until it is this turn's.
    func obtain(_ turn: SaveTurns.Turn) async {
        guard !self.saveTurns.isDue(turn) else { return }
        await withCheckedContinuation { self.saveTurns.wait(for: turn, $0) }
    }

    /// Keeps the positions durably, when it is their turn; whether the store took them.
    func save(_ positions: [PartitionPosition], _ turn: SaveTurns.Turn) async -> Bool {
        await self.obtain(turn)
        defer { self.saveTurns.end() }
        // A seek has put others in their place, or is about to: what came before it is saved.
        guard !self.isMoving else { return false }
        let checkpoints = positions.map {
            Checkpoint(
                trigger: self.parts.name,
                partition: $0.name,
                position: $0.position,
                window: $0.window
            )
        }
        guard !checkpoints.isEmpty else { return true }
        do {
            try await self.parts.store.save(checkpoints)
            if self.storeFailure != nil { self.logger.info("the store takes writes again") }
            self.storeFailure = nil
            self.engine.isStoreRefusing = false
            return true
        } catch {
            // Nothing new is invoked while nothing can be kept; the commit timer finds out when that has changed.
            self.storeFailure = error.detail
            self.engine.isStoreRefusing = true
            self.logger.error(
                "the store refused a checkpoint; the trigger waits",
                metadata: ["error": "\(error)"]
            )
            return false
        }
    }

    /// Removes the checkpoints that the source needs no more; those that the store does not remove stay until it is told of
    /// them again.
    func removeCheckpoints() async {
        guard !self.forgotten.isEmpty else { return }
        let names = self.forgotten
        self.forgotten = []
        do {
            try await self.parts.store.removeCheckpoints(of: self.parts.name, partitions: names)
            self.logger.debug("checkpoints removed", metadata: ["count": "\(names.count)"])
        } catch {
            self.logger.warning("checkpoints were not removed", metadata: ["error": "\(error)"])
        }
    }
}
