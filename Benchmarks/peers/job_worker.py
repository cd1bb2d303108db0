#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A worker of a job queue that listens on Postgres: procrastinate or pgqueuer, each with the settings that suit it best.

    job_worker.py --queue pgqueuer --database URL --create           makes its tables, and prints {"created": true}
    job_worker.py --queue pgqueuer --database URL --out FILE         prints {"working": true}, and works until SIGTERM

A job writes the `id` of its payload to FILE by one write(2), and is deleted when it is done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from typing import Any


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--queue", choices=["pgqueuer", "procrastinate"], required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--create", action="store_true")
    parser.add_argument("--out", default="/dev/null")
    parser.add_argument("--at-once", type=int, default=20, help="jobs that are in hand at once, or in a batch")
    return parser.parse_args()


def say(key: str) -> None:
    """Tells the driver."""
    print(json.dumps({key: True}), flush=True)


def opened(path: str) -> int:
    """A file to which lines are added."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


async def procrastinate(options: argparse.Namespace) -> None:
    """Its worker takes one job a statement, and finishes each by another one; a pool of connections is shared by all."""
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=options.database, min_size=1, max_size=10))
    async with app.open_async():
        if options.create:
            await app.schema_manager.apply_schema_async()
            return say("created")
        out = opened(options.out)

        @app.task(name="work", queue="default")
        async def work(payload: str) -> None:
            os.write(out, b"%d\n" % json.loads(payload)["id"])

        worker = asyncio.create_task(
            app.run_worker_async(
                concurrency=options.at_once, delete_jobs="always", install_signal_handlers=False, wait=True
            )
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.cancel)
        await asyncio.sleep(1)
        say("working")
        try:
            await worker
        except asyncio.CancelledError:
            pass


async def pgqueuer(options: argparse.Namespace) -> None:
    """Its worker takes jobs in batches, and finishes them in batches."""
    import asyncpg
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(options.database)
    driver = AsyncpgDriver(connection)
    if options.create:
        await Queries(driver).install()
        await connection.close()
        return say("created")
    out = opened(options.out)
    queue = PgQueuer(driver)

    @queue.entrypoint("work")
    async def work(job: Any) -> None:
        os.write(out, b"%d\n" % json.loads(job.payload)["id"])

    def end() -> None:
        queue.qm.shutdown.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    worker = asyncio.create_task(queue.qm.run(batch_size=options.at_once))
    await asyncio.sleep(1)
    say("working")
    await worker


def main() -> int:
    """Runs the worker; exit 3 when its library is not there."""
    options = arguments()
    try:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run((pgqueuer if options.queue == "pgqueuer" else procrastinate)(options))
    except ImportError as error:
        print(f"{error}; install Benchmarks/requirements.txt, as scripts/bench does", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
