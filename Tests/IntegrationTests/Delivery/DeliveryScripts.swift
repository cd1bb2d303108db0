// SPDX-License-Identifier: Apache-2.0

/// The programs at both ends of a ``DeliveryWorld``; none of them shares code with the product.
enum DeliveryScripts {
    /// A module with a handler that writes a line for each invocation, `topic record record …` by one write(2), and only
    /// then does what its topic's trigger says.
    ///
    /// A record is written as its offset, with `partition/` before it when that is not 0.
    static func handler(_ triggers: [DeliveryWorld.Trigger]) -> String {
        let bodies = triggers.enumerated().map { number, trigger in
            let lines = trigger.handler.split(separator: "\n", omittingEmptySubsequences: false)
            return "def body_\(number)(records, context):\n" + lines.map { "    \($0)\n" }.joined()
                + "\nBODIES[\"\(trigger.name)\"] = body_\(number)\n"
        }
        return self.head + bodies.joined(separator: "\n")
    }

    private static let head = """
        import base64, json, os, signal, sys, time

        BODIES = {}
        OUT, DONE = [os.open(n, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) for n in ("arrived", "done")]


        def name(record):
            return ("%d/" % record["partition"] if record["partition"] else "") + str(record["offset"])


        def value(record):
            return base64.b64decode(record["value"]).decode()


        def key(record):
            return base64.b64decode(record["key"]).decode()


        def item(record):
            return {"itemIdentifier": {"partition": "%s-%d" % (record["topic"], record["partition"]),
                "offset": record["offset"]}}


        def line(records):
            return " ".join([records[0]["topic"]] + [name(r) for r in records])


        # How often a handler was invoked with exactly these records, this time included.
        def tries(records):
            return open("arrived").read().split("\\n").count(line(records))


        # Whether nobody has asked this before, in any process.
        def is_first(mark):
            try:
                os.close(os.open("mark-" + mark.replace("/", "-"), os.O_CREAT | os.O_EXCL))
                return True
            except FileExistsError:
                return False


        # Writes records down by one write(2), as invocations have them, in a file.
        def done(records):
            text = "".join("%d %d %s\\n" % (r["partition"], r["offset"], key(r)) for r in records).encode()
            assert os.write(DONE, text) == len(text)


        # What the answer says of these records, as far as they are in the batch.
        def failures(records, *names):
            return {"batchItemFailures": [item(r) for r in records if name(r) in names]}


        def handler(event, context):
            records = [record for records in event["records"].values() for record in records]
            text = (line(records) + "\\n").encode()
            assert os.write(OUT, text) == len(text)
            return BODIES[records[0]["topic"]](records, context)


        """

    /// The same handler in a module that cannot be imported before the file `installed` is there.
    static let absent = """
        import os

        if not os.path.exists("installed"):
            raise RuntimeError("not installed yet")
        from app import handler
        """

    /// Makes topics and fills them: broker, file with a list of topics.
    static let producer = """
        import json, sys
        from confluent_kafka import KafkaError, KafkaException, Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        settings = {"bootstrap.servers": sys.argv[1]}
        topics = json.load(open(sys.argv[2]))
        admin = AdminClient(settings)
        for answer in admin.create_topics([NewTopic(t["name"], t["partitions"], 1) for t in topics]).values():
            try:
                answer.result(20)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        failures = []
        producer = Producer(settings | {"linger.ms": 50, "message.max.bytes": 20000000})
        for topic in topics:
            for partition, key, value, time in topic["records"]:
                producer.produce(topic["name"], value, key=key, partition=partition, timestamp=time,
                    on_delivery=lambda error, _: error and failures.append(error))
                producer.poll(0)
        left = producer.flush(30)
        sys.exit("%d left, %s" % (left, failures) if left or failures else 0)
        """

    /// Prints groups' committed offsets by partition as JSON, 0 for none: broker, then group and partitions of each;
    /// a group's topic has its name.
    static let committed = """
        import json, sys
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
        from confluent_kafka.admin import AdminClient

        client = AdminClient({"bootstrap.servers": sys.argv[1]})
        found = {}
        for group, count in zip(sys.argv[2::2], sys.argv[3::2]):
            asked = [TopicPartition(group, number) for number in range(int(count))]
            answer = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, asked)])
            found[group] = [max(0, p.offset) for p in answer[group].result(20).topic_partitions]
        print(json.dumps(found))
        """
}
