// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Reads topics with a client written by others, without a group.
package enum TestKafkaReader {
    /// The values of a header in the records of a topic, by partition and offset; empty where a record has none.
    ///
    /// - Throws: ``TestEnvironment/Unavailable`` when the topic cannot be read to its end in 90 s.
    package static func headers(_ name: String, of topic: String, on broker: String) throws -> [String] {
        let script = """
            import sys
            from confluent_kafka import Consumer, KafkaError, TopicPartition

            broker, topic, name = sys.argv[1:]
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
                    value = dict(message.headers() or []).get(name) or b""
                    found.append((message.partition(), message.offset(), value.decode()))
            for _, _, value in sorted(found):
                print(value)
            """
        let python = TestEnvironment.python
        let process = try ForeignProcess(python, ["-c", script, broker, topic, name])
        guard process.status(within: .seconds(90)) == 0 else {
            throw TestEnvironment.Unavailable(description: "\(topic) was not read: \(process.output)")
        }
        return process.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(
            String.init
        )
    }
}
