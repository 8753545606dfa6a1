from __future__ import annotations

import pytest

from hfi_core import dataplane
from hfi_core.dataplane import DataPlaneCounters, RuleKey, rule_key

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


def test_the_number_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataplane, "MAX_RULE_SERIES", 2)
    counters = DataPlaneCounters()
    counters.observe("a", {f"wasmcustom.hfi.rule~injected~p~r{number}~abort": 1 for number in range(5)})
    assert counters.rules[RuleKey("injected", "_other", "_other", "abort")] == 3
    assert len(counters.rules) == 3
