"""The filter's counters, summed over proxies that come, go and restart. Pure.

A proxy reports absolute values. One that restarts begins again at 0, and one that leaves takes nothing back:
the sums only grow, as a counter must.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hfi_core.dataplane.names import PREFIX, TOTALS, RuleKey, rule_key

#: Rules come and go; what their series cost is bounded. Further ones are summed as policy ``_other``.
MAX_RULE_SERIES = 20_000
OTHER = "_other"


@dataclass
class DataPlaneCounters:
    """Sums of what the proxies report. ``nodes`` holds each proxy's last absolute values, for the difference, and
    ``uptimes`` how long it had run by then, in seconds."""

    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOTALS, 0))
    rules: dict[RuleKey, int] = field(default_factory=dict)
    nodes: dict[str, dict[str, int]] = field(default_factory=dict)
    uptimes: dict[str, float] = field(default_factory=dict)

    def observe(self, node_id: str, counters: Mapping[str, int], uptime_seconds: float | None = None) -> None:
        """Take one report of a proxy: full metric names as Envoy sends them, absolute values.

        A proxy has restarted when a counter, or its uptime where it is told, has become smaller. The uptime is what
        tells of one that has counted beyond its old values before its first report.
        """
        last = self.nodes.setdefault(node_id, {})
        smaller = any(value < last.get(name, 0) for name, value in counters.items())
        if smaller or (uptime_seconds is not None and uptime_seconds < self.uptimes.get(node_id, 0)):
            last.clear()
        if uptime_seconds is not None:
            self.uptimes[node_id] = uptime_seconds
        for full_name, value in counters.items():
            if full_name.startswith(PREFIX):
                grown = value - last.get(full_name, 0)
                last[full_name] = value
                self._add(full_name.removeprefix(PREFIX), grown)

    def forget(self, node_id: str) -> None:
        """A proxy has gone for good; its sums stay."""
        self.nodes.pop(node_id, None)
        self.uptimes.pop(node_id, None)

    def _add(self, name: str, grown: int) -> None:
        if name in self.totals:
            self.totals[name] += grown
            return
        key = rule_key(name)
        if key is None or grown == 0:
            return
        if key not in self.rules and len(self.rules) >= MAX_RULE_SERIES:
            key = RuleKey(key.what, OTHER, OTHER, key.kind)
        self.rules[key] = self.rules.get(key, 0) + grown
