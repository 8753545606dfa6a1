"""What the filters report of themselves, put together over the proxies. Pure.

Each module here knows one way of putting together: counters only grow, gauges leave with their proxy, histograms are
added up.
"""

from dataclasses import dataclass, field

from hfi_core.dataplane.counters import DataPlaneCounters
from hfi_core.dataplane.gauges import DataPlaneGauges
from hfi_core.dataplane.histograms import DataPlaneHistograms


@dataclass
class DataPlane:
    """All of it, for one replica."""

    counters: DataPlaneCounters = field(default_factory=DataPlaneCounters)
    gauges: DataPlaneGauges = field(default_factory=DataPlaneGauges)
    histograms: DataPlaneHistograms = field(default_factory=DataPlaneHistograms)

    def forget(self, node_id: str) -> None:
        """A proxy has gone for good; what it counted stays."""
        self.counters.forget(node_id)
        self.gauges.forget(node_id)


__all__ = ["DataPlane", "DataPlaneCounters", "DataPlaneGauges", "DataPlaneHistograms"]
