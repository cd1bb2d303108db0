# SPDX-License-Identifier: Apache-2.0
"""The goals: which figure of ours is compared with which figure of a peer, and what is good enough.

`floor` is what CI fails below (it allows for 15 % of noise), `target` what to aim for. A row without bounds
is there to be read, not judged.
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


def per_second(microseconds: Figure) -> Figure:
    """The rate of something whose cost is known in microseconds."""
    return lambda measured: 1e6 / microseconds(measured)


def composite(first: Figure, second: Figure) -> Figure:
    """The rate of two stages that share one core: 1 / (1/first + 1/second)."""
    return lambda measured: 1 / (1 / first(measured) + 1 / second(measured))


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what the table calls it, its figure, and the subject that must have run."""

    name: str
    figure: Figure
    subject: str


def side(subject: str, key: str, name: str | None = None) -> Side:
    """A side that is one figure of one subject."""
    return Side(name or subject, of(subject, key), subject)


@dataclass(frozen=True)
class Bounds:
    """What a ratio of ours to the peer's must keep to."""

    floor: float
    target: float
    lower_is_better: bool

    def keeps(self, ratio: float, bound: float) -> bool:
        """True when the ratio is at least as good as `bound`."""
        return ratio <= bound if self.lower_is_better else ratio >= bound


def at_least(floor: float, target: float) -> Bounds:
    """More is better."""
    return Bounds(floor, target, lower_is_better=False)


def at_most(floor: float, target: float) -> Bounds:
    """Less is better."""
    return Bounds(floor, target, lower_is_better=True)


@dataclass(frozen=True)
class Goal:
    """One row. `cpu` is the key of the CPU figure shown beside, of both sides' subjects."""

    id: str
    title: str
    experiment: str
    unit: str
    peer: Side
    ours: Side
    bounds: Bounds | None
    cpu: str | None = None


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


def round_peer(goal: Goal, reference: str) -> Figure:
    """The peer's figure in a round: the mean over both runs of the reference."""
    peer = goal.peer.figure
    return lambda measured: (peer(measured) + peer({**measured, reference: measured[AGAIN]})) / 2


def same_code(goal: Goal, reference: str) -> Figure:
    """The A/A ratio: the peer's figure with the reference's second run in place of its first."""
    peer = goal.peer.figure
    return lambda measured: peer({**measured, reference: measured[AGAIN]}) / peer(measured)


def judge(bounds: Bounds | None, ratio: Spread | None, failure: str | None) -> tuple[str, bool]:
    """The verdict in words, and whether the gate lets it pass."""
    if ratio is None:
        return f"no figure: {failure or 'not measured'}", bounds is None
    if bounds is None:
        return "for reading", True
    if bounds.keeps(ratio.median, bounds.target):
        return "goal met", True
    if bounds.keeps(ratio.median, bounds.floor):
        return "above floor", True
    return "BELOW FLOOR", False


def evaluate(goal: Goal, result: Rounds) -> Row:
    """Compares in each round, and takes the median of the rounds."""
    rounds = result.rounds
    peer = round_peer(goal, result.reference)
    ratio = spread(each(rounds, lambda measured: goal.ours.figure(measured) / peer(measured)))
    verdict, passed = judge(goal.bounds, ratio, result.failures.get(goal.ours.subject))
    cpu = goal.cpu
    return Row(
        goal=goal,
        peer=median(each(rounds, peer)),
        ours=median(each(rounds, goal.ours.figure)),
        ratio=ratio,
        same=spread([value for value in each(rounds, same_code(goal, result.reference)) if value != 1]),
        peer_cpu=median(each(rounds, of(goal.peer.subject, cpu))) if cpu else None,
        ours_cpu=median(each(rounds, of(goal.ours.subject, cpu))) if cpu else None,
        verdict=verdict,
        passed=passed,
    )


