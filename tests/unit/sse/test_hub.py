from __future__ import annotations

import asyncio

import pytest

from hfi_core.feed import Feed
from hfi_core.snapshot import Snapshot
from hfi_core.store.memory import MemoryStore
from hfi_sse.health import troubles
from hfi_sse.hub import Outcome, StreamHub
from hfi_sse.views import Audience, Position
from tests.support.waiting import eventually

ONE = Audience("one")


def hub() -> StreamHub:
    found = StreamHub(Feed(MemoryStore()), lambda: 1)
    found.tracker.advance(Snapshot("e", 1))
    return found


async def test_waiting_ends_when_the_time_is_up() -> None:
    found = hub()
    assert await found.wait(ONE, Position(1), within=0.001) is Outcome.TIME_UP
    assert found.tracker.parked == 0


async def test_waiting_ends_when_the_client_goes() -> None:
    found = hub()
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(found.wait(ONE, Position(1), within=60, gone=gone))
    await eventually(lambda: found.tracker.parked == 1)
    gone.set_result(None)
    assert await waiting is Outcome.GONE
    assert found.tracker.parked == 0


async def test_waiting_ends_when_the_server_stops_and_does_not_begin_again() -> None:
    found = hub()
    waiting = asyncio.create_task(found.wait(ONE, Position(1)))
    await eventually(lambda: found.tracker.parked == 1)
    found.stop()
    assert await waiting is Outcome.STOPPING
    assert await found.wait(ONE, Position(1)) is Outcome.STOPPING


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    found = hub()
    waiting = asyncio.create_task(found.wait(ONE, Position(1), within=60))
    await eventually(lambda: found.tracker.parked == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert found.tracker.parked == 0


async def test_a_mistake_of_ours_ends_every_stream_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    feed = Feed(store)
    following = asyncio.create_task(feed.run())
    await feed.reached(0)
    found = StreamHub(feed, lambda: 1)

    def broken(snapshot: Snapshot) -> list[object]:
        raise KeyError("a mistake")

    monkeypatch.setattr(found.tracker, "advance", broken)
    await found.run()
    assert found.failed
    assert found.stopping
    assert any("follows the store no longer" in trouble for trouble in troubles(feed, found, 60, None))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await store.close()
