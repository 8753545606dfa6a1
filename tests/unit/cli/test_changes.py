from __future__ import annotations

from typing import Any

from hfi_cli.changes import Change, between


def rule(name: str, **changed: Any) -> dict[str, Any]:
    base = {
        "policy": "p",
        "name": name,
        "mode": "enforce",
        "includeProbes": False,
        "match": {"path": {"prefix": "/a"}},
        "fault": {"percentage": 25, "abort": {"httpStatus": 503}},
    }
    return {**base, **changed}


def test_nothing_changed() -> None:
    assert between([rule("a"), rule("b")], [rule("a"), rule("b")]) == []


def test_added_and_removed_say_what_the_rule_does() -> None:
    new = rule("b", mode="shadow", includeProbes=True, ends_at_ms=1_764_000_000_000)
    assert between([rule("a")], [new]) == [
        Change("removed", "p/a", ("prefix /a → 25%: abort 503",)),
        Change(
            "added",
            "p/b",
            ("prefix /a → 25%: abort 503 (shadow) (health checks too) until 2025-11-24 16:00:00Z",),
        ),
    ]


def test_changed_says_what_of_it() -> None:
    new = rule("a", fault={"percentage": 50, "abort": {"httpStatus": 503}}, mode="shadow", match={}, ends_at_ms=0)
    assert between([rule("a")], [new]) == [
        Change(
            "changed",
            "p/a",
            (
                "ends never → 1970-01-01 00:00:00Z",
                "25%: abort 503 → 50%: abort 503",
                "prefix /a → every request",
                "mode enforce → shadow",
            ),
        )
    ]


def test_a_part_that_the_words_do_not_show_is_named() -> None:
    old = rule("a", fault={"percentage": 25, "abort": {"httpStatus": 503, "body": "x"}, "duration_seconds": 1})
    new = rule(
        "a", fault={"percentage": 25, "abort": {"httpStatus": 503, "headers": {"a": "b"}}, "duration_seconds": 2}
    )
    (change,) = between([old], [new])
    assert change.details == ("fault.abort.body is another", "fault.abort.headers is another")


def test_applying_anew_shows_the_new_end_alone() -> None:
    old = rule("a", fault={"percentage": 25, "abort": {"httpStatus": 503}, "duration_seconds": 1}, ends_at_ms=1000)
    new = rule("a", fault={"percentage": 25, "abort": {"httpStatus": 503}, "duration_seconds": 2}, ends_at_ms=2000)
    (change,) = between([old], [new])
    assert change.details == ("ends 1970-01-01 00:00:01Z → 1970-01-01 00:00:02Z",)


def test_an_order_that_changes_is_a_change() -> None:
    (change,) = between([rule("a"), rule("b")], [rule("b"), rule("a")])
    assert change == Change("moved", "the order of the rules", ("p/b > p/a",))
    assert between([rule("a"), rule("b")], [rule("x"), rule("a"), rule("b")])[0].kind == "added"
