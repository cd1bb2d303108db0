// SPDX-License-Identifier: Apache-2.0

import DequeModule
import PenstockCore
import PenstockRuntime
import PostgresClient
import Synchronization

/// One trigger as a reader of a slot: which changes it wants, up to where it has them, and those that wait for its budget.
///
/// Changes for which there is room become records at once. While other triggers go on, those of a trigger without room wait
/// here as they came, up to ``queueBytesMax``; beyond that it is left behind (``isAttached``), and has the stream begin again
/// at its position once it has room. On the reactor's thread.
final class SlotReader: @unchecked Sendable {
    // @unchecked: touched on the reactor's thread only, but for what has a lock of its own.

    let trigger: String
    let configuration: ChangesConfiguration
    let budget: SlotBudget
    /// What the pipeline has not seen yet.
    let events: Mailbox<SourceEvent>
    let partition: Partition

    /// Up to where it has all changes: handed out, or waiting here; nil before it is known where to begin.
    private(set) var position: Position?
    /// Up to where all is settled, as it was committed last.
    let committed = Mutex<(position: Position?, bytes: Int64?)>((nil, nil))
    /// Whether it gets what the stream brings.
    private(set) var isAttached = false
    /// Whether the pipeline knows the partition.
    private var isAssigned = false
    private var shownStatus: SourceStatus?
    /// What is not as configured although it reads.
    var concern: String?
    /// Why the snapshot does not go on.
    var snapshotConcern: String?

    // Of the snapshot.
    /// Nothing behind it is taken until ``lift()``.
    private var limit: Position?
    /// Whether all before the limit was offered.
    private(set) var isAtLimit = false
    /// Tables of which changes are not wanted yet: rows that come later have them.
    var ignored: Set<PostgresTable> = []
    /// How often changes were found to be missing.
    private(set) var gaps = 0
    /// Called after each turn, while somebody waits for this one.
    var turned: (@Sendable () -> Void)?

    /// A change that waits.
    private struct Waiting {
        var table: ReplicatedTable
        var place: ChangePlace
        var message: [UInt8]
    }

    private var queue = Deque<Waiting>()
    private var queueBytes = 0
    private var builder = RecordBlockBuilder(byteCapacity: 1024, recordCapacity: 16)
    private var index: UInt32 = 0
    private var writer = ChangeWriter()
    private var room = SlotBudget.Room.none
    /// Nothing else comes up to there, once what waits is handed out.
    private var reached: Position?
    /// What was told of that last.
    private var told: Position?

    /// Bytes of changes that wait at most.
    static let queueBytesMax = 4 << 20

    /// A reader that goes on behind a position; nil at the slot's own.
    init(
        trigger: String,
        _ configuration: ChangesConfiguration,
        partition: Partition,
        behind position: Position?,
        budget: SlotBudget,
        events: Mailbox<SourceEvent>
    ) {
        self.trigger = trigger
        self.configuration = configuration
        self.partition = partition
        self.position = position
        self.budget = budget
        self.events = events
        self.committed.withLock { $0.position = position }
        self.index = self.builder.add(partition)
    }

    // MARK: - The stream

    /// The stream has begun, at the slot's `confirmed` place or behind it: nothing before that comes any more.
    ///
    /// False when the reader's own place is beyond the server's log, which ends at `end`: it begins at `confirmed` then.
    func attach(confirmed: LogSequenceNumber, end: LogSequenceNumber) -> Bool {
        defer { self.isAttached = true }
        if let position = self.position, let (commit, _) = ChangePosition.parts(position), commit > end {
            self.assign()
            self.tellGap(
                "the server's log ends at \(end), before \(ChangePosition.text(position)): it is another server, or was put back "
                    + "to an earlier time; this goes on at \(confirmed), and what the old one had besides is not known"
            )
            self.told = nil
            self.position = nil
            self.lift()
            self.begin(at: ChangePosition.change(confirmed, 0))
            return false
        }
        let begin = ChangePosition.change(confirmed, 0)
        self.assign()
        if let position = self.position {
            if let (commit, _) = ChangePosition.parts(position), commit < confirmed {
                let detail =
                    "the slot was moved on to \(confirmed) by somebody else, or made anew: changes behind "
                    + "\(ChangePosition.text(position)) are gone"
                self.tellGap(detail)
                self.lift()
                self.begin(at: begin)
            }
        } else {
            self.begin(at: begin)
        }
        return true
    }

