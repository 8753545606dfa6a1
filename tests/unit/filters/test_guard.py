from __future__ import annotations

import pytest

from hfi_core.snapshot import NodeIdentity
from hfi_core.store.memory import MemoryStore
from tests.support.waiting import eventually
from tests.unit.filters.guarding import CANARY, OTHER, Flaky, Replica, replica, started


async def test_a_node_that_rejects_the_candidate_ends_it(one: Replica, caplog: pytest.LogCaptureFixture) -> None:
    await started(one)
    one.connect(CANARY, "nacked", message="Unable to create Wasm plugin")
    back = await one.back()
    assert (back.cause, back.reason) == ("rejected", "node canary-1 rejected it: Unable to create Wasm plugin")
    await eventually(lambda: "rolled filter module 2 back: node canary-1 rejected it" in caplog.text, what="the words")
    document = one.rollouts.state().document
    assert document is not None
    assert (document.events[-1].kind, document.events[-1].cause) == ("rolled_back", "rejected")


async def test_a_rejection_that_another_replica_heard_and_did_not_act_on_ends_it(one: Replica) -> None:
    """That one has died. The node is here now, and is not sent again what it has rejected."""
    one.connect(CANARY, served="1/1")
    one.rejections.add((CANARY.id, "2/2"))
    await started(one)
    back = await one.back()
    assert (back.cause, back.reason) == (
        "rejected",
        "node canary-1 rejected it: what it said was heard by another replica",
    )


