"""Targets and verdicts: what the commands share that measure against an issue's table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness import BenchmarkError
from report import shown, table


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table of targets. ``spread`` is over the rounds; without ``met`` it is there to explain others."""

    name: str
    about: str
    spread: dict[str, float]
    digits: int = 2
    unit: str = ""
    target: str = ""
    met: bool | None = None
    note: str = ""


def at_least(least: float, spread: dict[str, float]) -> tuple[str, bool]:
    """A target and its verdict: by the median."""
    return f"≥ {least:.2f}", spread["median"] >= least


def at_most(most: float, spread: dict[str, float], unit: str) -> tuple[str, bool]:
    """Likewise."""
    return f"≤ {most:g} {unit}".rstrip(), spread["median"] <= most


class Measurement(Protocol):
    """Something that is started once and then measured once a round, in turn with the others."""

    def round(self, number: int) -> None:
        """Measure. Rounds are counted from 0."""

    def rows(self) -> list[Row]:
        """What came out, as lines of the table of targets."""

    def detail(self) -> tuple[dict[str, Any], str]:
        """All figures, and a table of them (or nothing)."""


def go_round(parts: list[Measurement], rounds: int) -> bool:
    """Measure all in turn. One that fails is taken out, and the others go on: says whether there was one."""
    failed = False
    for number in range(rounds):
        for part in list(parts):
            try:
                part.round(number)
            except (BenchmarkError, OSError) as error:
                print(f"{type(part).__name__}, round {number + 1}: {error}; its rows are left out", file=sys.stderr)
                parts.remove(part)
                failed = True
    return failed


def figures(row: Row) -> dict[str, Any]:
    """A line for the JSON file."""
    verdict = {} if row.met is None else {"target": row.target, "met": row.met}
    return {"about": row.about, "unit": row.unit, **row.spread, **verdict, "note": row.note}


def verdicts(rows: Sequence[Row]) -> str:
    """The table of targets."""
    lines = []
    for row in rows:
        verdict = "" if row.met is None else "met" if row.met else "**missed**"
        lines.append([row.name, row.about, f"{shown(row.spread, row.digits)} {row.unit}".rstrip(), row.target, verdict])
        lines[-1].append(row.note)
    return table(["row", "what", "median (least–greatest)", "target", "verdict", "note"], lines)
