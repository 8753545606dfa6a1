"""The gauges and counters that HFI shows, collected at the moment of the question. ``METRICS.md`` is their API.

Nothing is counted here: the numbers are read from the objects that own them, so that none can disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hfi_core.dataplane import DataPlane
from hfi_core.feed import Feed
from hfi_core.proxies import ProxyRegistry

_TOTALS = {
    "total_requests": ("hfi_requests", "Requests that filters have seen."),
    "rules_matched": ("hfi_rules_matched", "Rules that matched a request, whether they fired or not."),
    "faults_injected": ("hfi_faults_injected", "Requests into which a fault was injected."),
    "errors": ("hfi_errors", "Rules left out, snapshots refused and polls that failed, in filters."),
}
#: Name, words, and what a series' kind is called.
_RULES = {
    "matched": ("hfi_rule_matched", "Requests that a rule matched.", "kind"),
    "injected": ("hfi_rule_injected", "Faults that a rule injected.", "kind"),
    "shadowed": ("hfi_rule_shadowed", "Faults that a rule in shadow mode would have injected.", "kind"),
    "skipped": ("hfi_rule_skipped", "Requests that a rule matched and did not act on, by reason.", "reason"),
}
#: Name, words, and how many of the filter's units make a second.
_HISTOGRAMS = {
    "delay_ms": ("hfi_delay_seconds", "Delays that were injected.", 1e3),
    "takeover_us": ("hfi_takeover_seconds", "Time in which one VM of a filter took a snapshot over.", 1e6),
}


class HfiCollector(Collector):
    """What the core knows, as Prometheus metric families."""

    def __init__(self, data_plane: DataPlane, proxies: ProxyRegistry, feed: Feed) -> None:
        self._plane = data_plane
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
        counters, gauges = self._plane.counters, self._plane.gauges
        for total, (name, text) in _TOTALS.items():
            yield CounterMetricFamily(name, text, value=counters.totals[total])
        for what, (name, text, kind) in _RULES.items():
            family = CounterMetricFamily(name, text, labels=("policy", "rule", kind))
            for key, value in counters.rules.items():
                if key.what == what:
                    family.add_metric((key.policy, key.rule, key.kind), value)
            yield family
        yield GaugeMetricFamily(
            "hfi_active_delays", "Requests that wait in proxies right now.", value=gauges.active_delays
        )
        if gauges.snapshot_age_seconds is not None:
            yield GaugeMetricFamily(
                "hfi_snapshot_age_seconds",
                "Since the proxy that has heard from its control plane the longest ago did so.",
                value=gauges.snapshot_age_seconds,
            )
        for short, (name, text, per_second) in _HISTOGRAMS.items():
            histogram = self._plane.histograms.by_name[short]
            buckets = [(repr(bound / per_second), count) for bound, count in histogram.cumulative]
            yield HistogramMetricFamily(
                name, text, buckets=[*buckets, ("+Inf", histogram.count)], sum_value=histogram.total / per_second
            )

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
