# SPDX-License-Identifier: Apache-2.0
"""How `penstock-bench` is run; the contract is in the doc comment of run.py and in README.md."""

from __future__ import annotations

from collections.abc import Mapping

from .bench import Bench, Sink, Stream
from .processes import Measurement, RunFailed, Server

IN_FLIGHT = 8


def program(bench: Bench) -> str:
    """The path of penstock-bench."""
    if not bench.ours.exists():
        raise RunFailed("penstock-bench is not built (swift build -c release --product penstock-bench)")
    return str(bench.ours)


def run(bench: Bench, *arguments: str, environment: Mapping[str, str] | None = None) -> Measurement:
    """One subcommand of penstock-bench."""
    return bench.processes.measure([program(bench), *arguments], environment)


def kafka(
    bench: Bench,
    broker: Server,
    function: str,
    batch: int,
    sink: Sink | None = None,
    environment: Mapping[str, str] | None = None,
) -> Measurement:
    """The real pipeline, from the consumer group to the durable store."""
    more = ["--url", sink.url, "--concurrency", str(IN_FLIGHT)] if sink else []
    result = run(
        bench,
        "kafka",
        "--brokers",
        broker.ready["bootstrap"],
        "--topic",
        broker.ready["topic"],
        "--group",
        bench.fresh("ours"),
        "--records",
        str(broker.ready["records"]),
        "--batch",
        str(batch),
        "--function",
        function,
        "--store",
        bench.path("store.db"),
        *more,
        environment=environment,
    )
    if int(result["records"]) != int(broker.ready["records"]):
        raise RunFailed(f"penstock-bench kafka: {result['records']} of {broker.ready['records']} records")
    return result


def kafka_to_sink(bench: Bench, broker: Server, sink: Sink, batch: int) -> Measurement:
    """The pipeline into the sink; what counts is what the sink has received."""
    sink.reset()
    result = kafka(bench, broker, "http", batch, sink=sink)
    arrived = int(sink.stats()["records"])
    if arrived != int(result["records"]):
        raise RunFailed(f"the sink received {arrived} records, penstock-bench reports {result['records']}")
    return result


def streams(bench: Bench, stream: Stream, function: str, batch: int, store: str) -> Measurement:
    """The real pipeline, from the stream of a table to the durable store."""
    records = int(stream.server.ready["records"])
    result = run(
        bench,
        "streams",
        "--endpoint",
        stream.url.rstrip("/"),
        "--records",
        str(records),
        "--batch",
        str(batch),
        "--function",
        function,
        "--store",
        store,
    )
    if int(result["records"]) != records:
        raise RunFailed(f"penstock-bench streams: {result['records']} of {records} records")
    return result


def http(bench: Bench, sink: Sink, body_bytes: int, in_flight: int, requests: int) -> Measurement:
    """The HTTP function alone."""
    return run(
        bench,
        "http",
        "--url",
        sink.url,
        "--body-bytes",
        str(body_bytes),
        "--in-flight",
        str(in_flight),
        "--requests",
        str(requests),
    )


def encode(bench: Bench, records: int, value_bytes: int) -> Measurement:
    """The event writer with one header a record, and JSONEncoder in the same run."""
    return run(bench, "encode", "--records", str(records), "--value-bytes", str(value_bytes), "--header")


def filtering(bench: Bench, bodies: str) -> Measurement:
    """A trigger's filter on three fields of bodies."""
    return run(bench, "filter", "--bodies", bodies)


def runtime(bench: Bench, worker: str, workers: int, tcp: bool, invocations: int) -> Measurement:
    """The Runtime API with workers of its own."""
    return run(
        bench,
        "runtime",
        "--worker-command",
        worker,
        "--workers",
        str(workers),
        "--tcp" if tcp else "--unix",
        "--invocations",
        str(invocations),
    )


def settle(bench: Bench, writers: int, seconds: float) -> Measurement:
    """Durable checkpoints from many writers at once."""
    return run(
        bench,
        "settle",
        "--writers",
        str(writers),
        "--seconds",
        str(seconds),
        "--path",
        bench.path("settle.db"),
    )
