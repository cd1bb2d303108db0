# SPDX-License-Identifier: Apache-2.0
"""How each peer is run."""

from __future__ import annotations

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
