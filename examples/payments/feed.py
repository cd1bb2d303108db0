# SPDX-License-Identifier: Apache-2.0
"""Sends sample payments to a FIFO queue of Amazon SQS, or of anything with its API; each customer is a message group.

    feed.py --endpoint http://127.0.0.1:4566 --create    makes the queue, and prints its URL
    feed.py --endpoint http://127.0.0.1:4566             sends payments until SIGINT or SIGTERM
"""

import argparse
import json
import random
import signal
import sys
import threading
import uuid

import boto3
from botocore.exceptions import BotoCoreError, ClientError

CUSTOMERS = ["ada", "bo", "cem", "dana", "eli"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--endpoint", required=True, help="where the API of SQS is")
    parser.add_argument("--queue", default="payments.fifo")
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("--rate", type=float, default=5, help="payments a second")
    parser.add_argument("--create", action="store_true", help="only make the queue")
    return parser.parse_args()


def feed(sqs, url, rate):
    """Sends payments until a signal."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    number = 0
    while not stop.wait(1 / rate):
        number += 1
        customer = random.choice(CUSTOMERS)
        sqs.send_message(
            QueueUrl=url,
            MessageBody=json.dumps({"id": number, "customer": customer, "cents": random.randrange(100, 5000)}),
            MessageGroupId=customer,
            MessageDeduplicationId=str(uuid.uuid4()),
        )
    print(f"{number} payments sent")


def main():
    options = arguments()
    sqs = boto3.client(
        "sqs",
        endpoint_url=options.endpoint,
        region_name=options.region,
        aws_access_key_id="demo",
        aws_secret_access_key="demo",
    )
    try:
        if options.create:
            print(sqs.create_queue(QueueName=options.queue, Attributes={"FifoQueue": "true"})["QueueUrl"])
        else:
            feed(sqs, sqs.get_queue_url(QueueName=options.queue)["QueueUrl"], options.rate)
    except (BotoCoreError, ClientError) as error:
        print(f"{options.endpoint}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