async def test_errors_that_only_nodes_with_the_candidate_have_end_it(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.errors(CANARY, 100)
    one.errors(OTHER, 100)
    await started(one)
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.now += 1_000
    one.errors(CANARY, 103)
    one.errors(OTHER, 103)
    await one.stays(monkeypatch)
    one.errors(CANARY, 104)
    back = await one.back()
    assert back.cause == "errors"
    assert "node canary-1 has had 4 errors" in back.reason


async def test_the_first_errors_of_a_node_that_never_had_any_count(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy says nothing of a counter before it has counted."""
    one.connect(CANARY, served="1/1")
    one.reports_nothing(CANARY)
    await started(one)
    await one.stays(monkeypatch)
    one.now += 1_000
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.errors(CANARY, 3)
    assert (await one.back()).cause == "errors"


async def test_errors_from_before_a_node_came_here_do_not_count(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    await one.stays(monkeypatch)
    one.now += 1_000
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.errors(CANARY, 3)
    await one.stays(monkeypatch)
    one.errors(CANARY, 4)
    assert "node canary-1 has had 1 errors" in (await one.back()).reason


async def test_errors_from_before_a_nodes_reports_came_here_do_not_count(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its module from here all the time, and the replica that it reported to has died."""
    one.connect(CANARY, served="1/1")
    await started(one)
    await one.stays(monkeypatch)
    one.now += 1_000
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.errors(CANARY, 100)
    await one.stays(monkeypatch)
    one.errors(CANARY, 102)
    assert "node canary-1 has had 2 errors" in (await one.back()).reason


async def test_errors_count_at_whichever_replica_they_are_reported(
    one: Replica, two: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An Envoy's streams go where they fall: the module may come from one replica, and the reports go to another."""
    stable = NodeIdentity.of("stable-1", "other")
    for node in (CANARY, stable):
        two.connect(node, served="1/1")
        two.polls(node)
        one.reports_nothing(node)
    await started(one)
    await two.under_way()
    two.connect(CANARY)
    await one.stays(monkeypatch)
    # What befalls those of the stable module as well, wherever they are connected, condemns nobody.
    await one.hears_of(CANARY, stable)
    one.errors(CANARY, 3)
    one.errors(stable, 3)
    await one.stays(monkeypatch)
    one.errors(CANARY, 4)
    back = await one.back()
    assert (back.cause, "node canary-1 has had 4 errors" in back.reason) == ("errors", True)
    assert (one.rollouts.rolled_back["errors"], two.rollouts.rolled_back["errors"]) == (1, 0)


async def test_errors_after_the_watch_end_nothing_elsewhere_either(
    one: Replica, two: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.connect(CANARY, served="1/1")
    two.polls(CANARY)
    one.reports_nothing(CANARY)
    await started(one)
    await two.under_way()
    two.connect(CANARY)
    await one.hears_of(CANARY)
    await one.stays(monkeypatch)
    one.now += 60_000
    one.errors(CANARY, 50)
    await one.stays(monkeypatch)


async def test_errors_of_a_node_that_began_with_the_candidate_count_from_its_start(one: Replica) -> None:
    await started(one)
    one.now += 20_000
    one.errors(CANARY, 3, uptime=10)
    one.connect(CANARY)
    assert (await one.back()).cause == "errors"


async def test_errors_after_the_watch_end_nothing(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    one.connect(CANARY)
    one.polls(CANARY)
    one.errors(CANARY, 0)
    await one.stays(monkeypatch)
    one.now += 60_000
    one.errors(CANARY, 50)
    await one.stays(monkeypatch)


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "its filter asks no more"])
async def test_a_node_that_goes_silent_ends_it(one: Replica, monkeypatch: pytest.MonkeyPatch, gone: bool) -> None:
    await started(one)
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.proxies.polling(CANARY, False)
    if gone:
        one.proxies.stream_closed(CANARY.id)
    one.now += 59_000
    await one.stays(monkeypatch)
    one.now += 1_000
    back = await one.back()
    assert (back.cause, back.reason) == ("silent", "node canary-1 runs it and has not been heard of for 60 s")


async def test_a_node_that_never_asks_for_rules_ends_it(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    one.connect(CANARY)
    await one.stays(monkeypatch)
    one.now += 60_000
    assert (await one.back()).cause == "silent"


async def test_a_node_that_asks_another_replica_is_silent_only_when_that_hears_nothing(
    one: Replica, store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(store, "r2") as two:
        await started(one)
        await two.under_way()
        one.connect(CANARY)
        one.polls(CANARY)
        await one.stays(monkeypatch)
        # It goes on with the other, whose clock is another.
        two.now = 77
        two.polls(CANARY)
        one.proxies.polling(CANARY, False)
        await one.hears_of(CANARY)
        for _ in range(3):
            one.now += 15_000
            two.now += 15_000
            await two.stays(monkeypatch)
            await one.stays(monkeypatch)
        # And stops, within its watch.
        two.proxies.polling(CANARY, False)
        await one.hears_of()
        one.now += 59_000
        two.now += 59_000
        await one.stays(monkeypatch)
        one.now += 1_000
        back = await one.back()
        assert (back.cause, back.reason) == ("silent", "node canary-1 runs it and has not been heard of for 60 s")


async def test_before_a_node_is_condemned_for_silence_the_store_itself_is_asked(
    one: Replica, store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a replica has heard of the others may lag behind what they have told."""
    async with replica(store, "r2") as two:
        await started(one)
        one.connect(CANARY)
        one.polls(CANARY)
        await one.stays(monkeypatch)
        await one.stop_following()
        two.polls(CANARY)
        one.proxies.polling(CANARY, False)
        await one.could_hear_of(CANARY)
        one.now += 60_000
        await one.stays(monkeypatch)
        assert one.membership.polling_elsewhere() == set(), "it has not heard of it by itself"


async def test_nobody_is_silent_for_a_replica_that_cannot_ask_the_others(
    one: Replica, store: Flaky, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor when what it follows seems to be all right."""
    await started(one)
    one.connect(CANARY)
    await one.stays(monkeypatch)
    await one.stop_following()
    store.beside("status").away = True
    monkeypatch.setattr(one.membership, "polling_elsewhere", frozenset)
    one.now += 60_000
    await one.stays(monkeypatch)
    assert "whether other replicas hear of nodes that are silent here cannot be known: away" in caplog.text


@pytest.mark.parametrize("there", [True, False], ids=["polls on", "is gone"])
async def test_silence_begins_to_count_when_the_others_can_be_heard_again(
    one: Replica, store: Flaky, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """The store is away for longer than a watch. What others had told ends with their leases, and is told again, if it
    is true, a moment after this replica has reached the store."""
    status = store.beside("status")
    async with replica(store, "r2") as two:
        await started(one)
        one.connect(CANARY)
        two.polls(CANARY)
        await one.hears_of(CANARY)
        await one.stays(monkeypatch)
        one.now += 10_000
        await one.stays(monkeypatch)
        status.away = True
        await eventually(lambda: one.membership.polling_elsewhere() is None, what="that it is away")
        two.proxies.polling(CANARY, False)
        for key in [entry.key for entry in (await MemoryStore.list(status)).entries if "/" in entry.key]:
            await status.delete(key)
        one.now += 120_000
        await one.stays(monkeypatch)
        status.away = False
        await one.hears_of()
        one.now += 59_000
        await one.stays(monkeypatch)
        if there:
            two.proxies.polling(CANARY, True)
            await one.hears_of(CANARY)
            one.now += 120_000
            await one.stays(monkeypatch)
        else:
            one.now += 1_000
            assert (await one.back()).cause == "silent"


async def test_a_node_that_does_not_answer_ends_it(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    one.connect(CANARY, "sent")
    await one.stays(monkeypatch)
    one.now += 60_000
    back = await one.back()
    assert (back.cause, back.reason) == ("silent", "node canary-1 was sent it and has not answered for 60 s")


async def test_what_this_replica_does_not_serve_it_does_not_judge(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.version_of = lambda assignment: None
    await started(one)
    one.connect(CANARY, "sent")
    await one.stays(monkeypatch)
    one.now += 100_000
    await one.stays(monkeypatch)


async def test_what_is_paused_is_watched_as_before(one: Replica) -> None:
    await started(one)
    await one.rollouts.pause()
    one.connect(CANARY, "nacked")
    assert (await one.back()).cause == "rejected"


async def test_another_attempt_is_judged_anew(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    one.connect(CANARY, "nacked")
    await one.back()
    await started(one)
    # What it rejected was the attempt before; and its errors from then are not held against this one.
    one.errors(CANARY, 7)
    one.connect(CANARY, "acked", served="2/3")
    one.polls(CANARY)
    await one.stays(monkeypatch)


async def test_a_store_that_is_away_is_asked_again(
    one: Replica, store: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    await started(one)
    store.away = True
    one.connect(CANARY, "nacked")
    await eventually(lambda: caplog.text.count("must go back, but cannot: away") > 1, what="two attempts")
    store.away = False
    assert (await one.back()).cause == "rejected"


async def test_of_two_replicas_that_see_it_one_acts(one: Replica, store: Flaky) -> None:
    async with replica(store, "r2") as two:
        await started(one)
        await two.under_way()
        for seeing in (one, two):
            seeing.connect(CANARY, "nacked")
        await one.back()
        await two.back()
        document = two.rollouts.state().document
        assert document is not None
        assert [event.kind for event in document.events].count("rolled_back") == 1
        assert one.rollouts.rolled_back["rejected"] + two.rollouts.rolled_back["rejected"] == 1
