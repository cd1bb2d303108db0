# SPDX-License-Identifier: Apache-2.0
"""Sends sample orders to a Kafka topic, about one in 25 in a form that examples/orders does not understand.

    feed.py --brokers 127.0.0.1:9092 --create 8     makes the topic with 8 partitions, unless it is there
    feed.py --brokers 127.0.0.1:9092                sends orders until SIGINT or SIGTERM
"""

import argparse
import json
import random
import signal
import sys
import threading

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

ITEMS = ["tea", "coffee", "salt", "rice", "lamp", "rope"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--brokers", required=True, help="host:port, with commas")
    parser.add_argument("--topic", default="orders")
    parser.add_argument("--rate", type=float, default=20, help="orders a second")
    parser.add_argument("--count", type=int, help="stop after so many orders")
    parser.add_argument("--malformed", type=int, default=25, help="one in so many is malformed; 0 for none")
    parser.add_argument("--create", type=int, metavar="PARTITIONS", help="only make the topic")
    return parser.parse_args()


def create(brokers, topic, partitions):
    """Makes the topic; it may exist."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    made = admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)], request_timeout=10)
    try:
        made[topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def order(number, malformed):
    """The text of one order."""
    item, cents = random.choice(ITEMS), random.randrange(100, 5000)
    if malformed and random.randrange(malformed) == 0:
        return f"id={number};item={item};cents={cents}"
    return json.dumps({"id": number, "item": item, "cents": cents})


def feed(options):
    """Sends orders until a signal or the count; returns the exit code."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    refused = []
    producer = Producer({"bootstrap.servers": options.brokers, "linger.ms": 5})
    number = 0
    while not stop.is_set() and (options.count is None or number < options.count):
        number += 1
        producer.produce(
            options.topic,
            key=f"customer-{random.randrange(50)}",
            value=order(number, options.malformed),
            on_delivery=lambda error, _: refused.append(error) if error else None,
        )
        producer.poll(0)
        stop.wait(1 / options.rate)
    left = producer.flush(10)
    if left or refused:
        print(f"{left + len(refused)} orders were not accepted: {refused[:1] or 'no answer'}", file=sys.stderr)
        return 1
    print(f"{number} orders sent")
    return 0


def main():
    options = arguments()
    try:
        if options.create:
            create(options.brokers, options.topic, options.create)
            return 0
        return feed(options)
    except KafkaException as error:
        print(f"{options.brokers}: {error.args[0].str()}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
