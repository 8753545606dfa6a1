"""Rules, in the words of a person: one line for a match, one for a fault. Pure.

Reads the wire form of rules, of any server: what is not known is shown as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def match(of: Mapping[str, Any]) -> str:
    """``POST prefix /checkout, x-user-group exact beta``; ``every request`` for an empty match."""
    parts = []
    method = of.get("method", {}).get("exact")
    path = " ".join(f"{kind} {value}" for kind, value in of.get("path", {}).items())
    first = " ".join(part for part in (method, path) if part)
    if first:
        parts.append(first)
    parts += [_header(header) for header in of.get("headers", ())]
    parts += [f"{key} {_compact(value)}" for key, value in of.items() if key not in ("method", "path", "headers")]
    return ", ".join(parts) or "every request"


def _header(of: Mapping[str, Any]) -> str:
    negation = "not " if of.get("invert") else ""
    if "present" in of:
        return f"{negation}{of.get('name')} {'present' if of['present'] else 'absent'}"
    how = " ".join(f"{kind} {value}" for kind, value in of.items() if kind not in ("name", "invert"))
    return f"{negation}{of.get('name')} {how}"


def fault(of: Mapping[str, Any]) -> str:
    """``25%: delay 250ms, then abort 503``."""
    parts = []
    if of.get("start_delay_ms"):
        parts.append(f"wait {of['start_delay_ms']}ms")
    if "delay" in of:
        parts.append(f"delay {of['delay'].get('fixedDelay')}{_share(of['delay'])}")
    if "abort" in of:
        parts.append(f"abort {of['abort'].get('httpStatus')}{_share(of['abort'])}")
    known = ("percentage", "delay", "abort", "start_delay_ms", "duration_seconds")
    parts += [f"{key} {_compact(value)}" for key, value in of.items() if key not in known]
    return f"{percentage(of.get('percentage', 100))}: {', then '.join(parts)}"


def _share(part: Mapping[str, Any]) -> str:
    return f" (in {percentage(part['percentage'])} of these)" if "percentage" in part else ""


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


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