    /// Kept even if nothing comes: the next start must not begin later.
    private func begin(at position: Position) {
        self.position = position
        self.reach(position)
    }

    /// Tells the pipeline of the partition, once.
    func assign() {
        guard !self.isAssigned else { return }
        self.isAssigned = true
        self.events.put(.assigned([self.partition]))
    }

    /// The stream has ended, or goes on without this reader.
    func detach() { self.isAttached = false }

    /// Looks at the budget before a turn.
    func beginTurn() {
        var room = self.budget.room
        room.records -= self.builder.count
        room.bytes -= self.builder.byteCount
        self.room = room
        self.drain()
    }

    /// Whether a change of the stream would become a record now.
    var hasRoom: Bool { self.isAttached && !self.isAtLimit && self.queue.isEmpty && self.room.isOpen }

    /// Whether it was left behind, and could go on.
    var isHungry: Bool { !self.isAttached && !self.isAtLimit && self.queue.isEmpty && self.room.isOpen }

    /// Whether it has what the stream brings at a place already.
    func isAhead(of place: Position) -> Bool { self.isAttached && self.position.map { place < $0 } ?? false }

    /// Whether it takes what the stream brings at a place, as far as there is room.
    func isAt(_ place: Position) -> Bool { self.isAttached && !self.isAtLimit && !self.isAhead(of: place) }

    /// Takes a change, unless it has it already, or does not want it.
    func offer(_ change: borrowing OfferedChange, _ message: UnsafeRawBufferPointer) {
        guard self.isAttached, self.position.map({ $0 < change.place.position }) ?? true else { return }
        if let limit = self.limit, limit < change.place.position {
            // It is offered again once the limit is lifted.
            self.isAtLimit = true
            return self.detach()
        }
        guard self.configuration.wants(change.table.name),
            self.ignored.isEmpty || !self.ignored.contains(change.table.name)
        else {
            self.position = change.place.position
            return
        }
        if self.queue.isEmpty, self.room.isOpen {
            self.append(change)
        } else if self.queueBytes + message.count <= Self.queueBytesMax {
            let copy = unsafe [UInt8](message)
            self.queue.append(Waiting(table: change.table, place: change.place, message: copy))
            self.queueBytes += copy.count
        } else {
            return self.detach()
        }
        self.position = change.place.position
    }

    private func append(_ change: borrowing OfferedChange) {
        let before = self.builder.byteCount
        self.writer.append(change, to: &self.builder, partitionIndex: self.index)
        self.room.records -= 1
        self.room.bytes -= self.builder.byteCount - before
        if self.builder.isFull { self.handOut() }
    }

    /// Everything up to a position has been offered.
    func reach(_ end: Position) {
        var position = end
        if let limit = self.limit, limit <= position {
            self.isAtLimit = true
            position = limit
        }
        guard self.isAssigned, self.position.map({ $0 <= position }) ?? true else { return }
        self.position = position
        self.reached = position
    }

    /// Makes records of what waits, as far as there is room.
    private func drain() {
        while self.room.isOpen, let waiting = self.queue.popFirst() {
            self.queueBytes -= waiting.message.count
            unsafe waiting.message.withUnsafeBytes { bytes in
                // It was read before, and gives the same again.
                guard let message = try? unsafe PgoutputMessage(bytes) else { return }
                if let change = message.change(of: waiting.table, at: waiting.place) { self.append(change) }
            }
        }
    }

    /// Hands out what became records in a turn, and tells how far the stream is.
    func endTurn() {
        self.handOut()
        guard self.queue.isEmpty, let reached = self.reached else { return }
        self.reached = nil
        guard self.told.map({ $0 < reached }) ?? true else { return }
        self.told = reached
        self.events.put(
            .advanced([
                PartitionPosition(partition: self.partition.id, name: self.partition.name, position: reached)
            ])
        )
    }

