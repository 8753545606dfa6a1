from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfi_core.errors import RolloutConflict
from hfi_core.filters import rollout
from hfi_core.filters.manifest import Manifest
from hfi_core.filters.rollout import MAX_EVENTS, Limits, Rollout, RolloutDocument, place
from hfi_core.policy.model import Selector
from hfi_core.snapshot import NodeIdentity

CANARIES = Selector(labels={"track": "canary"})
Step = Callable[[RolloutDocument], RolloutDocument]


def module(version: str) -> Manifest:
    digest = version.encode().hex().rjust(64, "0")
    return Manifest(version=version, digest=digest, size=1, piece_bytes=1, abi="0.2.1", pushed_at_ms=0)


FIRST = rollout.first(module("1"), 1)
NODES = [NodeIdentity.of(f"node-{number}", "c", {"track": "canary"} if number < 5 else {}) for number in range(1000)]


def start(version: str = "2", share: float = 10.0, identity: str = "r1", selector: Selector | None = None) -> Step:
    return lambda document: rollout.start(document, module(version), identity, 2, share=share, selector=selector)


def advance(share: float | None = None, *, resume: bool = False, unwatched: bool = False, at_ms: int = 3) -> Step:
    return lambda document: rollout.advance(document, at_ms, share, resume=resume, unwatched=unwatched)


#: From 100 %, to the end.
COMPLETE = advance(unwatched=True)


def pause(document: RolloutDocument) -> RolloutDocument:
    return rollout.pause(document, 4)


def back(document: RolloutDocument) -> RolloutDocument:
    return rollout.roll_back(document, 5, "errors", "because")


def after(*steps: Step) -> RolloutDocument:
    document = FIRST
    for step in steps:
        document = step(document)
    return document


def test_at_first_everybody_runs_one_module() -> None:
    assert {FIRST.serves(node).version for node in NODES} == {"1"}
    assert (FIRST.stable.generation, FIRST.active) == (1, None)


@pytest.mark.parametrize(
    ("steps", "state", "share", "stable"),
    [
        ([start()], "running", 10, "1"),
        ([start(), advance()], "running", 25, "1"),
        ([start(share=0.5), advance(), advance(), advance()], "running", 10, "1"),
        ([start(), advance(33.3)], "running", 33.3, "1"),
        ([start(), advance(33.3), advance()], "running", 50, "1"),
        ([start(), advance(100)], "running", 100, "1"),
        ([start(), advance(100), COMPLETE], "completed", 100, "2"),
        ([start(share=100), advance(at_ms=60_002)], "completed", 100, "2"),
        ([start(), advance(100), pause, advance(resume=True), advance(at_ms=60_003)], "completed", 100, "2"),
        ([start(), advance(at_ms=1_000_000), advance(unwatched=True)], "running", 50, "1"),
        ([start(), pause], "paused", 10, "1"),
        ([start(), pause, advance(resume=True)], "running", 10, "1"),
        ([start(), pause, advance(10, resume=True)], "running", 10, "1"),
        ([start(), pause, advance(50, resume=True)], "running", 50, "1"),
        ([start(), advance(resume=True)], "running", 25, "1"),
        ([start(), back], "rolled_back", 10, "1"),
        ([start(), pause, back], "rolled_back", 10, "1"),
        ([start(), advance(100), back], "rolled_back", 100, "1"),
        ([start(), back, start(identity="r2", share=5)], "running", 5, "1"),
        ([start(), advance(100), COMPLETE, start("1", identity="r2")], "running", 10, "2"),
    ],
)
def test_where_each_way_leads(steps: list[Step], state: str, share: float, stable: str) -> None:
    document = after(*steps)
    assert document.rollout is not None
    assert (document.rollout.state, document.rollout.share, document.stable.version) == (state, share, stable)
    assert (document.active is not None) == (state in ("running", "paused"))
    assert RolloutDocument.model_validate_json(document.encode()) == document


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        ([advance()], "no rollout is under way$"),
        ([pause], "no rollout is under way"),
        ([back], "no rollout is under way"),
        ([start(), start("3")], "a rollout of 2 to 10% is running"),
        ([start(), pause, start("3")], "a rollout of 2 to 10% is paused"),
        ([start(share=0, selector=CANARIES), start("3")], "a rollout of 2 to track=canary is running"),
        ([start(selector=CANARIES), start("3")], "a rollout of 2 to 10% and track=canary is running"),
        ([start("1")], "1 is the stable module already"),
        ([start(share=0)], "a share above 0, or a selector"),
        ([start(), advance(10)], "covers 10%, and advances to a larger share"),
        ([start(), advance(5)], "advances to a larger share"),
        ([start(), advance(100), advance(100)], "advances to a larger share"),
        ([start(share=0, selector=CANARIES), advance(0)], "of 2 covers track=canary, and advances to a larger share"),
        ([start(selector=CANARIES), advance(5)], "covers 10% and track=canary, and advances to a larger share"),
        ([start(), pause, advance()], r"is paused: say that it is to resume \(advance --resume\)"),
        ([start(), pause, pause], "is paused already"),
        ([start(), pause, advance(5, resume=True)], "advances to a larger share"),
        ([start(), back, back], "that of 2 is rolled back"),
        ([start(), back, advance()], "no rollout is under way"),
        ([start(), advance(100), COMPLETE, back], "that of 2 is completed"),
        ([start(share=100), advance()], "watched for 60 s more; .* advance again then, or now with --unwatched"),
        ([start(), advance(100), advance(at_ms=60_002)], "watched for 1 s more"),
    ],
)
def test_what_cannot_be_done_is_said(steps: list[Step], refused: str) -> None:
    *before, last = steps
    document = after(*before)
    with pytest.raises(RolloutConflict, match=refused):
        last(document)


