// SPDX-License-Identifier: Apache-2.0

package import Logging
package import PenstockCore
package import PenstockRuntime
import Reactor
import Synchronization

/// Reads topics as a member of a consumer group: one consumer, one thread.
///
/// Offsets are committed as the pipeline settles records, never by librdkafka on its own. See ``Source`` for what it
/// promises, and ``KafkaConsumerLoop`` for how.
package final class KafkaSource: WindowSource, SeekableSource {
    private enum State: Sendable {
        case idle
        case running(KafkaInbox, KafkaThread)
        case stopped
    }

    private let configuration: KafkaSourceConfiguration
    private let logger: Logger
    private let state = Mutex(State.idle)

    package let format: any EventFormat

    /// A source that is not connected yet.
    ///
    /// librdkafka's own messages go to `logger` at level debug.
    package init(_ configuration: KafkaSourceConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        self.format = KafkaEventFormat(configuration)
    }

    package func start(checkpoints: [String: Position]) async throws(SourceError) {
        try await self.start(checkpoints: checkpoints, windows: [:])
    }

    package func start(
        checkpoints: [String: Position],
        windows: [String: KeptWindow]
    ) async throws(SourceError) {
        let inbox: KafkaInbox
        do throws(RDKafkaError) {
            inbox = KafkaInbox(wakeup: try Wakeup())
        } catch {
            throw SourceError(.rejected, error.detail)
        }
        let thread = KafkaThread()
        let isFirst = self.state.withLock { state in
            guard case .idle = state else { return false }
            state = .running(inbox, thread)
            return true
        }
        guard isFirst else { throw SourceError(.closed, "the kafka source was started before") }
        let configuration = self.configuration
        let logger = self.logger
        let result: Result<Void, SourceError> = await withCheckedContinuation { continuation in
            let isStarted = thread.start(name: "kafka") {
                let loop: KafkaConsumerLoop
                do throws(SourceError) {
                    let context = RDKafkaContext(logger: logger)
                    loop = try KafkaConsumerLoop(
                        configuration,
                        inbox: inbox,
                        context: context,
                        checkpoints: checkpoints,
                        windows: windows
                    )
                } catch {
                    _ = inbox.close(error)
                    continuation.resume(returning: .failure(error))
                    return
                }
                continuation.resume(returning: .success(()))
                loop.run()
            }
            guard !isStarted else { return }
            let failure = SourceError(.unreachable, KafkaThread.noThread)
            _ = inbox.close(failure)
            continuation.resume(returning: .failure(failure))
        }
        try result.get()
    }

    package func grant(_ budget: ReceiveBudget) {
        self.inbox?.grant(budget)
    }

    package func receive() async throws(SourceError) -> [SourceEvent] {
        guard let inbox = self.inbox else { return [] }
        let events = await inbox.take()
        if events.isEmpty, let failure = inbox.failure { throw failure }
        return events
    }

    package func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition] {
        try await self.commit { .commit(positions, $0) }
    }

    private func commit(
        _ command: (KafkaInbox.CommitReply) -> KafkaInbox.Command
    ) async throws(SourceError) -> [PartitionPosition] {
        guard let inbox = self.inbox else { throw SourceError(.closed, "the kafka source is not running") }
        let result = await withCheckedContinuation { (reply: KafkaInbox.CommitReply) in
            if !inbox.send(command(reply)) {
                let closed = inbox.failure ?? SourceError(.closed, "the kafka source was stopped")
                reply.resume(returning: .failure(closed))
            }
        }
        return try result.get()
    }

    package func moves(for order: SeekOrder) async throws(SeekError) -> [SeekMove] {
        let inbox = self.inbox
        let result = await withCheckedContinuation { (reply: KafkaInbox.MovesReply) in
            if inbox?.send(.moves(order, reply)) != true {
                let detail = inbox?.failure?.detail ?? "the kafka source is not running"
                reply.resume(returning: .failure(SeekError(.notRunning, detail)))
            }
        }
        return try result.get()
    }

    package func follow(_ moves: [SeekMove]) async throws(SourceError) -> Set<String> {
        let offsets = Dictionary(moves.map { ($0.partition, KafkaConsumerLoop.next(behind: $0.checkpoint)) })
        {
            $1
        }
        return Set(try await self.commit { .follow(offsets, $0) }.map(\.name))
    }

    package func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {
        _ = self.inbox?.send(.finishRevocation(id, positions))
    }

    package func lag() -> [PartitionLag] {
        self.inbox?.lag.withLock { $0 } ?? []
    }

    package func stop() async {
        let state = self.state.withLock { state in
            defer { if case .idle = state { state = .stopped } }
            return state
        }
        guard case .running(let inbox, let thread) = state else { return }
        _ = inbox.send(.stop)
        await thread.end()
    }

    private var inbox: KafkaInbox? {
        self.state.withLock { state in
            guard case .running(let inbox, _) = state else { return nil }
            return inbox
        }
    }
}

/// A thread that runs one closure, and tells tasks when it is done.
final class KafkaThread: Sendable {
    private struct State {
        var hasEnded = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// Starts it, under a name of at most 15 bytes.
    ///
    /// Returns whether it could be; otherwise the system has no threads left, and `body` runs on none.
    func start(name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
        do {
            try OwnThread.start(name: name) {
                body()
                self.markEnded()
            }
            return true
        } catch {
            self.markEnded()
            return false
        }
    }

    /// What to tell when there is none.
    static let noThread =
        "kafka: the system has no threads left; raise its limit (ulimit -u, or that of the container)"

    /// Waits for its end.
    func end() async {
        await withCheckedContinuation { continuation in
            let hasEnded = self.state.withLock { state in
                if !state.hasEnded { state.waiters.append(continuation) }
                return state.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
    }

    private func markEnded() {
        let waiters = self.state.withLock { state in
            state.hasEnded = true
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
