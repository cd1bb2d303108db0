// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

/// The one thread of a Kafka source: everything that touches its consumer, in turns.
///
/// A turn serves the group, does what commands and answers ask for, and moves at most one block of records. When
/// nothing is left to do, the thread sleeps on an eventfd that commands and librdkafka's queues share. Made, used and
/// freed on that thread; ``KafkaInbox`` is the only way in and out.
final class KafkaConsumerLoop {
    /// The loop's clock.
    typealias Clock = ContinuousClock

    let configuration: KafkaSourceConfiguration
    let format: KafkaEventFormat
    let inbox: KafkaInbox
    let consumer: RDKafkaConsumer

    /// Where partitions begin that the group has no offset for, by name; from our own store.
    let checkpoints: [String: Position]

    /// The windows in which partitions go on that begin where a window does, by name; as they were kept last.
    var windows: [String: KeptWindow]

    /// Messages that were received but not looked at.
    var buffer = RDKafkaMessageBuffer(capacity: KafkaConsumerLoop.recordsPerBlock)
    /// Errors and other events of the group.
    var groupBuffer = RDKafkaMessageBuffer(capacity: 64)
    /// What is owned, and what was read of it.
    var owned = KafkaOwnership()
    /// Number of the last block.
    var blockNumber: UInt64 = 0
    /// Bytes of the last block.
    var lastBlockBytes = 64 << 10

    /// What the group wants of us and we have not answered.
    var rebalance = Rebalance.settled
    /// Number for the next revocation.
    var nextRevocation: UInt64 = 1
    /// Commits sent or to be sent again.
    var commits: [UInt: PendingCommit] = [:]
    /// Number for the next commit; 0 is a null pointer for librdkafka.
    var nextCommit: UInt = 1

    /// What is wrong now, and how we say it.
    var health: KafkaHealth
    /// Partitions whose offset is gone and that have no new one yet.
    var gapsDue: Set<PartitionID> = []
    /// When to ask whether a broker answers again.
    var probeAt: Clock.Instant?
    /// When the lag is to be looked at again; nil while nothing moves.
    var lagAt: Clock.Instant?
    /// Why the loop has to end.
    var failure: SourceError?

    private let pollInterval: Duration
    private var isStopping = false

    /// An unanswered rebalance.
    enum Rebalance {
        /// Nothing to answer.
        case settled
        /// Partitions were given; where to begin is being found out.
        case assigning(names: [KafkaPartitionName], attempt: Int, at: Clock.Instant)
        /// Partitions are asked back and drain.
        case draining(id: RevocationID, names: [KafkaPartitionName], deadline: Clock.Instant)
        /// Drained; their last commit is under way.
        case committing(id: UInt, names: [KafkaPartitionName], deadline: Clock.Instant)
    }

    /// A commit without an answer yet.
    struct PendingCommit {
        /// What to commit.
        var positions: [PartitionPosition]
        /// Who waits; nil for the last commit of a revocation.
        var reply: KafkaInbox.CommitReply?
        /// When to give up.
        var deadline: Clock.Instant
        /// When to send it again; nil while it is on its way.
        var retryAt: Clock.Instant?
        /// Tries so far.
        var attempts: Int
        /// What to commit instead of what is behind the positions: those of a seek.
        var offsets: [PartitionID: Int64] = [:]
    }

    /// Most records in one block: perf.md found nothing gained above some thousands.
    static let recordsPerBlock = 2000
    /// How long one question to the broker may take; commands wait meanwhile.
    static let questionMax = Duration.seconds(5)

    /// Makes the consumer.
    ///
    /// - Throws: ``SourceError`` `rejected` when librdkafka refuses the configuration.
    init(
        _ configuration: KafkaSourceConfiguration,
        inbox: KafkaInbox,
        context: RDKafkaContext,
        checkpoints: [String: Position],
        windows: [String: KeptWindow] = [:]
    ) throws(SourceError) {
        self.windows = windows
        self.configuration = configuration
        self.format = KafkaEventFormat(configuration)
        self.inbox = inbox
        self.checkpoints = checkpoints
        self.health = KafkaHealth(configuration)
        do throws(RDKafkaConfiguration.Refusal) {
            let settings = try KafkaProperties.consumer(configuration)
            let interval = settings.value(of: "max.poll.interval.ms").flatMap { Int64($0) } ?? 300_000
            self.pollInterval = .milliseconds(interval / 3)
            self.consumer = try RDKafkaConsumer(settings, context: context, wakeup: inbox.wakeup)
        } catch {
            let text = KafkaProperties.text(of: error)
            throw SourceError(.rejected, "kafka group \"\(configuration.group)\": \(text)")
        }
    }

