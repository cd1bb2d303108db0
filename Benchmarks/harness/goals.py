# SPDX-License-Identifier: Apache-2.0
"""The goals: which figure of ours is compared with which figure of a peer, and what is good enough.

`floor` is what CI fails below (it allows for 15 % of noise), `target` what to aim for. A row without them is there to
be read, not judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .figures import AGAIN, Rounds, Spread, median, spread
from .processes import Measurement, RunFailed

Round = dict[str, Measurement]
Figure = Callable[[Round], float]


class Absent(Exception):
    """A subject did not run in this round."""


def of(subject: str, key: str) -> Figure:
    """One figure of one subject."""

    def figure(measured: Round) -> float:
        if subject not in measured:
            raise Absent(subject)
        if key not in measured[subject]:
            raise RunFailed(f"{subject} printed no {key}: {measured[subject]}")
        return float(measured[subject][key])

    return figure


def each(rounds: list[Round], figure: Figure) -> list[float]:
    """A figure of all rounds in which its subjects ran."""
    result: list[float] = []
    for measured in rounds:
        try:
            result.append(figure(measured))
        except Absent:
            continue
    return result


def scaled(figure: Figure, factor: float) -> Figure:
    """A figure in another unit."""
    return lambda measured: figure(measured) * factor


def composite(first: Figure, second: Figure) -> Figure:
    """The rate of two stages that share one core: 1 / (1/first + 1/second)."""
    return lambda measured: 1 / (1 / first(measured) + 1 / second(measured))


@dataclass(frozen=True)
class Goal:
    """One row. The ratio is ours / peer; `subject` is the run of ours, whose failure is the row's.

    `cpu` is the key of the CPU figure shown beside, of `subject` and of `cpu_peer` (the reference when not named).
    """

    id: str
    title: str
    experiment: str
    unit: str
    peer_name: str
    peer: Figure
    ours: Figure
    subject: str
    floor: float | None
    target: float | None
    lower_is_better: bool = False
    cpu: str | None = None
    cpu_peer: str | None = None

    def passes(self, ratio: float, bound: float) -> bool:
        """True when the ratio is at least as good as the bound."""
        return ratio <= bound if self.lower_is_better else ratio >= bound


@dataclass(frozen=True)
class Row:
    """What became of one goal."""

    goal: Goal
    peer: float | None
    ours: float | None
    ratio: Spread | None
    same: Spread | None
    peer_cpu: float | None
    ours_cpu: float | None
    verdict: str
    passed: bool


def same_code(goal: Goal, reference: str) -> Figure:
    """The A/A ratio: the peer's figure with the reference's second run in place of its first."""
    return lambda measured: goal.peer({**measured, reference: measured[AGAIN]}) / goal.peer(measured)


def judge(goal: Goal, ratio: Spread | None, failure: str | None) -> tuple[str, bool]:
    """The verdict in words, and whether the gate lets it pass."""
    if ratio is None:
        return f"no figure: {failure or 'not measured'}", goal.floor is None
    if goal.floor is None or goal.target is None:
        return "for reading", True
    if goal.passes(ratio.median, goal.target):
        return "goal met", True
    if goal.passes(ratio.median, goal.floor):
        return "above floor", True
    return "BELOW FLOOR", False


def evaluate(goal: Goal, result: Rounds) -> Row:
    """Compares in each round, and takes the median of the rounds."""
    rounds, reference = result.rounds, result.reference
    ratio = spread(each(rounds, lambda measured: goal.ours(measured) / goal.peer(measured)))
    verdict, passed = judge(goal, ratio, result.failures.get(goal.subject))
    return Row(
        goal=goal,
        peer=median(each(rounds, goal.peer)),
        ours=median(each(rounds, goal.ours)),
        ratio=ratio,
        same=spread([value for value in each(rounds, same_code(goal, reference)) if value != 1]),
        peer_cpu=median(each(rounds, of(goal.cpu_peer or reference, goal.cpu))) if goal.cpu else None,
        ours_cpu=median(each(rounds, of(goal.subject, goal.cpu))) if goal.cpu else None,
        verdict=verdict,
        passed=passed,
    )


RATE = "records_per_second"
REQUESTS = "requests_per_second"
CPU_RECORD = "cpu_us_per_record"
CPU_REQUEST = "cpu_us_per_request"
PER_BATCH = 100


def pipeline_goals(suffix: str, experiment: str) -> list[Goal]:
    """G5 and G5b for one size of record."""
    curl = scaled(of("C libcurl @8", REQUESTS), PER_BATCH)
    both = composite(of("C Kafka", RATE), curl)
    batches = scaled(of("ours", RATE), 1 / PER_BATCH)
    return [
        Goal("G5" + suffix, "Kafka to HTTP, batch 100, 8 in flight", experiment, "rec/s",
             "C Kafka with C libcurl", both, of("ours", RATE), "ours", 0.60, 0.80, cpu=CPU_RECORD),
        Goal("G5b" + suffix, "the same in batches", experiment, "req/s",
             "wrk @8", of("wrk @8", REQUESTS), batches, "ours", 0.12, 0.20),
    ]


GOALS: list[Goal] = [
    Goal("G1", "Kafka to nothing, 100 B, batch 1000", "kafka-100", "rec/s",
         "C Kafka", of("C Kafka", RATE), of("ours", RATE), "ours", 0.60, 0.80, cpu=CPU_RECORD),
    Goal("G2", "Kafka to nothing, 1 KiB, batch 1000", "kafka-1k", "rec/s",
         "C Kafka", of("C Kafka", RATE), of("ours", RATE), "ours", 0.60, 0.75, cpu=CPU_RECORD),
    Goal("G3", "CPU of Kafka to nothing, 100 B", "kafka-100", "us/rec",
         "C Kafka", of("C Kafka", CPU_RECORD), of("ours", CPU_RECORD), "ours", 2.0, 1.5, lower_is_better=True),
    Goal("G4", "Kafka to encoded event, 100 B, batch 1000", "kafka-100", "rec/s",
         "C Kafka", of("C Kafka", RATE), of("ours, encoding", RATE), "ours, encoding", 0.55, 0.75, cpu=CPU_RECORD),
    *pipeline_goals("", "pipeline-100"),
    *pipeline_goals("-1k", "pipeline-1k"),
    Goal("G6", "HTTP, 1 KiB, 1 in flight", "http-1", "req/s",
         "C libcurl", of("C libcurl", REQUESTS), of("ours", REQUESTS), "ours", 0.70, 0.90, cpu=CPU_REQUEST),
    Goal("G6b", "the same", "http-1", "req/s",
         "wrk @1", of("wrk", REQUESTS), of("ours", REQUESTS), "ours", 0.55, 0.75),
    Goal("G7", "HTTP, 1 KiB, 64 in flight", "http-64", "req/s",
         "C libcurl", of("C libcurl", REQUESTS), of("ours", REQUESTS), "ours", 0.70, 0.85, cpu=CPU_REQUEST),
    Goal("G7b", "the same", "http-64", "req/s",
         "wrk @64", of("wrk", REQUESTS), of("ours", REQUESTS), "ours", 0.35, 0.48),
    Goal("G8", "HTTP p99, 1 in flight", "http-1", "us",
         "C libcurl", of("C libcurl", "p99_us"), of("ours", "p99_us"), "ours", 3.0, 1.5, lower_is_better=True),
    Goal("G9", "event writer, 1 KiB, header", "encode", "rec/s",
         "C, scalar base64", lambda one: 1e6 / of("C writer", "us_per_record")(one),
         lambda one: 1e6 / of("ours", "us_per_record")(one), "ours", 0.30, 0.45, cpu=CPU_RECORD),
    Goal("G10", "event writer, 1 KiB, header", "encode", "rec/s",
         "JSONEncoder", lambda one: 1e6 / of("ours", "json_encoder_us_per_record")(one),
         lambda one: 1e6 / of("ours", "us_per_record")(one), "ours", 25, 40),
    Goal("G12", "Runtime API p50, 4 C workers, unix", "runtime-unix", "us",
         "ping-pong", of("ping-pong", "p50_us"), of("ours", "p50_us"), "ours", 4.0, 2.0, lower_is_better=True),
    Goal("G12b", "the same, invocations", "runtime-unix", "inv/s",
         "C server", of("C server", "invocations_per_second"), of("ours", "invocations_per_second"), "ours",
         None, None, cpu="cpu_us_per_invocation", cpu_peer="C server"),
    Goal("G13", "Runtime API p50, awslambdaric, TCP", "runtime-tcp", "us",
         "ping-pong", of("ping-pong", "p50_us"), of("ours", "p50_us"), "ours", 6.0, 3.5, lower_is_better=True),
    Goal("G14", "durable settle, 64 writers", "settle", "acks/s",
         "fdatasync 4 KiB", of("fdatasync", "commits_per_second"), of("ours", "acks_per_second"), "ours", 8, 15),
    Goal("G17", "heap allocations of our own code, Kafka to HTTP", "allocations", "per rec",
         "absolute", lambda one: 1.0, of("ours", "own_per_record"), "ours", 0.2, 0.05, lower_is_better=True),
]