    private func handOut() {
        guard self.builder.count > 0 else { return }
        let (bytes, records) = (self.builder.byteCount, self.builder.count)
        var full = RecordBlockBuilder(byteCapacity: min(bytes, 1 << 20), recordCapacity: min(records, 4096))
        swap(&self.builder, &full)
        self.index = self.builder.add(self.partition)
        self.budget.handedOut(records: records, bytes: bytes)
        self.events.put(.records(full.finish()))
    }

    // MARK: - Rows of a snapshot

    /// Takes nothing behind a position until ``lift()``, or behind what it has when that is more.
    func limit(at position: Position) {
        self.limit = max(position, self.position ?? position)
        self.isAtLimit = self.position.map { $0 >= position } ?? false
    }

    /// Goes on with what the stream brings; its own position is kept.
    func lift() {
        self.limit = nil
        self.isAtLimit = false
    }

    /// Whether all before the limit is handed out, so that rows may stand behind it.
    var takesRows: Bool { self.isAtLimit && self.queue.isEmpty && self.builder.count == 0 }

    /// Whether there is room for records.
    var hasBudget: Bool { self.budget.room.isOpen }

    /// Whether it has nothing of a position yet, nor of what is behind that.
    func isBehind(_ position: Position) -> Bool { self.position.map { $0 < position } ?? true }

    /// Makes a record of a row that `message` has, as the plugin would write it; false when there is no room.
    ///
    /// Between ``beginTurn()`` and ``endTurn()``; at the limit only.
    func take(_ message: [UInt8], of table: ReplicatedTable, at place: ChangePlace) -> Bool {
        guard self.room.isOpen else { return false }
        unsafe message.withUnsafeBytes { bytes in
            // It was written here.
            guard let message = try? unsafe PgoutputMessage(bytes),
                var change = message.change(of: table, at: place)
            else { return }
            change.kind = .read
            self.append(change)
        }
        self.position = place.position
        self.limit = place.position
        return true
    }

    // MARK: - Telling

    /// Tells how the slot is, when that has changed.
    func show(_ status: SourceStatus) {
        guard self.shownStatus != status else { return }
        self.shownStatus = status
        self.events.put(.status(status))
    }

    /// Tells that it reads, and what it misses.
    func showConnected() {
        self.show((self.concern ?? self.snapshotConcern).map { .warned($0) } ?? .connected)
    }

    /// Tells that changes are gone.
    func tellGap(_ detail: String) {
        self.gaps += 1
        self.events.put(.gap(SourceGap(partition: self.partition.name, detail: detail)))
    }

    /// How far the settled position is behind the end of the server's log.
    var lag: PartitionLag {
        let (position, bytes) = self.committed.withLock { $0 }
        var lag = PartitionLag(partition: self.partition.name, committed: position, records: nil)
        lag.bytes = bytes
        lag.isBehind = true
        return lag
    }
}

extension PgoutputMessage {
    /// The tables of which rows change.
    @inline(__always)
    var relation: UInt32? {
        switch self {
        case .insert(let id, _), .update(let id, _, _), .delete(let id, _): id
        case .truncate, .begin, .commit, .relation, .other: nil
        }
    }

    /// The change of a row of a table in it; nil when it has none.
    @inline(__always)
    func change(of table: ReplicatedTable, at place: ChangePlace) -> OfferedChange? {
        switch self {
        case .insert(_, let new):
            OfferedChange(kind: .insert, table: table, old: nil, new: new, place: place)
        case .update(_, let old, let new):
            OfferedChange(kind: .update, table: table, old: old, new: new, place: place)
        case .delete(_, let old):
            OfferedChange(kind: .delete, table: table, old: old, new: nil, place: place)
        case .truncate: OfferedChange(kind: .truncate, table: table, old: nil, new: nil, place: place)
        case .begin, .commit, .relation, .other: nil
        }
    }
}
