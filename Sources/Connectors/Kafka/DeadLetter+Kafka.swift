// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime

extension DeadLetter {
    /// The letter as a Kafka message: key, value and headers as they were, and its history in headers behind them.
    ///
    /// `penstock-source` is `orders-3@1204`; `penstock-at` is ISO 8601 in UTC. The errors are those of the last attempt.
    /// With a `document`, the value is that of the letter, and the record's own value is in it.
    func kafkaMessage(to topic: String, document: FailureDocument?) -> RDKafkaOutgoing {
        var headers = self.attributes.map { (name: $0.name, value: $0.value) }
        func add(_ name: String, _ text: String) {
            headers.append((name: "penstock-\(name)", value: Array(text.utf8)))
        }
        add("trigger", self.trigger)
        add("function", self.function)
        add("reason", self.reason.rawValue)
        if let failure = self.attempts.last?.failure {
            add("error-type", failure.type)
            add("error-message", failure.message)
        }
        add("attempts", String(self.attemptCount))
        add("source", "\(self.partition)@\(self.position)")
        add("at", self.at.sortableText)
        return RDKafkaOutgoing(
            topic: topic,
            key: self.key,
            value: document?.json(of: self) ?? self.body,
            headers: headers
        )
    }
}
