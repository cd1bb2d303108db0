// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockCore
import PenstockRuntime
import Reactor
import Synchronization

// MARK: - Reading shards

extension DynamoDBSource {
    /// Takes an iterator at the end of a shard that is read from now on.
    ///
    /// When that fails, or is not used in time, the shard is read from its begin, and what was written before is left out.
    func prepare(_ id: PartitionID) async {
        if let reader = self.readers[id] {
            do throws(AWSError) {
                try await self.hub.takeLatest(reader.seat)
                reader.isSeated()
            } catch {
                // It is read from its beginning.
            }
            // Kept even if nothing comes: the next start must not begin later.
            if self.isRead(reader), let since = reader.since {
                self.advance(reader, to: StreamPosition.since(since))
            }
        }
        self.turns.withLock { turns in
            turns.ended(id)
            turns.rested(id)
        }
        self.calls.put(())
    }

    /// Reads a page of a shard.
    func read(_ id: PartitionID) async {
        guard let reader = self.readers[id] else { return self.turns.withLock { $0.ended(id) } }
        do throws(AWSError) {
            let answer = try await self.hub.next(
                reader.seat,
                from: reader.place,
                isEndDenied: reader.isEndDenied
            )
            guard !self.isStopped else { return }
            guard self.isRead(reader) else { return self.gone(reader) }
            switch answer {
            case .page(let page, let isLast, let restUntil):
                reader.arrived(page, isLast: isLast, restUntil: restUntil)
            case .end: reader.arrived(nil, isLast: true, restUntil: nil)
            case .rest(let until, isWell: true): reader.arrived(nil, isLast: false, restUntil: until)
            case .rest(let until, isWell: false):
                reader.isSeated()
                self.turns.withLock { $0.ended(id) }
                return self.rest(id, until: until)
            }
            self.note(id, isBehind: reader.page != nil)
            // What is wrong with an end is wrong until another answer comes, or the end holds.
            if !reader.isReadOut { self.note(nil, of: id) }
        } catch {
            guard !self.isStopped else { return }
            guard self.isRead(reader) else { return self.gone(reader) }
            return self.failed(error, reader)
        }
        self.turns.withLock { $0.ended(id, pageBytes: reader.page?.byteCount ?? 0) }
        if reader.page == nil { self.pageEnded(reader) }
        self.calls.put(())
    }

    /// A call ended of a shard that was given up meanwhile.
    private func gone(_ reader: ShardReader) {
        self.turns.withLock { $0.ended(reader.partition.id) }
        // The call may have taken the seat again.
        self.leave(reader)
        self.calls.put(())
    }

    /// Hands out records of a shard's page.
    func handOut(_ id: PartitionID, records: Int, bytes: Int) {
        guard let reader = self.readers[id], !reader.isLeaving,
            let (block, left) = reader.take(records: records, bytes: bytes)
        else { return self.turns.withLock { $0.handedOut(id, records: 0, bytes: 0, left: 0) } }
        self.turns.withLock {
            $0.handedOut(id, records: block.count, bytes: block.byteCount, left: left)
        }
        self.events.put(.records(block))
        if reader.page == nil { self.pageEnded(reader) }
    }

    /// All of a page is handed out: the shard goes on, or is over.
    private func pageEnded(_ reader: ShardReader) {
        let id = reader.partition.id
        self.note(id, isBehind: reader.restUntil == nil && !reader.isReadOut)
        if reader.isReadOut {
            self.end(reader)
        } else if let until = reader.restUntil, until > self.reactor.now {
            self.rest(id, until: until)
        } else {
            self.turns.withLock { $0.rested(id) }
        }
    }

    /// A shard is read to its end, as the answer says; a list of shards made since then must say so, too.
    ///
    /// Half of an answer has no next iterator either, and a shard that is over is never read again.
    private func end(_ reader: ShardReader) {
        let id = reader.partition.id
        self.turns.withLock { $0.remove(id) }
        if self.tree.isOver(reader.shard.id) { return self.confirmEnd(reader) }
        reader.endTold = self.reactor.now
        self.note(id, isBehind: true)
        self.looks.put(())
    }

