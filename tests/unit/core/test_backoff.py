from __future__ import annotations

import random

import pytest

from hfi_core.backoff import Backoff


@pytest.mark.parametrize(("share", "waits"), [(0.5, [0.5, 1, 2, 2.5, 2.5]), (1.0, [1, 2, 4, 5, 5])])
def test_it_doubles_up_to_its_highest_and_chance_takes_away_half_at_most(
    monkeypatch: pytest.MonkeyPatch, share: float, waits: list[float]
) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return share

    monkeypatch.setattr(random, "uniform", uniform)
    backoff = Backoff(1, 5)
    assert [backoff.next() for _ in waits] == waits
    assert set(drawn) == {(0.5, 1.0)}


def test_after_a_success_it_begins_again() -> None:
    backoff = Backoff(1, 100)
    for _ in range(5):
        backoff.next()
    assert backoff.next() > 10
    backoff.reset()
    assert 0.5 <= backoff.next() <= 1
    assert 1 <= backoff.next() <= 2


def test_replicas_do_not_come_back_all_at_once() -> None:
    assert len({Backoff(1, 5).next() for _ in range(50)}) > 40
