// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PenstockStore
import PostgresClient
import Reactor
import Synchronization

/// Reads the changes of rows that a replication slot keeps.
///
/// The connection is the ``SlotStream``'s, which it may share with other triggers; this is the trigger's side of it. Pinned to the
/// reactor. See ``Source`` for what it promises. Positions are kept in the store: the server hears of them, so that it can
/// let go of its log, and is not asked for them again.
actor ChangesSource: Source {
    nonisolated let format: any EventFormat = ChangesEventFormat()

    let trigger: String
    let configuration: ChangesConfiguration
    let address: PostgresAddress
    nonisolated let reactor: Reactor
    let context: RuntimeContext

    private nonisolated let partition: Partition
    private nonisolated let budget = SlotBudget()
    /// What the pipeline has not seen yet.
    private nonisolated let events = Mailbox<SourceEvent>()
    nonisolated let current = Mutex<(stream: SlotStream, reader: SlotReader)?>(nil)
    private nonisolated let hasStopped = Mutex(false)
    private(set) var isStopped = false
    private var running = SourceRun()

    // Of the snapshot; see ChangesSource+Snapshot.
    var progress: SnapshotProgress
    /// What is still to be read.
    var rest: [SnapshotProgress.Part] = []
    /// How many gaps it knows of.
    var knownGaps = 0
    /// Up to where all is settled.
    private(set) var settled: Position?
    /// Raised when there may be something to do for the snapshot.
    nonisolated let signal = LoopSignal()
    /// What a stop must end.
    var sessions: [PostgresSession] = []

    /// A source that has connected nothing yet.
    init(
        trigger: String,
        _ configuration: ChangesConfiguration,
        _ address: PostgresAddress,
        context: RuntimeContext
    ) {
        self.trigger = trigger
        self.configuration = configuration
        self.address = address
        self.reactor = context.reactor
        self.context = context
        self.progress = SnapshotProgress(slot: configuration.slot)
        self.partition = ChangesEventFormat.partition(
            PartitionID(1),
            slot: configuration.slot,
            database: address.database
        )
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    // MARK: - The pipeline's side

    func start(checkpoints: [String: Position]) async throws(SourceError) {
        let checkpoint = checkpoints[self.partition.name]
        self.settled = checkpoint
        if let journal = self.context.journal { try await self.readProgress(journal, checkpoint) }
        self.read(behind: checkpoint)
    }

    /// Finds out what is left of the snapshot; which tables it has is in the store before anything is read.
    private func readProgress(
        _ journal: any JournalStore,
        _ checkpoint: Position?
    ) async throws(SourceError) {
        do throws(StoreError) {
            let mark = try await journal.mark(of: self.trigger)
            if let mark, let kept = SnapshotProgress(mark: mark, slot: self.configuration.slot) {
                self.progress = kept
            }
            let isFirst = mark == nil && checkpoint == nil
            self.progress.settle(checkpoint)
            let unread = self.progress.unread(without: self.configuration.snapshot)
            if !unread.isEmpty {
                let detail =
                    "\(unread.map(\.description).joined(separator: ", ")) left \"snapshot\" before all rows were read: rows "
                    + "are missing, and changes from before the snapshot may be"
                self.context.logger.warning("rows are missing", metadata: ["detail": "\(detail)"])
                self.events.put(.gap(SourceGap(partition: self.partition.name, detail: detail)))
            }
            let isChanged = self.progress.want(self.configuration.snapshot, isFirst: isFirst)
            self.rest = self.progress.resume(behind: checkpoint)
            if isChanged { try await self.keepProgress(in: journal) }
        } catch {
            throw SourceError(.unreachable, error.detail)
        }
    }

    /// Writes down how far the snapshot is.
    func keepProgress(in journal: any JournalStore) async throws(StoreError) {
        try await journal.append([], to: self.trigger, mark: self.progress.mark)
    }

    func run() async {
        guard let journal = self.context.journal, !self.rest.isEmpty, !self.isStopped else { return }
        self.running.begin()
        await self.readSnapshot(journal)
        self.running.end()
    }

    /// Joins those who read the slot.
    private func read(behind position: Position?) {
        guard !self.isStopped else { return }
        let reader = SlotReader(
            trigger: self.trigger,
            self.configuration,
            partition: self.partition,
            behind: position,
            budget: self.budget,
            events: self.events
        )
        reader.ignored = self.progress.untouched
        if !self.rest.isEmpty { reader.turned = { [signal] in signal.raise() } }
        let stream = SlotStream.join(reader, address: self.address, on: self.reactor, context: self.context)
        self.current.withLock { $0 = (stream, reader) }
    }

    nonisolated func grant(_ budget: ReceiveBudget) {
        self.budget.grant(budget, of: self.partition.id)
        guard let stream = self.current.withLock({ $0?.stream }) else { return }
        if self.reactor.isOnLoop { stream.poke() } else { self.reactor.submit { stream.poke() } }
    }

    nonisolated func receive() async throws(SourceError) -> [SourceEvent] {
        var events = await self.events.takeAll()
        if self.hasStopped.withLock({ $0 }) {
            events.removeAll { if case .records = $0 { true } else { false } }
        }
        let (records, bytes) = events.received
        if records > 0 { self.budget.returned(records: records, bytes: bytes) }
        return events
    }

    func commit(
        _ positions: [PartitionPosition]
    ) async throws(SourceError) -> [PartitionPosition] {
        let owned = positions.filter {
            $0.partition == self.partition.id && $0.name == self.partition.name
        }
        guard let last = owned.last, let (stream, reader) = self.current.withLock({ $0 }) else { return [] }
        self.settled = last.position
        reader.committed.withLock { $0.position = last.position }
        stream.commit(last.position, of: reader)
        return owned
    }

    nonisolated func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {}

    nonisolated func lag() -> [PartitionLag] {
        guard let reader = self.current.withLock({ $0?.reader }) else { return [] }
        return [reader.lag]
    }

    func stop() async {
        self.isStopped = true
        self.hasStopped.withLock { $0 = true }
        if let (stream, reader) = self.current.withLock({ $0 }) {
            reader.turned = nil
            stream.leave(reader)
        }
        self.signal.raise()
        await self.closeSessions()
        await withCheckedContinuation { self.running.wait($0) }
        self.events.close()
    }
}
