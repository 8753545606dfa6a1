"""What is read from a message of Envoy's metrics sink, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hfi_core.dataplane.histograms import Recorded
from hfi_xds import pb, reports
from hfi_xds.reports import MAX_BUCKETS, MAX_VALUE
from hfi_xds.session import MAX_TEXT

HFI = "wasmcustom.hfi."


def counter(name: str, *values: float) -> pb.MetricFamily:
    family = pb.MetricFamily(name=name, type=pb.COUNTER)
    for value in values:
        family.metric.add().counter.value = value
    return family


def gauge(name: str, *values: float) -> pb.MetricFamily:
    family = pb.MetricFamily(name=name, type=pb.GAUGE)
    for value in values:
        family.metric.add().gauge.value = value
    return family


def histogram(count: int, total: float, *buckets: tuple[float, int], name: str = HFI + "delay_ms") -> pb.MetricFamily:
    family = pb.MetricFamily(name=name, type=pb.HISTOGRAM)
    found = family.metric.add().histogram
    found.sample_count, found.sample_sum = count, total
    for bound, cumulative in buckets:
        found.bucket.add(upper_bound=bound, cumulative_count=cumulative)
    return family


def of_type(family: pb.MetricFamily, kind: int) -> pb.MetricFamily:
    family.type = kind  # type: ignore[assignment]
    return family


def test_the_filters_metrics_are_taken_by_their_full_names() -> None:
    report = reports.read(
        [
            counter(HFI + "errors", 3),
            counter(HFI + "rule~matched~p~r~any", 4),
            gauge(HFI + "active_delays", 5),
            gauge("server.uptime", 77),
            histogram(2, 300.5, (50.0, 1), (250.0, 2)),
        ]
    )
    assert report.counters == {"wasmcustom.hfi.errors": 3, "wasmcustom.hfi.rule~matched~p~r~any": 4}
    assert report.gauges == {"wasmcustom.hfi.active_delays": 5}
    assert report.uptime_seconds == 77
    assert report.histograms == {"wasmcustom.hfi.delay_ms": Recorded(2, 300.5, [(50.0, 1), (250.0, 2)])}
    assert report


def test_a_counter_of_several_series_is_their_sum() -> None:
    assert reports.read([counter(HFI + "errors", 3, 4)]).counters == {HFI + "errors": 7}


@pytest.mark.parametrize(
    "families", [[], [gauge("server.uptime", 7)], [counter("cluster.upstream.upstream_rq_total", 5)]]
)
def test_an_envoy_without_the_filter_reports_nothing_of_it(families: Sequence[pb.MetricFamily]) -> None:
    assert not reports.read(families)


NAN, INFINITE = float("nan"), float("inf")
SENSELESS = {
    "Envoy's own": counter("cluster.upstream.upstream_rq_total", 5),
    "another filter's": counter("wasmcustom.another_filter.errors", 5),
    "no series": counter(HFI + "errors"),
    "no value": pb.MetricFamily(name=HFI + "errors", type=pb.COUNTER, metric=[{}]),
    "negative": counter(HFI + "errors", -1),
    "not a number": counter(HFI + "errors", NAN),
    "infinite": counter(HFI + "errors", INFINITE),
    "beyond whole numbers": counter(HFI + "errors", MAX_VALUE * 2),
    "negative in part": counter(HFI + "errors", 5, -1),
    "a long name": counter(HFI + "x" * MAX_TEXT, 5),
    "an unknown gauge": gauge(HFI + "snapshot_version", 1),
    "a gauge without a value": gauge(HFI + "active_delays"),
    "a negative gauge": gauge(HFI + "active_delays", -1),
    "a gauge that is no number": gauge(HFI + "active_delays", NAN),
    "a gauge beyond bounds": gauge(HFI + "active_delays", INFINITE),
    "a gauge by name only": of_type(gauge(HFI + "active_delays", 1), pb.HISTOGRAM),
    "an uptime by name only": counter("server.uptime", 5),
    "another histogram": histogram(1, 1.0, name=HFI + "size"),
    "Envoy's own histogram": histogram(1, 1.0, name="http.ingress.downstream_rq_time"),
    "a histogram by name only": of_type(histogram(1, 1.0), pb.GAUGE),
    "a histogram without series": pb.MetricFamily(name=HFI + "delay_ms", type=pb.HISTOGRAM),
    "a sum that is no number": histogram(1, NAN),
    "a negative sum": histogram(1, -1.0),
    "an infinite sum": histogram(1, INFINITE),
    "buckets out of order": histogram(2, 1.0, (5.0, 1), (1.0, 2)),
    "a bucket without a bound": histogram(2, 1.0, (NAN, 1)),
    "buckets that shrink": histogram(2, 1.0, (1.0, 2), (5.0, 1)),
    "more in a bucket than in all": histogram(1, 1.0, (1.0, 2)),
    "too many buckets": histogram(1, 1.0, *((float(bound), 0) for bound in range(MAX_BUCKETS + 1))),
    "too many values": histogram(2**63, 1.0),
}


@pytest.mark.parametrize("family", SENSELESS.values(), ids=SENSELESS)
def test_what_is_not_ours_or_makes_no_sense_is_left_out(family: pb.MetricFamily) -> None:
    report = reports.read([family, counter(HFI + "total_requests", 1)])
    assert report.counters == {HFI + "total_requests": 1}
    assert (report.gauges, report.histograms, report.uptime_seconds) == ({}, {}, None)
