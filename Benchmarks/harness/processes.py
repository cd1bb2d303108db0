# SPDX-License-Identifier: Apache-2.0
"""Processes that end when the driver ends.

Whatever is started is stopped by its own pid, also after Ctrl-C, SIGTERM or an error. Servers get a pipe as
standard input and stop when it closes, so that even a killed driver leaves none behind.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

Measurement = dict[str, Any]

STOP_SECONDS = 10.0
START_SECONDS = 180.0


class RunFailed(Exception):
    """A program did not start, did not end in time, or did not print its JSON line."""


def last_json_line(program: str, text: str) -> Measurement:
    """The last line of `text` that is a JSON object."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found: Measurement = json.loads(line)
                return found
            except json.JSONDecodeError as error:
                raise RunFailed(f"{program}: not JSON: {line[:120]} ({error})") from error
    raise RunFailed(f"{program}: printed no JSON line")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds SIGINT and SIGTERM back until the block is left: a process that just started is never forgotten."""
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in held:
            signal.raise_signal(late)


def stop(process: subprocess.Popen[str]) -> None:
    """Ends one process: SIGTERM, and SIGKILL when that is not heard within ten seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class Server:
    """A program that prints one JSON line when it is ready and serves until it is stopped."""

    def __init__(self, process: subprocess.Popen[str], ready: Measurement) -> None:
        self.process = process
        self.ready = ready

    def tell(self) -> Measurement:
        """Sends it a line, and waits for its next JSON line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        name = "the server"
        return last_json_line(name, read_line(self.process, name, START_SECONDS))

    def stop(self) -> None:
        """Stops it and waits for its end."""
        stop(self.process)


class Processes:
    """All processes of a run; leaving the context stops what still runs."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def stop_all(self) -> None:
        """Stops what still runs, the last started first."""
        for process in reversed(self._running):
            stop(process)
        self._running.clear()

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        out: int = subprocess.PIPE,
        err: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[str]:
        """Starts a program and remembers it. Its standard input is a pipe that stays open."""
        self._running = [process for process in self._running if process.poll() is None]
        try:
            with uninterrupted():
                process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=err,
                    text=True,
                    env={**os.environ, **(environment or {})},
                )
                self._running.append(process)
        except OSError as error:
            raise RunFailed(f"{command[0]}: {error.strerror}") from error
        return process

    def serve(self, command: Sequence[str]) -> Server:
        """Starts a server and waits for its JSON line."""
        process = self.start(command)
        line = read_line(process, command[0], START_SECONDS)
        return Server(process, last_json_line(command[0], line))

    def measure(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, seconds: float = 120
    ) -> Measurement:
        """Runs a program to its end and returns the JSON line that it printed last."""
        name = os.path.basename(command[0])
        process = self.start(command, environment, err=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            stop(process)
            raise RunFailed(f"{name}: not done after {seconds:.0f} s") from error
        if process.returncode != 0:
            said = (err.strip() or out.strip() or "nothing").splitlines()[-1]
            raise RunFailed(f"{' '.join([name, *command[1:2]])}: exit {process.returncode}: {said[:200]}")
        return last_json_line(name, out)


def read_line(process: subprocess.Popen[str], name: str, seconds: float) -> str:
    """The first line a process prints; fails when it ends or says nothing in time."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(seconds):
            raise RunFailed(f"{name}: not ready after {seconds:.0f} s")
    line = process.stdout.readline()
    if not line:
        raise RunFailed(f"{name}: ended before it was ready")
    return line
