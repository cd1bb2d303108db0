# SPDX-License-Identifier: Apache-2.0
"""`penstock run` with a configuration of its own. What it costs is read from /proc, what it did at the sink."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .bench import Bench, Queue, Sink
from .processes import Measurement, RunFailed, Server, stop

BATCH = 100
IN_FLIGHT = 8
START_SECONDS = 30.0
ARRIVE_SECONDS = 120.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, to the nanosecond (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def status_value(path: pathlib.Path, name: str) -> int:
    """A number of a /proc status file."""
    for line in path.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def megabytes(pid: int, name: str) -> float:
    """VmRSS, what is resident now, or VmHWM, the most that ever was."""
    return status_value(pathlib.Path(f"/proc/{pid}/status"), name) / 1024


def wakeups(pid: int) -> int:
    """How often the threads of a process have gone to sleep by their own will."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(status_value(task / "status", "voluntary_ctxt_switches") for task in tasks)


def trigger(broker: Server, group: str, **policy: object) -> Measurement:
    """A trigger that reads the broker's topic as a group of its own; `policy` replaces its other keys."""
    brokers = broker.ready["bootstrap"].split(",")
    kafka = {"brokers": brokers, "topics": [broker.ready["topic"]], "group": group}
    return {"source": {"kafka": kafka}, "function": "sink", "batch": {"size": BATCH}, **policy}


def queue_trigger(queue: Queue, batch: int, pollers: int) -> Measurement:
    """A trigger that reads a scripted queue; batches do not wait for more messages."""
    sqs = {
        "queue": "bench",
        "region": "eu-west-1",
        "endpoint": queue.url,
        "credentials": {"access_key_id": "bench", "secret_access_key": "bench"},
        "pollers": pollers,
    }
    return {"source": {"sqs": sqs}, "function": "sink", "batch": {"size": batch, "window": "0s"}}


def command(bench: Bench, *arguments: str, environment: Mapping[str, str]) -> str:
    """What one of its commands prints."""
    if not bench.product.exists():
        raise RunFailed("penstock is not built (swift build -c release --product penstock)")
    result = subprocess.run(
        [str(bench.product), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if result.returncode != 0:
        raise RunFailed(f"penstock {arguments[0]}: {' '.join(result.stderr.split())[-200:]}")
    return result.stdout


@dataclass
class Product:
    """A running Penstock."""

    process: subprocess.Popen[str]
    log: pathlib.Path
    ready: pathlib.Path

    def check(self) -> None:
        """Fails when it has ended."""
        if self.process.poll() is not None:
            said = " ".join(self.log.read_text(encoding="utf-8").strip().splitlines()[-2:])
            raise RunFailed(f"penstock run: ended; it said: {said[-400:] or 'nothing'}")

    def wait(self, what: str, seconds: float, condition: Callable[[], bool], pause: float = 0.01) -> None:
        """Looks again and again, with pauses between, until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise RunFailed(f"penstock run: no {what} after {seconds:.0f} s")
            time.sleep(pause)

    def owns(self, partitions: int) -> bool:
        """Whether its triggers own so many partitions, by its own metrics."""
        port = self.ready.read_text().strip() if self.ready.exists() else ""
        if not port:
            return False
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        owned = re.findall(r"^penstock_partitions_owned\{.*\} (\d+)$", text, re.MULTILINE)
        return sum(map(int, owned)) >= partitions

    def wait_for_partitions(self, count: int) -> None:
        """Waits until all have joined their groups; looks seldom, for a look takes time that they need."""
        self.wait(f"{count} partitions", START_SECONDS + count / 10, lambda: self.owns(count), pause=0.5)

    def wait_for_records(self, sink: Sink, count: int, pause: float = 0.01) -> Measurement:
        """Waits until the sink has received so many records; what it says then."""
        self.wait(f"{count} records", ARRIVE_SECONDS, lambda: int(sink.stats()["records"]) >= count, pause)
        return sink.stats()

    def wait_for_deletions(self, queue: Queue, count: int) -> None:
        """Waits until so many messages are deleted; looks seldom, for the queue has one thread."""
        self.wait(
            f"{count} deletions", ARRIVE_SECONDS, lambda: int(queue.stats()["deleted"]) >= count, pause=0.1
        )


@contextlib.contextmanager
def running(
    bench: Bench, sink: Sink, triggers: dict[str, Measurement], in_flight: int = IN_FLIGHT
) -> Iterator[Product]:
    """Starts `penstock run` with these triggers, whose function is the sink; stops it in the end."""
    if not bench.product.exists():
        raise RunFailed("penstock is not built (swift build -c release --product penstock)")
    folder = pathlib.Path(bench.path("product"))
    folder.mkdir()
    configuration = {
        "state": f"sqlite:{folder}/penstock.db",
        "admin": {"listen": "127.0.0.1:0"},
        "functions": {"sink": {"http": {"url": sink.url, "concurrency": in_flight}}},
        "triggers": triggers,
    }
    # JSON is YAML.
    (folder / "connectors.yaml").write_text(json.dumps(configuration), encoding="utf-8")
    log, ready = folder / "log", folder / "ready"
    with open(log, "w", encoding="utf-8") as output:
        command = ["run", "--config", str(folder / "connectors.yaml"), "--ready-file", str(ready)]
        process = bench.processes.start(
            [str(bench.product), *command], out=output.fileno(), err=output.fileno()
        )
    product = Product(process, log, ready)
    try:
        product.wait("ready file", START_SECONDS, ready.exists)
        yield product
        product.check()
    finally:
        stop(process)
