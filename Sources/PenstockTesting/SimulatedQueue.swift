// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Reactor
import Synchronization

/// The upstream of a ``SimulatedLeaseSource``: queues whose records are leased and settled one by one.
///
/// With an order it delivers the records of a key one after the other, and none of a key of which one is leased, as SQS
/// FIFO and outbox tables do. Without one it delivers in any order, and now and then twice, as SQS does.
struct SimulatedQueue: Sendable {
    /// How long a receive leases.
    static let lease = Duration.seconds(30)

    struct Message: Sendable {
        let name: String
        let offset: UInt64
        /// What it is ordered by.
        let group: Int
        /// Nobody else gets it before.
        var visibleAt = Instant.start
        /// The delivery that leases it; 0 for none.
        var receipt: UInt64 = 0
        var isDeleted = false
        var receives = 0
        var firstReceivedAt: Timestamp?
    }

    /// A delivery.
    struct Receipt: Sendable {
        var place: Int
        /// When its lease ends, as the source told.
        var until: Instant
        /// Whether the source told that it is settled.
        var isSettled = false
        /// Whether it was given back.
        var isReleased = false
    }

    let keepsOrder: Bool
    var messages: [Message] = []
    /// Messages that were not deleted.
    private(set) var remaining: Int
    var receipts: [UInt64: Receipt] = [:]
    private var lastReceipt: UInt64 = 0

    /// Groups with records that were delivered again while an earlier delivery was not over, as we may see it.
    var doubled: Set<Int> = []

    /// Queues by name, with the group of each record.
    init(_ groups: [String: [Int]], keepsOrder: Bool) {
        self.keepsOrder = keepsOrder
        for (name, groups) in groups.sorted(by: { $0.key < $1.key }) {
            self.messages += groups.enumerated().map {
                Message(name: name, offset: UInt64($0), group: $1)
            }
        }
        self.remaining = self.messages.count
    }

    mutating func delete(_ place: Int) {
        self.messages[place].isDeleted = true
        self.remaining -= 1
    }

    /// Leases a message; returns the delivery's receipt.
    mutating func lease(_ place: Int, isCut: Bool, now: Instant, wall: Timestamp) -> UInt64 {
        let old = self.messages[place].receipt
        if old > 0, self.receipts[old]?.isReleased == false {
            self.doubled.insert(self.messages[place].group)
        }
        self.lastReceipt += 1
        self.messages[place].receipt = self.lastReceipt
        self.messages[place].receives += 1
        self.messages[place].visibleAt = now + (isCut ? .seconds(2) : Self.lease)
        if self.messages[place].firstReceivedAt == nil { self.messages[place].firstReceivedAt = wall }
        self.receipts[self.lastReceipt] = Receipt(place: place, until: now + Self.lease)
        return self.lastReceipt
    }

    /// The message that a delivery still leases.
    func leased(_ receipt: UInt64, now: Instant) -> Int? {
        guard let place = self.receipts[receipt]?.place else { return nil }
        let message = self.messages[place]
        return message.receipt == receipt && message.visibleAt > now && !message.isDeleted ? place : nil
    }

    /// When a message can be received next; nil when all are deleted.
    var nextVisible: Instant? { self.messages.lazy.filter { !$0.isDeleted }.map(\.visibleAt).min() }
}

extension SimulatedWorld.State {
    /// The function got leased records: nothing overtakes what is not settled, and no key is invoked twice at a time.
    mutating func invokedLeased(
        _ records: [(partition: String, offset: UInt64)]
    ) -> Set<SimulatedWorld.Hold> {
        var holds: Set<SimulatedWorld.Hold> = []
        for (index, record) in records.enumerated() {
            guard let (group, place) = self.groups[record.partition]?[Int(record.offset)] else { continue }
            let members = self.members[group] ?? []
            for earlier in members.prefix(place) where !self.isDealtWith(record.partition, earlier) {
                let isBefore = records.prefix(index).contains {
                    $0.partition == record.partition && $0.offset == earlier
                }
                if !isBefore {
                    self.violations.append("\(record.partition)@\(record.offset) overtook \(earlier)")
                }
            }
            // Records without an order that were delivered twice may be invoked twice at the same time.
            if members.count == 1, self.queue?.doubled.contains(group) == true { continue }
            holds.insert(SimulatedWorld.Hold(process: self.liveProcess, epoch: 0, group: group))
        }
        if !self.invoking.isDisjoint(with: holds) {
            self.violations.append("two invocations hold records of one group: \(records.prefix(3))")
        }
        self.invoking.formUnion(holds)
        return holds
    }

    func isDealtWith(_ name: String, _ offset: UInt64) -> Bool {
        self.successes[name]?[offset] != nil || self.deadLetters[name]?.contains(offset) == true
    }
}

