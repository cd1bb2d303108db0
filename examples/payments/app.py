# SPDX-License-Identifier: Apache-2.0
"""Prints the payments of an SQS event.

Run by awslambdaric: `python -m awslambdaric app.handler`. The event is AWS's event for SQS; with
`report_item_failures: true` only the messages named in the answer are tried again.
"""

import json


def handler(event, context):
    failures = []
    for record in event["Records"]:
        try:
            payment = json.loads(record["body"])
            print(f"{record['messageId']}: payment {payment['id']} of {payment['customer']}")
        except (ValueError, KeyError) as error:
            print(f"{record['messageId']}: {error!r}")
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
