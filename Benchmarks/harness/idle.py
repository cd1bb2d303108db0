# SPDX-License-Identifier: Apache-2.0
"""What waiting costs: `penstock run` with ten idle triggers, beside ten idle consumers in C.

CPU, wake-ups and memory are read from /proc, never from the program itself.
"""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable

from .bench import BENCHMARKS, Bench
from .processes import Measurement, RunFailed

JOIN_SECONDS = 12.0
WATCH_SECONDS = 20.0
CONSUMERS = 10
CONFIGURATION = BENCHMARKS / "configs" / "idle.yaml"


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5), fields 14 and 15 of stat)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_value(path: pathlib.Path, name: str) -> int:
    """A number of a /proc status file."""
    for line in path.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def wakeups(pid: int) -> int:
    """How often the threads of a process have gone to sleep by their own will."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(status_value(task / "status", "voluntary_ctxt_switches") for task in tasks)


def watch(pid: int, running: Callable[[], bool]) -> Measurement:
    """The cost of a process over twenty seconds, after it has had time to join its groups."""
    time.sleep(JOIN_SECONDS)
    if not running():
        raise RunFailed("ended while it should have been idle")
    cpu, wakes, started = cpu_seconds(pid), wakeups(pid), time.monotonic()
    time.sleep(WATCH_SECONDS)
    if not running():
        raise RunFailed("ended while it should have been idle")
    seconds = time.monotonic() - started
    return {
        "cpu_percent": 100 * (cpu_seconds(pid) - cpu) / seconds,
        "wakeups_per_second": (wakeups(pid) - wakes) / seconds,
        "rss_mb": status_value(pathlib.Path(f"/proc/{pid}/status"), "VmRSS") / 1024,
        "threads": float(status_value(pathlib.Path(f"/proc/{pid}/status"), "Threads")),
    }


def peer(bench: Bench, brokers: str) -> Measurement:
    """Ten idle librdkafka consumers in one C process."""
    server = bench.processes.serve(
        [bench.peer("kafka_idle"), "--brokers", brokers, "--topic", "idle", "--consumers", str(CONSUMERS)]
    )
    result = watch(server.process.pid, lambda: server.process.poll() is None)
    server.stop()
    return result


def product(bench: Bench, brokers: str, url: str) -> Measurement:
    """`penstock run` with Benchmarks/configs/idle.yaml."""
    if not bench.product.exists():
        raise RunFailed("penstock is not built (swift build -c release --product penstock)")
    log_path = bench.path("idle.log")
    environment = {
        "PENSTOCK_BENCH_BROKERS": brokers,
        "PENSTOCK_BENCH_URL": url,
        "PENSTOCK_BENCH_STORE": bench.path("idle.db"),
    }
    with open(log_path, "w", encoding="utf-8") as log:
        process = bench.processes.start(
            [str(bench.product), "run", "--config", str(CONFIGURATION)],
            environment,
            log.fileno(),
            log.fileno(),
        )
    try:
        return watch(process.pid, lambda: process.poll() is None)
    except RunFailed as error:
        said = pathlib.Path(log_path).read_text(encoding="utf-8").strip().splitlines()
        raise RunFailed(f"penstock run: {error}; it said: {said[-1][:200] if said else 'nothing'}") from error


def measure(bench: Bench, told: Callable[[str], None]) -> Measurement:
    """Both, one after the other, on the same empty cluster."""
    broker = bench.broker(0, 100, "--topic", "idle", "--partitions", "4", "--brokers", "1")
    sink = bench.sink()
    brokers = broker.ready["bootstrap"]
    told(f"idle: ten C consumers, {JOIN_SECONDS + WATCH_SECONDS:.0f} s")
    result: Measurement = {"ten C consumers": peer(bench, brokers)}
    told(f"idle: penstock run with ten triggers, {JOIN_SECONDS + WATCH_SECONDS:.0f} s")
    try:
        result["penstock run"] = product(bench, brokers, sink.url)
    except RunFailed as error:
        result["penstock run"] = f"no figure: {error}"
    result["requests the sink has seen"] = sink.stats()["requests"]
    broker.stop()
    sink.server.stop()
    return result
