// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Writes records with a client written by others.
package enum TestKafkaWriter {
    /// A record as it shall be in the topic: nil is a null, which is not the same as no bytes.
    package struct Record {
        var key: [UInt8]?
        var value: [UInt8]?
        var headers: [(name: String, value: [UInt8]?)]

        /// A record.
        package init(
            key: [UInt8]?,
            value: [UInt8]?,
            headers: [(name: String, value: [UInt8]?)] = []
        ) {
            self.key = key
            self.value = value
            self.headers = headers
        }
    }

    /// When each record was made, in milliseconds since the epoch.
    package static let timestamp = 1_700_000_000_123

    /// Writes records to partition 0 of a topic.
    ///
    /// - Parameters:
    ///   - records: what to write, in order.
    ///   - topic: where to.
    ///   - settings: librdkafka's properties, of which `bootstrap.servers` is one.
    /// - Throws: ``TestEnvironment/Unavailable`` when the broker does not take them.
    package static func write(_ records: [Record], to topic: String, settings: [String: String]) throws {
        let script = """
            import json, sys
            from confluent_kafka import Producer

            settings, topic, time, records = [json.loads(text) for text in sys.argv[1:]]
            data = lambda numbers: None if numbers is None else bytes(numbers)
            failures = []
            producer = Producer(settings)
            for key, value, headers in records:
                producer.produce(topic, data(value), data(key), partition=0, timestamp=time,
                    headers=[(name, data(value)) for name, value in headers],
                    on_delivery=lambda error, _: error and failures.append(error))
            left = producer.flush(15)
            sys.exit("%d left, %s" % (left, failures) if left or failures else 0)
            """
        let null: ([UInt8]?) -> Any = { bytes in bytes.map { $0 as Any } ?? NSNull() }
        let list = records.map { record -> [Any] in
            [
                null(record.key), null(record.value),
                record.headers.map { [$0.name, null($0.value)] as [Any] },
            ]
        }
        let arguments = try [settings, topic, Self.timestamp, list].map { (value: Any) -> String in
            let json = try JSONSerialization.data(withJSONObject: value, options: .fragmentsAllowed)
            return String(decoding: json, as: UTF8.self)
        }
        _ = try ForeignProcess.answer(of: TestEnvironment.python, ["-c", script] + arguments)
    }
}
