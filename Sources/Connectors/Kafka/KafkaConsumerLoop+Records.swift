// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

extension KafkaConsumerLoop {
    /// Hands out one block of records, if the budget and the queue have any.
    ///
    /// Returns whether it did something.
    func moveRecords() -> Bool {
        let allowance = self.inbox.allowance()
        guard allowance.isOpen else { return false }
        if self.buffer.isEmpty {
            self.consumer.receive(&self.buffer, atMost: min(Self.recordsPerBlock, allowance.records))
        }
        guard !self.buffer.isEmpty || self.owned.hasReturning else { return false }
        // As large as the last one and an eighth more: a block that needs more grows.
        let bytes = min(self.lastBlockBytes + self.lastBlockBytes / 8, allowance.bytes)
        var intake = KafkaIntake(
            room: allowance,
            block: self.blockNumber + 1,
            builder: RecordBlockBuilder(byteCapacity: bytes, recordCapacity: Self.recordsPerBlock)
        )
        self.blockNumber += 1
        self.owned.takeReturning(into: &intake)
        while let message = self.owned.take(from: &self.buffer, into: &intake) {
            self.receivedError(message)
            message.destroy()
        }
        guard !intake.isEmpty else { return true }
        let block = intake.finish()
        self.lastBlockBytes = block.byteCount
        self.inbox.put(block)
        self.lagAt = self.lagAt ?? Clock.now + .seconds(1)
        return true
    }
}

/// A block that is being filled within a budget.
struct KafkaIntake: ~Copyable {
    /// What may still be handed out.
    private var room: KafkaInbox.Allowance
    /// The block's number, which tells partitions that are part of it already.
    let block: UInt64

    private var builder: RecordBlockBuilder

    /// An empty block; the budget has room.
    init(room: KafkaInbox.Allowance, block: UInt64, builder: consuming RecordBlockBuilder) {
        self.room = room
        self.block = block
        self.builder = builder
    }

    /// Whether nothing was taken.
    var isEmpty: Bool { self.builder.count == 0 }

    /// Whether there is room for another message.
    var isOpen: Bool { self.room.isOpen && !self.builder.isFull }

    /// Adds a partition to the block's table.
    mutating func add(_ partition: Partition) -> UInt32 { self.builder.add(partition) }

    /// Copies a message in.
    @inline(__always)
    mutating func take(_ message: RDKafkaMessage, partitionIndex: UInt32) {
        let before = self.builder.byteCount
        message.append(to: &self.builder, partitionIndex: partitionIndex)
        self.room.records -= 1
        self.room.bytes -= self.builder.byteCount - before
    }

    /// The finished block.
    consuming func finish() -> RecordBlock { self.builder.finish() }
}

extension KafkaOwnership {
    /// Takes received messages in order until the budget is used up, and gives their memory back.
    ///
    /// Returns an error that stands in the place of a message, which the caller deals with and destroys before it
    /// goes on; nil at the end. Neighbours are mostly of one partition, so what is known of it is looked up once for
    /// all of them.
    mutating func take(
        from buffer: inout RDKafkaMessageBuffer,
        into intake: inout KafkaIntake
    ) -> RDKafkaMessage? {
        while intake.isOpen, let first = buffer.pop() {
            guard first.code == .none else { return first }
            guard let place = self.place(of: first) else {
                first.destroy()
                continue
            }
            if self[place].isHeld || !self[place].heldBack.isEmpty {
                self[place].heldBack.append(first)
                continue
            }
            guard !self[place].isLeaving else {
                first.destroy()
                continue
            }
            let index = self.index(of: place, in: &intake)
            var next = self[place].next
            var message = first
            while true {
                let offset = message.offset
                // What was handed out before is not handed out again.
                if offset >= next {
                    next = offset + 1
                    intake.take(message, partitionIndex: index)
                }
                let neighbour = intake.isOpen ? buffer.pop(likeOf: message) : nil
                message.destroy()
                guard let neighbour else { break }
                message = neighbour
            }
            self[place].next = next
        }
        return nil
    }

    /// Takes messages that were held back for partitions which are no longer held.
    mutating func takeReturning(into intake: inout KafkaIntake) {
        guard self.hasReturning else { return }
        self.hasReturning = false
        for place in self.entries.indices where !self[place].isHeld {
            let waiting = self[place].heldBack
            guard !waiting.isEmpty else { continue }
            var taken = 0
            while taken < waiting.count, intake.isOpen {
                let message = waiting[taken]
                taken += 1
                if message.offset >= self[place].next, !self[place].isLeaving {
                    self[place].next = message.offset + 1
                    intake.take(message, partitionIndex: self.index(of: place, in: &intake))
                }
                message.destroy()
            }
            self[place].heldBack.removeFirst(taken)
            if taken < waiting.count { self.hasReturning = true }
        }
    }

    /// The partition's index in the block's table.
    private mutating func index(of place: Int, in intake: inout KafkaIntake) -> UInt32 {
        if self[place].block != intake.block {
            self[place].block = intake.block
            self[place].blockIndex = intake.add(self[place].partition)
        }
        return self[place].blockIndex
    }
}
