# SPDX-License-Identifier: Apache-2.0
"""What an experiment works with: where the programs are, the processes, servers and files it may use."""

from __future__ import annotations

import itertools
import os
import pathlib
import tempfile
import urllib.request
from dataclasses import dataclass, field

from .processes import Measurement, Processes, Server, last_json_line

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "Benchmarks"
PEERS = ROOT / ".build-bench"

OFFSET_NEEDLE = '"offset":'
MESSAGE_NEEDLE = '"messageId":'


@dataclass
class Sink:
    """A running HTTP sink."""

    server: Server
    url: str

    def reset(self) -> None:
        """Clears its counters."""
        request = urllib.request.Request(self.url + "reset", data=b"", method="POST")
        urllib.request.urlopen(request, timeout=10).read()

    def stats(self) -> Measurement:
        """Its counters since the last reset."""
        text = urllib.request.urlopen(self.url + "stats", timeout=10).read().decode()
        return last_json_line("the counters", text)


@dataclass
class Queue(Sink):
    """A running scripted queue of SQS; `reset` fills it as well. Its counters are those of the queue."""


@dataclass
class Stream(Sink):
    """A running scripted stream of a table. Its counters are those of the stream; it has none to reset."""


@dataclass
class Bench:
    """One run of the driver."""

    processes: Processes
    ours: pathlib.Path
    product: pathlib.Path
    python: str
    repeats: int
    scale: float
    folder: pathlib.Path
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def peer(self, name: str) -> str:
        """The path of a C peer."""
        return str(PEERS / name)

    def fresh(self, name: str) -> str:
        """A name that this run has not used: consumer groups, stores, sockets."""
        return f"{name}-{os.getpid()}-{next(self.numbers)}"

    def path(self, name: str) -> str:
        """A path in the run's own folder that does not exist yet."""
        return str(self.folder / self.fresh(name))

    def scaled(self, count: int) -> int:
        """A count for this run: `--scale` shrinks all loads."""
        return max(2000, int(count * self.scale))

    def span(self, seconds: float) -> float:
        """A time for this run: `--scale` below 1 shortens it."""
        return seconds * min(1.0, self.scale)

    def broker(self, records: int, value_bytes: int, *more: str) -> Server:
        """A filled mock cluster; its `ready` has bootstrap, topic and records."""
        return self.processes.serve(
            [self.peer("mock_broker"), "--records", str(records), "--value-bytes", str(value_bytes), *more]
        )

    def sink(self, *more: str) -> Sink:
        """A running HTTP sink."""
        server = self.processes.serve([self.peer("http_sink"), *more])
        return Sink(server, f"http://127.0.0.1:{server.ready['port']}/")

    def queue(self, messages: int, message_bytes: int, *more: str) -> Queue:
        """A running scripted queue; its `ready` has the queue's own URL."""
        server = self.processes.serve(
            [self.peer("sqs_queue"), "--messages", str(messages), "--message-bytes", str(message_bytes), *more]
        )
        return Queue(server, f"http://127.0.0.1:{server.ready['port']}/")

    def stream(self, records: int, shards: int) -> Stream:
        """A running scripted stream with so many records in all its shards."""
        command = [self.peer("stream_server"), "--records", str(records), "--shards", str(shards)]
        server = self.processes.serve(command)
        return Stream(server, f"http://127.0.0.1:{server.ready['port']}/")


def run_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a run's files, on the repository's disk: /tmp may be memory, where nothing is durable."""
    PEERS.mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="run-", dir=PEERS)
