"""Single values, in the words of a person. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def percentage(value: float) -> str:
    """``25%``, ``0.5%``: without zeros that say nothing."""
    return f"{value:.4f}".rstrip("0").rstrip(".") + "%"


def proxies(selector: Mapping[str, Any]) -> str:
    """``cluster checkout, track=canary``; ``all`` for an empty selector."""
    parts = [f"cluster {selector['cluster']}"] if "cluster" in selector else []
    parts += [f"{key}={value}" for key, value in selector.get("labels", {}).items()]
    return ", ".join(parts) or "all"


def labels(of: Mapping[str, str]) -> str:
    """``k=v,k2=v2``; ``-`` for none."""
    return ",".join(f"{key}={value}" for key, value in sorted(of.items())) or "-"


def moment(unix_ms: int) -> str:
    """A time in UTC, to the second."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(ms: float | None) -> str:
    """A duration in the unit that reads best; ``-`` for none."""
    if ms is None:
        return "-"
    if ms < 1000:
        return f"{ms:.0f}ms"
    seconds = ms / 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}{_rest(seconds % size, unit)}"
    return f"{seconds:.1f}s"


def _rest(seconds: float, above: str) -> str:
    size, unit = {"d": (3_600, "h"), "h": (60, "m"), "m": (1, "s")}[above]
    return f"{int(seconds // size)}{unit}" if seconds >= size else ""
