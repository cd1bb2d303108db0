// SPDX-License-Identifier: Apache-2.0

import DequeModule
import PenstockCore
import PenstockRuntime

/// Decides which shard is read next, and how much of what was read is handed out.
///
/// Pure. Shards take turns. A page may have more records than the budget: the rest waits here, and nothing more is read of
/// its shard. Pages of partitions that are held are let go, so that what is blocked keeps no room from the others.
struct ShardTurns {
    /// What is to be done now.
    enum Turn: Equatable {
        /// Find out where the shard is to be read from.
        case prepare(PartitionID)
        /// Read a page of it.
        case read(PartitionID)
        /// Hand out records of its page: so many, of so many bytes, at most.
        case handOut(PartitionID, records: Int, bytes: Int)
        /// Let its page go; it is read again later.
        case letGo(PartitionID)
    }

    private enum State {
        /// Not in turn before a time, which others keep.
        case resting
        /// In a queue.
        case queued
        /// Being prepared, read or handed out.
        case underWay
        /// Held by the pipeline.
        case held
    }

    private struct Place {
        var state: State
        var pageBytes = 0
    }

    /// Reads side by side at most.
    let most: Int

    /// Bytes of pages that wait to be handed out at which nothing more is read.
    static let pageBytesMax = 16 << 20

    private var places: [PartitionID: Place] = [:]
    private var unprepared = Deque<PartitionID>()
    private var due = Deque<PartitionID>()
    private var full = Deque<PartitionID>()
    private var held: Set<PartitionID> = []
    private(set) var underWay = 0
    private var pageBytes = 0

    /// What is left of the standing budget.
    private var records = 0
    private var bytes = 0
    /// Handed out, and not with the pipeline yet: the next budget is made without knowing of it.
    private var unreturned = 0
    private var unreturnedBytes = 0

    init(most: Int) {
        self.most = most
    }

    // MARK: - The pipeline's side

    /// The pipeline replaced the budget; whether there may be something to do.
    mutating func grant(_ budget: ReceiveBudget) -> Bool {
        self.records = budget.records - self.unreturned
        self.bytes = budget.bytes - self.unreturnedBytes
        if self.held != budget.held {
            let free = self.held.subtracting(budget.held)
            self.held = budget.held
            for id in free {
                guard case .held = self.places[id]?.state else { continue }
                self.places[id]?.state = .queued
                self.due.append(id)
            }
        }
        return self.isOpen && !(self.due.isEmpty && self.full.isEmpty)
    }

    /// The pipeline took what was handed out.
    mutating func returned(records: Int, bytes: Int) {
        self.unreturned -= records
        self.unreturnedBytes -= bytes
    }

    private var isOpen: Bool { self.records > 0 && self.bytes > 0 }

    // MARK: - Shards

    /// A shard is to be read; `isPrepared` when it is known from where.
    mutating func add(_ id: PartitionID, isPrepared: Bool) {
        self.places[id] = Place(state: .queued)
        if isPrepared { self.due.append(id) } else { self.unprepared.append(id) }
    }

    /// A shard is read to its end.
    mutating func remove(_ id: PartitionID) {
        guard let place = self.places.removeValue(forKey: id) else { return }
        self.pageBytes -= place.pageBytes
    }

    /// A shard's time has come to be read.
    mutating func rested(_ id: PartitionID) {
        guard case .resting = self.places[id]?.state else { return }
        self.places[id]?.state = .queued
        self.due.append(id)
    }

    /// What to do now; nil when nothing is, before something changes.
    mutating func next() -> Turn? {
        if self.underWay < self.most, let id = self.unprepared.popFirst() {
            self.begin(id)
            return .prepare(id)
        }
        guard self.isOpen else { return nil }
        while let id = self.full.popFirst() {
            guard let place = self.places[id] else { continue }
            if self.held.contains(id) {
                self.pageBytes -= place.pageBytes
                self.places[id] = Place(state: .held)
                return .letGo(id)
            }
            self.places[id]?.state = .underWay
            return .handOut(id, records: self.records, bytes: self.bytes)
        }
        while self.underWay < self.most, self.pageBytes < Self.pageBytesMax, let id = self.due.popFirst() {
            guard self.places[id] != nil else { continue }
            if self.held.contains(id) {
                self.places[id]?.state = .held
                continue
            }
            self.begin(id)
            return .read(id)
        }
        return nil
    }

    private mutating func begin(_ id: PartitionID) {
        self.underWay += 1
        self.places[id]?.state = .underWay
    }

    // MARK: - What came of it

    /// A preparation or a read ended, with a page of so many bytes, or with none.
    ///
    /// Without one the shard rests until ``rested(_:)``.
    mutating func ended(_ id: PartitionID, pageBytes: Int = 0) {
        self.underWay -= 1
        guard self.places[id] != nil else { return }
        self.places[id] = Place(state: .resting, pageBytes: pageBytes)
        guard pageBytes > 0 else { return }
        self.pageBytes += pageBytes
        self.places[id]?.state = .queued
        self.full.append(id)
    }

    /// Records of a page were handed out, and so many bytes of it are left.
    ///
    /// Without any the shard rests until ``rested(_:)``.
    mutating func handedOut(_ id: PartitionID, records: Int, bytes: Int, left: Int) {
        self.records -= records
        self.bytes -= bytes
        self.unreturned += records
        self.unreturnedBytes += bytes
        guard let place = self.places[id] else { return }
        self.pageBytes += left - place.pageBytes
        self.places[id] = Place(state: left > 0 ? .queued : .resting, pageBytes: left)
        if left > 0 { self.full.append(id) }
    }
}
