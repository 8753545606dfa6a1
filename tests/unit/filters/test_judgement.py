from __future__ import annotations

from dataclasses import replace

import pytest

from hfi_core.filters.judgement import ErrorRises, Sight, judge
from hfi_core.filters.rollout import Limits

START = 1_000_000
LIMITS = Limits(watch_seconds=60, max_errors=2)


def at(seconds: float) -> int:
    return START + int(seconds * 1000)


def waiting(since: float | None) -> Sight:
    return Sight("n", "waiting", waiting_since_ms=None if since is None else at(since))


def runs(heard: float, errors: int = 0, elsewhere: int = 0, applied: float = 0, node: str = "n") -> Sight:
    return Sight(
        node, "applied", applied_at_ms=at(applied), heard_at_ms=at(heard), errors=errors, errors_elsewhere=elsewhere
    )


#: What is seen, how many seconds into the rollout, and the cause it goes back for.
CASES: dict[str, tuple[list[Sight], float, str | None]] = {
    "nobody yet": ([], 0, None),
    "not connected": ([waiting(None)], 1_000, None),
    "just sent": ([waiting(0)], 0, None),
    "no answer for almost too long": ([waiting(0)], 59.9, None),
    "no answer for too long": ([waiting(0)], 60, "silent"),
    "came late, and still has time": ([waiting(500)], 550, None),
    "came late, and has had its time": ([waiting(500)], 560, "silent"),
    "rejected": ([Sight("n", "rejected", "no")], 0, "rejected"),
    "rejected after its watch": ([Sight("n", "rejected", "no", applied_at_ms=at(0))], 10_000, "rejected"),
    "applied": ([runs(0)], 0, None),
    "applied and heard of": ([runs(30)], 30, None),
    "as many errors as are allowed": ([runs(30, errors=2)], 30, None),
    "one error too many": ([runs(30, errors=3)], 30, "errors"),
    "errors that others have too": ([runs(30, errors=12, elsewhere=10)], 30, None),
    "more errors than others by too many": ([runs(30, errors=13, elsewhere=10)], 30, "errors"),
    "errors at the end of its watch": ([runs(59.9, errors=3)], 59.9, "errors"),
    "errors after its watch": ([runs(60, errors=3)], 60, None),
    "silent within its watch, not for long": ([runs(30)], 89.9, None),
    "silent within its watch, for too long": ([runs(30)], 90, "silent"),
    "silent from the first moment": ([runs(0)], 60, "silent"),
    "never heard of, not even before": ([runs(-1_000)], 60, "silent"),
    "never heard of, and has still time": ([runs(-1_000)], 59.9, None),
    "silent after its watch": ([runs(60)], 10_000, None),
    "gone long after": ([runs(500)], 100_000, None),
    "joined late and silent": ([runs(510, applied=500)], 570, "silent"),
    "silent, and others could not be seen until a while ago": ([replace(runs(30), sure_since_ms=at(200))], 259.9, None),
    "silent since before others could be seen again": ([replace(runs(30), sure_since_ms=at(200))], 260, "silent"),
    "joined late and well": ([runs(569, applied=500)], 570, None),
    "connected again and waiting after it ran": ([Sight("n", "waiting", "", at(100), at(0), at(100))], 159.9, None),
    "the gravest first": ([runs(0, node="a"), runs(59, errors=9, node="b"), Sight("c", "rejected")], 59.5, "rejected"),
    "then errors": ([runs(-60, node="a"), runs(59, errors=9, node="b")], 59.9, "errors"),
    "one bad among good ones": ([runs(30, node="a"), runs(30, errors=3, node="b"), runs(30, node="c")], 30, "errors"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_speaks_against_a_candidate(name: str) -> None:
    sights, seconds, cause = CASES[name]
    verdict = judge(sights, LIMITS, at(seconds))
    assert (None if verdict is None else verdict.cause) == cause


@pytest.mark.parametrize("name", [name for name, (_, _, cause) in CASES.items() if cause])
def test_nobody_is_condemned_by_the_order_in_which_nodes_are_seen(name: str) -> None:
    sights, seconds, _ = CASES[name]
    assert judge(sights, LIMITS, at(seconds)) == judge(sights[::-1], LIMITS, at(seconds))


@pytest.mark.parametrize(
    ("sight", "words"),
    [
        (Sight("n-1", "rejected", "Unable to create"), "node n-1 rejected it: Unable to create"),
        (Sight("n-1", "rejected"), "node n-1 rejected it: without a word"),
        (waiting(0), "node n was sent it and has not answered for 60 s"),
        (runs(30), "node n runs it and has not been heard of for 60 s"),
        (
            runs(59, errors=5, elsewhere=1, applied=40),
            "node n has had 5 errors in the 50 s since it runs it; nodes of the stable module at most 1, "
            "and 2 more are allowed",
        ),
    ],
)
def test_the_reason_names_the_node_and_says_what_it_did(sight: Sight, words: str) -> None:
    verdict = judge([sight], LIMITS, at(90))
    assert verdict is not None
    assert verdict.reason == words


def test_rises_are_counted_from_a_time_on() -> None:
    rises = ErrorRises()
    rises.observe(1, {"a": 5, "b": 0})
    assert rises.since(0) == {}
    rises.observe(2, {"a": 7, "b": 0})
    rises.observe(3, {"a": 7, "b": 4})
    assert rises.since(0) == rises.since(2) == {"a": 2, "b": 4}
    assert rises.since(3) == {"b": 4}
    rises.forget_before(3)
    assert rises.since(0) == {"b": 4}


def test_a_restart_begins_at_nothing_and_who_has_just_started_has_no_past() -> None:
    rises = ErrorRises()
    rises.observe(1, {"a": 5})
    rises.observe(2, {"a": 3, "new": 2, "moved here": 9}, fresh=["new"])
    assert rises.since(0) == {"a": 3, "new": 2}
    rises.observe(3, {"a": 3})
    rises.observe(4, {"a": 3, "new": 7})
    assert rises.since(3) == {}
