#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Penstock against peers that do the same work with nothing around it, and prints the ratios.

    Benchmarks/run.py                      all goals
    Benchmarks/run.py --only G1,G5,idle    some: by goal, or all of an experiment
    Benchmarks/run.py --gate               exit 1 when a ratio is below its floor, or missing

Peers are the C programs of Benchmarks/peers (built here by `make`) and wrk. Ours are subcommands of
`penstock-bench` (`swift build -c release --product penstock-bench`). The contract of these subcommands: each
runs once, prints one JSON object on one line as the last line of standard output, and exits 0; on failure it
exits 1 with the reason as the last line of standard error. CPU is getrusage user+sys of the process itself
over the same span as `seconds`.

penstock-bench kafka --brokers B --topic T --group G --records N --batch 1000
        --function discard|encode|http [--url U --concurrency 8] --store PATH
    The real pipeline: a Kafka source in the (new) group G from `earliest` with the properties named in
    README.md, ledger, batches of --batch records, the function, settlement, offset commits by group,
    checkpoints in the SQLite store PATH. `discard` answers success at once; `encode` writes the event and
    drops it; `http` POSTs it to U with at most --concurrency batches in flight. N is all that the topic
    holds; it ends when they are settled. The clock runs from the first record received to the last record
    settled, without joining the group and without closing.
    {"records", "bytes", "seconds", "records_per_second", "cpu_us_per_record", "max_rss_kb"}: records =
    settled, which for `http` must be what the far end counted.

penstock-bench streams --endpoint E --records N --batch 1000 --function discard|encode --store PATH
    The same from the stream of the table `bench` at E: shards, pages, ledger, batches, the function,
    settlement, checkpoints in the SQLite store PATH. N is all that the stream holds. The clock runs from the
    first record received to the last record settled.
    {"records", "bytes", "seconds", "records_per_second", "cpu_us_per_record", "max_rss_kb"}

penstock-bench http --url U --body-bytes 1024 --in-flight 1 --requests N
    The HTTP client as functions use it. 1000 requests of warm-up are not counted.
    {"requests", "seconds", "requests_per_second", "cpu_us_per_request", "p50_us", "p99_us", "max_rss_kb"}

penstock-bench encode --records 100 --value-bytes 1024 [--header]
    The Kafka event writer on one batch, again and again for about a second, then JSONEncoder on the same
    batch. --header adds one `traceparent` of 55 bytes a record. `bytes` is the size of one event.
    {"records", "bytes", "us_per_record", "mb_per_second", "cpu_us_per_record", "json_encoder_us_per_record"}

penstock-bench filter --bodies FILE [--seconds 1]
    A trigger's filter on three fields of the bodies of FILE, one a line, in one block, again and again.
    {"records", "matches", "us_per_record", "cpu_us_per_record"}: matches = of one round.

penstock-bench runtime --worker-command COMMAND --workers 4 --unix|--tcp --invocations N
    The Runtime API of local functions with 1 KiB events and one invocation outstanding for each worker.
    COMMAND is split as a shell would. Workers find the API in AWS_LAMBDA_RUNTIME_API: `unix:PATH` with
    --unix, `127.0.0.1:PORT` with --tcp. 1000 invocations of warm-up are not counted. An invocation is timed
    from invoke to its result.
    {"invocations", "seconds", "invocations_per_second", "cpu_us_per_invocation", "p50_us", "p99_us"}

penstock-bench settle --writers 64 --seconds 1.5 --path PATH
    Writers that each save one checkpoint and wait until it is durable, again and again, in a new store at
    PATH.
    {"acks", "commits", "seconds", "acks_per_second", "cpu_us_per_ack", "p50_us", "p99_us"}

penstock-bench schedules --load burst|stream|rest --schedules N --seconds 5 --file PATH --store PATH
    N schedules of one trigger, written to PATH.jsonl and read from there, through the real pipeline to a function that
    answers at once, batches of up to 100, 8 in flight, journal and fire log in a store at PATH.
    burst: all are due at one instant. `decided_ms` is how long it takes to decide that; `last_ms` how long after the
    instant the last fire, durable by then, reached the function.
    {"schedules", "decided_ms", "last_ms", "cpu_us_per_fire"}
    stream: each fires each second, each time in a millisecond of its own; times are those between that and the function.
    {"fires", "fires_per_second", "p50_ms", "p99_ms", "cpu_us_per_fire"}
    rest: none is due. Reading the file; starting with an empty store, and again; CPU of one core afterwards; and what one
    more such set takes besides names and inputs.
    {"schedules", "read_seconds", "first_start_seconds", "start_seconds", "idle_cpu_percent", "bytes_per_schedule"}

penstock-bench changes --database URL --slot S --publication bench --rows N --batch 1000 --store PATH
    The real pipeline from a replication slot: changes, ledger, batches, a function that answers at once, settlement,
    checkpoints in the SQLite store PATH. N is all that the slot has. The clock runs from the first record received to the
    last record settled.
    {"records", "bytes", "seconds", "records_per_second", "cpu_us_per_record", "max_rss_kb"}

penstock-bench listen --database URL --notifications N --function count|discard --store PATH
    Notifications on the channel `bench`. Prints {"listening": true} on a line when it listens, and its figures when it has
    got N. count: they are counted as libpq brings them. discard: the real pipeline, each in the journal of the SQLite store
    PATH before a function that answers at once gets it. The clock runs from the first notification to the last one, which
    for discard is settled.
    {"records", "bytes", "seconds", "records_per_second", "cpu_us_per_record"}