extension SimulatedWorld {
    /// A delivery that a receive brought.
    struct Delivery {
        var name: String
        var offset: UInt64
        var receipt: UInt64
        var key: UInt8?
        var timestamp: Timestamp
    }

    /// Leases up to so many records.
    func receive(_ limit: Int) -> [Delivery] {
        let (now, wall) = (self.loop.now, self.loop.wallNow)
        return self.state.withLock { state in
            guard var queue = state.queue else { return [] }
            defer { state.queue = queue }
            var blocked: Set<Int> = []
            var ready: [Int] = []
            for (place, message) in queue.messages.enumerated() where !message.isDeleted {
                if message.visibleAt > now {
                    blocked.insert(message.group)
                    if !queue.keepsOrder, state.happens(\.duplicate) { ready.append(place) }
                } else {
                    ready.append(place)
                }
            }
            if queue.keepsOrder {
                ready.removeAll { blocked.contains(queue.messages[$0].group) }
            } else {
                ready.shuffle(using: &state.random)
            }
            return ready.prefix(limit).map { place in
                let message = queue.messages[place]
                let receipt = queue.lease(
                    place,
                    isCut: state.happens(\.leaseCut),
                    now: now,
                    wall: wall
                )
                return Delivery(
                    name: message.name,
                    offset: message.offset,
                    receipt: receipt,
                    key: state.keys[message.name]?[Int(message.offset)] ?? nil,
                    timestamp: queue.messages[place].firstReceivedAt ?? wall
                )
            }
        }
    }

    /// What came of a request about one delivery.
    enum Outcome {
        case done, refused, lost
    }

    /// Checks a settlement when it is asked for: it must be true, durable, in time, and the only one.
    func checkSettlement(_ kind: Settlement.Kind, of receipt: UInt64) {
        let now = self.loop.now
        self.state.withLock { state in
            guard let delivery = state.queue?.receipts[receipt],
                let message = state.queue?.messages[delivery.place]
            else { return state.violations.append("a delivery was settled that never was") }
            let name = "\(message.name)@\(message.offset)"
            if delivery.isSettled { state.violations.append("\(name) was settled twice") }
            if delivery.until <= now { state.violations.append("\(name) was settled after its lease") }
            if kind == .acknowledge, !state.isDealtWith(message.name, message.offset) {
                state.violations.append("\(name) was acknowledged and never settled")
            }
            let isDead = state.deadLetters[message.name]?.contains(message.offset) == true
            let isReported = state.reported[message.name]?.contains(message.offset) == true
            if kind == .acknowledge, state.keepsResults, !isDead, !isReported {
                state.violations.append("\(name) was acknowledged before its result was kept")
            }
        }
    }

    /// Settles one delivery upstream; `isTold` when the source will know.
    func settle(_ kind: Settlement.Kind, of receipt: UInt64, process: Int, isTold: Bool) -> Outcome {
        let now = self.loop.now
        return self.state.withLock { state in
            guard state.liveProcess == process else { return .refused }
            if isTold, state.happens(\.settlementRefused) { return .refused }
            guard let place = state.queue?.leased(receipt, now: now) else { return .lost }
            switch kind {
            case .acknowledge: state.queue?.delete(place)
            case .release(let delay, _): state.queue?.messages[place].visibleAt = now + delay
            }
            if case .release = kind { state.queue?.receipts[receipt]?.isReleased = true }
            if isTold { state.queue?.receipts[receipt]?.isSettled = true }
            return .done
        }
    }

    /// Extends the lease of one delivery.
    func extend(_ receipt: UInt64, from start: Instant, by length: Duration, process: Int) -> Outcome {
        let now = self.loop.now
        return self.state.withLock { state in
            guard state.liveProcess == process else { return .refused }
            if state.queue?.receipts[receipt]?.isReleased == true {
                state.violations.append("a lease was extended after it was given back")
            }
            if state.happens(\.extensionRefused) { return .refused }
            guard let place = state.queue?.leased(receipt, now: now) else { return .lost }
            state.queue?.messages[place].visibleAt = now + length
            state.queue?.receipts[receipt]?.until = start + length
            return .done
        }
    }

    /// Deliveries of all records so far.
    package var receives: Int {
        self.state.withLock { $0.queue?.messages.reduce(0) { $0 + $1.receives } ?? 0 }
    }

    /// Records that nobody can receive now.
    package var leased: Int {
        let now = self.loop.now
        return self.state.withLock { state in
            state.queue?.messages.count { !$0.isDeleted && $0.visibleAt > now } ?? 0
        }
    }
}

extension SimulatedWorld.State {
    fileprivate mutating func happens(_ fault: KeyPath<FaultPlan, Double>) -> Bool {
        Double.random(in: 0..<1, using: &self.random) < self.plan[keyPath: fault]
    }
}
