# SPDX-License-Identifier: Apache-2.0
"""What Penstock as a whole costs: at rest, at full load, with many triggers, and in order by key."""

from __future__ import annotations

import time

from . import product
from .bench import OFFSET_NEEDLE, Bench
from .experiments import Experiment, Told, subjects_in_turn
from .figures import AGAIN, Rounds
from .processes import Measurement, RunFailed, Server

IDLE_TRIGGERS = 10
IDLE_PARTITIONS = 4
REST_SECONDS = 5.0
WATCH_SECONDS = 6.0
SLOW_ANSWER_US = 100_000
SLOW_SECONDS = 5.0
MANY_TRIGGERS = 1000
COMMIT_SECONDS = 1.5
KEYS_IN_FLIGHT = 100
KEY_ANSWER_US = 2000


def watch(pids: dict[str, int], seconds: float) -> dict[str, Measurement]:
    """The cost of processes that do nothing, over the same time."""
    before = {name: (product.cpu_seconds(pid), product.wakeups(pid)) for name, pid in pids.items()}
    started = time.monotonic()
    time.sleep(seconds)
    span = time.monotonic() - started
    return {
        name: {
            "cpu_percent": 100 * (product.cpu_seconds(pid) - before[name][0]) / span,
            "wakeups_per_second": (product.wakeups(pid) - before[name][1]) / span,
            "rss_mb": product.megabytes(pid, "VmRSS"),
        }
        for name, pid in pids.items()
    }


def idle(bench: Bench, told: Told) -> Rounds:
    """Ten triggers beside ten C consumers on an empty topic: started once, watched in each round together."""
    broker = bench.broker(0, 100, "--topic", "idle", "--partitions", str(IDLE_PARTITIONS), "--brokers", "1")
    sink = bench.sink()
    told("idle: joining")
    peer = bench.processes.serve(
        [bench.peer("kafka_idle"), "--brokers", broker.ready["bootstrap"], "--topic", "idle"]
        + ["--consumers", str(IDLE_TRIGGERS)]
    )
    triggers = {
        f"idle_{number}": product.trigger(broker, bench.fresh("idle")) for number in range(IDLE_TRIGGERS)
    }
    result = Rounds("C consumers")
    with product.running(bench, sink, triggers) as ours:
        ours.wait_for_partitions(IDLE_TRIGGERS * IDLE_PARTITIONS)
        time.sleep(bench.span(REST_SECONDS))
        for index in range(bench.repeats):
            told(f"round {index + 1}/{bench.repeats}: both idle")
            pids = {"C consumers": peer.process.pid, "ours": ours.process.pid}
            measured = watch(pids, max(1.0, bench.span(WATCH_SECONDS)))
            result.rounds.append({**measured, AGAIN: measured["C consumers"]})
    for server in (peer, broker, sink.server):
        server.stop()
    return result


def peak(bench: Bench, broker: Server, delay_us: int) -> Measurement:
    """The most memory that a trigger ever held while it read a topic to an HTTP function."""
    sink = bench.sink("--needle", OFFSET_NEEDLE, "--delay-us", str(delay_us))
    records = int(broker.ready["records"])
    with product.running(bench, sink, {"load": product.trigger(broker, bench.fresh("load"))}) as ours:
        if delay_us == 0:
            arrived = int(ours.wait_for_records(sink, records)["records"])
        else:
            ours.wait_for_records(sink, 1)
            time.sleep(bench.span(SLOW_SECONDS))
            arrived = int(sink.stats()["records"])
        result: Measurement = {"peak_mb": product.megabytes(ours.process.pid, "VmHWM"), "records": arrived}
    sink.server.stop()
    if delay_us > 0 and arrived >= records:
        raise RunFailed("the slow function was not slow: nothing was left in the topic")
    return result


def memory(bench: Bench, told: Told) -> Rounds:
    """Resident memory at full load: with a fast function, and with a slow one that leaves a backlog."""
    broker = bench.broker(bench.scaled(600_000), 1024)
    result = Rounds("")
    for index in range(bench.repeats):
        told(f"round {index + 1}/{bench.repeats}: penstock run, fast and slow function")
        fast, slow = peak(bench, broker, 0), peak(bench, broker, SLOW_ANSWER_US)
        result.rounds.append({"ours": fast, "ours, slow": slow, AGAIN: {}})
    broker.stop()
    return result


def spread_over(bench: Bench, triggers: int, records: int) -> Measurement:
    """CPU of `records` records that come to so many triggers, each of which reads all of a topic.

    All have joined before the first record is produced, and the last commits are in.
    """
    broker = bench.broker(records // triggers, 100, "--fill-later", "--brokers", "1")
    sink = bench.sink("--needle", OFFSET_NEEDLE)
    groups = {f"trigger_{number}": product.trigger(broker, bench.fresh("many")) for number in range(triggers)}
    with product.running(bench, sink, groups) as ours:
        pid = ours.process.pid
        ours.wait_for_partitions(triggers * int(broker.ready["partitions"]))
        time.sleep(bench.span(REST_SECONDS))
        before = product.cpu_seconds(pid)
        broker.tell()
        arrived = ours.wait_for_records(sink, records // triggers * triggers)
        time.sleep(bench.span(COMMIT_SECONDS))
        cpu = product.cpu_seconds(pid) - before
        result: Measurement = {
            "cpu_us_per_record": 1e6 * cpu / int(arrived["records"]),
            "records_per_batch": int(arrived["records"]) / int(arrived["requests"]),
            "peak_mb": product.megabytes(pid, "VmHWM"),
        }
    for server in (broker, sink.server):
        server.stop()
    return result


def many(bench: Bench, told: Told) -> Rounds:
    """One trigger, and a thousand, with the same records in all."""
    triggers = max(2, int(MANY_TRIGGERS * min(1.0, bench.scale)))
    records = bench.scaled(3_000_000)
    return subjects_in_turn(
        bench,
        told,
        {
            "one trigger": lambda: spread_over(bench, 1, records),
            "ours": lambda: spread_over(bench, triggers, records),
        },
    )


def ordered(bench: Bench, broker: Server, ordering: str, records: int) -> Measurement:
    """The rate at which single records of one partition reach a function that takes two milliseconds."""
    sink = bench.sink("--needle", OFFSET_NEEDLE, "--delay-us", str(KEY_ANSWER_US))
    trigger = product.trigger(
        broker, bench.fresh("order"), ordering=ordering, concurrency=KEYS_IN_FLIGHT, batch={"size": 1}
    )
    with product.running(bench, sink, {"ordered": trigger}, in_flight=KEYS_IN_FLIGHT) as ours:
        arrived = ours.wait_for_records(sink, records)
    sink.server.stop()
    return {"records_per_second": int(arrived["records"]) / float(arrived["seconds"])}


def ordering(bench: Bench, told: Told) -> Rounds:
    """Order by partition and by key, one partition with a hundred keys."""
    records = bench.scaled(20_000)
    broker = bench.broker(records, 100, "--partitions", "1", "--key-bytes", "2")
    result = subjects_in_turn(
        bench,
        told,
        {
            "by partition": lambda: ordered(bench, broker, "partition", min(1000, records // 20)),
            "ours": lambda: ordered(bench, broker, "key", records),
        },
    )
    broker.stop()
    return result


EXPERIMENTS: dict[str, Experiment] = {
    "idle": idle,
    "memory": memory,
    "many": many,
    "ordering": ordering,
}
