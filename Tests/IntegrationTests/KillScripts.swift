// SPDX-License-Identifier: Apache-2.0

/// The programs at both ends of a kill test; none of them shares code with the product.
enum KillScripts {
    /// A function that writes `partition offset value` for each record by one write(2), and only then
    /// answers.
    ///
    /// It holds a shared lock on the file as long as it lives.
    static let function = """
        import base64, fcntl, http.client, json, os, sys

        out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        fcntl.flock(out, fcntl.LOCK_SH)
        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        base = "/2018-06-01/runtime/invocation/"
        while True:
            api.request("GET", base + "next")
            answer = api.getresponse()
            event = json.loads(answer.read())
            lines = [
                "%d %d %s\\n" % (r["partition"], r["offset"], base64.b64decode(r["value"]).decode())
                for records in event["records"].values() for r in records
            ]
            block = "".join(lines).encode()
            assert os.write(out, block) == len(block)
            api.request("POST", base + answer.getheader("Lambda-Runtime-Aws-Request-Id") + "/response", "null")
            api.getresponse().read()
        """

    /// Produces sequence numbers round robin: broker, topic, partitions, records.
    static let producer = """
        import sys
        from confluent_kafka import Producer

        broker, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
        failures = []
        producer = Producer({"bootstrap.servers": broker, "linger.ms": 5, "queue.buffering.max.messages": 1000000})
        for number in range(count):
            producer.produce(topic, str(number), partition=number % partitions,
                on_delivery=lambda error, _: error and failures.append(error))
            if number % 1000 == 0:
                producer.poll(0)
        left = producer.flush(60)
        sys.exit(1 if failures or left else 0)
        """

    /// Prints a group's committed offsets, 0 for none: broker, topic, partitions, group.
    static let committed = """
        import sys
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": sys.argv[4]})
        asked = [TopicPartition(sys.argv[2], number) for number in range(int(sys.argv[3]))]
        for answer in consumer.committed(asked, timeout=10):
            if answer.error:
                sys.exit(str(answer.error))
            print(max(0, answer.offset))
        consumer.close()
        """
}