"""

from __future__ import annotations

import argparse
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

from harness import experiments, operation, queues, report, schedules, streams, tables
from harness.bench import BENCHMARKS, ROOT, Bench, run_folder
from harness.figures import Rounds
from harness.goals import GOALS, Goal, Row, evaluate
from harness.processes import Measurement, Processes, RunFailed

REPEATS_MIN = 5
EXPERIMENTS = (
    experiments.EXPERIMENTS
    | operation.EXPERIMENTS
    | queues.EXPERIMENTS
    | streams.EXPERIMENTS
    | schedules.EXPERIMENTS
    | tables.EXPERIMENTS
)


def arguments() -> argparse.Namespace:
    """The command line."""
    names = ", ".join([*(goal.id for goal in GOALS), *EXPERIMENTS])
    release = ROOT / ".build" / "release"
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0],
        epilog=f"Goals and experiments: {names}. README.md says what they mean.",
    )
    parser.add_argument("--only", default="", help="goals to run, with commas; G5 stands for G5 and G5-1k")
    parser.add_argument("--repeats", type=int, default=REPEATS_MIN, help="rounds of each experiment (5)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="factor on all loads, for a quick look (1.0)"
    )
    parser.add_argument("--format", choices=["text", "json"], default="text")
    parser.add_argument(
        "--gate", action="store_true", help="exit 1 when a ratio is below its floor or missing"
    )
    parser.add_argument(
        "--bench", type=pathlib.Path, default=release / "penstock-bench", help="the penstock-bench to run"
    )
    parser.add_argument(
        "--product", type=pathlib.Path, default=release / "penstock", help="the penstock to run"
    )
    parser.add_argument(
        "--python",
        default=default_python(),
        help="a Python that has awslambdaric, for G13, and the job queues of requirements.txt, for G29",
    )
    parsed = parser.parse_args()
    if parsed.repeats < 1 or parsed.scale <= 0:
        parser.error("--repeats and --scale must be positive")
    if parsed.gate and (parsed.repeats < REPEATS_MIN or parsed.scale != 1.0):
        parser.error(
            f"--gate needs at least {REPEATS_MIN} repeats at full scale: fewer say nothing on a busy machine"
        )
    return parsed


def default_python() -> str:
    """The project's own virtual environment if it is there."""
    own = ROOT / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def names_of(goal: Goal) -> set[str]:
    """What `--only` may call a goal."""
    return {goal.id, goal.id.split("-")[0], goal.experiment}


def chosen(only: str) -> list[Goal]:
    """The goals to run. Exits 2 on a name that is none."""
    names = {name.strip() for name in only.split(",") if name.strip()}
    unknown = names.difference(*(names_of(goal) for goal in GOALS))
    if unknown:
        print(f"run.py: no such goal: {', '.join(sorted(unknown))}; see --help", file=sys.stderr)
        sys.exit(2)
    return [goal for goal in GOALS if not names or names & names_of(goal)]


def build_peers() -> None:
    """Builds the C peers; exits 3 when that is not possible."""
    result = subprocess.run(
        ["make", "-s", "-C", str(BENCHMARKS)], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        print(f"run.py: the peers do not build:\n{result.stderr}", file=sys.stderr)
        sys.exit(3)
    if shutil.which("wrk") is None:
        print("run.py: wrk is not installed (apt install wrk)", file=sys.stderr)
        sys.exit(3)


def told(line: str) -> None:
    """Progress goes to standard error."""
    print(line, file=sys.stderr, flush=True)


def machine() -> Measurement:
    """What the figures were taken on."""
    return {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def measure_goals(bench: Bench, goals: list[Goal]) -> list[Row]:
    """Runs each experiment that a goal needs, once. What breaks one costs no row of another."""
    rows: list[Row] = []
    for name in dict.fromkeys(goal.experiment for goal in goals):
        told(f"experiment {name}")
        served = [goal for goal in goals if goal.experiment == name]
        try:
            result = EXPERIMENTS[name](bench, told)
            rows += [evaluate(goal, result) for goal in served]
        except RunFailed as error:
            bench.processes.stop_all()
            broken = Rounds("", failures={goal.ours.subject: str(error) for goal in served})
            rows += [evaluate(goal, broken) for goal in served]
    order = {goal.id: index for index, goal in enumerate(GOALS)}
    return sorted(rows, key=lambda row: order[row.goal.id])


def measure(options: argparse.Namespace) -> int:
    """Everything that was asked for; the exit code."""
    goals = chosen(options.only)
    build_peers()
    before = machine()
    with run_folder() as folder, Processes() as processes:
        bench = Bench(
            processes,
            options.bench,
            options.product,
            options.python,
            options.repeats,
            options.scale,
            pathlib.Path(folder),
        )
        rows = measure_goals(bench, goals)
    if options.format == "json":
        print(report.document(rows, before))
    else:
        print(report.table(rows))
    failed = [row.goal.id for row in rows if not row.passed]
    if options.gate and failed:
        told(f"run.py: below the floor or without a figure: {', '.join(failed)}")
        return 1
    return 0


def main() -> int:
    """Runs, and stops everything it started whatever happens."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        return measure(arguments())
    except RunFailed as error:
        told(f"run.py: {error}")
        return 3
    except KeyboardInterrupt:
        told("run.py: interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
