"""The gauges and counters that HFI shows, collected at the moment of the question. ``METRICS.md`` is their API.

Nothing is counted here: the numbers are read from the objects that own them, so that none can disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hfi_core.dataplane import DataPlaneCounters
from hfi_core.feed import Feed
from hfi_core.proxies import ProxyRegistry

_TOTALS = {
    "total_requests": ("hfi_requests", "Requests that filters have seen."),
    "rules_matched": ("hfi_rules_matched", "Rules that matched a request, whether they fired or not."),
    "faults_injected": ("hfi_faults_injected", "Requests into which a fault was injected."),
    "errors": ("hfi_errors", "Rules left out, snapshots refused and polls that failed, in filters."),
}
_RULES = {
    "matched": ("hfi_rule_matched", "Requests that a rule matched."),
    "injected": ("hfi_rule_injected", "Faults that a rule injected."),
    "shadowed": ("hfi_rule_shadowed", "Faults that a rule in shadow mode would have injected."),
}


class HfiCollector(Collector):
    """What the core knows, as Prometheus metric families."""

    def __init__(self, counters: DataPlaneCounters, proxies: ProxyRegistry, feed: Feed) -> None:
        self._counters = counters
        self._proxies = proxies
        self._feed = feed

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: registering must not collect."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The families, newly read."""
        yield from self._data_plane()
        yield from self._control_plane()

    def _data_plane(self) -> Iterator[Metric]:
        for total, (name, text) in _TOTALS.items():
            yield CounterMetricFamily(name, text, value=self._counters.totals[total])
        for what, (name, text) in _RULES.items():
            family = CounterMetricFamily(name, text, labels=("policy", "rule", "kind"))
            for key, value in self._counters.rules.items():
                if key.what == what:
                    family.add_metric((key.policy, key.rule, key.kind), value)
            yield family

    def _control_plane(self) -> Iterator[Metric]:
        snapshot, age = self._feed.current, self._feed.age_ms()
        if snapshot is not None:
            yield GaugeMetricFamily(
                "hfi_snapshot_version", "Store revision of the snapshot being served.", value=snapshot.version
            )
            yield GaugeMetricFamily("hfi_policies", "Policies in the snapshot.", value=len(snapshot.policies))
            yield GaugeMetricFamily(
                "hfi_policies_broken", "Stored values that cannot be read and are left out.", value=len(snapshot.broken)
            )
        if age is not None:
            yield GaugeMetricFamily(
                "hfi_feed_age_seconds", "Since the store last proved that nothing is missing.", value=age / 1000
            )
        known = self._proxies.list()
        states = Counter("connected" if status.connected else "gone" for status in known)
        proxies = GaugeMetricFamily("hfi_proxies", "Proxies known to this replica.", labels=("state",))
        for state in ("connected", "gone"):
            proxies.add_metric((state,), states[state])
        yield proxies
