# SPDX-License-Identifier: Apache-2.0
"""How each peer is run."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Mapping

from .bench import BENCHMARKS, Bench, Sink
from .processes import Measurement, RunFailed, Server

WRK_SECONDS = 2


def kafka(
    bench: Bench, broker: Server, batch: int, environment: Mapping[str, str] | None = None
) -> Measurement:
    """C librdkafka reads the whole topic as a new consumer group, counts and destroys."""
    return bench.processes.measure(
        [
            bench.peer("kafka_null"),
            "--brokers",
            broker.ready["bootstrap"],
            "--topic",
            broker.ready["topic"],
            "--group",
            bench.fresh("peer"),
            "--records",
            str(broker.ready["records"]),
            "--batch",
            str(batch),
        ],
        environment,
    )


def http(bench: Bench, sink: Sink, body: str, in_flight: int, requests: int) -> Measurement:
    """C libcurl POSTs the body in the file `body`."""
    return bench.processes.measure(
        [
            bench.peer("http_client"),
            "--url",
            sink.url,
            "--body-file",
            body,
            "--in-flight",
            str(in_flight),
            "--requests",
            str(requests),
        ]
    )


def wrk(bench: Bench, sink: Sink, body: str, connections: int) -> Measurement:
    """wrk with one thread POSTs the body in the file `body`."""
    script = str(BENCHMARKS / "peers" / "post.lua")
    result = bench.processes.measure(
        ["wrk", "-t1", f"-c{connections}", f"-d{WRK_SECONDS}s", "-s", script, sink.url],
        environment={"PENSTOCK_BENCH_BODY": body},
    )
    if result["errors"]:
        raise RunFailed(f"wrk: {result['errors']} requests failed")
    return result


def event_body(bench: Bench, records: int, value_bytes: int) -> str:
    """A file with the event of one Kafka batch, as the C writer makes it."""
    path = bench.path("event")
    with open(path, "wb") as file:
        subprocess.run(
            [
                bench.peer("event_writer"),
                "--print",
                "--records",
                str(records),
                "--value-bytes",
                str(value_bytes),
            ],
            stdout=file,
            check=True,
        )
    return path


def plain_body(bench: Bench, count: int) -> str:
    """A file with a body of so many bytes."""
    path = bench.path("body")
    with open(path, "wb") as file:
        file.write(b"x" * count)
    return path


def event_writer(bench: Bench, records: int, value_bytes: int) -> Measurement:
    """The C event writer, with one header a record."""
    return bench.processes.measure(
        [bench.peer("event_writer"), "--header", "--records", str(records), "--value-bytes", str(value_bytes)]
    )


def filter_bodies(bench: Bench, matching: bool) -> str:
    """A file with 1000 orders of about 1 KiB, one a line, that the filter of G11 matches, or not."""
    path = bench.path("bodies")
    lines = []
    for number in range(1000):
        item = {"sku": f"SKU-{number:06}", "name": "a thing of some kind", "count": 1 + number % 3, "price": 19.99}
        order = {
            "id": f"order-{number:08}",
            "created": "2026-03-14T09:27:10.250Z",
            "status": "paid" if matching or number % 2 else "open",
            "channel": "web",
            "items": [item] * 5,
            "total": 120.5 + number if matching or not number % 2 else 99.5,
            "currency": "EUR",
            "customer": {"id": number, "name": "Erika Mustermann", "country": "DE", "vip": number % 7 == 0},
            "note": "x" * 300,
            "version": 3,
        }
        lines.append(json.dumps(order, separators=(",", ":")))
    pathlib.Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def on_demand(bench: Bench, bodies: str) -> Measurement:
    """simdjson On Demand on the same three fields."""
    return bench.processes.measure([bench.peer("filter_on_demand"), "--bodies", bodies])


def ping_pong(bench: Bench, tcp: bool, round_trips: int) -> Measurement:
    """The round trip between two C processes."""
    address = ["--tcp"] if tcp else ["--unix", bench.path("ping")]
    return bench.processes.measure([bench.peer("pingpong"), "--round-trips", str(round_trips), *address])


def runtime_server(bench: Bench, workers: int, invocations: int) -> Measurement:
    """The C Runtime API server with C workers on a unix socket."""
    return bench.processes.measure(
        [
            bench.peer("runtime_server"),
            "--worker",
            bench.peer("runtime_worker"),
            "--unix",
            bench.path("api"),
            "--workers",
            str(workers),
            "--invocations",
            str(invocations),
        ]
    )


def fdatasync(bench: Bench, seconds: float) -> Measurement:
    """Durable 4 KiB writes, one after the other."""
    return bench.processes.measure(
        [bench.peer("fsync_floor"), "--directory", str(bench.folder), "--seconds", str(seconds)]
    )
