# SPDX-License-Identifier: Apache-2.0
"""From alternating runs to one ratio that noise has not made.

One round is: the reference peer, the other subjects, the reference peer again; every second round goes
backwards. A ratio is taken within a round, where both sides saw the same machine, and the median of the
rounds is the figure. The two runs of the reference give the A/A ratio: what this machine makes of equal code,
today.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .processes import Measurement, RunFailed

Subject = Callable[[], Measurement]

AGAIN = "again"


@dataclass
class Rounds:
    """What an experiment measured: a measurement for each subject in each round, and why one is missing."""

    reference: str
    rounds: list[dict[str, Measurement]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def alternate(
    subjects: Mapping[str, Subject], ours: set[str], repeats: int, told: Callable[[str], None]
) -> Rounds:
    """Runs the subjects in turn, `repeats` times; the first is the reference and runs twice a round.

    One of ours that fails is not tried again and its reason is kept; a peer that fails ends the experiment.
    """
    reference = next(iter(subjects))
    result = Rounds(reference)
    for index in range(repeats):
        order = [*subjects, AGAIN]
        measured: dict[str, Measurement] = {}
        for name in order if index % 2 == 0 else reversed(order):
            if name in result.failures:
                continue
            told(f"round {index + 1}/{repeats}: {name}")
            try:
                measured[name] = subjects[reference if name == AGAIN else name]()
            except RunFailed as error:
                if name not in ours:
                    raise
                result.failures[name] = str(error)
        result.rounds.append(measured)
    return result


def median(values: list[float]) -> float | None:
    """The median; nothing of nothing."""
    return statistics.median(values) if values else None


@dataclass(frozen=True)
class Spread:
    """A median with the range it came from."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread | None:
    """The median and the range of some values."""
    return Spread(statistics.median(values), min(values), max(values)) if values else None
