"""Reads what Envoy's gRPC metrics sink sends: the filter's own metrics. Pure.

Whatever else a proxy sends, and whatever makes no sense, is left out: nothing that comes here may harm the control
plane.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from hfi_core.dataplane.histograms import Recorded
from hfi_core.dataplane.names import GAUGES, HISTOGRAMS, PREFIX
from hfi_xds import pb
from hfi_xds.session import MAX_TEXT

#: Envoy's gauge of whole seconds since its start.
UPTIME = "server.uptime"
#: Above it a float cannot hold every whole number; no counter gets there.
MAX_VALUE = float(2**53)
#: Envoy's default is 19.
MAX_BUCKETS = 200
_GAUGES = frozenset(PREFIX + name for name in GAUGES)
_HISTOGRAMS = frozenset(PREFIX + name for name in HISTOGRAMS)


@dataclass
class Report:
    """One message's metrics of the filter, by full name. ``uptime_seconds`` is the proxy's own, where it is told."""

    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Recorded] = field(default_factory=dict)
    uptime_seconds: float | None = None

    def __bool__(self) -> bool:
        """Whether there is anything of the filter's."""
        return bool(self.counters or self.gauges or self.histograms)


def read(families: Iterable[pb.MetricFamily]) -> Report:
    """What is HFI's in a message; an Envoy sends all that it has."""
    report = Report()
    for family in families:
        name = family.name
        if name == UPTIME:
            report.uptime_seconds = _gauge(family)
        elif not name.startswith(PREFIX) or len(name) > MAX_TEXT:
            continue
        elif family.type == pb.COUNTER:
            if (counted := _counter(family)) is not None:
                report.counters[name] = counted
        elif name in _GAUGES:
            if (now := _gauge(family)) is not None:
                report.gauges[name] = now
        elif name in _HISTOGRAMS and (recorded := _histogram(family)) is not None:
            report.histograms[name] = recorded
    return report


def _counter(family: pb.MetricFamily) -> int | None:
    values = [metric.counter.value for metric in family.metric if metric.HasField("counter")]
    return int(sum(values)) if values and all(0 <= value <= MAX_VALUE for value in values) else None


def _gauge(family: pb.MetricFamily) -> float | None:
    if family.type != pb.GAUGE:
        return None
    value = max((metric.gauge.value for metric in family.metric), default=math.nan)
    return value if 0 <= value <= MAX_VALUE else None


def _histogram(family: pb.MetricFamily) -> Recorded | None:
    if family.type != pb.HISTOGRAM or len(family.metric) != 1:
        return None
    histogram = family.metric[0].histogram
    if len(histogram.bucket) > MAX_BUCKETS or not 0 <= histogram.sample_sum < math.inf:
        return None
    buckets = [(bucket.upper_bound, bucket.cumulative_count) for bucket in histogram.bucket]
    bounds = [bound for bound, _ in buckets]
    counts = [0, *(count for _, count in buckets), histogram.sample_count]
    if any(math.isnan(bound) for bound in bounds) or bounds != sorted(bounds) or counts != sorted(counts):
        return None
    if histogram.sample_count > MAX_VALUE:
        return None
    return Recorded(histogram.sample_count, histogram.sample_sum, buckets)