def served(document: RolloutDocument) -> set[str]:
    return {node.id for node in NODES if document.serves(node).version == "2"}


def test_a_share_is_of_the_nodes_and_the_same_ones_stay_in_it() -> None:
    shares = [after(start(), *([advance(share)] if share > 10 else [])) for share in (10, 25, 50, 100)]
    covered = [served(document) for document in shares]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(covered))
    # Four standard deviations of a fair choice.
    assert [len(nodes) for nodes in covered] == [
        pytest.approx(100, abs=38),
        pytest.approx(250, abs=55),
        pytest.approx(500, abs=64),
        1000,
    ]
    assert served(after(start(), pause)) == covered[0]


def test_another_rollout_begins_with_other_nodes() -> None:
    assert served(after(start(identity="r1"))) != served(after(start(identity="r2")))


def test_a_selector_covers_whom_it_names_and_a_share_comes_on_top() -> None:
    canaries = {node.id for node in NODES[:5]}
    selector = Selector(labels={"track": "canary"})
    assert served(after(start(share=0, selector=selector))) == canaries
    wider = served(after(start(share=0, selector=selector), advance()))
    assert canaries < wider
    assert served(after(start(share=0, selector=Selector(cluster="c")))) == {node.id for node in NODES}


def test_after_the_way_back_everybody_runs_exactly_what_they_ran() -> None:
    assert {after(start(), back).serves(node) for node in NODES} == {FIRST.stable}


def test_each_attempt_has_a_generation_of_its_own() -> None:
    document, generations = FIRST, [FIRST.stable.generation]
    for number in range(4):
        document = start(identity=f"r{number}")(document)
        assert document.active is not None
        generations.append(document.active.candidate.generation)
        document = back(document)
    assert generations == [1, 2, 3, 4, 5]


def test_nobody_is_sent_anything_when_a_rollout_is_completed() -> None:
    whole = after(start(), advance(100))
    assert whole.active is not None
    done = COMPLETE(whole)
    assert {done.serves(node) for node in NODES} == {whole.serves(node) for node in NODES} == {whole.active.candidate}


