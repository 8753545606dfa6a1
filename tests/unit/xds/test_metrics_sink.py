from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from hfi_core.dataplane import DataPlane
from hfi_core.dataplane.names import RuleKey
from hfi_xds import metrics_sink, pb
from hfi_xds.metrics import XdsMetrics
from hfi_xds.metrics_sink import MetricsSink

HFI = "wasmcustom.hfi."


def report(values: Mapping[str, float]) -> list[pb.MetricFamily]:
    return [
        pb.MetricFamily(name=HFI + name, type=pb.COUNTER, metric=[{"counter": {"value": value}}])
        for name, value in values.items()
    ]


class Sink:
    """A sink, and what has come of it."""

    def __init__(self) -> None:
        self.plane, self.registry = DataPlane(), CollectorRegistry()
        self.counters = self.plane.counters
        self._sink = MetricsSink(self.plane, XdsMetrics(self.registry))

    def take(self, node: str, **values: float) -> None:
        self._sink.take(node, report(values))

    def take_gauge(self, node: str, name: str, value: float) -> None:
        family = pb.MetricFamily(name=HFI + name, type=pb.GAUGE, metric=[{"gauge": {"value": value}}])
        self._sink.take(node, [family])

    def take_histogram(self, node: str, name: str, value: float) -> None:
        recorded = {"sample_count": 1, "sample_sum": value}
        family = pb.MetricFamily(name=HFI + name, type=pb.HISTOGRAM, metric=[{"histogram": recorded}])
        self._sink.take(node, [family])

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


@pytest.fixture
def sink() -> Sink:
    return Sink()


# -- over time ------------------------------------------------------------------------------------------------


def test_reports_are_absolute(sink: Sink) -> None:
    for total in (3, 3, 10):
        sink.take("n1", total_requests=total)
    assert sink.counters.totals["total_requests"] == 10
    assert sink.metric("hfi_xds_reports_total") == 3


def test_proxies_are_summed_and_rules_kept_apart(sink: Sink) -> None:
    sink.take("n1", errors=1, **{"rule~injected~p~r~abort": 2})
    sink.take("n2", errors=10, **{"rule~injected~p~r~abort": 20, "rule~injected~p~s~delay": 5})
    assert sink.counters.totals["errors"] == 11
    assert sink.counters.rules == {
        RuleKey("injected", "p", "r", "abort"): 22,
        RuleKey("injected", "p", "s", "delay"): 5,
    }


def test_a_proxy_that_begins_again_takes_nothing_back(sink: Sink) -> None:
    for total in (10, 4):
        sink.take("n1", total_requests=total)
    assert sink.counters.totals["total_requests"] == 14


def test_who_reports_nothing_of_ours_has_counted_nothing(sink: Sink) -> None:
    sink.take("n1")
    assert sink.counters.nodes == {"n1": {}}
    assert sink.metric("hfi_xds_reports_total") == 1


def test_gauges_and_histograms_are_put_together_over_proxies(sink: Sink) -> None:
    for node, waiting in (("n1", 3), ("n2", 4), ("n1", 2)):
        sink.take_gauge(node, "active_delays", waiting)
        sink.take_histogram(node, "delay_ms", 250)
    assert sink.plane.gauges.active_delays == 6
    assert (sink.plane.histograms.by_name["delay_ms"].count, sink.plane.histograms.by_name["delay_ms"].total) == (
        3,
        750,
    )


# -- bounds ---------------------------------------------------------------------------------------------------


def test_the_series_of_a_proxy_are_bounded_and_those_that_are_known_go_on(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_sink, "MAX_SERIES", 2)
    sink.take("n1", errors=1, total_requests=1)
    sink.take("n1", errors=2, faults_injected=9, rules_matched=9)
    assert sink.counters.nodes["n1"] == {HFI + "errors": 2, HFI + "total_requests": 1}
    assert sink.metric("hfi_xds_report_series_dropped_total") == 2
    assert sink.counters.totals["faults_injected"] == 0
    sink.take("n2", faults_injected=9)
    assert sink.counters.totals["faults_injected"] == 9


def test_proxies_are_bounded_and_the_longest_silent_is_forgotten(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_sink, "MAX_PROXIES", 2)
    for node in ("n1", "n2", "n1", "n3"):
        sink.take(node, errors=1)
        sink.take_gauge(node, "active_delays", 1)
    assert sink.plane.gauges.active_delays == 2
    assert set(sink.counters.nodes) == {"n1", "n3"}
    # What it had counted stays.
    assert sink.counters.totals["errors"] == 3
