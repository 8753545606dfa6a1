"""The filter's gauges: how it is now with the proxies that report. Pure.

A gauge speaks of the present, so it leaves with the stream on which it was reported: what a proxy said before it went
away is not true any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hfi_core.dataplane.names import GAUGES, PREFIX


@dataclass
class DataPlaneGauges:
    """``nodes`` holds each proxy's last values and the stream that they came by."""

    nodes: dict[str, tuple[object, dict[str, float]]] = field(default_factory=dict)

    def observe(self, node_id: str, gauges: Mapping[str, float], stream: object = None) -> None:
        """Take one report of a proxy: full metric names. ``stream`` is whatever tells one stream from the next."""
        known = {
            name: gauges[PREFIX + name] for name in GAUGES if PREFIX + name in gauges
        }  # A report of many stats comes in parts, so one without a gauge says nothing of it.
        if known:
            last_stream, last = self.nodes.get(node_id, (stream, {}))
            self.nodes[node_id] = (stream, {**last, **known} if last_stream is stream else known)

    def ended(self, node_id: str, stream: object) -> None:
        """A stream has ended. The proxy may report by another one already."""
        if node_id in self.nodes and self.nodes[node_id][0] is stream:
            del self.nodes[node_id]

    def forget(self, node_id: str) -> None:
        """A proxy has gone for good."""
        self.nodes.pop(node_id, None)

    @property
    def active_delays(self) -> int:
        """Requests that wait, over all proxies."""
        return int(sum(self._values("active_delays")))

    @property
    def snapshot_age_seconds(self) -> float | None:
        """Since the proxy that has heard from its control plane the longest ago did so; None when none reports."""
        return max(self._values("snapshot_age_seconds"), default=None)

    def _values(self, name: str) -> Iterator[float]:
        return (values[name] for _, values in self.nodes.values() if name in values)
