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
        var room = allowance
        if self.owned.hasReturning { self.pickReturning(&room) }
        if self.buffer.isEmpty, room.isOpen {
            self.consumer.receive(&self.buffer, atMost: min(Self.recordsPerBlock, room.records))
        }
        let hadMessages = !self.buffer.isEmpty
        self.pickReceived(&room)
        guard !self.picked.isEmpty else { return hadMessages }
        self.inbox.put(self.block(bytes: allowance.bytes - room.bytes))
        self.lagAt = self.lagAt ?? Clock.now + .seconds(1)
        return true
    }

    /// Chooses messages that were held back for partitions which are no longer held.
    private func pickReturning(_ room: inout KafkaInbox.Allowance) {
        self.owned.hasReturning = false
        for place in self.owned.entries.indices where !self.owned[place].isHeld {
            let waiting = self.owned[place].heldBack
            guard !waiting.isEmpty else { continue }
            var taken = 0
            while taken < waiting.count, room.isOpen {
                self.pick(waiting[taken], at: place, &room)
                taken += 1
            }
            self.owned[place].heldBack.removeFirst(taken)
            if taken < waiting.count { self.owned.hasReturning = true }
        }
    }

    /// Chooses from what was received, in order, until the budget is used up.
    private func pickReceived(_ room: inout KafkaInbox.Allowance) {
        while room.isOpen, let message = self.buffer.pop() {
            guard message.code == .none else {
                self.receivedError(message)
                message.destroy()
                continue
            }
            guard let place = self.owned.place(of: message) else {
                message.destroy()
                continue
            }
            if self.owned[place].isHeld || !self.owned[place].heldBack.isEmpty {
                self.owned[place].heldBack.append(message)
            } else {
                self.pick(message, at: place, &room)
            }
        }
    }

    /// Chooses one message, unless it is a repetition or its partition is leaving.
    @inline(__always)
    private func pick(_ message: RDKafkaMessage, at place: Int, _ room: inout KafkaInbox.Allowance) {
        let offset = message.offset
        guard offset >= self.owned[place].next, !self.owned[place].isLeaving else {
            message.destroy()
            return
        }
        self.owned[place].next = offset + 1
        room.records -= 1
        room.bytes -= message.byteCount
        self.picked.append(Pick(message: message, owner: place))
    }

    /// Copies what was chosen into one block, and gives librdkafka its memory back.
    private func block(bytes: Int) -> RecordBlock {
        // An eighth more, for headers: a block that has more of them grows.
        var builder = RecordBlockBuilder(byteCapacity: bytes + bytes / 8, recordCapacity: self.picked.count)
        self.blockNumber += 1
        for pick in self.picked {
            if self.owned[pick.owner].block != self.blockNumber {
                self.owned[pick.owner].block = self.blockNumber
                self.owned[pick.owner].blockIndex = builder.add(self.owned[pick.owner].partition)
            }
            pick.message.append(to: &builder, partitionIndex: self.owned[pick.owner].blockIndex)
            pick.message.destroy()
        }
        self.picked.removeAll(keepingCapacity: true)
        return builder.finish()
    }
}
