# SPDX-License-Identifier: Apache-2.0
"""Many schedules of one trigger: all due at once, a steady stream, at rest; and `penstock schedule next`."""

from __future__ import annotations

import subprocess
import time

from . import ours
from .bench import Bench
from .experiments import Experiment, Told
from .figures import AGAIN, Rounds
from .processes import Measurement, RunFailed

SCHEDULES = 100_000
STREAM_SCHEDULES = 10_000
WATCH_SECONDS = 5.0
CENTURY = ["--timezone", "Europe/Berlin", "--from", "2026-01-01", "--count", "36524"]
CENTURY_END = "2125-12-31T02:00:00+01:00"


def run(bench: Bench, load: str, schedules: int) -> Measurement:
    """One load of `penstock-bench schedules`."""
    return ours.run(
        bench,
        "schedules",
        "--load",
        load,
        "--schedules",
        str(schedules),
        "--seconds",
        str(max(1.0, bench.span(WATCH_SECONDS))),
        "--file",
        bench.path("schedules"),
        "--store",
        bench.path("schedules.db"),
    )


def century(bench: Bench) -> Measurement:
    """`penstock schedule next` over a century of days, from its start to its end."""
    command = [str(bench.product), "schedule", "next", "0 2 * * *", *CENTURY]
    started = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    lines = result.stdout.splitlines()
    if result.returncode != 0 or not lines:
        raise RunFailed(f"penstock schedule next: {result.stderr.strip() or 'no times'}")
    if lines[-1] != CENTURY_END:
        raise RunFailed(f"penstock schedule next: {len(lines)} times, the last one is {lines[-1]}")
    return {"next_ms": seconds * 1000, "times": len(lines)}


def schedules(bench: Bench, told: Told) -> Rounds:
    """All loads, in each round; the figures are numbers and have no peer."""
    result = Rounds("")
    loads = {
        "ours": lambda: run(bench, "burst", bench.scaled(SCHEDULES)),
        "ours, stream": lambda: run(bench, "stream", bench.scaled(STREAM_SCHEDULES)),
        "ours, rest": lambda: run(bench, "rest", bench.scaled(SCHEDULES)),
        "ours, next": lambda: century(bench),
    }
    for index in range(bench.repeats):
        measured: dict[str, Measurement] = {AGAIN: {}}
        for name, load in loads.items():
            if name in result.failures:
                continue
            told(f"round {index + 1}/{bench.repeats}: {name}")
            try:
                measured[name] = load()
            except RunFailed as error:
                result.failures[name] = str(error)
        result.rounds.append(measured)
    return result


EXPERIMENTS: dict[str, Experiment] = {"schedules": schedules}
