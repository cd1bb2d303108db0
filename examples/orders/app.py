# SPDX-License-Identifier: Apache-2.0
"""Prints the orders of a Kafka event, and names the records that it does not understand.

Run by awslambdaric: `python -m awslambdaric app.handler`. The event is AWS's event for Kafka; with
`report_item_failures: true` only the records named in the answer are tried again.
"""

import base64
import importlib
import os

import order

loaded = os.stat(order.__file__).st_mtime_ns


def reload_when_edited():
    """Reads order.py again when it was edited, so that the demo shows a fix at once.

    Penstock keeps a function's process for later invocations. A real deployment would start new ones.
    """
    global loaded
    changed = os.stat(order.__file__).st_mtime_ns
    if changed != loaded:
        importlib.reload(order)
        loaded = changed


def handler(event, context):
    reload_when_edited()
    failures = []
    for partition, records in event["records"].items():
        for record in records:
            place = f"{partition}@{record['offset']}"
            try:
                found = order.parse(base64.b64decode(record["value"]).decode())
            except ValueError as error:
                print(f"{place}: {error}")
                failures.append({"itemIdentifier": {"partition": partition, "offset": record["offset"]}})
            else:
                print(f"{place}: order {found.get('id')}")
    return {"batchItemFailures": failures}
