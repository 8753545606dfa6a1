from __future__ import annotations

import math
import random

import pytest

from hfi_cli.demo.plan import SCENES, Scene, policy
from hfi_cli.demo.verdict import Answer, Measured, judge, judge_before, percentile, tolerance

DELAY = Scene("POST", "/d", count=400, at_once=1, rule="d", share=0.5, delay_ms=250)
ABORT = Scene("GET", "/a", count=1000, at_once=1, rule="a", share=0.25, status=503)
NOTHING = Scene("GET", "/n", count=300, at_once=1)


def delayed(count: int, late: int, ms: float = 251.0, **changed: int) -> Measured:
    answers = [Answer(200, ms)] * late + [Answer(200, 1.0)] * (count - late)
    return Measured(answers, **{"reached": count, "injected": late, **changed})


def aborted(count: int, bad: int, **changed: int) -> Measured:
    answers = [Answer(503, 1.0, fault=True)] * bad + [Answer(200, 1.0)] * (count - bad)
    return Measured(answers, **{"reached": count - bad, "injected": bad, **changed})


def test_what_was_asked_for_is_right() -> None:
    assert judge(DELAY, delayed(400, 200)) == []
    assert judge(ABORT, aborted(1000, 250)) == []
    marked = [Answer(200, 251.0, fault=True)] * 200 + [Answer(200, 1.0)] * 200
    assert judge(DELAY, Measured(marked, reached=400, injected=200)) == []
    assert judge(NOTHING, Measured([Answer(200, 1.0)] * 300, reached=300)) == []


def test_the_edges_of_chance() -> None:
    reach = math.floor(tolerance(1000, 0.25))
    assert reach == 68
    for bad in (250 - reach, 250 + reach):
        assert judge(ABORT, aborted(1000, bad)) == []
    for bad in (250 - reach - 1, 250 + reach + 1):
        assert "by more than chance" in judge(ABORT, aborted(1000, bad))[0]


def test_all_and_none_have_no_chance() -> None:
    always = Scene("GET", "/a", count=100, at_once=1, rule="a", share=1.0, status=503)
    assert judge(always, aborted(100, 100)) == []
    assert judge(always, aborted(100, 99))
    assert judge(NOTHING, Measured([Answer(200, 1.0)] * 300, reached=300, injected=1))
    assert judge(NOTHING, Measured([Answer(200, 1.0, fault=True)] * 300, reached=300))


def test_a_fair_coin_practically_never_fails() -> None:
    coin = random.Random(7)
    for _ in range(200):
        bad = sum(coin.random() < ABORT.share for _ in range(ABORT.count))
        assert judge(ABORT, aborted(ABORT.count, bad)) == []


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        (delayed(400, 200, ms=248.0), "200 delays ended early, the first after 248.0 ms"),
        (delayed(400, 199, injected=200), "1 delays ended early, the first after 1.0 ms"),
        (delayed(400, 200, ms=501.0), "median delay is 501 ms"),
        (delayed(400, 0), "by more than chance"),
        (delayed(400, 200, reached=399), "the service saw 399 requests and not 400"),
        (
            Measured([Answer(503, 251.0, fault=True)] * 200 + [Answer(200, 1.0)] * 200, 400, 200),
            "statuses that nobody asked for: {503: 200}",
        ),
    ],
)
def test_wrong_delays(measured: Measured, told: str) -> None:
    assert any(told in wrong for wrong in judge(DELAY, measured))


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        (aborted(1000, 250, injected=251), "client saw 250 faults, and the filter counts 251"),
        (aborted(1000, 250, reached=1000), "the service saw 1000 requests and not 750"),
        (Measured([Answer(503, 1.0)] * 250 + [Answer(200, 1.0)] * 750, 1000, 0), "statuses that nobody asked for"),
        (Measured([Answer(500, 1.0, fault=True)] * 250 + [Answer(200, 1.0)] * 750, 750, 250), "nobody asked for: {500"),
    ],
)
def test_wrong_aborts(measured: Measured, told: str) -> None:
    assert any(told in wrong for wrong in judge(ABORT, measured))


def test_slow_answers_on_a_busy_machine_are_no_early_delays() -> None:
    answers = [Answer(200, 251.0)] * 200 + [Answer(200, 180.0)] * 100 + [Answer(200, 400.0)] * 100
    assert judge(DELAY, Measured(answers, reached=400, injected=200)) == []


def test_before_the_policy_everything_passes() -> None:
    assert judge_before(ABORT, aborted(1000, 0)) == []
    assert judge_before(ABORT, aborted(1000, 2)) == [
        "2 of 1000 answers are not 200 without any policy",
        "the service saw 998 of 1000 requests without any policy",
    ]


def test_percentiles_are_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert math.isnan(percentile([], 0.5))
    assert Measured([Answer(503, 2.0), Answer(200, 1.0), Answer(200, 3.0)], 3).statuses == "200 ×2, 503 ×1"
    assert Measured([Answer(503, 2.0), Answer(200, 1.0), Answer(200, 3.0)], 3).percentile(0.5) == 2.0


def test_the_policy_asks_for_the_scenes() -> None:
    rules = policy()["spec"]["rules"]
    assert [rule["name"] for rule in rules] == [scene.rule for scene in SCENES if scene.rule]
    assert {scene.asked for scene in SCENES} == {"nothing", "delay 250 ms in 50%", "abort with 503 in 25%"}
