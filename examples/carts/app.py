# SPDX-License-Identifier: Apache-2.0
"""Prints the changes of a table of carts.

Run by awslambdaric: `python -m awslambdaric app.handler`. The event is AWS's event for DynamoDB Streams: changes of one
item come in order; with `report_item_failures: true` what follows a failed one in its shard is tried again, too.
"""


def handler(event, context):
    failures = []
    for record in event["Records"]:
        change = record["dynamodb"]
        try:
            cart = change["Keys"]["cart"]["S"]
            lines = change.get("NewImage", {}).get("lines", {}).get("N", "no")
            print(f"{record['eventName']} {cart}: {lines} lines")
        except KeyError as error:
            print(f"{change['SequenceNumber']}: {error!r}")
            failures.append({"itemIdentifier": change["SequenceNumber"]})
    return {"batchItemFailures": failures}
