# SPDX-License-Identifier: Apache-2.0
"""A Postgres server of the run: made for it, durable as by default, on a folder of the disk, and gone at its end."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .bench import Bench
from .processes import RunFailed, stop

START_SECONDS = 60.0
SQL_SECONDS = 120.0


def program(name: str) -> str:
    """The path of a program of the newest server that is installed."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    if not found:
        raise RunFailed(f"there is no {name} in /usr/lib/postgresql (apt install postgresql)")
    return str(found[-1])


def as_its_user(folder: pathlib.Path) -> list[str]:
    """What to put before a command of the server: it refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError as error:
        raise RunFailed("the server does not run as root, and there is no user postgres") from error
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@dataclass
class Database:
    """A running server."""

    url: str

    def run(self, sql: str) -> str:
        """What psql prints: a line for each row, with | between columns."""
        command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", sql]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SQL_SECONDS)
        if result.returncode != 0:
            raise RunFailed(f"psql: {' '.join(result.stderr.split())[:200]}")
        return result.stdout.strip()

    def is_empty(self, table: str) -> bool:
        """Whether a table has no row."""
        return self.run(f"SELECT NOT EXISTS (SELECT FROM {table})") == "t"

    def wait_until_empty(self, table: str, seconds: float) -> None:
        """Waits until a table has no row."""
        deadline = time.monotonic() + seconds
        while not self.is_empty(table):
            if time.monotonic() > deadline:
                left = self.run(f"SELECT count(*) FROM {table}")
                raise RunFailed(f"after {seconds:.0f} s {left} rows are left in {table}")
            time.sleep(0.01)

    def drop_slot(self, name: str) -> None:
        """Drops a replication slot once its reader has left it."""
        deadline = time.monotonic() + 30
        while self.run(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{name}'") == "t":
            if time.monotonic() > deadline:
                raise RunFailed(f"the slot {name} is still read")
            time.sleep(0.05)
        self.run(f"SELECT pg_drop_replication_slot('{name}')")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def database(bench: Bench) -> Iterator[Database]:
    """Makes and starts a server."""
    # Where its own user may look, and on a disk: /tmp may be memory.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-bench-", dir="/var/tmp"))
    process = None
    try:
        prefix = as_its_user(folder)
        data, port = str(folder / "data"), free_port()
        made = subprocess.run(
            [*prefix, program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise RunFailed(f"initdb: {' '.join(made.stderr.split())[-200:]}")
        settings = ["listen_addresses=127.0.0.1", "wal_level=logical", "shared_buffers=256MB", "max_wal_size=4GB"]
        command = [*prefix, program("postgres"), "-D", data, "-p", str(port), "-k", str(folder)]
        with open(folder / "log", "w", encoding="utf-8") as log:
            process = bench.processes.start(
                command + [part for setting in settings for part in ("-c", setting)],
                out=log.fileno(),
                err=log.fileno(),
            )
        result = Database(f"postgresql://postgres@127.0.0.1:{port}/postgres")
        deadline = time.monotonic() + START_SECONDS
        while "ready to accept" not in (folder / "log").read_text(encoding="utf-8"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RunFailed("postgres does not start")
            time.sleep(0.05)
        yield result
    finally:
        if process is not None:
            # A fast shutdown does not wait for sessions; SIGTERM would.
            process.send_signal(2)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            stop(process)
        shutil.rmtree(folder, ignore_errors=True)
