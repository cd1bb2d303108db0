// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Synchronization

/// What a Kafka source and its thread share: commands one way, events and their budget the other way.
///
/// Any thread. Locks are held for a few instructions, and never while anybody is resumed.
final class KafkaInbox: Sendable {
    /// What the thread is asked to do.
    enum Command: Sendable {
        /// Commit, and resume this.
        case commit([PartitionPosition], CommitReply)
        /// A revocation's partitions are drained.
        case finishRevocation(RevocationID, [PartitionPosition])
        /// Say where partitions would go.
        case moves(SeekOrder, MovesReply)
        /// Commit these offsets, of partitions by name, in the place of others.
        case follow([String: Int64], CommitReply)
        /// Leave.
        case stop
    }

    /// Resumes the caller of a commit, once.
    typealias CommitReply = CheckedContinuation<Result<[PartitionPosition], SourceError>, Never>

    /// Resumes who asked where partitions would go, once.
    typealias MovesReply = CheckedContinuation<Result<[SeekMove], SeekError>, Never>

    /// What the thread may hand out now.
    struct Allowance {
        /// Records.
        var records: Int
        /// Bytes.
        var bytes: Int

        /// Whether there is room for a record.
        var isOpen: Bool { self.records > 0 && self.bytes > 0 }
    }

    private struct State {
        var commands: [Command] = []
        var isClosed = false
        var failure: SourceError?
        /// What is left of the standing budget.
        var allowance = Allowance(records: 0, bytes: 0)
        /// Put into the mailbox, and not yet returned to the pipeline: the next budget is made without knowing them.
        var unreturned = Allowance(records: 0, bytes: 0)
        var held: Set<PartitionID> = []
        var heldChanged = false
        /// The thread waits for a budget.
        var isStarving = false
    }

    /// Wakes the thread.
    let wakeup: Wakeup
    /// What the pipeline has not seen yet.
    let events = Mailbox<SourceEvent>()
    /// What is known of the lag, once a second.
    let lag = Mutex<[PartitionLag]>([])

    private let state = Mutex(State())

    init(wakeup: Wakeup) {
        self.wakeup = wakeup
    }

    // MARK: - The pipeline's side

    /// Why the source gave up; nil while it has not.
    var failure: SourceError? { self.state.withLock { $0.failure } }

    /// Leaves a command; false when the thread has gone.
    func send(_ command: Command) -> Bool {
        let isOpen = self.state.withLock { state in
            guard !state.isClosed else { return false }
            state.commands.append(command)
            return true
        }
        if isOpen { self.wakeup.signal() }
        return isOpen
    }

    /// Replaces the standing budget.
    func grant(_ budget: ReceiveBudget) {
        let wakes = self.state.withLock { state in
            state.allowance = Allowance(
                records: budget.records - state.unreturned.records,
                bytes: budget.bytes - state.unreturned.bytes
            )
            if state.held != budget.held {
                state.held = budget.held
                state.heldChanged = true
            }
            guard state.heldChanged || (state.isStarving && state.allowance.isOpen) else { return false }
            state.isStarving = false
            return true
        }
        if wakes { self.wakeup.signal() }
    }

    /// Waits for events and takes them.
    func take() async -> [SourceEvent] {
        let events = await self.events.takeAll()
        let returned = events.received
        if returned.records > 0 {
            self.state.withLock { state in
                state.unreturned.records -= returned.records
                state.unreturned.bytes -= returned.bytes
            }
        }
        return events
    }

    // MARK: - The thread's side

    /// Takes all commands.
    func takeCommands() -> [Command] {
        self.state.withLock { state in
            guard !state.commands.isEmpty else { return [] }
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// What may be handed out now.
    ///
    /// When it is nothing, the next budget wakes the thread.
    func allowance() -> Allowance {
        self.state.withLock { state in
            state.isStarving = !state.allowance.isOpen
            return state.allowance
        }
    }

    /// The partitions to leave alone, when they changed since the last call.
    func takeHeld() -> Set<PartitionID>? {
        self.state.withLock { state in
            guard state.heldChanged else { return nil }
            state.heldChanged = false
            return state.held
        }
    }

    /// Hands out records.
    func put(_ block: RecordBlock) {
        self.state.withLock { state in
            state.allowance.records -= block.count
            state.allowance.bytes -= block.byteCount
            state.unreturned.records += block.count
            state.unreturned.bytes += block.byteCount
        }
        self.events.put(.records(block))
    }

    /// Refuses commands from now on, lets the waiting receiver go, and returns the commands nobody will see.
    func close(_ failure: SourceError?) -> [Command] {
        let commands = self.state.withLock { state in
            state.isClosed = true
            state.failure = state.failure ?? failure
            defer { state.commands = [] }
            return state.commands
        }
        self.events.close()
        return commands
    }
}
