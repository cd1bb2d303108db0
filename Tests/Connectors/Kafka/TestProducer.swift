// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Synchronization

@testable import KafkaConnector

/// Produces messages and waits until the broker has them.
enum TestProducer {
    struct Failed: Error {
        var code: RDKafkaError.Code
    }

    static func produce(_ messages: [RDKafkaOutgoing], to broker: String) throws {
        try Self.produce(messages, to: KafkaDestinationConfiguration(brokers: [broker], topic: ""))
    }

    static func produce(_ messages: [RDKafkaOutgoing], to settings: KafkaDestinationConfiguration) throws {
        let wakeup = try Wakeup()
        let context = RDKafkaContext(logger: Logger(label: "kafka-tests"))
        let producer = try RDKafkaProducer(for: settings, context: context, wakeup: wakeup)
        defer { producer.close() }
        var next = 0
        var done = 0
        let deadline = ContinuousClock.now + .seconds(20)
        while done < messages.count {
            while next < messages.count, try producer.accepts(messages[next], id: UInt(next + 1)) {
                next += 1
            }
            producer.serve()
            for report in context.reports.takeAll() {
                guard report.code == .none else { throw Failed(code: report.code) }
                done += 1
            }
            guard ContinuousClock.now < deadline else { throw Failed(code: .timedOut) }
            if done < messages.count { wakeup.wait(atMost: .milliseconds(100)) }
        }
    }
}

extension RDKafkaOutgoing {
    static func fixture(_ topic: String, _ partition: Int32, _ text: String) -> RDKafkaOutgoing {
        RDKafkaOutgoing(
            topic: topic,
            partition: partition,
            key: Array("k-\(text)".utf8),
            value: Array(text.utf8)
        )
    }
}
