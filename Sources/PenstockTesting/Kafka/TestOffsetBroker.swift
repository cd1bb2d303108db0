// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A real Kafka broker that finds offsets by time, knows a partition's ends, and removes records: noida-db.
///
/// It comes with the PyPI package noida-db, which `make setup` installs, and understands Debian's librdkafka. It never
/// expires a member that died, so it is of no use for failover.
package final class TestOffsetBroker: Sendable {
    /// Where it listens, `127.0.0.1:PORT`.
    package let address: String

    private let process: ForeignProcess
    private let folder: URL

    /// Starts a broker on a free port and waits until it answers.
    ///
    /// - Throws: ``TestEnvironment/Unavailable`` when it is not installed or does not answer.
    package init() throws {
        let port = FreePort.pick()
        self.address = "127.0.0.1:\(port)"
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "noida-\(UUID().uuidString)"
        )
        self.process = try ForeignProcess(
            try TestEnvironment.file("noida_db/noida-db"),
            ["start", "--data-dir", self.folder.path, "--only", "kafka", "--kafka-port", "\(port)"]
        )
        let answers = BoundedWait.until(within: .seconds(60)) {
            TestSocket.connect(port: port).map { $0.close() } != nil
        }
        guard answers else {
            let output = self.process.output
            throw TestEnvironment.Unavailable(
                description: "noida-db does not listen on \(self.address): \(output)"
            )
        }
    }

    deinit {
        self.process.kill()
        try? FileManager.default.removeItem(at: self.folder)
    }

    /// Creates a topic of one partition with a record for each of these times, each in a batch of its own.
    ///
    /// - Parameters:
    ///   - name: the topic.
    ///   - times: milliseconds since the epoch.
    ///   - removed: the records below this offset are removed again.
    ///   - committed: offsets of groups, as their members would have left them.
    /// - Throws: ``TestEnvironment/Unavailable`` when the broker does not do it.
    package func makeTopic(
        _ name: String,
        times: [Int64] = [],
        removedBelow removed: Int = 0,
        committed: [String: Int] = [:]
    ) throws {
        let times = times.map(String.init).joined(separator: ",")
        let groups = committed.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ",")
        try self.run(
            """
            import sys
            from confluent_kafka import Consumer, Producer, TopicPartition
            from confluent_kafka.admin import AdminClient, NewTopic

            broker, topic = sys.argv[1:]
            admin = AdminClient({"bootstrap.servers": broker})
            for future in admin.create_topics([NewTopic(topic, 1, 1)]).values():
                future.result()
            producer = Producer({"bootstrap.servers": broker, "linger.ms": 0})
            for number, time in enumerate([\(times)]):
                producer.produce(topic, str(number), key="k-%d" % number, partition=0, timestamp=time)
                if producer.flush(10):
                    sys.exit("not produced")
            if \(removed):
                for future in admin.delete_records([TopicPartition(topic, 0, \(removed))]).values():
                    future.result()
            for group, offset in {\(groups)}.items():
                consumer = Consumer({"bootstrap.servers": broker, "group.id": group})
                consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
                consumer.close()
            """,
            [name]
        )
    }

    private func run(_ script: String, _ arguments: [String]) throws {
        let python = TestEnvironment.python
        _ = try ForeignProcess.answer(of: python, ["-c", script, self.address] + arguments)
    }
}
