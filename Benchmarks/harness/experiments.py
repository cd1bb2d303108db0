# SPDX-License-Identifier: Apache-2.0
"""One experiment is one set of subjects that run in turn on the same load; some goals share one."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import shlex
import subprocess
from collections.abc import Callable, Iterator

from . import ours, peers
from .bench import BENCHMARKS, OFFSET_NEEDLE, Bench
from .figures import Rounds, Subject, alternate
from .processes import Measurement, RunFailed, Server

Told = Callable[[str], None]
Experiment = Callable[[Bench, Told], Rounds]

SETTLE_SECONDS = 1.5

# Libraries whose allocations are not ours: C clients and what they stand on.
FOREIGN = (
    "librdkafka",
    "libcurl",
    "libc.so",
    "libssl",
    "libcrypto",
    "libsqlite3",
    "libnghttp2",
    "libz.",
    "liblz4",
    "libzstd",
    "libsasl",
    "libgnutls",
    "libgssapi",
    "libkrb5",
    "libldap",
    "libssh",
    "libpq",
    "ld-linux",
)


def subjects_in_turn(bench: Bench, told: Told, subjects: dict[str, Subject]) -> Rounds:
    """Runs peers and ours alternately; a subject is ours by its name."""
    mine = {name for name in subjects if name.startswith("ours")}
    return alternate(subjects, mine, bench.repeats, told)


def kafka(value_bytes: int, records: int, encoding: bool, bench: Bench, told: Told) -> Rounds:
    """Reading Kafka to nothing, and to an encoded event."""
    broker = bench.broker(bench.scaled(records), value_bytes)
    subjects: dict[str, Subject] = {
        "C Kafka": lambda: peers.kafka(bench, broker, 1000),
        "ours": lambda: ours.kafka(bench, broker, "discard", 1000),
    }
    if encoding:
        subjects["ours, encoding"] = lambda: ours.kafka(bench, broker, "encode", 1000)
    result = subjects_in_turn(bench, told, subjects)
    broker.stop()
    return result


def pipeline(value_bytes: int, records: int, requests: int, bench: Bench, told: Told) -> Rounds:
    """Kafka to HTTP. All clients POST to the same counting sink; the peers' body is a whole event."""
    broker = bench.broker(bench.scaled(records), value_bytes)
    sink = bench.sink("--needle", OFFSET_NEEDLE)
    body = peers.event_body(bench, 100, value_bytes)
    result = subjects_in_turn(
        bench,
        told,
        {
            "C Kafka": lambda: peers.kafka(bench, broker, 1000),
            "C libcurl @8": lambda: peers.http(bench, sink, body, ours.IN_FLIGHT, bench.scaled(requests)),
            "ours": lambda: ours.kafka_to_sink(bench, broker, sink, 100),
            "wrk @8": lambda: peers.wrk(bench, sink, body, ours.IN_FLIGHT),
        },
    )
    broker.stop()
    sink.server.stop()
    return result


@contextlib.contextmanager
def away_from_last_cpu() -> Iterator[None]:
    """Keeps what is started from here off the last CPU, where the sink is.

    With one request in flight a round trip takes five times as long across two CPUs as on one, and the
    scheduler changes its mind between runs.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before - {max(before)} or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def http(in_flight: int, requests: int, bench: Bench, told: Told) -> Rounds:
    """The HTTP function alone, 1 KiB bodies; the sink has a CPU of its own."""
    sink = bench.sink("--on-last-cpu")
    body = peers.plain_body(bench, 1024)
    count = bench.scaled(requests)
    with away_from_last_cpu():
        result = subjects_in_turn(
            bench,
            told,
            {
                "C libcurl": lambda: peers.http(bench, sink, body, in_flight, count),
                "ours": lambda: ours.http(bench, sink, 1024, in_flight, count),
                "wrk": lambda: peers.wrk(bench, sink, body, in_flight),
            },
        )
    sink.server.stop()
    return result


def encode(bench: Bench, told: Told) -> Rounds:
    """Writing events of 100 records of 1 KiB with one header."""
    return subjects_in_turn(
        bench,
        told,
        {
            "C writer": lambda: peers.event_writer(bench, 100, 1024),
            "ours": lambda: ours.encode(bench, 100, 1024),
        },
    )


def filtering(matching: bool, bench: Bench, told: Told) -> Rounds:
    """A filter on three fields of bodies of 1 KiB."""
    bodies = peers.filter_bodies(bench, matching)
    return subjects_in_turn(
        bench,
        told,
        {
            "On Demand": lambda: peers.on_demand(bench, bodies),
            "ours": lambda: ours.filtering(bench, bodies),
        },
    )


def runtime_unix(bench: Bench, told: Told) -> Rounds:
    """The Runtime API with four C workers on a unix socket."""
    count = bench.scaled(40000)
    worker = bench.peer("runtime_worker")
    return subjects_in_turn(
        bench,
        told,
        {
            "ping-pong": lambda: peers.ping_pong(bench, False, count),
            "C server": lambda: peers.runtime_server(bench, 4, count),
            "ours": lambda: ours.runtime(bench, worker, 4, False, count),
        },
    )


def has_awslambdaric(python: str) -> bool:
    """True when this Python has Amazon's own runtime client."""
    return (
        subprocess.run([python, "-c", "import awslambdaric"], capture_output=True, check=False).returncode
        == 0
    )


