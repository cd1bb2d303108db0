# SPDX-License-Identifier: Apache-2.0
"""Prints the steps of shipments from an outbox table of Postgres.

Run by awslambdaric: `python -m awslambdaric app.handler`. Each record is a row that a transaction has inserted beside its own
changes; the rows of a shipment come in order, and with `report_item_failures: true` only those that the answer names come
again.
"""

import json


def handler(event, context):
    failures = []
    for record in event["Records"]:
        row = record["postgres"]
        try:
            step = json.loads(row["payload"])
            print(f"{row['groupKey']}: {step['status']}")
        except (ValueError, KeyError) as error:
            print(f"{record['eventID']}: {error!r}")
            failures.append({"itemIdentifier": record["eventID"]})
    return {"batchItemFailures": failures}
