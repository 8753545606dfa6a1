"""Which readers a snapshot concerns, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from hfi_core.policy.model import Policy
from hfi_core.policy.stored import StoredPolicy
from hfi_core.snapshot import Snapshot
from hfi_sse.views import Audience, Position, Standing, ViewTracker
from tests.support.policies import policy

ONE = Audience("one")
TWO = Audience("two")
CANARY = Audience("one", (("track", "canary"),))
STABLE = Audience("one", (("track", "stable"),))
ALL = Audience(everything=True)


def stored(name: str, version: int, **spec: Any) -> StoredPolicy:
    return StoredPolicy(Policy.model_validate(policy(name, **spec)), version, 1)


def snapshot(version: int, *policies: StoredPolicy, epoch: str = "e") -> Snapshot:
    return Snapshot(epoch, version, {p.name: p for p in policies})


A1 = stored("a", 1, selector={"cluster": "one"})


def tracker(*snapshots: Snapshot, **limits: int) -> ViewTracker[str]:
    found: ViewTracker[str] = ViewTracker(**limits)
    for each in snapshots:
        assert found.advance(each) == []
    return found


@pytest.mark.parametrize(
    ("position", "standing"),
    [
        (Position(), Standing.BEHIND),
        (Position(None, "e"), Standing.BEHIND),
        (Position(5), Standing.CURRENT),
        (Position(5, "e"), Standing.CURRENT),
        (Position(5, "other"), Standing.BEHIND),
        (Position(4, "e"), Standing.BEHIND),
        (Position(9, "other"), Standing.BEHIND),
        (Position(9, "e"), Standing.AHEAD),
        (Position(9), Standing.BEHIND),
    ],
)
def test_a_reader_stands_to_the_snapshot_as_its_position_says(position: Position, standing: Standing) -> None:
    assert tracker(snapshot(5, A1)).standing(ONE, position) is standing


def test_before_the_first_snapshot_every_reader_knows_more_than_we_do() -> None:
    found = tracker()
    assert found.standing(ONE, Position()) is Standing.AHEAD
    assert found.view(ONE) is None
    assert found.snapshot is None


def test_a_version_from_before_the_view_changed_is_behind_and_one_since_is_current() -> None:
    found = tracker(snapshot(1, A1))
    found.view(TWO)
    found.view(ONE)
    b2 = stored("b", 2, selector={"cluster": "two"})
    found.advance(snapshot(2, A1, b2))
    found.advance(snapshot(3, A1, b2, stored("c", 3, selector={"cluster": "two"})))
    assert [found.standing(ONE, Position(v)) for v in (1, 2, 3)] == [Standing.CURRENT] * 3
    assert [found.standing(TWO, Position(v)) for v in (1, 2, 3)] == [
        Standing.BEHIND,
        Standing.BEHIND,
        Standing.CURRENT,
    ]


def test_a_version_that_only_another_replica_published_proves_nothing() -> None:
    # The fault came with 2 and went with 3; this replica was cut off and saw both at once.
    found = tracker(snapshot(1))
    found.standing(ONE, Position(1))
    found.advance(snapshot(3))
    assert found.standing(ONE, Position(1)) is Standing.CURRENT
    assert found.standing(ONE, Position(2)) is Standing.BEHIND, "it may hold the fault"
    assert found.standing(ONE, Position(3)) is Standing.CURRENT


def test_a_view_first_seen_now_counts_as_changed_now() -> None:
    found = tracker(snapshot(1, A1), snapshot(2, A1, stored("b", 2, selector={"cluster": "two"})))
    assert found.standing(ONE, Position(1)) is Standing.BEHIND
    assert found.standing(ONE, Position(2)) is Standing.CURRENT


@pytest.mark.parametrize(
    ("change", "woken"),
    [
        ((A1, stored("b", 2)), {"one", "two", "canary", "all"}),
        ((A1, stored("b", 2, selector={"cluster": "one"})), {"one", "canary", "all"}),
        ((A1, stored("b", 2, selector={"cluster": "two"})), {"two", "all"}),
        ((A1, stored("b", 2, selector={"cluster": "three"})), {"all"}),
        ((A1, stored("b", 2, enabled=False)), set()),
        ((stored("a", 2, selector={"cluster": "one"}),), set()),
        ((stored("a", 2, selector={"cluster": "two"}),), {"one", "two", "canary"}),
        ((stored("a", 2, selector={"cluster": "one"}, mode="shadow"),), {"one", "canary", "all"}),
        ((), {"one", "canary", "all"}),
    ],
    ids=["everywhere", "one", "two", "elsewhere", "disabled", "as it was", "moved", "changed", "deleted"],
)
def test_a_change_wakes_those_whose_view_it_changes(change: tuple[StoredPolicy, ...], woken: set[str]) -> None:
    found = tracker(snapshot(1, A1))
    audiences = {"one": ONE, "two": TWO, "canary": CANARY, "all": ALL}
    for name, audience in audiences.items():
        found.park(name, audience, Position(1))
    assert set(found.advance(snapshot(2, *change))) == woken
    assert found.parked == 4 - len(woken)
    for name in audiences:
        assert found.is_current(name) is (name not in woken)
        found.leave(name)
    assert found.parked == 0


def test_what_is_sent_is_the_view_of_the_newest_snapshot_built_once() -> None:
    found = tracker(snapshot(1, A1, stored("b", 1)))
    first = found.view(ONE)
    assert first is not None
    assert first[1].rule_count == 2
    again = found.view(CANARY)
    assert again is not None
    assert again[1] is first[1], "no selector names a label, so both see the same view"
    whole = found.view(ALL)
    assert whole is not None
    assert whole[1].rule_count == 2
    other = found.view(TWO)
    assert other is not None
    assert other[1].rule_count == 1


def test_a_selector_on_a_new_label_wakes_only_those_that_carry_it() -> None:
    found = tracker(snapshot(1, A1))
    found.park("canary", CANARY, Position(1))
    found.park("stable", STABLE, Position(1))
    assert found.tracked == 1
    b2 = stored("b", 2, selector={"labels": {"track": "canary"}})
    assert found.advance(snapshot(2, A1, b2)) == ["canary"]
    found.park("canary", CANARY, Position(2))
    assert found.advance(snapshot(3, A1)) == ["canary"], "the label counts no more; stable is as it was"
    assert found.is_current("stable")
    found.leave("stable")
    assert found.parked == 0


def test_another_epoch_wakes_everybody() -> None:
    found = tracker(snapshot(7, A1))
    found.park("a", ONE, Position(7, "e"))
    found.park("ahead", TWO, Position(9, "e"))
    assert set(found.advance(snapshot(1, A1, epoch="f"))) == {"a", "ahead"}
    assert found.standing(ONE, Position(7, "e")) is Standing.BEHIND
    assert found.standing(ONE, Position(1, "f")) is Standing.CURRENT


def test_a_store_that_goes_back_within_its_epoch_is_begun_anew() -> None:
    found = tracker(snapshot(7, A1))
    found.park("a", ONE, Position(7, "e"))
    assert found.advance(snapshot(3, A1)) == ["a"]
    assert found.standing(ONE, Position(7, "e")) is Standing.AHEAD


def test_who_has_seen_more_waits_until_this_replica_has_caught_up() -> None:
    found = tracker(snapshot(1))
    found.park("knows 3", ONE, Position(3, "e"))
    found.park("knows 4", ONE, Position(4, "e"))
    assert not found.is_current("knows 3")
    assert found.advance(snapshot(2, A1)) == []
    assert found.advance(snapshot(3, A1)) == []
    assert found.is_current("knows 3"), "3 is what it has, and 3 is what we have"
    assert found.advance(snapshot(5, A1)) == ["knows 4"], "4 was never published here, so nothing is proven"
    assert found.parked == 1


def test_readers_from_before_the_first_snapshot_are_judged_by_it() -> None:
    found = tracker()
    found.park("new", ONE, Position())
    found.park("resumes", ONE, Position(1, "e"))
    found.park("leaves", ONE, Position())
    found.leave("leaves")
    found.leave("leaves")
    assert found.advance(snapshot(1, A1)) == ["new"]
    assert found.is_current("resumes")
    assert set(found.everyone()) == {"resumes"}
    assert found.parked == 0


def test_the_same_snapshot_again_changes_nothing() -> None:
    found = tracker(snapshot(1, A1))
    found.park("a", ONE, Position(1))
    assert found.advance(snapshot(1, A1)) == []
    assert found.is_current("a")


def test_idle_views_are_bounded_and_parked_ones_are_kept() -> None:
    found = tracker(snapshot(1), max_idle_views=2)
    found.park("a", Audience("a"), Position(1))
    for cluster in "bcd":
        found.standing(Audience(cluster), Position(1))
    assert found.tracked == 2
    assert found.advance(snapshot(2, stored("x", 2))) == ["a"]
    for name in "bcd":
        found.park(name, Audience(name), Position(2))
    assert found.tracked == 3, "more than the limit, for somebody waits for each"


def test_remembered_versions_are_bounded() -> None:
    found = tracker(snapshot(1), max_known_versions=2)
    found.standing(ONE, Position(1))
    found.advance(snapshot(2))
    assert found.standing(ONE, Position(1)) is Standing.CURRENT
    found.advance(snapshot(3))
    assert found.standing(ONE, Position(1)) is Standing.BEHIND
    assert found.standing(ONE, Position(2)) is Standing.CURRENT
