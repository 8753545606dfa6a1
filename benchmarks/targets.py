"""Targets and verdicts: what the commands share that measure against an issue's table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness import BenchmarkError
from report import arguments, publish, shown, table


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


def arguments_for(about: str, names: Sequence[str]) -> argparse.ArgumentParser:
    """The options of a command with rows of these names."""
    parser = arguments(about, rounds=5)
    parser.add_argument("--only", metavar="ROW,…", help="of: " + ", ".join(names))
    return parser


def asked(parser: argparse.ArgumentParser, names: Sequence[str]) -> argparse.Namespace:
    """What was asked for. ``only`` is a list of rows that there are, or None for all."""
    options = parser.parse_args()
    if options.only is not None:
        options.only = options.only.split(",")
        unknown = sorted(set(options.only) - set(names))
        if unknown:
            parser.error(f"no such row: {', '.join(unknown)}; there are: {', '.join(names)}")
    return options


def tell(
    name: str, options: argparse.Namespace, rows: Sequence[Row], details: Sequence[tuple[dict[str, Any], str]]
) -> None:
    """Print the table of targets and those of the parts, and write all figures where that was asked for."""
    results: dict[str, Any] = {row.name: _figures(row) for row in rows}
    for found, _ in details:
        results |= {f"detail: {part}": figure for part, figure in found.items()}
    publish(name, options, results, "\n\n".join([_verdicts(rows), *(text for _, text in details if text)]))


def _figures(row: Row) -> dict[str, Any]:
    """A line for the JSON file."""
    verdict = {} if row.met is None else {"target": row.target, "met": row.met}
    return {"about": row.about, "unit": row.unit, **row.spread, **verdict, "note": row.note}


def _verdicts(rows: Sequence[Row]) -> str:
    """The table of targets."""
    lines = []
    for row in rows:
        verdict = "" if row.met is None else "met" if row.met else "**missed**"
        lines.append([row.name, row.about, f"{shown(row.spread, row.digits)} {row.unit}".rstrip(), row.target, verdict])
        lines[-1].append(row.note)
    return table(["row", "what", "median (least–greatest)", "target", "verdict", "note"], lines)
