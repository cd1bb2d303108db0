# SPDX-License-Identifier: Apache-2.0
"""What would be a cron job: the schedule of `make run` invokes it each minute.

Run by awslambdaric: `python -m awslambdaric summary.handler`. The event is the `input` in connectors.yaml.
"""


def handler(event, context):
    print(f"the summary of {event['at']}, attempt {event['attempt']}")
    return {"at": event["at"]}
