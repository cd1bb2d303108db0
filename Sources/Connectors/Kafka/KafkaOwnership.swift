// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// The partitions a consumer owns, and how far each was handed out.
///
/// Used by the source's thread alone.
struct KafkaOwnership {
    /// One partition.
    struct Entry {
        /// The ownership as the pipeline knows it.
        let partition: Partition
        /// The partition as Kafka names it.
        let name: KafkaPartitionName
        /// The lowest offset that was not handed out: what is below it has been, and is not handed out again.
        var next: Int64
        /// The offset that the group would begin at; nil when it has none.
        var committed: Int64?
        /// The pipeline does not want its records now.
        var isHeld = false
        /// It is asked back: nothing of it is handed out any more.
        var isLeaving = false
        /// Messages that came although it is held; they go first when it no longer is.
        var heldBack: [RDKafkaMessage] = []
        /// The block it was last part of, and where in that block's table.
        var block: UInt64 = 0
        var blockIndex: UInt32 = 0
    }

    /// Where a partition begins.
    struct Start {
        /// The partition.
        var name: KafkaPartitionName
        /// The first offset to read.
        var next: Int64
        /// The offset that the group would begin at; nil when it has none.
        var committed: Int64?
        /// The window in which it goes on; nil for none.
        var window: KeptWindow?
    }

    private struct Identity: Hashable {
        var topic: UInt
        var partition: Int32
    }

    /// The partitions; places change when partitions come or go.
    private(set) var entries: [Entry] = []
    /// Whether a partition that is no longer held has messages that were held back.
    var hasReturning = false

    private var places: [Identity: Int] = [:]
    private var lastIdentity = Identity(topic: 0, partition: -1)
    private var lastPlace = -1
    private var nextID: UInt32 = 1

    /// The partition at a place.
    subscript(place: Int) -> Entry {
        _read { yield self.entries[place] }
        _modify { yield &self.entries[place] }
    }

    /// The place of a message's partition; nil when it is not owned.
    @inline(__always)
    mutating func place(of message: RDKafkaMessage) -> Int? {
        let identity = Identity(topic: message.topicIdentity, partition: message.partition)
        if identity == self.lastIdentity { return self.lastPlace }
        return self.find(identity, message)
    }

    private mutating func find(_ identity: Identity, _ message: RDKafkaMessage) -> Int? {
        guard let place = self.places[identity] ?? self.place(named: message) else { return nil }
        self.places[identity] = place
        self.lastIdentity = identity
        self.lastPlace = place
        return place
    }

    private func place(named message: RDKafkaMessage) -> Int? {
        guard let topic = message.topic else { return nil }
        return self.place(of: KafkaPartitionName(topic: topic, partition: message.partition))
    }

    /// The place of a partition; nil when it is not owned.
    func place(of name: KafkaPartitionName) -> Int? {
        self.entries.firstIndex { $0.name == name }
    }

    /// The place of an ownership; nil when it is over.
    func place(of id: PartitionID) -> Int? {
        self.entries.firstIndex { $0.partition.id == id }
    }

    /// Begins to own partitions from these offsets on; `prefix` gives the constant part of their events.
    mutating func add(
        _ offsets: [Start],
        prefix: (KafkaPartitionName) -> [UInt8]
    ) -> [Partition] {
        self.forgetPlaces()
        return offsets.map { offset in
            let partition = Partition(
                id: PartitionID(self.nextID),
                name: offset.name.description,
                eventPrefix: prefix(offset.name),
                kept: offset.window
            )
            self.nextID += 1
            self.entries.append(
                Entry(
                    partition: partition,
                    name: offset.name,
                    next: max(0, offset.next),
                    committed: offset.committed
                )
            )
            return partition
        }
    }

    /// Ends the ownership of partitions; returns their ids and the messages they held back, which the caller destroys.
    mutating func remove(_ names: [KafkaPartitionName]) -> (ids: [PartitionID], messages: [RDKafkaMessage]) {
        self.forgetPlaces()
        let gone = self.entries.filter { names.contains($0.name) }
        self.entries.removeAll { names.contains($0.name) }
        return (gone.map(\.partition.id), gone.flatMap(\.heldBack))
    }

    /// Ends all ownerships; returns the messages they held back, which the caller destroys.
    mutating func removeAll() -> [RDKafkaMessage] {
        self.remove(self.entries.map(\.name)).messages
    }

    /// Marks partitions that are asked back; returns the ids of those that are owned.
    mutating func leave(_ names: [KafkaPartitionName]) -> [PartitionID] {
        var ids: [PartitionID] = []
        for place in self.entries.indices where names.contains(self.entries[place].name) {
            self.entries[place].isLeaving = true
            ids.append(self.entries[place].partition.id)
        }
        return ids
    }

    /// Replaces the set of partitions to leave alone; returns which ones change.
    mutating func hold(
        _ held: Set<PartitionID>
    ) -> (pause: [KafkaPartitionName], resume: [KafkaPartitionName]) {
        var pause: [KafkaPartitionName] = []
        var resume: [KafkaPartitionName] = []
        for place in self.entries.indices {
            let isHeld = held.contains(self.entries[place].partition.id)
            guard isHeld != self.entries[place].isHeld else { continue }
            self.entries[place].isHeld = isHeld
            if isHeld {
                pause.append(self.entries[place].name)
            } else {
                resume.append(self.entries[place].name)
                if !self.entries[place].heldBack.isEmpty { self.hasReturning = true }
            }
        }
        return (pause, resume)
    }

    private mutating func forgetPlaces() {
        self.places = [:]
        self.lastIdentity = Identity(topic: 0, partition: -1)
        self.lastPlace = -1
    }
}
