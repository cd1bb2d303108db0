// SPDX-License-Identifier: Apache-2.0

import HeapModule

/// Deliveries that are leased, with the end of their lease.
struct HeldRun {
    var run: Run
    /// Nil for a lease that does not end.
    var until: Instant?
}

/// The deliveries of a leasing source that have no settlement yet, and until when they are leased.
///
/// What ``Watermark`` is for partitions whose position moves on. A delivery is *open* from its admission until it is
/// closed: by a settlement, or because its lease was lost. What is not open can no longer be settled, whatever comes of
/// it; that is how late results are fenced.
struct LeaseLedger {
    /// Deliveries of one block whose leases end at the same time.
    private struct Group {
        let admitted: AdmittedBlock
        /// A bit for each place that is open.
        var open: [UInt64]
        var count: Int
        var until: Instant?
        /// Beyond this upstream extends no lease.
        var limit: Instant?
        /// When the next extension is due; nil when there is none to come, or one is under way.
        var extendAt: Instant?
        var ticket: LeaseTicket.ID?

        init(_ admitted: AdmittedBlock, until: Instant?, limit: Instant?, now: Instant) {
            self.admitted = admitted
            self.count = admitted.block.count
            self.open = Array(repeating: .max, count: (self.count + 63) / 64)
            if self.count % 64 > 0 { self.open[self.count / 64] = 1 << UInt64(self.count % 64) - 1 }
            self.until = until
            self.limit = limit
            self.plan(now)
        }

        func isOpen(_ place: Int) -> Bool { self.open[place / 64] & 1 << UInt64(place % 64) != 0 }

        mutating func close(_ place: Int) -> Bool {
            guard self.isOpen(place) else { return false }
            self.open[place / 64] &= ~(1 << UInt64(place % 64))
            self.count -= 1
            return true
        }

        /// Extends at half of what is left, so that several tries fit in.
        mutating func plan(_ now: Instant) {
            self.ticket = nil
            self.extendAt = nil
            guard let until = self.until, self.limit.map({ until < $0 }) ?? true else { return }
            self.extendAt = now + max(.milliseconds(100), .nanoseconds((until - now).wholeNanoseconds / 2))
        }

        /// When something is due.
        var deadline: Instant? {
            guard let until = self.until else { return nil }
            return min(until, self.extendAt ?? until)
        }

        /// The open deliveries.
        var runs: [Run] {
            var runs: [Run] = []
            for place in 0..<self.admitted.block.count where self.isOpen(place) {
                runs.add(Run(admitted: self.admitted, range: place..<place + 1))
            }
            return runs
        }

        /// Takes the deliveries in `runs` out, as a group with the same lease.
        mutating func split(off runs: [Run]) -> Group? {
            var other = self
            other.open = Array(repeating: 0, count: self.open.count)
            other.count = 0
            for run in runs where run.admitted === self.admitted {
                for place in run.range where self.close(place) {
                    other.open[place / 64] |= 1 << UInt64(place % 64)
                    other.count += 1
                }
            }
            return other.count > 0 ? other : nil
        }
    }

    private struct Alarm: Comparable {
        var at: Instant
        var block: UInt64

        static func < (lhs: Self, rhs: Self) -> Bool { (lhs.at, lhs.block) < (rhs.at, rhs.block) }
    }

    private let policy: LeasePolicy

    /// By the block's first delivery: mostly one group each, more when an extension was refused in part.
    private var groups: [UInt64: [Group]] = [:]
    private var alarms = Heap<Alarm>()
    private var lastTicket: UInt64 = 0

    /// The blocks of each extension that is under way, and how many there are of each block.
    private var tickets: [LeaseTicket.ID: Set<UInt64>] = [:]
    private var extending: [UInt64: Int] = [:]

    /// Open deliveries.
    private(set) var count = 0

    /// Memory of the blocks that are kept for one that is open.
    private(set) var memory = 0

    init(_ policy: LeasePolicy) {
        self.policy = policy
    }

    /// When ``due(now:)`` is to be called.
    var deadline: Instant? { self.alarms.min?.at }

    /// The own time of the first record that is open.
    var oldest: Timestamp? {
        guard let block = self.groups.keys.min() else { return nil }
        let places = self.groups[block, default: []].compactMap(\.runs.first)
        return places.min { $0.range.lowerBound < $1.range.lowerBound }.map {
            $0.admitted.block.entries[$0.first].timestamp
        }
    }

    /// Opens the deliveries of a block.
    mutating func admit(_ admitted: AdmittedBlock, now: Instant) {
        let limit = self.policy.longest.map { now + $0 }
        let group = Group(admitted, until: admitted.block.lease?.until, limit: limit, now: now)
        self.groups[admitted.firstDelivery] = [group]
        self.count += group.count
        self.memory += admitted.memory
        self.setAlarm(group)
    }

    private mutating func setAlarm(_ group: Group) {
        guard let at = group.deadline else { return }
        self.alarms.insert(Alarm(at: at, block: group.admitted.firstDelivery))
    }

    /// Whether a delivery can be settled.
    func isOpen(_ admitted: AdmittedBlock, _ place: Int) -> Bool {
        self.groups[admitted.firstDelivery]?.contains { $0.isOpen(place) } ?? false
    }

    /// Whether an extension with deliveries of the run's block is under way.
    func isExtending(_ run: Run) -> Bool { self.extending[run.admitted.firstDelivery] != nil }

