from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from hfi_core.dataplane import DataPlaneCounters, RuleKey
from hfi_xds import metrics_sink, pb
from hfi_xds.metrics import XdsMetrics
from hfi_xds.metrics_sink import MAX_VALUE, MetricsSink, filter_counters
from hfi_xds.session import MAX_TEXT

HFI = "wasmcustom.hfi."


def counter(name: str, *values: float) -> pb.MetricFamily:
    family = pb.MetricFamily(name=name, type=pb.COUNTER)
    for value in values:
        family.metric.add().counter.value = value
    return family


def report(values: Mapping[str, float]) -> list[pb.MetricFamily]:
    return [counter(HFI + name, value) for name, value in values.items()]


class Sink:
    """A sink, and what has come of it."""

    def __init__(self) -> None:
        self.counters, self.registry = DataPlaneCounters(), CollectorRegistry()
        self._sink = MetricsSink(self.counters, XdsMetrics(self.registry))

    def take(self, node: str, **values: float) -> None:
        self._sink.take(node, report(values))

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


@pytest.fixture
def sink() -> Sink:
    return Sink()


# -- reading a report -----------------------------------------------------------------------------------------


def test_the_filters_counters_are_taken_by_their_full_names() -> None:
    assert filter_counters([counter(HFI + "errors", 3), counter(HFI + "rule~matched~p~r~any", 4)]) == {
        "wasmcustom.hfi.errors": 3,
        "wasmcustom.hfi.rule~matched~p~r~any": 4,
    }


def test_a_counter_of_several_series_is_their_sum() -> None:
    assert filter_counters([counter(HFI + "errors", 3, 4)]) == {HFI + "errors": 7}


def gauge(name: str) -> pb.MetricFamily:
    family = pb.MetricFamily(name=name, type=pb.GAUGE)
    family.metric.add().gauge.value = 1
    return family


@pytest.mark.parametrize(
    "family",
    [
        counter("cluster.upstream.upstream_rq_total", 5),
        counter("wasmcustom.another_filter.errors", 5),
        gauge(HFI + "snapshot_version"),
        counter(HFI + "errors"),
        pb.MetricFamily(name=HFI + "errors", type=pb.COUNTER, metric=[{}]),
        counter(HFI + "errors", -1),
        counter(HFI + "errors", float("nan")),
        counter(HFI + "errors", float("inf")),
        counter(HFI + "errors", MAX_VALUE * 2),
        counter(HFI + "errors", 5, -1),
        counter(HFI + "x" * MAX_TEXT, 5),
    ],
    ids=[
        *("Envoy's own", "another filter's", "a gauge", "no series", "no value", "negative", "not a number"),
        *("infinite", "beyond whole numbers", "negative in part", "a long name"),
    ],
)
def test_what_is_not_ours_or_makes_no_sense_is_left_out(family: pb.MetricFamily) -> None:
    assert filter_counters([family, counter(HFI + "total_requests", 1)]) == {HFI + "total_requests": 1}


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


def test_a_report_without_anything_of_ours_leaves_no_trace(sink: Sink) -> None:
    sink.take("n1")
    assert sink.counters.nodes == {}
    assert sink.metric("hfi_xds_reports_total") == 1


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
    assert set(sink.counters.nodes) == {"n1", "n3"}
    # What it had counted stays.
    assert sink.counters.totals["errors"] == 3