    /// Joins the group and works until it is told to stop or cannot go on; then leaves.
    func run() {
        do throws(RDKafkaError) {
            try self.consumer.subscribe(to: self.configuration.topics)
        } catch {
            self.failure = SourceError(
                .rejected,
                "kafka refused the topics \(self.configuration.topics): \(error.detail); fix topics"
            )
        }
        while !self.isStopping, self.failure == nil {
            self.obey()
            self.serveGroup()
            let now = Clock.now
            self.advanceRebalance(now)
            self.advanceCommits(now)
            self.advanceHealth(now)
            if self.isStopping || self.failure != nil { break }
            if !self.moveRecords() { self.inbox.wakeup.wait(atMost: self.idleTime()) }
        }
        self.end()
    }

    // MARK: - Turns

    private func obey() {
        if let held = self.inbox.takeHeld() { self.hold(held) }
        for command in self.inbox.takeCommands() {
            switch command {
            case .commit(let positions, let reply): self.commit(positions, reply: reply)
            case .finishRevocation(let id, let positions): self.finishRevocation(id, positions: positions)
            case .moves(let order, let reply): reply.resume(returning: self.moves(for: order))
            case .follow(let offsets, let reply): self.follow(offsets, reply: reply)
            case .stop: self.isStopping = true
            }
        }
    }

    private func serveGroup() {
        repeat {
            self.consumer.serve(&self.groupBuffer)
            let wasFull = !self.groupBuffer.isEmpty
            while let message = self.groupBuffer.pop() {
                self.receivedError(message)
                message.destroy()
            }
            guard wasFull else { break }
        } while true
        let context = self.consumer.context
        for error in context.errors.takeAll() { self.clientFailed(error) }
        for event in context.rebalances.takeAll() { self.rebalanced(event) }
        for result in context.commits.takeAll() { self.committed(result) }
    }

    /// How long nothing has to be done unless somebody wakes us.
    private func idleTime() -> Duration {
        var next = Clock.now.advanced(by: self.pollInterval)
        if let lagAt = self.lagAt { next = min(next, lagAt) }
        if let probeAt = self.probeAt { next = min(next, probeAt) }
        switch self.rebalance {
        case .settled: break
        case .assigning(_, _, let at): next = min(next, at)
        case .draining(_, _, let deadline), .committing(_, _, let deadline): next = min(next, deadline)
        }
        for commit in self.commits.values { next = min(next, commit.retryAt ?? commit.deadline) }
        return Clock.now.duration(to: next)
    }

    /// Leaves partitions alone that are blocked, and goes on with those that are no longer.
    private func hold(_ held: Set<PartitionID>) {
        let (pause, resume) = self.owned.hold(held)
        // Each for itself: one that could not be paused must not keep another one standing.
        do throws(RDKafkaError) {
            if !pause.isEmpty { try self.consumer.pause(pause) }
        } catch {
            // Partitions that librdkafka no longer knows are about to be revoked; what they bring is held back anyway.
        }
        do throws(RDKafkaError) {
            if !resume.isEmpty { try self.consumer.resume(resume) }
        } catch {
            // The same: there is nothing of them to go on with.
        }
    }

    // MARK: - End

    private func end() {
        for message in self.owned.removeAll() { message.destroy() }
        while let message = self.buffer.pop() { message.destroy() }
        let context = self.consumer.context
        self.consumer.close(within: .seconds(3)) {
            // Whatever the group asks back or gives now goes back at once.
            for event in context.rebalances.takeAll() {
                // The consumer is leaving: there is nobody to tell.
                try? self.consumer.unassign(event.partitions)
            }
        }
        let closed = self.failure ?? SourceError(.closed, "the kafka source was stopped")
        for commit in self.commits.values { commit.reply?.resume(returning: .failure(closed)) }
        self.commits = [:]
        for command in self.inbox.close(self.failure) {
            switch command {
            case .commit(_, let reply), .follow(_, let reply): reply.resume(returning: .failure(closed))
            case .moves(_, let reply):
                reply.resume(returning: .failure(SeekError(.notRunning, closed.detail)))
            case .finishRevocation, .stop: break
            }
        }
    }
}

extension Array {
    /// Takes all elements out.
    mutating func takeAll() -> [Element] {
        guard !self.isEmpty else { return [] }
        defer { self = [] }
        return self
    }
}