    /// Closes deliveries; returns those that were open, with their lease.
    mutating func close(_ run: Run) -> [HeldRun] {
        let key = run.admitted.firstDelivery
        guard var groups = self.groups[key] else { return [] }
        var held: [HeldRun] = []
        for place in run.range {
            guard let index = groups.firstIndex(where: { $0.isOpen(place) }), groups[index].close(place)
            else { continue }
            let until = groups[index].until
            if let last = held.last, last.run.range.upperBound == place, last.until == until {
                held[held.count - 1].run.range = last.run.range.lowerBound..<place + 1
            } else {
                let record = Run(
                    admitted: run.admitted,
                    range: place..<place + 1,
                    isFiltered: run.isFiltered
                )
                held.append(HeldRun(run: record, until: until))
            }
            self.count -= 1
        }
        self.keep(groups, of: key)
        return held
    }

    private mutating func keep(_ groups: [Group], of key: UInt64) {
        let rest = groups.filter { $0.count > 0 }
        self.groups[key] = rest.isEmpty ? nil : rest
        guard rest.isEmpty, let block = groups.first?.admitted else { return }
        self.memory -= block.memory
        while let first = self.alarms.min, self.groups[first.block] == nil { self.alarms.removeMin() }
    }

    /// Closes all deliveries of some partitions; returns those that were open.
    mutating func close(ofPartitions isLeaving: (PartitionID) -> Bool) -> [Run] {
        self.groups.keys.sorted().flatMap { key in
            self.groups[key, default: []].flatMap(\.runs).flatMap { run in
                // A range of places may hold records of several partitions.
                run.range.flatMap { place -> [HeldRun] in
                    let record = Run(admitted: run.admitted, range: place..<place + 1)
                    return isLeaving(record.partition.id) ? self.close(record) : []
                }
            }
        }.map(\.run)
    }

    // MARK: - Time

    /// What has become due: deliveries to extend, and deliveries whose lease has ended, which are closed.
    mutating func due(now: Instant) -> (extend: [LeaseTicket], ended: [Run]) {
        var wanted: [Duration: [Run]] = [:]
        var ended: [Run] = []
        var keys: Set<UInt64> = []
        while let alarm = self.alarms.min, alarm.at <= now {
            self.alarms.removeMin()
            keys.insert(alarm.block)
        }
        for key in keys.sorted() {
            guard var groups = self.groups[key] else { continue }
            for index in groups.indices {
                if let until = groups[index].until, until <= now {
                    ended += groups[index].runs
                    self.count -= groups[index].count
                    groups[index].count = 0
                } else if let extendAt = groups[index].extendAt, extendAt <= now {
                    groups[index].extendAt = nil
                    let room = groups[index].limit.map { $0 - now } ?? self.policy.length
                    wanted[min(room, self.policy.length), default: []] += groups[index].runs
                }
            }
            self.keep(groups, of: key)
            for group in self.groups[key, default: []] { self.setAlarm(group) }
        }
        let tickets = wanted.sorted { $0.key < $1.key }.map { self.ticket($0.value, length: $0.key) }
        return (tickets, ended)
    }

    private mutating func ticket(_ runs: [Run], length: Duration) -> LeaseTicket {
        self.lastTicket += 1
        let ticket = LeaseTicket(
            id: LeaseTicket.ID(rawValue: self.lastTicket),
            runs: runs,
            length: length
        )
        let blocks = Set(runs.map(\.admitted.firstDelivery))
        self.tickets[ticket.id] = blocks
        for block in blocks { self.extending[block, default: 0] += 1 }
        for run in runs {
            let key = run.admitted.firstDelivery
            for index in self.groups[key, default: []].indices
            where self.groups[key]?[index].isOpen(run.range.lowerBound) == true {
                self.groups[key]?[index].ticket = ticket.id
            }
        }
        return ticket
    }

    /// An extension ended; nil for one of which nobody knows what became: the old end holds.
    ///
    /// Returns the deliveries that were lost, which are closed.
    mutating func extended(_ id: LeaseTicket.ID, _ outcome: LeaseExtension?, now: Instant) -> [Run] {
        let lost = outcome?.lost.flatMap { self.close($0).map(\.run) } ?? []
        for key in (self.tickets.removeValue(forKey: id) ?? []).sorted() {
            let others = self.extending[key, default: 1] - 1
            self.extending[key] = others > 0 ? others : nil
            guard let groups = self.groups[key] else { continue }
            var rest: [Group] = []
            for var group in groups {
                guard group.ticket == id else {
                    rest.append(group)
                    continue
                }
                if let outcome {
                    if var refused = group.split(off: outcome.refused) {
                        refused.plan(now)
                        rest.append(refused)
                    }
                    // Never shorter than before: an answer may be late.
                    group.until = max(group.until ?? outcome.until, outcome.until)
                }
                group.plan(now)
                rest.append(group)
            }
            self.keep(rest, of: key)
            for group in self.groups[key, default: []] { self.setAlarm(group) }
        }
        return lost
    }
}

extension Run {
    /// The parts of the run that are in one of `runs`, in order.
    func parts(in runs: [Run]) -> [Run] {
        runs.filter { $0.admitted === self.admitted && $0.range.overlaps(self.range) }
            .sorted { $0.range.lowerBound < $1.range.lowerBound }
            .map { Run(admitted: self.admitted, range: $0.range.clamped(to: self.range)) }
    }
}
