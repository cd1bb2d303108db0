#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for penstock-bench in the driver's tests: keeps the contract by running the peers themselves."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from typing import NoReturn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import streams as stream

PEERS = pathlib.Path(__file__).resolve().parents[2] / ".build-bench"


def peer(*command: str) -> dict[str, float]:
    """Runs a peer and returns its line."""
    out = subprocess.run(
        [str(PEERS / command[0]), *command[1:]], capture_output=True, text=True, check=True
    ).stdout
    result: dict[str, float] = json.loads(out)
    return result


def post_events(url: str, records: int, batch: int) -> None:
    """POSTs as many records as were asked for; FAKE_LOSES drops some on the way."""
    left = records - int(os.environ.get("FAKE_LOSES", "0"))
    while left > 0:
        count = min(batch, left)
        value = base64.b64encode(b"x" * 100).decode()
        event = {"records": {"t-0": [{"offset": index, "value": value} for index in range(count)]}}
        body = json.dumps(event, separators=(",", ":")).encode()
        urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST")).read()
        left -= count


def kafka(options: dict[str, str]) -> dict[str, float]:
    """Reads like the peer; `http` POSTs as well."""
    result = peer(
        "kafka_null",
        "--brokers",
        options["--brokers"],
        "--topic",
        options["--topic"],
        "--group",
        options["--group"],
        "--records",
        options["--records"],
        "--batch",
        options["--batch"],
    )
    if options["--function"] == "http":
        post_events(options["--url"], int(options["--records"]), int(options["--batch"]))
    return result


def streams(options: dict[str, str]) -> dict[str, float]:
    """Reads like the peer, and keeps checkpoints; FAKE_LOSES keeps them that much too early."""
    records = int(options["--records"])
    result = peer(
        "streams_client",
        "--endpoint",
        options["--endpoint"] + "/",
        "--shards",
        str(stream.SHARDS),
        "--records",
        options["--records"],
    )
    kept = records - stream.SHARDS * int(os.environ.get("FAKE_LOSES", "0"))
    store = sqlite3.connect(options["--store"])
    store.execute("CREATE TABLE checkpoints (position TEXT)")
    numbers = [(stream.last_number(shard, kept),) for shard in range(stream.SHARDS)]
    store.executemany("INSERT INTO checkpoints VALUES (?)", numbers)
    store.commit()
    store.close()
    return result


def encode(options: dict[str, str]) -> dict[str, float]:
    """The C writer, with a JSONEncoder that takes fifty times as long."""
    result = peer("event_writer", "--header", "--records", options["--records"], "--seconds", "0.1")
    return {**result, "json_encoder_us_per_record": result["us_per_record"] * 50}


def filtering(options: dict[str, str]) -> dict[str, float]:
    """The peer itself."""
    return peer("filter_on_demand", "--bodies", options["--bodies"], "--seconds", "0.1")


def runtime(options: dict[str, str]) -> dict[str, float]:
    """The C server with C workers whatever was asked for."""
    path = tempfile.mktemp(prefix="fake-api-")
    return peer(
        "runtime_server",
        "--worker",
        str(PEERS / "runtime_worker"),
        "--unix",
        path,
        "--workers",
        options["--workers"],
        "--invocations",
        options["--invocations"],
    )


def settle(options: dict[str, str]) -> dict[str, float]:
    """The disk's own rate, as if sixteen writers shared each commit."""
    folder = str(pathlib.Path(options["--path"]).parent)
    result = peer("fsync_floor", "--directory", folder, "--seconds", "0.2")
    return {"acks_per_second": result["commits_per_second"] * 16}


def schedules(options: dict[str, str]) -> dict[str, float]:
    """Figures that nothing was measured for."""
    loads = {
        "burst": {"decided_ms": 9.0, "last_ms": 900.0},
        "stream": {"fires_per_second": 10_000.0, "p99_ms": 5.0},
        "rest": {
            "read_seconds": 0.5,
            "start_seconds": 0.2,
            "idle_cpu_percent": 0.1,
            "bytes_per_schedule": 250.0,
        },
    }
    return loads[options["--load"]]


def listen(options: dict[str, str]) -> NoReturn:
    """Becomes the peer, which keeps the same contract; FAKE_LOSES waits for that many less."""
    count = int(options["--notifications"]) - int(os.environ.get("FAKE_LOSES", "0"))
    name = str(PEERS / "listen_client")
    os.execv(name, [name, "--database", options["--database"], "--notifications", str(count)])


def changes(options: dict[str, str]) -> dict[str, float]:
    """Reads like the peer; FAKE_LOSES reads nothing, and leaves the slot where it is."""
    if os.environ.get("FAKE_LOSES"):
        return {"records_per_second": 1.0, "cpu_us_per_record": 1.0}
    options["--database"] += "?replication=database"
    names = ("--database", "--slot", "--rows")
    return peer("replication_client", *[part for name in names for part in (name, options[name])])


def http(options: dict[str, str]) -> dict[str, float]:
    """C libcurl."""
    return peer("http_client", *[part for pair in options.items() for part in pair])


def main() -> None:
    """Runs the subcommand."""
    subcommand, rest = (
        sys.argv[1],
        [part for part in sys.argv[2:] if part not in ("--header", "--unix", "--tcp")],
    )
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    known = {
        "kafka": kafka,
        "streams": streams,
        "http": http,
        "encode": encode,
        "filter": filtering,
        "runtime": runtime,
        "settle": settle,
        "schedules": schedules,
        "changes": changes,
    }
    if subcommand == "listen":
        listen(options)
    print("this line is not the result")
    result = known[subcommand](options)
    result.pop(os.environ.get("FAKE_OMITS", ""), None)
    print(json.dumps(result))


main()
