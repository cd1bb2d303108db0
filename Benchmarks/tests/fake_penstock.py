#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for `penstock run` and `schedule next` in the driver's tests: owns what it is asked for, and POSTs events until it is told to stop.

FAKE_FAILS ends it at once with these words. FAKE_LOSES messages of a queue, or rows of a table, are deleted without an event.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import urllib.request
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import queues, schedules

OWNED = 'penstock_partitions_owned{trigger="all"} 1000000\n'


class Admin(http.server.BaseHTTPRequestHandler):
    """The admin API, as far as the driver asks."""

    def do_GET(self) -> None:
        """Metrics, whatever the path."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(OWNED)))
        self.end_headers()
        self.wfile.write(OWNED.encode())

    def log_message(self, format: str, *values: object) -> None:
        """Says nothing."""


def post(url: str, body: bytes, **headers: str) -> bytes:
    """The answer to a POST."""
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    answer: bytes = urllib.request.urlopen(request).read()
    return answer


def read_queue(endpoint: str, url: str) -> None:
    """Receives, invokes and deletes, one call after the other."""

    def call(operation: str, body: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(body).encode()
        answer: dict[str, Any] = json.loads(post(endpoint, text, **{"X-Amz-Target": f"AmazonSQS.{operation}"}))
        return answer

    queue = call("GetQueueUrl", {"QueueName": "bench"})["QueueUrl"]
    loses = int(os.environ.get("FAKE_LOSES", "0"))
    while True:
        received = call(
            "ReceiveMessage", {"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20}
        )
        messages = received.get("Messages", [])
        if not messages:
            continue
        post(url, queues.event(messages[loses:]))
        loses = 0
        entries = [
            {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
            for index, message in enumerate(messages)
        ]
        call("DeleteMessageBatch", {"QueueUrl": queue, "Entries": entries})


def psql(database: str, sql: str) -> list[str]:
    """The lines that psql prints."""
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def read_table(database: str, url: str) -> None:
    """Takes rows and invokes."""
    # Listens as long as this process lives, and ends with its input.
    bell = subprocess.Popen(["psql", "-Xq", "-d", database], stdin=subprocess.PIPE, text=True)
    assert bell.stdin
    bell.stdin.write('LISTEN "penstock_public.outbox";\n')
    bell.stdin.flush()
    loses = int(os.environ.get("FAKE_LOSES", "0"))
    while True:
        rows = psql(database, "DELETE FROM outbox RETURNING id")
        if rows[loses:]:
            post(url, json.dumps({"Records": [{"eventID": row} for row in rows[loses:]]}, separators=(",", ":")).encode())
            loses = 0


def main() -> None:
    """Runs until SIGTERM."""
    if failure := os.environ.get("FAKE_FAILS"):
        sys.exit(failure)
    if sys.argv[1] == "schedule":
        times = int(os.environ.get("FAKE_TIMES", "2"))
        print("\n".join(["2026-01-02T02:00:00+01:00", schedules.CENTURY_END][:times]))
        return
    if sys.argv[1] == "postgres":
        psql(os.environ["DATABASE_URL"], f"CREATE TABLE {sys.argv[3]} (id bigserial, payload text)")
        return
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    configuration = json.loads(pathlib.Path(options["--config"]).read_text())
    url = configuration["functions"]["sink"]["http"]["url"]
    policy = next(iter(configuration["triggers"].values()))
    count = policy["batch"]["size"] * (10 if policy.get("ordering") == "key" else 1)
    server = http.server.HTTPServer(("127.0.0.1", 0), Admin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ready = pathlib.Path(options["--ready-file"])
    ready.with_suffix(".new").write_text(f"{server.server_port}\n")
    ready.with_suffix(".new").rename(ready)
    if sqs := policy["source"].get("sqs"):
        read_queue(sqs["endpoint"], url)
    if postgres := policy["source"].get("postgres"):
        read_table(postgres["outbox"]["url"], url)
    value = base64.b64encode(b"x" * 100).decode()
    event = {"records": {"t-0": [{"offset": index, "value": value} for index in range(count)]}}
    body = json.dumps(event, separators=(",", ":")).encode()
    while True:
        post(url, body)


main()
