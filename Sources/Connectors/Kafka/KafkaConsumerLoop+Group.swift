// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime

/// Rebalances: librdkafka says what the group wants, and waits until we assign or unassign. Its own thread keeps the
/// membership alive meanwhile, so a drain may take its time.
extension KafkaConsumerLoop {
    /// The group gives or takes.
    func rebalanced(_ event: RDKafkaContext.Rebalance) {
        guard !event.isAssignment else {
            self.rebalance = .assigning(names: event.partitions, attempt: 0, at: Clock.now)
            return
        }
        let ids = self.owned.leave(event.partitions)
        guard !ids.isEmpty else {
            // Never handed out, such as an assignment that is taken back before it was answered.
            self.giveUp(event.partitions)
            return
        }
        guard !self.consumer.isAssignmentLost else {
            self.lose(event.partitions)
            return
        }
        let id = RevocationID(self.nextRevocation)
        self.nextRevocation += 1
        let within = self.configuration.drainWithin
        self.rebalance = .draining(id: id, names: event.partitions, deadline: Clock.now + within)
        self.inbox.events.put(.revoking(Revocation(id: id, partitions: ids, within: within)))
    }

    /// Does what is due for an unanswered rebalance.
    func advanceRebalance(_ now: Clock.Instant) {
        switch self.rebalance {
        case .settled: break
        case .assigning(let names, let attempt, let at):
            if now >= at { self.assign(names, attempt: attempt) }
        case .draining(_, let names, let deadline), .committing(_, let names, let deadline):
            if self.consumer.isAssignmentLost {
                self.lose(names)
            } else if now >= deadline {
                self.giveUp(names)
            }
        }
    }

    /// The pipeline has drained what is asked back.
    func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {
        guard case .draining(id, let names, let deadline) = self.rebalance else { return }
        let due = positions.filter { self.owned.place(of: $0.partition) != nil }
        self.keepWindows(due)
        guard !due.isEmpty else {
            self.giveUp(names)
            return
        }
        // The group waits for us: a broker that does not answer must not keep it waiting for long.
        let until = max(deadline, Clock.now + .seconds(1))
        let commit = self.send(due, reply: nil, deadline: until)
        guard self.commits[commit] != nil else {
            self.giveUp(names)
            return
        }
        self.rebalance = .committing(id: commit, names: names, deadline: until)
    }

    /// Unassigns partitions that are drained, or had their time.
    func giveUp(_ names: [KafkaPartitionName]) {
        self.rebalance = .settled
        _ = self.forget(names)
        self.answer { () throws(RDKafkaError) in try self.consumer.unassign(names) }
    }

    /// Unassigns partitions that others own already.
    private func lose(_ names: [KafkaPartitionName]) {
        self.rebalance = .settled
        self.inbox.events.put(.lost(self.forget(names)))
        self.answer { () throws(RDKafkaError) in try self.consumer.unassign(names) }
    }

    /// Ends the ownership of partitions; returns their ids.
    ///
    /// With it goes all that librdkafka handed over and we did not: should a partition come back before that was looked
    /// at, it begins behind the commit, and newer messages in front would hide the older ones.
    private func forget(_ names: [KafkaPartitionName]) -> [PartitionID] {
        self.buffer.destroy { message in
            guard let place = self.owned.place(of: message) else { return true }
            return names.contains(self.owned[place].name)
        }
        self.endHolds(of: names)
        let (ids, messages) = self.owned.remove(names)
        for message in messages { message.destroy() }
        return ids
    }

    /// Undoes our pauses: librdkafka keeps them over a revocation, and a partition that comes back would stand still.
    private func endHolds(of names: [KafkaPartitionName]) {
        let held = names.filter { name in
            self.owned.place(of: name).map { self.owned[$0].isHeld } ?? false
        }
        guard !held.isEmpty else { return }
        self.answer { () throws(RDKafkaError) in try self.consumer.resume(held) }
    }

    private func answer(_ body: () throws(RDKafkaError) -> Void) {
        do throws(RDKafkaError) {
            try body()
        } catch {
            // The group went on in between; what it wants now comes as the next rebalance.
            self.consumer.context.logger.debug(
                "kafka answered a rebalance too late",
                metadata: ["error": "\(error)"]
            )
        }
    }

    // MARK: - Where to begin

    /// Begins with partitions, or tries again a little later.
    private func assign(_ names: [KafkaPartitionName], attempt: Int) {
        do throws(RDKafkaError) {
            var gaps: [SourceGap] = []
            let starts = try names.isEmpty ? [] : self.starts(of: names, &gaps).map(self.goingOn)
            try self.consumer.assign(starts.map { RDKafkaOffset(name: $0.name, offset: $0.next) })
            self.rebalance = .settled
            self.health.assigned(names)
            self.tellHealth()
            for gap in gaps { self.inbox.events.put(.gap(gap)) }
            guard !starts.isEmpty else { return }
            self.inbox.events.put(.assigned(self.owned.add(starts, prefix: self.format.prefix)))
            self.lagAt = self.lagAt ?? Clock.now + .seconds(1)
        } catch {
            self.failed(error)
            let pause = Duration.milliseconds(100 << min(attempt, 5))
            self.rebalance = .assigning(names: names, attempt: attempt + 1, at: Clock.now + pause)
        }
    }

