# SPDX-License-Identifier: Apache-2.0
"""Rows as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

from .figures import Spread
from .goals import Row
from .processes import Measurement

HEADINGS = [
    "goal", "what", "peer", "peer's", "ours", "unit", "ratio", "A/A", "cpu us/item peer, ours", "floor", "goal", "verdict"
]


def number(value: float | None) -> str:
    """Three or four digits that matter, thousands as k and M."""
    if value is None:
        return "-"
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e6 if unit == 'M' else 1e3):.3g}{unit}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ranged(value: Spread | None) -> str:
    """A median and its range."""
    return f"{value.median:.2f} ({value.low:.2f}-{value.high:.2f})" if value else "-"


def bound(value: float | None, lower_is_better: bool) -> str:
    """A floor or a goal, with its direction."""
    return "-" if value is None else f"{'<=' if lower_is_better else '>='} {value:g}"


def cells(row: Row) -> list[str]:
    """One line of the table."""
    goal = row.goal
    cpu = "-" if goal.cpu is None else f"{number(row.peer_cpu)}, {number(row.ours_cpu)}"
    return [
        goal.id, goal.title, goal.peer_name, number(row.peer), number(row.ours), goal.unit, ranged(row.ratio),
        ranged(row.same), cpu, bound(goal.floor, goal.lower_is_better), bound(goal.target, goal.lower_is_better),
        row.verdict,
    ]


def table(rows: list[Row]) -> str:
    """All rows, in columns."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def row_json(row: Row) -> dict[str, Any]:
    """One row for programs."""
    return {
        "goal": row.goal.id, "title": row.goal.title, "unit": row.goal.unit, "peer": row.goal.peer_name,
        "peer_median": row.peer, "ours_median": row.ours,
        "ratio": vars(row.ratio) if row.ratio else None, "same": vars(row.same) if row.same else None,
        "peer_cpu_us": row.peer_cpu, "ours_cpu_us": row.ours_cpu,
        "floor": row.goal.floor, "target": row.goal.target, "lower_is_better": row.goal.lower_is_better,
        "verdict": row.verdict, "passed": row.passed,
    }


def document(rows: list[Row], sections: dict[str, Measurement], machine: Measurement) -> str:
    """The whole result as one JSON object."""
    return json.dumps({"machine": machine, "rows": [row_json(row) for row in rows], "sections": sections}, indent=2)


def section(title: str, values: Measurement) -> str:
    """A section that is no ratio, as lines."""
    lines = [title]
    for name, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number(one) if isinstance(one, float) else one}" for key, one in value.items())
        lines.append(f"  {name}: {value}")
    return "\n".join(lines)
