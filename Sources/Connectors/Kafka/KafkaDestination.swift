// SPDX-License-Identifier: Apache-2.0

package import Logging
package import PenstockCore
package import PenstockRuntime
import Synchronization

/// Produces dead letters to a topic: idempotent, and each is acknowledged by all in-sync replicas before
/// ``deliver(_:)`` returns.
///
/// Key, value and headers are the record's own; headers `penstock-…` tell its history. One thread owns the producer.
package final class KafkaDestination: Destination {
    private let configuration: KafkaDestinationConfiguration
    private let document: FailureDocument?
    private let inbox: KafkaDestinationInbox
    private let thread = KafkaThread()

    /// Makes the producer; it connects when there is something to send.
    ///
    /// With a `document`, values are failure documents. librdkafka's own messages go to `logger`.
    ///
    /// - Throws: ``DestinationError`` when librdkafka refuses the configuration.
    package init(
        _ configuration: KafkaDestinationConfiguration,
        document: FailureDocument? = nil,
        logger: Logger
    ) async throws(DestinationError) {
        self.configuration = configuration
        self.document = document
        let inbox: KafkaDestinationInbox
        do throws(RDKafkaError) {
            inbox = KafkaDestinationInbox(wakeup: try Wakeup())
        } catch {
            throw DestinationError(error.detail)
        }
        self.inbox = inbox
        let thread = self.thread
        let result: Result<Void, DestinationError> = await withCheckedContinuation { started in
            let isStarted = thread.start(name: "kafka-producer") {
                let loop: KafkaProducerLoop
                do throws(RDKafkaError) {
                    loop = try KafkaProducerLoop(configuration, inbox: inbox, logger: logger)
                } catch {
                    _ = inbox.close()
                    started.resume(returning: .failure(DestinationError("kafka: \(error.detail)")))
                    return
                }
                started.resume(returning: .success(()))
                loop.run()
            }
            guard !isStarted else { return }
            _ = inbox.close()
            started.resume(returning: .failure(DestinationError(KafkaThread.noThread)))
        }
        try result.get()
    }

    package var name: String { "kafka topic \(self.configuration.topic)" }

    package func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        guard !letters.isEmpty else { return }
        try await self.send(
            letters.map { $0.kafkaMessage(to: self.configuration.topic, document: self.document) }
        )
    }

    /// Returns when the messages are accepted.
    func send(_ messages: [RDKafkaOutgoing]) async throws(DestinationError) {
        let result: Result<Void, DestinationError> = await withCheckedContinuation { reply in
            if !self.inbox.send(.init(messages: messages, reply: reply)) {
                reply.resume(returning: .failure(DestinationError("\(self.name) is closed")))
            }
        }
        try result.get()
    }

    package func close() async {
        self.inbox.stop()
        await self.thread.end()
    }
}

/// Produces results to a topic, as a ``KafkaDestination`` does dead letters.
///
/// A message's key is the request id.
package final class KafkaResultDestination: ResultDestination {
    private let topic: String
    private let producer: KafkaDestination

    /// Makes the producer; it connects when there is something to send.
    package init(
        _ configuration: KafkaDestinationConfiguration,
        logger: Logger
    ) async throws(DestinationError) {
        self.topic = configuration.topic
        self.producer = try await KafkaDestination(configuration, logger: logger)
    }

    package var name: String { self.producer.name }

    package func deliver(_ record: InvocationRecord) async throws(DestinationError) {
        let headers = [
            (name: "penstock-trigger", value: Array(record.trigger.utf8)),
            (name: "penstock-function", value: Array(record.function.utf8)),
        ]
        let message = RDKafkaOutgoing(
            topic: self.topic,
            key: Array(record.id.utf8),
            value: record.json,
            headers: headers
        )
        try await self.producer.send([message])
    }

    package func close() async { await self.producer.close() }
}

/// What a Kafka destination and its thread share.
///
/// Any thread.
final class KafkaDestinationInbox: Sendable {
    /// One call of `deliver`.
    struct Order: Sendable {
        /// What to produce, in order.
        var messages: [RDKafkaOutgoing]
        /// Who waits; resumed once.
        var reply: CheckedContinuation<Result<Void, DestinationError>, Never>
    }

    private struct State {
        var orders: [Order] = []
        var isStopping = false
    }

    /// Wakes the thread.
    let wakeup: Wakeup
    private let state = Mutex(State())

    init(wakeup: Wakeup) {
        self.wakeup = wakeup
    }

    /// Leaves an order; false when the thread stops or has stopped.
    func send(_ order: Order) -> Bool {
        let isOpen = self.state.withLock { state in
            if !state.isStopping { state.orders.append(order) }
            return !state.isStopping
        }
        if isOpen { self.wakeup.signal() }
        return isOpen
    }

    /// Lets the thread finish what it has, and end.
    func stop() {
        self.state.withLock { $0.isStopping = true }
        self.wakeup.signal()
    }

    /// Takes all orders, and whether there will be more.
    func take() -> (orders: [Order], isStopping: Bool) {
        self.state.withLock { state in
            defer { state.orders = [] }
            return (state.orders, state.isStopping)
        }
    }

    /// Refuses orders from now on, and returns those nobody will see.
    func close() -> [Order] {
        self.state.withLock { $0.isStopping = true }
        return self.take().orders
    }
}
