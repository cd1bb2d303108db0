# SPDX-License-Identifier: Apache-2.0
"""Prints the orders of a Kafka event, and names the records that are not JSON.

Run by awslambdaric: `python -m awslambdaric app.handler`. The event is AWS's `aws:kafka` event; with
`report_item_failures: true` only the records named in the answer are tried again.
"""

import base64
import json


def parse(record):
    """The order in a record; ValueError when it is no JSON object."""
    order = json.loads(base64.b64decode(record["value"]))
    if not isinstance(order, dict):
        raise ValueError("an order is a JSON object")
    return order


def handler(event, context):
    failures = []
    for partition, records in event["records"].items():
        for record in records:
            try:
                order = parse(record)
            except ValueError as error:
                print(f"{partition}@{record['offset']}: {error}")
                failures.append(
                    {"itemIdentifier": {"partition": partition, "offset": record["offset"]}}
                )
            else:
                print(f"{partition}@{record['offset']}: order {order.get('id')}")
    return {"batchItemFailures": failures}