def runtime_tcp(bench: Bench, told: Told) -> Rounds:
    """The Runtime API with one worker that runs Amazon's own runtime client."""
    count = bench.scaled(10000)
    handler = BENCHMARKS / "peers" / "bench_handler.handler"
    worker = shlex.join(
        ["env", f"PYTHONPATH={handler.parent}", bench.python, "-m", "awslambdaric", handler.name]
    )

    def measure() -> Measurement:
        if not has_awslambdaric(bench.python):
            raise RunFailed(f"{bench.python} has no awslambdaric (pip install awslambdaric)")
        return ours.runtime(bench, worker, 1, True, count)

    return subjects_in_turn(
        bench,
        told,
        {
            "ping-pong": lambda: peers.ping_pong(bench, True, count),
            "ours": measure,
        },
    )


def settle(bench: Bench, told: Told) -> Rounds:
    """Durable checkpoints against the disk's own rate."""
    return subjects_in_turn(
        bench,
        told,
        {
            "fdatasync": lambda: peers.fdatasync(bench, SETTLE_SECONDS),
            "ours": lambda: ours.settle(bench, 64, SETTLE_SECONDS),
        },
    )


def counted(bench: Bench, run: Callable[[dict[str, str]], object]) -> Measurement:
    """Runs something with the allocation counter in front and returns what it counted at exit.

    Children of a run count too and append to the same file; the one with the most is the program itself.
    """
    path = pathlib.Path(bench.path("allocations"))
    run({"LD_PRELOAD": bench.peer("malloc_count.so"), "MALLOC_COUNT_FILE": str(path)})
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines:
        raise RunFailed("the allocation counter wrote nothing")
    return max((json.loads(line) for line in lines), key=lambda one: one["allocations"])


def own(counts: Measurement) -> int:
    """Allocations that were not asked for by a C client."""
    return sum(count for name, count in counts["by"].items() if not name.startswith(FOREIGN))


def slope(
    few: Server, many: Server, bench: Bench, run: Callable[[Server, dict[str, str]], object]
) -> Measurement:
    """Allocations for each further record: the difference of two topics, so that starting costs nothing."""
    less = counted(bench, functools.partial(run, few))
    more = counted(bench, functools.partial(run, many))
    records = int(many.ready["records"]) - int(few.ready["records"])
    return {
        "own_per_record": (own(more) - own(less)) / records,
        "all_per_record": (more["allocations"] - less["allocations"]) / records,
    }


def allocations(bench: Bench, told: Told) -> Rounds:
    """Heap allocations per record from Kafka to HTTP, batch 100. Both topics have the same partitions."""
    records = bench.scaled(200_000)
    few, many = (bench.broker(count, 100, "--partitions", "16") for count in (records, 2 * records))
    sink = bench.sink()
    result = subjects_in_turn(
        bench,
        told,
        {
            "C Kafka": lambda: slope(
                few, many, bench, lambda broker, environment: peers.kafka(bench, broker, 100, environment)
            ),
            "ours": lambda: slope(
                few,
                many,
                bench,
                lambda broker, environment: ours.kafka(bench, broker, "http", 100, sink, environment),
            ),
        },
    )
    for server in (few, many, sink.server):
        server.stop()
    return result


EXPERIMENTS: dict[str, Experiment] = {
    "kafka-100": functools.partial(kafka, 100, 5_120_000, True),
    "kafka-1k": functools.partial(kafka, 1024, 800_000, False),
    "pipeline-100": functools.partial(pipeline, 100, 2_560_000, 25_000),
    "pipeline-1k": functools.partial(pipeline, 1024, 600_000, 6_000),
    "http-1": functools.partial(http, 1, 20_000),
    "http-64": functools.partial(http, 64, 60_000),
    "encode": encode,
    "filter": functools.partial(filtering, True),
    "filter-out": functools.partial(filtering, False),
    "runtime-unix": runtime_unix,
    "runtime-tcp": runtime_tcp,
    "settle": settle,
    "allocations": allocations,
}
