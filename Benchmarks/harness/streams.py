# SPDX-License-Identifier: Apache-2.0
"""From the stream of a table to a function that does nothing, counted at the stream and in the store."""

from __future__ import annotations

import contextlib
import sqlite3

from . import ours
from .bench import Bench, Stream
from .experiments import Experiment, Told, subjects_in_turn
from .figures import Rounds
from .processes import Measurement, RunFailed

SHARDS = 4
BATCH = 1000
RECORDS = 2_000_000


def last_number(shard: int, records: int) -> str:
    """The sequence number of the last record of a shard, when all have so many in all."""
    count = records // SHARDS + (shard < records % SHARDS)
    return f"1{shard:08}{count - 1:012}"


def check_store(path: str, records: int) -> None:
    """Fails unless the checkpoint of each shard is its last record."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        kept = sorted(position for (position,) in store.execute("SELECT position FROM checkpoints"))
    expected = [last_number(shard, records) for shard in range(SHARDS)]
    if kept != expected:
        raise RunFailed(f"the checkpoints are {', '.join(kept) or 'none'}, not {', '.join(expected)}")


def check_given(stream: Stream, records: int) -> None:
    """Fails unless the stream has given each record once."""
    given = int(stream.stats()["given"])
    if given != records:
        raise RunFailed(f"the stream gave {given} records, not {records}")


def libcurl(bench: Bench, records: int) -> Measurement:
    """C libcurl reads the pages."""
    stream = bench.stream(records, SHARDS)
    command = [bench.peer("streams_client"), "--endpoint", stream.url, "--shards", str(SHARDS)]
    result = bench.processes.measure([*command, "--records", str(records)])
    check_given(stream, records)
    stream.server.stop()
    return result


def penstock(bench: Bench, records: int) -> Measurement:
    """The real pipeline reads them, and keeps how far it came."""
    stream = bench.stream(records, SHARDS)
    store = bench.path("store.db")
    result = ours.streams(bench, stream, "discard", BATCH, store)
    check_given(stream, records)
    check_store(store, records)
    stream.server.stop()
    return result


def stream(bench: Bench, told: Told) -> Rounds:
    """Both read all of a new stream."""
    records = bench.scaled(RECORDS)
    return subjects_in_turn(
        bench,
        told,
        {"C libcurl": lambda: libcurl(bench, records), "ours": lambda: penstock(bench, records)},
    )


EXPERIMENTS: dict[str, Experiment] = {"stream": stream}