def test_what_happened_is_told_and_the_oldest_forgotten() -> None:
    document = after(start(), advance(), pause, advance(resume=True), back)
    assert [event.kind for event in document.events] == [
        *("stable", "started", "advanced", "paused", "resumed", "rolled_back")
    ]
    assert document.events[-1].cause == "errors"
    assert [event.detail for event in document.events[1:]] == [
        *("2 to 10%, attempt 1; stable is 1", "to 25%", "covers 25%", "covers 25%", "2 to 1: because")
    ]
    for number in range(MAX_EVENTS):
        document = back(start(identity=f"r{number}")(document))
    assert len(document.events) == MAX_EVENTS


def test_of_a_rollout_by_selector_it_is_told_whom_that_covers() -> None:
    document = after(start(share=0, selector=CANARIES), pause, advance(resume=True), advance())
    assert [event.detail for event in document.events[1:]] == [
        "2 to track=canary, attempt 1; stable is 1",
        *("covers track=canary", "covers track=canary", "to 1% and track=canary"),
    ]


def test_limits_are_kept_with_the_rollout() -> None:
    document = rollout.start(FIRST, module("2"), "r", 2, share=5, limits=Limits(watch_seconds=17, max_errors=3))
    read = RolloutDocument.model_validate_json(document.encode())
    assert read.active is not None
    assert read.active.limits == Limits(watch_seconds=17, max_errors=3)


@given(st.text(), st.text())
def test_a_place_is_in_the_whole_and_always_the_same(rollout_id: str, node_id: str) -> None:
    assert 0 <= place(rollout_id, node_id) < 100
    assert place(rollout_id, node_id) == place(rollout_id, node_id)


def test_the_whole_covers_whoever_comes() -> None:
    document = after(start(), advance(100))
    assert isinstance(document.rollout, Rollout)
    assert all(document.rollout.covers(NodeIdentity.of(f"{number}")) for number in range(2000))


# Written down, so that replicas of different versions agree.
@pytest.mark.parametrize(("node", "at"), [("a", 66.8906596877), ("node-1", 84.9749448848), ("ä", 10.7570912877)])
def test_places_do_not_change_between_versions(node: str, at: float) -> None:
    assert place("r1", node) == pytest.approx(at, abs=1e-9)


ANYTHING = st.one_of(
    st.builds(start, st.sampled_from("12345"), st.sampled_from([0.0, 0.5, 10.0, 100.0]), st.text(max_size=3)),
    st.builds(advance, st.none() | st.floats(0.1, 100), resume=st.booleans(), unwatched=st.booleans()),
    st.just(pause),
    st.just(back),
)


@given(st.lists(ANYTHING, max_size=30))
def test_whatever_is_done_in_whatever_order_its_laws_hold(steps: list[Step]) -> None:
    document = FIRST
    for step in steps:
        try:
            after_it = step(document)
        except RolloutConflict:
            continue
        # One step, one event; and what is stored reads back as it was.
        assert len(after_it.events) == len(document.events) + 1
        assert RolloutDocument.model_validate_json(after_it.encode()) == after_it
        # Generations are given out once, to candidates alone.
        assert after_it.generations - document.generations == int(after_it.events[-1].kind == "started")
        # The stable module changes when a candidate becomes it, and nodes do not notice that.
        if after_it.stable != document.stable:
            assert after_it.events[-1].kind == "completed"
            assert document.active is not None
            assert after_it.stable == document.active.candidate
        # Nobody leaves a share while it is under way.
        if document.active is not None and after_it.active is not None:
            covered = {node.id for node in NODES[:50] if document.active.covers(node)}
            assert covered <= {node.id for node in NODES[:50] if after_it.active.covers(node)}
        if after_it.active is None:
            assert {after_it.serves(node) for node in NODES[:50]} == {after_it.stable}
        document = after_it