RATE = "records_per_second"
REQUESTS = "requests_per_second"
INVOCATIONS = "invocations_per_second"
CPU_RECORD = "cpu_us_per_record"
CPU_REQUEST = "cpu_us_per_request"
CPU_INVOCATION = "cpu_us_per_invocation"
MESSAGES = "messages_per_second"
CPU_MESSAGE = "cpu_us_per_message"
PER_BATCH = 100

# The peer of a goal that is a number, not a ratio.
ABSOLUTE = "absolute"

OURS_RATE = side("ours", RATE)
OURS_REQUESTS = side("ours", REQUESTS)
OURS_BATCHES = Side("ours", scaled(of("ours", RATE), 1 / PER_BATCH), "ours")
OURS_EVENTS = Side("ours", per_second(of("ours", "us_per_record")), "ours")

C_KAFKA = side("C Kafka", RATE)
C_KAFKA_AND_LIBCURL = Side(
    "C Kafka with libcurl",
    composite(of("C Kafka", RATE), scaled(of("C libcurl @8", REQUESTS), PER_BATCH)),
    "C Kafka",
)
C_LIBCURL = side("C libcurl", REQUESTS)
C_EVENTS = Side("C, scalar base64", per_second(of("C writer", "us_per_record")), "C writer")
ON_DEMAND = Side("simdjson On Demand", per_second(of("On Demand", "us_per_record")), "On Demand")
JSON_ENCODER = Side("JSONEncoder", per_second(of("ours", "json_encoder_us_per_record")), "ours")
NOTHING = Side(ABSOLUTE, lambda measured: 1.0, "C Kafka")


def kafka_goals() -> list[Goal]:
    """Reading, and reading with the event written."""
    small, large, encoding = "kafka-100", "kafka-1k", side("ours, encoding", RATE)
    title = "Kafka to nothing, 100 B, batch 1000"
    cpu = side("ours", CPU_RECORD)
    return [
        Goal("G1", title, small, "rec/s", C_KAFKA, OURS_RATE, at_least(0.60, 0.80), CPU_RECORD),
        Goal("G2", "the same, 1 KiB", large, "rec/s", C_KAFKA, OURS_RATE, at_least(0.60, 0.75), CPU_RECORD),
        Goal("G3", "CPU of G1", small, "us/rec", side("C Kafka", CPU_RECORD), cpu, at_most(2.0, 1.5)),
        Goal("G4", "Kafka to event", small, "rec/s", C_KAFKA, encoding, at_least(0.55, 0.75), CPU_RECORD),
    ]


def pipeline_goals(suffix: str, size: str, experiment: str) -> list[Goal]:
    """Kafka to HTTP with one size of record."""
    title = f"Kafka to HTTP, {size}, batch 100, 8 in flight"
    bounds, wrk = at_least(0.60, 0.80), side("wrk @8", REQUESTS)
    return [
        Goal("G5" + suffix, title, experiment, "rec/s", C_KAFKA_AND_LIBCURL, OURS_RATE, bounds, CPU_RECORD),
        Goal(
            "G5b" + suffix,
            "the same in batches",
            experiment,
            "req/s",
            wrk,
            OURS_BATCHES,
            at_least(0.12, 0.20),
        ),
    ]


def http_goals() -> list[Goal]:
    """The HTTP function alone."""
    one, many = "HTTP, 1 KiB, 1 in flight", "HTTP, 1 KiB, 64 in flight"
    slow, ours_slow, wrk = side("C libcurl", "p99_us"), side("ours", "p99_us"), side("wrk", REQUESTS)
    return [
        Goal("G6", one, "http-1", "req/s", C_LIBCURL, OURS_REQUESTS, at_least(0.70, 0.90), CPU_REQUEST),
        Goal("G6b", one, "http-1", "req/s", wrk, OURS_REQUESTS, at_least(0.55, 0.75)),
        Goal("G7", many, "http-64", "req/s", C_LIBCURL, OURS_REQUESTS, at_least(0.70, 0.85), CPU_REQUEST),
        Goal("G7b", many, "http-64", "req/s", wrk, OURS_REQUESTS, at_least(0.35, 0.48)),
        Goal("G8", "p99 of G6", "http-1", "us", slow, ours_slow, at_most(3.0, 1.5)),
    ]


