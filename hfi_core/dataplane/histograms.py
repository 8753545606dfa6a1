"""The filter's histograms, added up over proxies and over time. Pure.

Envoy reports a histogram as what was recorded since its last report (tried on 1.40), so each report is added, and
what a proxy recorded while nobody listened is not in the sums.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hfi_core.dataplane.names import HISTOGRAMS, PREFIX

#: Upper bounds, inclusive, of Envoy's own default buckets. An Envoy whose ``histogram_bucket_settings`` say otherwise
#: is read in these: each of its buckets goes to the first of ours that holds it.
BOUNDS = (
    *(0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0),
    *(300_000.0, 600_000.0, 1_800_000.0, 3_600_000.0),
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded in one interval. ``buckets``: upper bounds, ascending, each with how many were no larger."""

    count: int
    total: float
    buckets: Sequence[tuple[float, int]]


@dataclass
class Histogram:
    """A sum of intervals. ``counts`` has one number for each of :data:`BOUNDS`, and one for what is above them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, recorded: Recorded) -> None:
        """Add one interval."""
        below = 0
        for bound, cumulative in recorded.buckets:
            self.counts[bisect_left(BOUNDS, bound)] += cumulative - below
            below = cumulative
        self.counts[-1] += recorded.count - below
        self.total += recorded.total

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts)

    @property
    def cumulative(self) -> list[tuple[float, int]]:
        """For each of :data:`BOUNDS`, how many values were no larger."""
        found, below = [], 0
        for bound, count in zip(BOUNDS, self.counts, strict=False):
            below += count
            found.append((bound, below))
        return found


@dataclass
class DataPlaneHistograms:
    """The filter's histograms by their short name (:data:`~hfi_core.dataplane.names.HISTOGRAMS`)."""

    by_name: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in HISTOGRAMS})

    def observe(self, histograms: Mapping[str, Recorded]) -> None:
        """Take one report: full metric names."""
        for name, histogram in self.by_name.items():
            if PREFIX + name in histograms:
                histogram.add(histograms[PREFIX + name])
