"""The filters' metrics, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.text import Text

from hfi_cli import words
from hfi_cli.console import out, row, table

if TYPE_CHECKING:
    from hfi_cli.answers import HistogramMetrics, Metrics


def show(found: Metrics) -> None:
    """Print what the filters have counted, and how the control plane is."""
    console = out()
    totals = table("REQUESTS", "RULES MATCHED", "FAULTS INJECTED", "WAITING NOW", "ERRORS")
    errors = found["errors"]
    shown = Text(str(errors), "red") if errors else str(errors)
    row(
        totals,
        *(found["total_requests"], found["rules_matched"], found["faults_injected"], found["active_delays"]),
        shown,
    )
    console.print(totals)
    made = table("POLICY", "RULE", "MATCHED", "INJECTED", "SHADOWED", "SKIPPED")
    for rule in found["rules"]:
        by_kind = (counts(rule["injected"]), counts(rule["shadowed"]), counts(rule["skipped"]))
        row(made, rule["policy"], rule["rule"], rule["matched"], *by_kind)
    if made.row_count:
        console.print()
        console.print(made)
    console.print()
    if found["delay_ms"]["count"]:
        console.print(delays(found["delay_ms"]))
    plane = found["control_plane"]
    proxies = plane.get("proxies", {})
    console.print(
        f"Control plane {plane.get('version')}: policies {plane.get('policies')}, at version "
        f"{plane.get('snapshot_version')}; proxies connected {proxies.get('connected', 0)}; "
        f"store heard of {words.span(plane.get('feed_age_ms'))} ago."
    )
    for name, why in (plane.get("policies_broken") or {}).items():
        console.print(Text(f"The stored policy {name} cannot be read and is left out: {why}", "red"))


def counts(of: Mapping[str, int]) -> str | None:
    """``abort 3, delay 12``: the largest first; None for none."""
    largest_first = sorted(of.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in largest_first if count) or None


def delays(of: HistogramMetrics) -> str:
    """``Delays injected: 9; half up to 250ms, 99% up to 1.0s.`` What buckets can tell is an upper bound."""
    half, most = (_bound(of, share) for share in (0.5, 0.99))
    return f"Delays injected: {of['count']}; half {half}, 99% {most}."


def _bound(of: HistogramMetrics, share: float) -> str:
    for bucket in of["buckets"]:
        if bucket["count"] >= share * of["count"]:
            return f"up to {words.span(bucket['le'])}"
    return f"above {words.span(of['buckets'][-1]['le'])}" if of["buckets"] else "unknown"