    /// A shard is read to its end: it is over when all of it is settled.
    private func confirmEnd(_ reader: ShardReader) {
        let id = reader.partition.id
        reader.endTold = nil
        self.note(nil, of: id)
        self.note(id, isBehind: false)
        self.tellEnd(reader)
        if !self.tree.hasChildren(reader.shard.id) { self.looks.put(()) }
    }

    /// The shards were listed: ends that were told before hold, or the shard is read on.
    func judgeEnds() {
        for reader in self.readers.values.sorted(by: { $0.partition.id.rawValue < $1.partition.id.rawValue })
        {
            guard let told = reader.endTold, !reader.isLeaving else { continue }
            if self.tree.isOver(reader.shard.id) {
                self.confirmEnd(reader)
            } else if told < self.listed {
                self.denyEnd(reader)
            }
        }
    }

    private func denyEnd(_ reader: ShardReader) {
        let id = reader.partition.id
        reader.denyEnd(now: self.reactor.now)
        // One is half an answer, or a list from just before the shard was closed.
        if reader.deniedEnds > 3 {
            self.note(
                "\(self.configuration.summary): GetRecords says that \(reader.shard.id) has ended, and DescribeStream lists it "
                    + "as open; it is read on",
                of: id
            )
        }
        let delay = Self.backoff.delay(attempt: reader.deniedEnds, using: &self.random)
        _ = self.reactor.schedule(at: self.reactor.now + delay) { [weak self] in
            self?.assumeIsolated { source in
                guard let reader = source.readers[id], !reader.isLeaving else { return }
                source.turns.withLock { $0.add(id, isPrepared: true) }
                source.calls.put(())
            }
        }
    }

    private func rest(_ id: PartitionID, for pause: Duration) {
        self.rest(id, until: self.reactor.now + pause)
    }

    private func rest(_ id: PartitionID, until: Instant) {
        _ = self.reactor.schedule(at: until) { [weak self] in
            self?.assumeIsolated { source in
                source.turns.withLock { $0.rested(id) }
                source.calls.put(())
            }
        }
    }

    // MARK: - Failures

    private func failed(_ error: AWSError, _ reader: ShardReader) {
        let id = reader.partition.id
        self.turns.withLock { $0.ended(id) }
        self.note(id, isBehind: true)
        reader.failures += 1
        switch error.code {
        case "TrimmedDataAccessException":
            if reader.last != nil || reader.failures == 1 {
                let place = reader.last.map { StreamPosition.text($0) } ?? "its begin"
                self.tellGap(
                    reader,
                    "changes behind \(place) are older than 24 hours and gone; it goes on with the oldest there are"
                )
            }
            reader.restart()
            if reader.failures == 1 { return self.rest(id, for: .zero) }
        case "ResourceNotFoundException":
            // The list of shards says whether it is the shard, or the stream.
            if reader.failures > 1, !self.tree.isListed(reader.shard.id) {
                self.tellGap(reader, "the shard is gone before it was read to its end")
                return self.end(reader)
            }
            self.looks.put(())
        default: break
        }
        self.complain(error, reader)
    }

    /// Says what is wrong, and lets the shard rest.
    private func complain(_ error: AWSError, _ reader: ShardReader) {
        let id = reader.partition.id
        var delay = Self.backoff.delay(attempt: reader.failures, using: &self.random)
        if case .throttled(let after) = error.kind {
            delay = max(delay, min(after ?? .zero, .seconds(60)))
            // A few are everyday work.
            if reader.failures > 3 { self.note(self.advice(error), of: id) }
        } else {
            self.note(self.advice(error), of: id)
        }
        self.rest(id, for: max(delay, .milliseconds(50)))
    }
}
