// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

/// Commits: sent without waiting, answered through the group's queue, tried again while that may help.
extension KafkaConsumerLoop {
    /// How long a commit may take in all.
    static let commitMax = Duration.seconds(30)
    /// Most tries at one commit.
    static let commitTriesMax = 8

    /// Commits what is still owned; what is not is fenced, and not among what the reply says was accepted.
    func commit(_ positions: [PartitionPosition], reply: KafkaInbox.CommitReply) {
        let due = positions.filter { self.owned.place(of: $0.partition) != nil }
        self.keepWindows(due)
        // In the middle of a window there is nothing that Kafka does not know.
        guard due.contains(where: { !self.isCommitted($0) }) else {
            reply.resume(returning: .success(due))
            return
        }
        _ = self.send(due, reply: reply, deadline: Clock.now + Self.commitMax)
    }

    /// Remembers the windows that were kept with positions, in case their partitions come back.
    func keepWindows(_ positions: [PartitionPosition]) {
        for position in positions where position.window != nil {
            self.windows[position.name] = position.window
        }
    }

    /// Whether a position in a window is what the group would begin behind already.
    private func isCommitted(_ position: PartitionPosition) -> Bool {
        guard position.window != nil, let place = self.owned.place(of: position.partition) else {
            return false
        }
        return self.owned[place].committed == self.offset(of: position)?.offset
    }

    /// Sends a commit and remembers who waits for it.
    func send(
        _ positions: [PartitionPosition],
        reply: KafkaInbox.CommitReply?,
        deadline: Clock.Instant,
        offsets: [PartitionID: Int64] = [:]
    ) -> UInt {
        let id = self.nextCommit
        self.nextCommit += 1
        self.commits[id] = PendingCommit(
            positions: positions,
            reply: reply,
            deadline: deadline,
            attempts: 0,
            offsets: offsets
        )
        self.transmit(id)
        return id
    }

    private func transmit(_ id: UInt) {
        guard var commit = self.commits[id] else { return }
        commit.positions.removeAll { self.owned.place(of: $0.partition) == nil }
        guard !commit.positions.isEmpty else {
            // Lost while it waited: somebody else settles them now.
            self.finish(id, .success([]))
            return
        }
        commit.attempts += 1
        commit.retryAt = nil
        self.commits[id] = commit
        do throws(RDKafkaError) {
            try self.consumer.commit(commit.positions.compactMap { self.offset(of: $0, in: commit) }, id: id)
        } catch {
            self.retry(id, error.code)
        }
    }

    private func offset(of position: PartitionPosition, in commit: PendingCommit) -> RDKafkaOffset? {
        guard let next = commit.offsets[position.partition] else { return self.offset(of: position) }
        return self.owned.place(of: position.partition).map {
            RDKafkaOffset(name: self.owned[$0].name, offset: next)
        }
    }

    /// The offset to commit for a position: that of the record behind it.
    private func offset(of position: PartitionPosition) -> RDKafkaOffset? {
        guard let place = self.owned.place(of: position.partition),
            let offset = position.position.offset,
            let next = Int64(exactly: offset).map({ $0 + 1 })
        else { return nil }
        return RDKafkaOffset(name: self.owned[place].name, offset: next)
    }

    /// The broker answered.
    func committed(_ result: RDKafkaContext.CommitResult) {
        guard let commit = self.commits[result.id] else { return }
        let code =
            result.code != .none ? result.code : result.offsets.map(\.code).first { $0 != .none } ?? .none
        guard code == .none else {
            self.retry(result.id, code)
            return
        }
        for position in commit.positions {
            guard let place = self.owned.place(of: position.partition) else { continue }
            if let next = commit.offsets[position.partition] {
                self.owned[place].committed = next
                continue
            }
            let next = self.offset(of: position)?.offset ?? 0
            self.owned[place].committed = max(next, self.owned[place].committed ?? 0)
        }
        self.lagAt = self.lagAt ?? Clock.now + .seconds(1)
        self.finish(result.id, .success(commit.positions))
    }

    private func retry(_ id: UInt, _ code: RDKafkaError.Code) {
        guard var commit = self.commits[id] else { return }
        guard code.isRetriable, commit.attempts < Self.commitTriesMax else {
            let error = SourceError(
                code == .groupAuthorizationFailed
                    ? .unauthorized : code.isRetriable ? .unreachable : .rejected,
                "kafka did not accept a commit of group \"\(self.configuration.group)\": \(code) (\(code.name))"
            )
            self.finish(id, .failure(error))
            return
        }
        commit.retryAt = Clock.now + .milliseconds(50 << min(commit.attempts, 6))
        self.commits[id] = commit
    }

    /// Sends again what is due, and gives up what took too long.
    func advanceCommits(_ now: Clock.Instant) {
        guard !self.commits.isEmpty else { return }
        for (id, commit) in self.commits {
            if now >= commit.deadline {
                let detail = "no broker accepted a commit of group \"\(self.configuration.group)\" in time; "
                self.finish(id, .failure(SourceError(.unreachable, detail + "check that the brokers are up")))
            } else if let retryAt = commit.retryAt, now >= retryAt {
                self.transmit(id)
            }
        }
    }

    private func finish(_ id: UInt, _ result: Result<[PartitionPosition], SourceError>) {
        let commit = self.commits.removeValue(forKey: id)
        commit?.reply?.resume(returning: result)
        if case .committing(id, let names, _) = self.rebalance { self.giveUp(names) }
    }

    /// Commits and waits for the answer.
    ///
    /// Only while an assignment is being worked out, when nothing else can go on.
    func commitNow(_ offsets: [RDKafkaOffset]) throws(RDKafkaError) {
        let id = self.nextCommit
        self.nextCommit += 1
        try self.consumer.commit(offsets, id: id)
        let deadline = Clock.now + Self.questionMax
        while Clock.now < deadline {
            self.consumer.serve(&self.groupBuffer)
            while let message = self.groupBuffer.pop() {
                self.receivedError(message)
                message.destroy()
            }
            let results = self.consumer.context.commits.takeAll()
            for result in results where result.id != id { self.committed(result) }
            if let result = results.first(where: { $0.id == id }) {
                let code =
                    result.code != .none ? result.code : result.offsets.map(\.code).first { $0 != .none }
                guard let code, code != .none else { return }
                throw RDKafkaError(code)
            }
            self.inbox.wakeup.wait(atMost: Clock.now.duration(to: deadline))
        }
        throw RDKafkaError(.timedOut)
    }
}
