# SPDX-License-Identifier: Apache-2.0
"""Rows as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

from .figures import Spread
from .goals import ABSOLUTE, Bounds, Row
from .processes import Measurement

HEADINGS = [
    "goal",
    "what",
    "peer",
    "peer's",
    "ours",
    "unit",
    "ratio",
    "A/A",
    "cpu us/item peer, ours",
    "floor",
    "goal",
    "verdict",
]


def number(value: float | None) -> str:
    """Three or four digits that matter, thousands as k and M."""
    if value is None:
        return "-"
    for limit, divisor, unit in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / divisor:.3g}{unit}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ranged(value: Spread | None) -> str:
    """A median and its range."""
    return f"{value.median:.2f} ({value.low:.2f}-{value.high:.2f})" if value else "-"


def bounded(bounds: Bounds | None) -> tuple[str, str]:
    """A floor and a goal, with their direction."""
    if bounds is None:
        return "-", "-"
    sign = "<=" if bounds.lower_is_better else ">="
    return f"{sign} {bounds.floor:g}", f"{sign} {bounds.target:g}"


def cells(row: Row) -> list[str]:
    """One line of the table."""
    goal = row.goal
    peer = "-" if goal.peer.name == ABSOLUTE else number(row.peer)
    cpu = "-" if goal.cpu is None else f"{number(row.peer_cpu)}, {number(row.ours_cpu)}"
    figures = [peer, number(row.ours), goal.unit, ranged(row.ratio), ranged(row.same), cpu]
    return [goal.id, goal.title, goal.peer.name, *figures, *bounded(goal.bounds), row.verdict]


def table(rows: list[Row]) -> str:
    """All rows, in columns."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def row_json(row: Row) -> dict[str, Any]:
    """One row for programs."""
    return {
        "goal": row.goal.id,
        "title": row.goal.title,
        "unit": row.goal.unit,
        "peer": row.goal.peer.name,
        "peer_median": row.peer,
        "ours_median": row.ours,
        "ratio": vars(row.ratio) if row.ratio else None,
        "same": vars(row.same) if row.same else None,
        "peer_cpu_us": row.peer_cpu,
        "ours_cpu_us": row.ours_cpu,
        "bounds": vars(row.goal.bounds) if row.goal.bounds else None,
        "verdict": row.verdict,
        "passed": row.passed,
    }


def document(rows: list[Row], machine: Measurement) -> str:
    """The whole result as one JSON object."""
    return json.dumps({"machine": machine, "rows": [row_json(row) for row in rows]}, indent=2)