def writer_goals() -> list[Goal]:
    """The event writer alone."""
    title = "event writer, 1 KiB, one header"
    return [
        Goal("G9", title, "encode", "rec/s", C_EVENTS, OURS_EVENTS, at_least(0.30, 0.45), CPU_RECORD),
        Goal("G10", title, "encode", "rec/s", JSON_ENCODER, OURS_EVENTS, at_least(25, 40)),
    ]


def filter_goals() -> list[Goal]:
    """Filters alone."""
    match, none = "filter, 1 KiB, 3 fields, all match", "the same, none match"
    return [
        Goal("G11", match, "filter", "rec/s", ON_DEMAND, OURS_EVENTS, at_least(0.40, 0.85), CPU_RECORD),
        Goal("G11b", none, "filter-out", "rec/s", ON_DEMAND, OURS_EVENTS, None, CPU_RECORD),
    ]


def runtime_goals() -> list[Goal]:
    """Local functions."""
    four, amazon = "Runtime API p50, 4 C workers, unix", "Runtime API p50, awslambdaric, TCP"
    trip, ours = side("ping-pong", "p50_us"), side("ours", "p50_us")
    server, served = side("C server", INVOCATIONS), side("ours", INVOCATIONS)
    return [
        Goal("G12", four, "runtime-unix", "us", trip, ours, at_most(4.0, 2.0)),
        Goal("G12b", "rate of G12", "runtime-unix", "inv/s", server, served, None, CPU_INVOCATION),
        Goal("G13", amazon, "runtime-tcp", "us", trip, ours, at_most(6.0, 3.5)),
    ]


def store_goals() -> list[Goal]:
    """Durability."""
    floor, ours = side("fdatasync", "commits_per_second", "fdatasync 4 KiB"), side("ours", "acks_per_second")
    return [Goal("G14", "durable settle, 64 writers", "settle", "acks/s", floor, ours, at_least(8, 15))]


def allocation_goals() -> list[Goal]:
    """Numbers of our own code, not ratios."""
    ours = side("ours", "own_per_record")
    return [
        Goal("G17", "heap allocations of G5", "allocations", "per rec", NOTHING, ours, at_most(0.2, 0.05))
    ]


def operation_goals() -> list[Goal]:
    """Penstock as a whole."""
    cpu, woken = side("ours", "cpu_percent"), side("ours", "wakeups_per_second")
    resident, fast = side("ours", "rss_mb"), side("ours", "peak_mb")
    slow = Side("ours", of("ours, slow", "peak_mb"), "ours")
    one, many = side("one trigger", CPU_RECORD), side("ours", CPU_RECORD)
    partition, key = side("by partition", RATE), side("ours", RATE)
    return [
        Goal("G18", "CPU of ten idle triggers", "idle", "% core", NOTHING, cpu, at_most(0.6, 0.5)),
        Goal("G18b", "their wake-ups", "idle", "per s", side("C consumers", "wakeups_per_second"), woken, None),
        Goal("G19", "memory of ten idle triggers", "idle", "MB", NOTHING, resident, at_most(69, 60)),
        Goal("G20", "memory at full load", "memory", "MB", NOTHING, fast, at_most(230, 200)),
        Goal("G20b", "the same, slow function", "memory", "MB", NOTHING, slow, at_most(230, 200)),
        Goal("G21", "CPU of 1,000 triggers", "many", "us/rec", one, many, at_most(1.25, 1.10)),
        Goal("G22", "order by key, 100 keys", "ordering", "rec/s", partition, key, at_least(15, 20)),
    ]


