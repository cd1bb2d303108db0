# SPDX-License-Identifier: Apache-2.0
"""Tables of Postgres as queues, beside job queues in Python; and notifications. Rows are counted at the sink."""

from __future__ import annotations

import os
import pathlib
import signal
import time

from . import ours, product
from .bench import BENCHMARKS, Bench
from .database import Database, database
from .experiments import Experiment, Told, subjects_in_turn
from .figures import Rounds
from .processes import Measurement, RunFailed, Server, last_json_line, stop

ROWS = 100_000
BATCH = 100
IN_FLIGHT = 8
ROW_NEEDLE = '"eventID":'
PATIENCE = 120.0
NEARLY = 0.99

# 80 bytes each, all different: equal ones of a transaction are one.
NOTIFICATIONS = 1_000_000
KEPT_NOTIFICATIONS = 50_000
PER_TRANSACTION = 1000
CHANGES = 500_000
INSERT = """
DO $$ BEGIN FOR i IN 0..{last} LOOP
    INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(i * {size} + 1, least((i + 1) * {size}, {count})) n;
    COMMIT;
END LOOP; END $$
"""
NOTIFY = """
DO $$ BEGIN FOR i IN 0..{last} LOOP
    PERFORM pg_notify('bench', lpad(n::text, 80, '.')) FROM generate_series(i * {size} + 1, least((i + 1) * {size}, {count})) n;
    COMMIT;
END LOOP; END $$
"""

# What inserts jobs as a client of each queue would, all in one transaction; and where they are until they are done.
JOB_TABLES = {
    "procrastinate": (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
        " SELECT 'default', 'work', jsonb_build_object('payload', {payload}) FROM generate_series(1, {count}) n",
        "procrastinate_jobs",
    ),
    "pgqueuer": (
        "INSERT INTO pgqueuer (priority, entrypoint, payload, status)"
        " SELECT 0, 'work', convert_to({payload}, 'UTF8'), 'queued' FROM generate_series(1, {count}) n",
        "pgqueuer",
    ),
}
# As many as take some seconds, and the settings with which each was fastest.
JOBS = {"procrastinate": (1000, 20), "pgqueuer": (20_000, 1000)}
PAYLOAD = """'{"id": ' || n || ', "status": "paid", "note": "' || repeat('x', 60) || '"}'"""


def jobs(bench: Bench, server: Database, queue: str) -> Measurement:
    """A worker of a job queue in Python, whose job writes a line to a file; the clock runs from the commit of the inserts."""
    lines = pathlib.Path(bench.path("jobs"))
    lines.touch()
    command = [bench.python, str(BENCHMARKS / "peers" / "job_worker.py"), "--queue", queue]
    count, at_once = bench.scaled(JOBS[queue][0]), JOBS[queue][1]
    command += ["--database", server.url, "--at-once", str(at_once)]
    worker = bench.processes.serve([*command, "--out", str(lines)])
    insert, table = JOB_TABLES[queue]
    try:
        before = product.cpu_seconds(worker.process.pid)
        server.run(insert.format(payload=PAYLOAD, count=count))
        started = time.monotonic()
        # The table is looked at when nearly all jobs are done: a look reads what was deleted.
        while lines.read_bytes().count(b"\n") < NEARLY * count and time.monotonic() - started < PATIENCE:
            time.sleep(0.05)
        server.wait_until_empty(table, PATIENCE)
        seconds = time.monotonic() - started
        cpu = product.cpu_seconds(worker.process.pid) - before
    finally:
        worker.stop()
    done = lines.read_text(encoding="utf-8").split()
    if len(done) != count or len(set(done)) != count:
        raise RunFailed(f"{queue}: of {count} jobs {len(set(done))} were done, {len(done)} times in all")
    return {"records_per_second": count / seconds, "cpu_us_per_record": 1e6 * cpu / count}


def outbox(bench: Bench, server: Database, rows: int) -> Measurement:
    """`penstock run` with an outbox table, to an HTTP sink; the clock runs from the commit of the inserts."""
    sink = bench.sink("--needle", ROW_NEEDLE)
    source = {"postgres": {"outbox": {"url": server.url, "table": "outbox"}}}
    trigger = {"source": source, "function": "sink", "batch": {"size": BATCH, "window": "0s"}, "concurrency": IN_FLIGHT}
    listens = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'LISTEN%penstock_%'"
    with product.running(bench, sink, {"load": trigger}, in_flight=IN_FLIGHT) as penstock:
        penstock.wait("doorbell", product.START_SECONDS, lambda: server.run(listens) == "t", pause=0.1)
        before = product.cpu_seconds(penstock.process.pid)
        server.run(f"INSERT INTO outbox (payload) SELECT {PAYLOAD} FROM generate_series(1, {rows}) n")
        started = time.monotonic()
        penstock.wait_for_records(sink, int(NEARLY * rows), pause=0.05)
        server.wait_until_empty("outbox", PATIENCE)
        seconds = time.monotonic() - started
        cpu = product.cpu_seconds(penstock.process.pid) - before
    arrived = int(sink.stats()["records"])
    sink.server.stop()
    if arrived != rows:
        raise RunFailed(f"of {rows} rows {arrived} reached the function")
    return {"records_per_second": rows / seconds, "cpu_us_per_record": 1e6 * cpu / rows}


