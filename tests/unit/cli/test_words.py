from __future__ import annotations

import pytest

from hfi_cli import words


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
