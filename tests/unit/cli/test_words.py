from __future__ import annotations

from typing import Any

import pytest

from hfi_cli import words


@pytest.mark.parametrize(
    ("of", "text"),
    [
        ({}, "every request"),
        ({"path": {"prefix": "/a"}, "method": {"exact": "POST"}}, "POST prefix /a"),
        ({"headers": [{"name": "x", "exact": "1"}]}, "x exact 1"),
        ({"headers": [{"name": "x", "present": False}, {"name": "y", "present": True}]}, "x absent, y present"),
        ({"headers": [{"name": "x", "regex": "a+", "invert": True}]}, "not x regex a+"),
        ({"path": {"exact": "/a"}, "query": {"k": "v"}}, 'exact /a, query {"k":"v"}'),
    ],
)
def test_match(of: dict[str, Any], text: str) -> None:
    assert words.match(of) == text


@pytest.mark.parametrize(
    ("of", "text"),
    [
        ({"abort": {"httpStatus": 503}}, "100%: abort 503"),
        ({"percentage": 0.0001, "delay": {"fixedDelay": "1s"}}, "0.0001%: delay 1s"),
        (
            {
                "percentage": 25,
                "start_delay_ms": 5,
                "delay": {"fixedDelay": "1s", "percentage": 50},
                "abort": {"httpStatus": 503, "percentage": 12.5},
                "duration_seconds": 60,
            },
            "25%: wait 5ms, then delay 1s (in 50% of these), then abort 503 (in 12.5% of these)",
        ),
        ({"abort": {"httpStatus": 503}, "times": 3}, "100%: abort 503, then times 3"),
    ],
)
def test_fault(of: dict[str, Any], text: str) -> None:
    assert words.fault(of) == text


def test_selectors_and_labels() -> None:
    assert words.proxies({}) == "all"
    assert words.proxies({"cluster": "c", "labels": {"a": "1"}}) == "cluster c, a=1"
    assert words.labels({}) == "-"
    assert words.labels({"b": "2", "a": "1"}) == "a=1,b=2"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "-"),
        (0, "0ms"),
        (999, "999ms"),
        (1000, "1.0s"),
        (59_900, "59.9s"),
        (60_000, "1m"),
        (61_000, "1m1s"),
        (3_600_000, "1h"),
        (5_400_000, "1h30m"),
        (90_000_000, "1d1h"),
    ],
)
def test_span(ms: float | None, text: str) -> None:
    assert words.span(ms) == text


def test_moments_are_utc() -> None:
    assert words.moment(1_764_000_000_999) == "2025-11-24 16:00:00Z"