def make_tables(bench: Bench, server: Database) -> None:
    """The outbox table by our own command, the others by theirs."""
    product.command(bench, "postgres", "init-outbox", "outbox", "--apply", environment={"DATABASE_URL": server.url})
    for queue in JOB_TABLES:
        command = [bench.python, str(BENCHMARKS / "peers" / "job_worker.py"), "--queue", queue]
        bench.processes.measure([*command, "--database", server.url, "--create"])


def tables(bench: Bench, told: Told) -> Rounds:
    """Ours with as many rows as take some seconds, the others with as many jobs."""
    rows = bench.scaled(ROWS)
    with database(bench) as server:
        make_tables(bench, server)
        return subjects_in_turn(
            bench,
            told,
            {
                "pgqueuer": lambda: jobs(bench, server, "pgqueuer"),
                "procrastinate": lambda: jobs(bench, server, "procrastinate"),
                "ours": lambda: outbox(bench, server, rows),
            },
        )


def notify(server: Database, count: int) -> None:
    """Sends so many notifications."""
    last = (count - 1) // PER_TRANSACTION
    server.run(NOTIFY.format(last=last, size=PER_TRANSACTION, count=count))


def received(server: Database, listener: Server, count: int, stands_still: bool) -> Measurement:
    """What a listener says when it has got all of so many notifications.

    It stands still while they are sent, so that the server has all of them at hand, and none of its processors sends.
    """
    process = listener.process
    if stands_still:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        notify(server, count)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    out, _ = process.communicate(timeout=PATIENCE)
    result = last_json_line("the listener", out)
    if int(result["records"]) != count:
        raise RunFailed(f"of {count} notifications {result['records']} came")
    return result


def listen(bench: Bench, server: Database, peer: bool, count: int) -> Measurement:
    """Notifications that are counted as they come."""
    arguments = ["--database", server.url, "--notifications", str(count)]
    command = [bench.peer("listen_client")] if peer else [ours.program(bench), "listen", "--function", "count"]
    listener = bench.processes.serve([*command, *arguments])
    try:
        return received(server, listener, count, stands_still=True)
    finally:
        stop(listener.process)


def keep(bench: Bench, server: Database, count: int) -> Measurement:
    """Notifications through the real pipeline: each in the store before a function that answers at once gets it."""
    command = [ours.program(bench), "listen", "--function", "discard", "--store", bench.path("store.db")]
    listener = bench.processes.serve([*command, "--database", server.url, "--notifications", str(count)])
    try:
        return received(server, listener, count, stands_still=False)
    finally:
        stop(listener.process)


def notifications(bench: Bench, told: Told) -> Rounds:
    """Both on the same server."""
    count, kept = bench.scaled(NOTIFICATIONS), bench.scaled(KEPT_NOTIFICATIONS)
    with database(bench) as server:
        return subjects_in_turn(
            bench,
            told,
            {
                "C libpq": lambda: listen(bench, server, True, count),
                "ours": lambda: listen(bench, server, False, count),
                "ours, kept": lambda: keep(bench, server, kept),
            },
        )


def slot(server: Database, name: str) -> None:
    """A slot that begins where the rows begin: a copy of the one that was made before them, and that nobody reads."""
    server.run(f"SELECT pg_copy_logical_replication_slot('template', '{name}')")


def replay(bench: Bench, server: Database, rows: int) -> Measurement:
    """C libpq reads all changes from a slot of its own."""
    slot(server, "peer")
    command = [bench.peer("replication_client"), "--database", server.url + "?replication=database", "--slot", "peer"]
    result = bench.processes.measure([*command, "--rows", str(rows)])
    server.drop_slot("peer")
    return result


def changes(bench: Bench, server: Database, rows: int) -> Measurement:
    """The real pipeline reads them, and the slot has moved on to where the other one is in the end."""
    slot(server, "ours")
    command = [ours.program(bench), "changes", "--database", server.url, "--slot", "ours"]
    result = bench.processes.measure([*command, "--rows", str(rows), "--store", bench.path("store.db")])
    begun = "SELECT confirmed_flush_lsn >= pg_lsn '{0}' FROM pg_replication_slots WHERE slot_name = 'ours'"
    if server.run(begun.format(server.run("SELECT lsn FROM bench_end"))) != "t":
        raise RunFailed("the slot was not moved on to the last row")
    server.drop_slot("ours")
    return result


def replication(bench: Bench, told: Told) -> Rounds:
    """Rows of about 130 B that were inserted 1000 a transaction, read again and again."""
    rows = bench.scaled(CHANGES)
    with database(bench) as server:
        server.run("CREATE TABLE t (id bigint PRIMARY KEY, payload text); CREATE TABLE bench_end (lsn pg_lsn)")
        server.run("CREATE PUBLICATION bench FOR TABLE t")
        server.run("SELECT pg_create_logical_replication_slot('template', 'pgoutput')")
        last = (rows - 1) // PER_TRANSACTION
        server.run(INSERT.format(last=last, size=PER_TRANSACTION, count=rows))
        server.run("INSERT INTO bench_end SELECT pg_current_wal_insert_lsn()")
        return subjects_in_turn(
            bench,
            told,
            {"C libpq": lambda: replay(bench, server, rows), "ours": lambda: changes(bench, server, rows)},
        )


EXPERIMENTS: dict[str, Experiment] = {
    "tables": tables,
    "notifications": notifications,
    "replication": replication,
}
