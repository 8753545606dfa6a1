"""The metrics of the module's life, collected at the moment of the question. ``METRICS.md`` is their API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hfi_core.filters.progress import VersionOf, progress
from hfi_core.filters.rollout import WHOLE, Cause, RolloutDocument, RolloutState
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.proxies import ProxyRegistry


class FilterCollector(Collector):
    """What this replica knows of modules and their rollout."""

    def __init__(
        self,
        filters: Follower[FilterState],
        rollouts: RolloutService,
        proxies: ProxyRegistry,
        version_of: VersionOf,
    ) -> None:
        self._filters = filters
        self._rollouts = rollouts
        self._proxies = proxies
        self._version_of = version_of

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: registering must not collect."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The families, newly read."""
        back = CounterMetricFamily(
            "hfi_filter_rollbacks", "Rollouts that this replica has taken back, by cause.", labels=("cause",)
        )
        for cause in get_args(Cause):
            back.add_metric((cause,), self._rollouts.rolled_back[cause])
        yield back
        state = self._filters.current
        if state is None:
            return
        yield GaugeMetricFamily("hfi_filter_modules", "Filter modules in the catalogue.", value=len(state.modules))
        yield GaugeMetricFamily(
            "hfi_filter_values_broken",
            "Values about filters in the store that cannot be read and are left out.",
            value=len(state.broken),
        )
        if state.document is not None:
            yield from self._rollout(state.document)

    def _rollout(self, document: RolloutDocument) -> Iterator[Metric]:
        rollout, active = document.rollout, document.active
        states = GaugeMetricFamily(
            "hfi_filter_rollout", "1 for the state of the newest rollout, 0 for the others.", labels=("state",)
        )
        for state in get_args(RolloutState):
            states.add_metric((state,), float(rollout is not None and rollout.state == state))
        yield states
        yield GaugeMetricFamily(
            "hfi_filter_rollout_share_ratio",
            "Share of all nodes that the rollout under way covers; those of its selector come on top.",
            value=active.share / WHOLE if active is not None else 0,
        )
        found = progress(document, self._proxies.list(), self._version_of)
        nodes = GaugeMetricFamily(
            "hfi_filter_nodes",
            "Connected proxies, by the module they are to run and what became of it.",
            labels=("module", "state"),
        )
        for module, counts in (("stable", found.stable), ("candidate", found.candidate)):
            for name in ("applied", "waiting", "rejected"):
                nodes.add_metric((module, name), getattr(counts, name))
        yield nodes
