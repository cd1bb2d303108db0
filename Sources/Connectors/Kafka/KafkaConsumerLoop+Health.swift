// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import Synchronization

/// Errors, what is told of them, and the lag.
extension KafkaConsumerLoop {
    /// librdkafka reported an error of the whole client.
    func clientFailed(_ error: RDKafkaError) {
        guard !error.isFatal else {
            let detail = "kafka group \"\(self.configuration.group)\" cannot go on: \(error)"
            self.failure = SourceError(.rejected, detail)
            return
        }
        self.failed(error)
    }

    /// A request of ours failed, or the client has trouble.
    func failed(_ error: RDKafkaError) {
        if !self.health.failed(error) {
            self.consumer.context.logger.debug("kafka error", metadata: ["error": "\(error)"])
        }
        self.tellHealth()
    }

    /// An error came in the place of a message.
    func receivedError(_ message: RDKafkaMessage) {
        let error = RDKafkaError(message.code, message.detail)
        switch message.code {
        case .none:
            // A record where only errors may come. To drop it would lose it; another start reads it again.
            let name = "\(message.topic ?? "")-\(message.partition)"
            self.failure = SourceError(.rejected, "kafka: a record of \(name) came among the group's events")
        case .partitionEnd: break
        case .offsetOutOfRange, .autoOffsetReset:
            if let place = self.owned.place(of: message) { self.skipGap(at: place, detail: error.detail) }
        default:
            guard let topic = message.topic, self.health.failed(topic: topic, error) else {
                self.failed(error)
                return
            }
            self.tellHealth()
        }
    }

    /// Tells the status if it changed.
    func tellHealth() {
        if let status = self.health.takeNews() { self.inbox.events.put(.status(status)) }
    }

    /// Asks whether a broker answers again, and looks at the lag, when it is time.
    func advanceHealth(_ now: Clock.Instant) {
        if self.health.needsProbe || !self.gapsDue.isEmpty {
            let at = self.probeAt ?? now + .milliseconds(500)
            self.probeAt = at
            if now >= at { self.probe() }
        } else {
            self.probeAt = nil
        }
        if let at = self.lagAt, now >= at {
            self.lagAt = nil
            self.measureLag()
        }
    }

    private func probe() {
        self.probeAt = Clock.now + .seconds(1)
        guard self.consumer.isReachable(within: .milliseconds(500)) else { return }
        self.health.reached()
        self.tellHealth()
        for id in self.gapsDue {
            self.gapsDue.remove(id)
            if let place = self.owned.place(of: id) { self.skipGap(at: place, detail: "offset out of range") }
        }
    }

    private func measureLag() {
        let lags = self.owned.entries.map { entry in
            let end = self.consumer.knownEnd(of: entry.name)
            let records = end.flatMap { end in entry.committed.map { max(0, end - $0) } }
            let committed = entry.committed.flatMap { $0 > 0 ? Position(UInt64($0 - 1)) : nil }
            var lag = PartitionLag(
                partition: entry.partition.name,
                committed: committed,
                records: records
            )
            lag.isBehind = end.map { $0 > entry.next } ?? true
            // The next answer of a broker tells the end.
            if end == nil { self.lagAt = Clock.now + .seconds(1) }
            return lag
        }
        self.inbox.lag.withLock { $0 = lags }
    }
}
