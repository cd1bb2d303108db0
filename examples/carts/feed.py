# SPDX-License-Identifier: Apache-2.0
"""Changes items of a DynamoDB table, or of anything with its API: carts that are filled and emptied.

    feed.py --endpoint http://127.0.0.1:4566 --create    makes the table with a stream, and prints the stream's ARN
    feed.py --endpoint http://127.0.0.1:4566             changes items until SIGINT or SIGTERM
"""

import argparse
import random
import signal
import sys
import threading

import boto3
from botocore.exceptions import BotoCoreError, ClientError

CARTS = [f"cart-{number}" for number in range(1, 9)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--endpoint", required=True, help="where the API of DynamoDB is")
    parser.add_argument("--table", default="carts")
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("--rate", type=float, default=3, help="changes a second")
    parser.add_argument("--create", action="store_true", help="only make the table")
    return parser.parse_args()


def create(db, table):
    """Makes the table with a stream, and gives the stream's ARN."""
    description = db.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "cart", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "cart", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    db.get_waiter("table_exists").wait(TableName=table)
    return description["LatestStreamArn"]


def feed(db, table, rate):
    """Changes items until a signal: one in six is a cart that is left."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    number = 0
    while not stop.wait(1 / rate):
        number += 1
        key = {"cart": {"S": random.choice(CARTS)}}
        if random.random() < 1 / 6:
            db.delete_item(TableName=table, Key=key)
        else:
            # So that each change is one: what is written as it was is none.
            item = {**key, "lines": {"N": str(random.randint(1, 9))}, "change": {"N": str(number)}}
            db.put_item(TableName=table, Item=item)
    print(f"{number} changes made")


def main():
    options = arguments()
    db = boto3.client(
        "dynamodb",
        endpoint_url=options.endpoint,
        region_name=options.region,
        aws_access_key_id="demo",
        aws_secret_access_key="demo",
    )
    try:
        if options.create:
            print(create(db, options.table))
        else:
            feed(db, options.table, options.rate)
    except (BotoCoreError, ClientError) as error:
        print(f"{options.endpoint}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