    private typealias Start = KafkaOwnership.Start

    /// A start in the middle of a window, where the window's beginning is where the partition would begin.
    private func goingOn(_ start: Start) -> Start {
        guard let window = self.windows[start.name.description], let closed = window.closed.offset,
            let position = window.position.offset, position < UInt64(Int64.max),
            start.next > 0, closed + 1 == UInt64(start.next), position >= closed
        else { return start }
        var start = start
        start.next = Int64(position) + 1
        start.window = window
        return start
    }

    private func starts(
        of names: [KafkaPartitionName],
        _ gaps: inout [SourceGap]
    ) throws(RDKafkaError) -> [Start] {
        var starts: [Start] = []
        var fresh: [RDKafkaOffset] = []
        for offset in try self.consumer.committed(names, within: Self.questionMax) {
            guard offset.code == .none else { throw RDKafkaError(offset.code) }
            if offset.offset >= 0 {
                starts.append(Start(name: offset.name, next: offset.offset, committed: offset.offset))
            } else if let next = try self.checkpoint(of: offset.name, &gaps) {
                starts.append(Start(name: offset.name, next: next))
            } else {
                let next = try self.startOffset(of: offset.name)
                starts.append(Start(name: offset.name, next: next))
                if next >= 0 { fresh.append(RDKafkaOffset(name: offset.name, offset: next)) }
            }
        }
        // A crash before the first commit would find a later end, and skip what came in between.
        if !fresh.isEmpty { try self.commitNow(fresh) }
        return starts
    }

    /// Where our own store says to go on; nil when it says nothing or what upstream no longer has.
    private func checkpoint(
        of name: KafkaPartitionName,
        _ gaps: inout [SourceGap]
    ) throws(RDKafkaError) -> Int64? {
        guard let offset = self.checkpoints[name.description]?.offset, offset < UInt64(Int64.max) else {
            return nil
        }
        let next = Int64(offset) + 1
        let range = try self.consumer.watermarks(of: name, within: Self.questionMax)
        if next >= range.lowerBound, next <= range.upperBound { return next }
        gaps.append(
            SourceGap(
                partition: name.description,
                detail: "the checkpoint \(offset) is outside of what the broker has, \(range.lowerBound) to "
                    + "\(range.upperBound - 1); going on by the start policy"
            )
        )
        return nil
    }

    /// Where the start policy says to begin.
    func startOffset(of name: KafkaPartitionName) throws(RDKafkaError) -> Int64 {
        switch self.configuration.start {
        case .earliest: return RDKafkaOffset.beginning
        case .latest: return try self.consumer.watermarks(of: name, within: Self.questionMax).upperBound
        case .timestamp(let time):
            let question = RDKafkaOffset(name: name, offset: time.milliseconds)
            let answer = try self.consumer.offsets(forTimes: [question], within: Self.questionMax)
            guard let found = answer.first else { throw RDKafkaError(.unknownPartition) }
            guard found.code == .none else { throw RDKafkaError(found.code) }
            if found.offset >= 0 { return found.offset }
            return try self.consumer.watermarks(of: name, within: Self.questionMax).upperBound
        }
    }

    /// An offset is gone upstream: says so, and goes on by the start policy.
    func skipGap(at place: Int, detail: String) {
        let entry = self.owned[place]
        do throws(RDKafkaError) {
            let range = try self.consumer.watermarks(of: entry.name, within: Self.questionMax)
            var next = try self.startOffset(of: entry.name)
            if next < 0 { next = range.lowerBound }
            try self.consumer.restart(
                RDKafkaOffset(name: entry.name, offset: next),
                others: self.owned.entries.filter { $0.name != entry.name }.map {
                    // Nothing was read of a partition at 0 without a commit: it may begin anywhere.
                    let isFresh = $0.next == 0 && $0.committed == nil
                    return RDKafkaOffset(name: $0.name, offset: isFresh ? RDKafkaOffset.beginning : $0.next)
                }
            )
            let text = "offset \(entry.next) of \(entry.name) is gone (\(detail)); going on at \(next)"
            self.owned[place].next = next
            self.inbox.events.put(.gap(SourceGap(partition: entry.name.description, detail: text)))
        } catch {
            self.failed(error)
            self.gapsDue.insert(entry.partition.id)
            self.probeAt = Clock.now + .seconds(1)
        }
    }
}