def queue_goals() -> list[Goal]:
    """Queues."""
    title = "SQS to HTTP to deletion, 1 KiB, batch 10, 8 in flight"
    signed, unsigned = side("C libcurl", MESSAGES), side("C libcurl, unsigned", MESSAGES)
    ours = side("ours", MESSAGES)
    return [
        Goal("G23", title, "queue", "msg/s", signed, ours, at_least(0.50, 0.70), CPU_MESSAGE),
        Goal("G23b", "the same, its peer unsigned", "queue", "msg/s", unsigned, ours, None, CPU_MESSAGE),
    ]


def stream_goals() -> list[Goal]:
    """Streams of tables."""
    title = "DynamoDB stream to discard, 256 B items, batch 1000"
    pages, ours = side("C libcurl", RATE), OURS_RATE
    return [Goal("G24", title, "stream", "rec/s", pages, ours, at_least(0.05, 0.70), CPU_RECORD)]


def schedule_goals() -> list[Goal]:
    """Many schedules of one trigger."""

    def goal(identity: str, title: str, unit: str, load: str, key: str, bounds: Bounds | None) -> Goal:
        subject = f"ours{load}"
        return Goal(identity, title, "schedules", unit, NOTHING, Side("ours", of(subject, key), subject), bounds)

    return [
        goal("G15", "100,000 schedules due at once: decided", "ms", "", "decided_ms", at_most(100, 25)),
        goal("G15b", "the same, the last one durable and invoked", "ms", "", "last_ms", None),
        goal("G15c", "CPU of 100,000 that rest", "% core", ", rest", "idle_cpu_percent", at_most(2.0, 1.0)),
        goal("G25", "10,000 fires/s, durable: p99 lateness", "ms", ", stream", "p99_ms", at_most(50, 10)),
        goal("G25b", "their rate", "fires/s", ", stream", "fires_per_second", None),
        goal("G26", "memory of a schedule", "bytes", ", rest", "bytes_per_schedule", at_most(400, 400)),
        goal("G26b", "start of 100,000, without the file", "s", ", rest", "start_seconds", None),
        goal("G26c", "reading the file of 100,000", "s", ", rest", "read_seconds", None),
        goal("G27", "schedule next, a century of days", "ms", ", next", "next_ms", at_most(200, 100)),
    ]


def better(first: Figure, second: Figure) -> Figure:
    """The greater of two rates."""
    return lambda measured: max(first(measured), second(measured))


def table_goals() -> list[Goal]:
    """Postgres: tables as queues, and notifications."""
    queues = Side("the better job queue", better(of("pgqueuer", RATE), of("procrastinate", RATE)), "pgqueuer")
    libpq, count, kept = side("C libpq", RATE), side("ours", RATE), side("ours, kept", RATE, "ours")
    listen, rows = "NOTIFY received, 80 B, 1000 a transaction", "rows of an outbox to HTTP to deletion, batch 100"
    changes = "changes of a slot to discard, 130 B, batch 1000"
    return [
        Goal("G28", listen, "notifications", "rec/s", libpq, count, at_least(0.60, 0.80), CPU_RECORD),
        Goal("G28b", "the same, each durable, to discard", "notifications", "rec/s", libpq, kept, None),
        Goal("G29", rows, "tables", "rows/s", queues, OURS_RATE, at_least(2.5, 3), CPU_RECORD),
        Goal("G30", changes, "replication", "rows/s", libpq, count, at_least(0.45, 0.60), CPU_RECORD),
    ]


GOALS: list[Goal] = [
    *kafka_goals(),
    *pipeline_goals("", "100 B", "pipeline-100"),
    *pipeline_goals("-1k", "1 KiB", "pipeline-1k"),
    *http_goals(),
    *writer_goals(),
    *filter_goals(),
    *runtime_goals(),
    *store_goals(),
    *allocation_goals(),
    *operation_goals(),
    *queue_goals(),
    *stream_goals(),
    *schedule_goals(),
    *table_goals(),
]
