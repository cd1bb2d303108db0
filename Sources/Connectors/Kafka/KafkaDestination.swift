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
    private let inbox: KafkaDestinationInbox
    private let thread = KafkaThread()

    /// Makes the producer; it connects when there is something to send.
    ///
    /// librdkafka's own messages go to `logger`.
    ///
    /// - Throws: ``DestinationError`` when librdkafka refuses the configuration.
    package init(
        _ configuration: KafkaDestinationConfiguration,
        logger: Logger
    ) async throws(DestinationError) {
        self.configuration = configuration
        let inbox: KafkaDestinationInbox
        do throws(RDKafkaError) {
            inbox = KafkaDestinationInbox(wakeup: try Wakeup())
        } catch {
            throw DestinationError(error.detail)
        }
        self.inbox = inbox
        let thread = self.thread
        let result: Result<Void, DestinationError> = await withCheckedContinuation { started in
            thread.start(name: "kafka-producer") {
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
        }
        try result.get()
    }

    package var name: String { "kafka topic \(self.configuration.topic)" }

    package func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        guard !letters.isEmpty else { return }
        let messages = letters.map { $0.kafkaMessage(to: self.configuration.topic) }
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

/// The one thread of a Kafka destination.
final class KafkaProducerLoop {
    private struct Open {
        var order: KafkaDestinationInbox.Order
        var sent = 0
        var unanswered = 0
        var failure: RDKafkaError?
    }

    private let topic: String
    private let brokers: String
    private let inbox: KafkaDestinationInbox
    private let producer: RDKafkaProducer
    private var open: [UInt: Open] = [:]
    private var nextOrder: UInt = 1
    private var lastCause: String?
    private var failure: RDKafkaError?

    init(
        _ configuration: KafkaDestinationConfiguration,
        inbox: KafkaDestinationInbox,
        logger: Logger
    ) throws(RDKafkaError) {
        self.topic = configuration.topic
        self.brokers = configuration.brokers.joined(separator: ", ")
        self.inbox = inbox
        let context = RDKafkaContext(logger: logger)
        self.producer = try RDKafkaProducer(for: configuration, context: context, wakeup: inbox.wakeup)
    }

    /// Works until it is told to stop and all orders are answered; librdkafka bounds each by the message timeout.
    func run() {
        while true {
            let (orders, isStopping) = self.inbox.take()
            for order in orders {
                self.open[self.nextOrder] = Open(order: order)
                self.nextOrder += 1
            }
            let isFull = self.sendMore()
            self.producer.serve()
            self.readReports()
            if isStopping, self.open.isEmpty { break }
            // A full queue empties with the answers, which signal; the bound is for the case that they came already.
            self.inbox.wakeup.wait(atMost: isFull ? .milliseconds(10) : .seconds(1))
        }
        self.producer.close()
    }

    /// Produces what librdkafka has room for; returns whether it had too little.
    private func sendMore() -> Bool {
        for id in self.open.keys.sorted() {
            guard var order = self.open[id] else { continue }
            defer { self.open[id] = order }
            do throws(RDKafkaError) {
                if let failure = self.failure { throw failure }
                while order.sent < order.order.messages.count, order.failure == nil {
                    guard try self.producer.accepts(order.order.messages[order.sent], id: id) else {
                        return true
                    }
                    order.sent += 1
                    order.unanswered += 1
                }
            } catch {
                order.failure = error
            }
        }
        return false
    }

    private func readReports() {
        for error in self.producer.context.errors.takeAll() {
            if error.isFatal { self.failure = error }
            if error.code != .allBrokersDown { self.lastCause = error.detail }
        }
        for report in self.producer.context.reports.takeAll() {
            self.open[report.id]?.unanswered -= 1
            if report.code != .none { self.open[report.id]?.failure = RDKafkaError(report.code) }
        }
        for (id, order) in self.open where order.unanswered == 0 {
            guard order.failure != nil || order.sent == order.order.messages.count else { continue }
            self.open[id] = nil
            order.order.reply.resume(
                returning: order.failure.map { .failure(self.error($0)) } ?? .success(())
            )
        }
        if self.open.isEmpty { self.lastCause = nil }
    }

    private func error(_ error: RDKafkaError) -> DestinationError {
        let cause = self.lastCause.map { "; \($0)" } ?? ""
        return DestinationError(
            "kafka topic \"\(self.topic)\" on \(self.brokers) did not accept dead letters: \(error)\(cause); "
                + "check that the brokers are up, that the topic exists, and that the login may write to it"
        )
    }
}
