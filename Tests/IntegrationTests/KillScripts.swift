// SPDX-License-Identifier: Apache-2.0

/// The programs at both ends of a kill test; none of them shares code with the product.
enum KillScripts {
    /// A function that writes `partition offset value member` for each record by one write(2), and only then
    /// answers: output, lock, member, seconds of work, and which values it cannot use (every so many; 0 for none).
    ///
    /// It holds a shared lock on the lock file as long as it lives.
    static let function = """
        import base64, fcntl, http.client, json, os, sys, time

        member, work, bad = int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
        out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        lock = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_SH)
        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        base = "/2018-06-01/runtime/invocation/"
        while True:
            api.request("GET", base + "next")
            answer = api.getresponse()
            event = json.loads(answer.read())
            lines, refused = [], []
            for name, records in event["records"].items():
                for r in records:
                    value = base64.b64decode(r["value"]).decode()
                    lines.append("%d %d %s %d\\n" % (r["partition"], r["offset"], value, member))
                    if bad and int(value) % bad == 0:
                        refused.append({"itemIdentifier": {"partition": name, "offset": r["offset"]}})
            block = "".join(lines).encode()
            time.sleep(work / 2)
            assert os.write(out, block) == len(block)
            time.sleep(work / 2)
            body = json.dumps({"batchItemFailures": refused}) if bad else "null"
            api.request("POST", base + answer.getheader("Lambda-Runtime-Aws-Request-Id") + "/response", body)
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
