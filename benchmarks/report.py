"""Figures: percentiles, ratios within a round, the table, the JSON file."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import machine


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was measured, never one in between."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(mine: Sequence[float], peer: Sequence[float]) -> dict[str, float]:
    """The spread of round-by-round ratios: what one round has in common (a busy machine) cancels out."""
    return spread([a / b for a, b in zip(mine, peer, strict=True)])


def shown(value: dict[str, float], digits: int = 2) -> str:
    """``median (min–max)``."""
    return f"{value['median']:.{digits}f} ({value['min']:.{digits}f}–{value['max']:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with padded columns, so that it reads well in a terminal and in the docs."""
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    lines = ["| " + " | ".join(row) + " |" for row in padded]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def arguments(about: str, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="how often everything is measured in turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, with the raw ones")
    return parser


def publish(name: str, options: argparse.Namespace, results: dict[str, Any], text: str) -> None:
    """Print the table with where it was taken, and write the JSON when it was asked for."""
    where = machine()
    print(f"\n{name}: {where['date']}, {where['processors']} × {where['processor']}, load {where['load_before']:.1f}\n")
    print(text)
    if options.json is not None:
        asked = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
        whole = {"benchmark": name, "machine": where, "options": asked, "results": results}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")
