from __future__ import annotations

import pytest

from hfi_core.dataplane import DataPlane, DataPlaneCounters, DataPlaneGauges, DataPlaneHistograms, counters
from hfi_core.dataplane.histograms import BOUNDS, Histogram, Recorded
from hfi_core.dataplane.names import KINDS, RuleKey, rule_key

TOTAL = "wasmcustom.hfi.total_requests"
RULE = "wasmcustom.hfi.rule~injected~p~r~abort"


def test_sums_only_grow_over_restarts_and_leavings() -> None:
    counters = DataPlaneCounters()
    for node, value in [("a", 5), ("b", 2), ("a", 9), ("a", 3), ("b", 2)]:
        counters.observe(node, {TOTAL: value})
    assert counters.totals["total_requests"] == 9 + 3 + 2
    counters.forget("b")
    counters.observe("b", {TOTAL: 1})
    assert counters.totals["total_requests"] == 15


def test_a_restart_is_told_by_the_uptime_where_no_counter_is_smaller() -> None:
    counters = DataPlaneCounters()
    for value, uptime in [(3, 40), (3, 41), (5, 1), (6, 2)]:
        counters.observe("a", {TOTAL: value}, uptime)
    assert counters.totals["total_requests"] == 3 + 6
    counters.observe("a", {}, 0)
    counters.observe("a", {TOTAL: 7}, 1)
    assert counters.totals["total_requests"] == 3 + 6 + 7


def test_one_smaller_counter_tells_that_all_began_anew() -> None:
    counters = DataPlaneCounters()
    counters.observe("a", {TOTAL: 9, RULE: 1})
    counters.observe("a", {TOTAL: 4, RULE: 3})
    assert counters.totals["total_requests"] == 9 + 4
    assert counters.rules == {RuleKey("injected", "p", "r", "abort"): 1 + 3}


def test_rules_are_counted_by_what_and_kind_and_the_rest_is_ignored() -> None:
    counters = DataPlaneCounters()
    counters.observe("a", {RULE: 4, "cluster.x.upstream_rq": 7, "wasmcustom.hfi.rule~odd": 1, "wasmcustom.hfi.new": 1})
    counters.observe("b", {RULE: 1, "wasmcustom.hfi.rule~matched~p~r~any": 0})
    assert counters.rules == {RuleKey("injected", "p", "r", "abort"): 5}
    assert set(counters.totals.values()) == {0}


@pytest.mark.parametrize("name", ["rule~matched~p~r", "rule~guessed~p~r~any", "rulez~matched~p~r~any", "x"])
def test_names_that_are_no_rules(name: str) -> None:
    assert rule_key(name) is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("rule~matched~p~r~any", RuleKey("matched", "p", "r", "any")),
        (
            "rule~injected~p~r~request_delay_abort_response",
            RuleKey("injected", "p", "r", "request_delay_abort_response"),
        ),
        ("rule~shadowed~p~r~reset", RuleKey("shadowed", "p", "r", "reset")),
        ("rule~skipped~p~r~times", RuleKey("skipped", "p", "r", "times")),
        ("rule~skipped~p~r~delay", RuleKey("skipped", "p", "r", "other")),
        ("rule~injected~p~r~abort_delay", RuleKey("injected", "p", "r", "other")),
        ("rule~injected~p~r~limit", RuleKey("injected", "p", "r", "other")),
        ("rule~matched~p~r~invented", RuleKey("matched", "p", "r", "other")),
    ],
)
def test_the_kind_of_a_series_is_one_of_a_fixed_set(name: str, key: RuleKey) -> None:
    assert rule_key(name) == key


def test_a_fault_has_every_combination_of_parts_that_can_be() -> None:
    assert {"delay", "abort", "delay_abort", "reset", "request_delay", "response", "request_response"} <= KINDS
    assert len(KINDS) == 2 * 2 * 3 * 2 - 1


def test_the_number_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_RULE_SERIES", 2)
    bounded = DataPlaneCounters()
    bounded.observe("a", {f"wasmcustom.hfi.rule~injected~p~r{number}~abort": 1 for number in range(5)})
    assert bounded.rules[RuleKey("injected", "_other", "_other", "abort")] == 3
    assert len(bounded.rules) == 3


# -- gauges ---------------------------------------------------------------------------------------------------

DELAYS, AGE = "wasmcustom.hfi.active_delays", "wasmcustom.hfi.snapshot_age_seconds"


def test_gauges_are_of_the_proxies_that_report_now() -> None:
    gauges, first, second = DataPlaneGauges(), object(), object()
    assert (gauges.active_delays, gauges.snapshot_age_seconds) == (0, None)
    gauges.observe("a", {DELAYS: 3, AGE: 4}, first)
    gauges.observe("b", {DELAYS: 2, AGE: 60, "wasmcustom.hfi.other": 9}, second)
    assert (gauges.active_delays, gauges.snapshot_age_seconds) == (5, 60)
    gauges.ended("b", second)
    assert (gauges.active_delays, gauges.snapshot_age_seconds) == (3, 4)
    gauges.forget("a")
    assert (gauges.active_delays, gauges.snapshot_age_seconds) == (0, None)
    assert gauges.nodes == {}


def test_a_report_in_parts_takes_nothing_back_and_a_new_stream_begins_anew() -> None:
    gauges, old, new = DataPlaneGauges(), object(), object()
    for part in ({DELAYS: 3, AGE: 4}, {}, {DELAYS: 1}):
        gauges.observe("a", part, old)
    assert (gauges.active_delays, gauges.snapshot_age_seconds) == (1, 4)
    gauges.observe("a", {DELAYS: 7}, new)
    gauges.ended("a", old)
    assert (gauges.active_delays, gauges.snapshot_age_seconds) == (7, None)


def test_who_is_forgotten_takes_its_gauges_along_and_leaves_its_counters() -> None:
    plane = DataPlane()
    plane.counters.observe("a", {TOTAL: 5})
    plane.gauges.observe("a", {DELAYS: 5})
    plane.forget("a")
    assert (plane.counters.totals["total_requests"], plane.gauges.active_delays, plane.counters.nodes) == (5, 0, {})


# -- histograms -----------------------------------------------------------------------------------------------


def test_reports_of_a_histogram_are_added_up() -> None:
    histograms = DataPlaneHistograms()
    name = "wasmcustom.hfi.delay_ms"
    histograms.observe({name: Recorded(3, 700.0, [(50.0, 1), (250.0, 2), (3_600_000.0, 2)])})
    histograms.observe(
        {name: Recorded(1, 20.0, [(25.0, 1), (50.0, 1)]), "wasmcustom.hfi.unknown": Recorded(9, 1.0, [])}
    )
    delays = histograms.by_name["delay_ms"]
    assert (delays.count, delays.total) == (4, 720.0)
    found = dict(delays.cumulative)
    assert [found[bound] for bound in (10.0, 25.0, 50.0, 100.0, 250.0, 3_600_000.0)] == [0, 1, 2, 2, 3, 3]
    assert histograms.by_name["takeover_us"].count == 0


def test_buckets_of_another_width_go_where_they_fit_whole() -> None:
    histogram = Histogram()
    histogram.add(Recorded(6, 0.0, [(3.0, 1), (7.0, 3), (9_999_999.0, 5), (float("inf"), 6)]))
    found = dict(histogram.cumulative)
    assert (found[1.0], found[5.0], found[10.0], found[BOUNDS[-1]], histogram.count) == (0, 1, 3, 3, 6)
