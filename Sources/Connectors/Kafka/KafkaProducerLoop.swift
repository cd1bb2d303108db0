// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockRuntime

/// The one thread of a Kafka destination.
final class KafkaProducerLoop {
    private struct Open {
        let order: KafkaDestinationInbox.Order
        /// The number of its first message; the others follow.
        let first: UInt
        var sent = 0
        var unanswered = 0
        /// What the broker has, by place.
        var delivered: [Int] = []
        var failure: (error: RDKafkaError, place: Int)?
    }

    private let configuration: KafkaDestinationConfiguration
    private let inbox: KafkaDestinationInbox
    private let logger: Logger
    /// Nil after it failed for good, until there is something to send.
    private var producer: RDKafkaProducer?
    private var open: [Open] = []
    private var nextMessage: UInt = 1
    private var lastCause: String?

    init(
        _ configuration: KafkaDestinationConfiguration,
        inbox: KafkaDestinationInbox,
        logger: Logger
    ) throws(RDKafkaError) {
        self.configuration = configuration
        self.inbox = inbox
        self.logger = logger
        _ = try self.currentProducer()
    }

    /// Works until it is told to stop and all orders are answered; librdkafka bounds each by the message timeout.
    func run() {
        while true {
            let (orders, isStopping) = self.inbox.take()
            for order in orders {
                self.open.append(Open(order: order, first: self.nextMessage))
                self.nextMessage += UInt(order.messages.count)
            }
            let isFull = self.sendMore()
            self.producer?.serve()
            self.readReports()
            self.readErrors()
            self.answer()
            if isStopping, self.open.isEmpty { break }
            // A full queue empties with the answers, which signal; the bound is for the case that they came already.
            self.inbox.wakeup.wait(atMost: isFull ? .milliseconds(10) : .seconds(1))
        }
        self.producer?.close()
    }

    private func currentProducer() throws(RDKafkaError) -> RDKafkaProducer {
        if let producer = self.producer { return producer }
        let context = RDKafkaContext(logger: self.logger)
        let producer = try RDKafkaProducer(
            for: self.configuration,
            context: context,
            wakeup: self.inbox.wakeup
        )
        self.producer = producer
        return producer
    }

    /// Produces what librdkafka has room for; returns whether it had too little.
    private func sendMore() -> Bool {
        for index in self.open.indices {
            do throws(RDKafkaError) {
                while self.open[index].failure == nil,
                    self.open[index].sent < self.open[index].order.messages.count
                {
                    let sent = self.open[index].sent
                    let message = self.open[index].order.messages[sent]
                    let id = self.open[index].first + UInt(sent)
                    guard try self.currentProducer().accepts(message, id: id) else { return true }
                    self.open[index].sent += 1
                    self.open[index].unanswered += 1
                }
            } catch {
                self.open[index].failure = (error, self.open[index].sent)
            }
        }
        return false
    }

    private func readReports() {
        for report in self.producer?.context.reports.takeAll() ?? [] {
            guard let index = self.open.lastIndex(where: { $0.first <= report.id }) else { continue }
            let place = Int(report.id - self.open[index].first)
            self.open[index].unanswered -= 1
            if report.code == .none {
                self.open[index].delivered.append(place)
                self.lastCause = nil
            } else if self.open[index].failure == nil {
                self.open[index].failure = (RDKafkaError(report.code), place)
            }
        }
    }

    private func readErrors() {
        var fatal: RDKafkaError?
        for error in self.producer?.context.errors.takeAll() ?? [] {
            if error.isFatal { fatal = error }
            if error.code != .allBrokersDown { self.lastCause = error.detail }
        }
        guard let fatal else { return }
        // The idempotent producer gave up, for good: what it had not reported may be written or not, so those who sent it
        // send it again, to a new one.
        self.logger.warning("the producer failed; a new one takes over", metadata: ["error": "\(fatal)"])
        self.producer?.close()
        self.producer = nil
        for index in self.open.indices where self.open[index].sent > 0 {
            self.open[index].unanswered = 0
            self.open[index].failure = (fatal, self.open[index].sent - 1)
        }
    }

    /// Answers orders that are done or failed, and of which nothing is under way.
    private func answer() {
        self.open.removeAll { open in
            guard open.unanswered == 0 else { return false }
            guard let failure = open.failure else {
                guard open.sent == open.order.messages.count else { return false }
                open.order.reply.resume(returning: .success(()))
                return true
            }
            let text = self.text(of: failure.error, for: open.order.messages[failure.place])
            let isTooLarge = failure.error.code == .messageTooLarge
            let error = DestinationError(
                text,
                delivered: open.delivered,
                refused: isTooLarge ? [failure.place] : [],
                isTooLarge: isTooLarge
            )
            open.order.reply.resume(returning: .failure(error))
            return true
        }
    }

    /// What an operator reads.
    private func text(of error: RDKafkaError, for message: RDKafkaOutgoing) -> String {
        let topic = "topic \"\(self.configuration.topic)\""
        let brokers = self.configuration.brokers.joined(separator: ", ")
        switch error.code {
        case .messageTooLarge, .batchTooLarge:
            let own = self.configuration.properties["message.max.bytes"]
            if let limit = own.flatMap({ Int($0) }), message.size > limit {
                return
                    "a dead letter of \(message.size) bytes is larger than message.max.bytes in properties; raise it"
            }
            return
                "\(brokers) found a dead letter of \(message.size) bytes, or the batch it was in, too large for "
                + "\(topic); raise max.message.bytes of the topic or message.max.bytes of the brokers"
        case .unknownTopic, .unknownTopicLocal, .unknownPartition:
            return "\(topic) does not exist on \(brokers); create it, or fix topic"
        case .topicAuthorizationFailed:
            return "the login may not write to \(topic) on \(brokers); allow WRITE on it, or fix topic"
        case .clusterAuthorizationFailed:
            return "the login may not write idempotently to \(brokers); allow IDEMPOTENT_WRITE on the cluster"
        default:
            let cause = self.lastCause.map { "; \($0)" } ?? ""
            return "\(topic) on \(brokers) did not accept dead letters: \(error)\(cause); "
                + "check that the brokers are up, that brokers, sasl and tls are right, and that the topic is there"
        }
    }
}
