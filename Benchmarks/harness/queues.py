# SPDX-License-Identifier: Apache-2.0
"""From a queue of SQS through an HTTP function to the deletion, counted at the queue and at the sink."""

from __future__ import annotations

import json
import pathlib
import urllib.request

from . import product
from .bench import MESSAGE_NEEDLE, Bench, Queue, Sink
from .experiments import Experiment, Told, subjects_in_turn
from .figures import Rounds
from .processes import Measurement, RunFailed

IN_FLIGHT = 8
BATCH = 10
MESSAGE_BYTES = 1024
MESSAGES = 300_000
SIZE_TOLERANCE = 0.02


def receive(queue: Queue) -> list[Measurement]:
    """Ten messages of a queue."""
    request = urllib.request.Request(
        queue.url,
        data=json.dumps({"QueueUrl": queue.server.ready["url"], "MaxNumberOfMessages": BATCH}).encode(),
        headers={"X-Amz-Target": "AmazonSQS.ReceiveMessage", "Content-Type": "application/x-amz-json-1.0"},
    )
    messages: list[Measurement] = json.loads(urllib.request.urlopen(request, timeout=10).read())["Messages"]
    return messages


def event(messages: list[Measurement]) -> bytes:
    """The event of some messages, as a function of AWS Lambda gets it."""
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:bench",
            "awsRegion": "eu-west-1",
        }
        for message in messages
    ]
    return json.dumps({"Records": records}, separators=(",", ":")).encode()


def event_file(bench: Bench) -> str:
    """A file with the event of ten messages."""
    queue = bench.queue(BATCH, MESSAGE_BYTES)
    path = bench.path("queue-event")
    pathlib.Path(path).write_bytes(event(receive(queue)))
    queue.server.stop()
    return path


def outcome(queue: Queue, sink: Sink, event_bytes: int, cpu_us: float) -> Measurement:
    """The figures of one run; fails unless each message was in an event of the right size, and is deleted."""
    seen, arrived = queue.stats(), sink.stats()
    messages, deleted, records = int(seen["messages"]), int(seen["deleted"]), int(arrived["records"])
    if deleted != messages or records != messages:
        raise RunFailed(f"of {messages} messages the function received {records} and {deleted} were deleted")
    expected = event_bytes * messages / BATCH
    if abs(int(arrived["body_bytes"]) - expected) > SIZE_TOLERANCE * expected:
        raise RunFailed(f"the events have {arrived['body_bytes']} bytes in all, not {expected:.0f}")
    return {
        "messages_per_second": messages / float(seen["seconds"]),
        "cpu_us_per_message": cpu_us / messages,
        "messages_per_event": messages / int(arrived["requests"]),
        "messages_per_receive": messages / int(seen["receives"]),
        "messages_per_deletion": messages / int(seen["deletions"]),
    }


def libcurl(bench: Bench, file: str, messages: int, *more: str) -> Measurement:
    """C libcurl makes the calls, and signs them unless told not to."""
    queue, sink = bench.queue(messages, MESSAGE_BYTES), bench.sink("--needle", MESSAGE_NEEDLE)
    command = [bench.peer("sqs_client"), "--endpoint", queue.url, "--queue-url", queue.server.ready["url"]]
    command += ["--function-url", sink.url, "--event-file", file]
    measured = bench.processes.measure([*command, "--in-flight", str(IN_FLIGHT), "--messages", str(messages), *more])
    cpu_us = float(measured["cpu_us_per_message"]) * messages
    result = outcome(queue, sink, pathlib.Path(file).stat().st_size, cpu_us)
    for server in (queue.server, sink.server):
        server.stop()
    return result


def penstock(bench: Bench, file: str, messages: int) -> Measurement:
    """`penstock run` does; the queue is filled once it waits there for messages."""
    queue, sink = bench.queue(messages, MESSAGE_BYTES, "--empty"), bench.sink("--needle", MESSAGE_NEEDLE)
    triggers = {"load": product.queue_trigger(queue, BATCH, IN_FLIGHT)}
    with product.running(bench, sink, triggers, in_flight=IN_FLIGHT) as ours:
        ours.wait("receive", product.START_SECONDS, lambda: int(queue.stats()["waiting"]) > 0)
        before = product.cpu_seconds(ours.process.pid)
        queue.reset()
        ours.wait_for_deletions(queue, messages)
        cpu_us = 1e6 * (product.cpu_seconds(ours.process.pid) - before)
        result = outcome(queue, sink, pathlib.Path(file).stat().st_size, cpu_us)
    for server in (queue.server, sink.server):
        server.stop()
    return result


def queue(bench: Bench, told: Told) -> Rounds:
    """Both on a full queue of messages of 1 KiB."""
    file = event_file(bench)
    messages = bench.scaled(MESSAGES) // BATCH * BATCH
    return subjects_in_turn(
        bench,
        told,
        {
            "C libcurl": lambda: libcurl(bench, file, messages),
            "ours": lambda: penstock(bench, file, messages),
            "C libcurl, unsigned": lambda: libcurl(bench, file, messages, "--unsigned"),
        },
    )


EXPERIMENTS: dict[str, Experiment] = {"queue": queue}
