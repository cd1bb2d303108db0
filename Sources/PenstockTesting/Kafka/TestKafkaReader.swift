// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Reads topics with a client written by others, without a group.
package enum TestKafkaReader {
    /// A message of a topic, its texts as UTF-8.
    package struct Message: Sendable, Decodable {
        /// Its key; nil for none.
        package var key: String?
        /// Its value.
        package var value: String
        /// Its headers; the last of several with one name.
        package var headers: [String: String]
    }

    /// The messages of a topic, by partition and offset.
    ///
    /// - Throws: ``TestEnvironment/Unavailable`` when the topic cannot be read to its end in 90 s.
    package static func messages(of topic: String, on broker: String) throws -> [Message] {
        let script = """
            import json, sys
            from confluent_kafka import Consumer, KafkaError, TopicPartition

            broker, topic = sys.argv[1:]
            text = lambda value: (value or b"").decode(errors="replace")
            consumer = Consumer({"bootstrap.servers": broker, "group.id": "reader", "enable.partition.eof": True,
                "enable.auto.commit": False})
            count = len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, number, 0) for number in range(count)])
            found, ends = [], set()
            while len(ends) < count:
                message = consumer.poll(10)
                if message is None:
                    sys.exit("nothing came")
                if message.error():
                    if message.error().code() != KafkaError._PARTITION_EOF:
                        sys.exit(str(message.error()))
                    ends.add(message.partition())
                else:
                    found.append((message.partition(), message.offset(), {
                        "key": message.key() and message.key().decode(), "value": text(message.value()),
                        "headers": {name: text(value) for name, value in message.headers() or []}}))
            print(json.dumps([message for _, _, message in sorted(found, key=lambda m: m[:2])]))
            """
        let answer = try ForeignProcess.answer(of: TestEnvironment.python, ["-c", script, broker, topic])
        return try JSONDecoder().decode([Message].self, from: Data(answer.utf8))
    }
}
