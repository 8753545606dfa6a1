from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from hfi_core.errors import StoreUnavailable
from hfi_core.filters.hearing import Hearing
from hfi_core.store.memory import MemoryStore
from tests.support.waiting import eventually


class Clock:
    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def lasting() -> MemoryStore:
    """A store in which nothing comes to its end: the clocks of these tests are not the world's."""
    return MemoryStore(clock=lambda: 0)


@contextlib.asynccontextmanager
async def hearing(store: MemoryStore, clock: Clock) -> AsyncIterator[Hearing]:
    made = Hearing(store, clock)
    following = asyncio.create_task(made.follower.run())
    try:
        await made.follower.reached(0)
        yield made
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_what_one_hears_the_others_know_by_their_own_clocks() -> None:
    store, here, there = lasting(), Clock(1_000_000), Clock(500)
    async with hearing(store, here) as one, hearing(store, there) as two:
        assert two.heard("r", "a") is None
        assert await one.tell("r", {"a": 999_000, "ä/ 1": 1_000_000, "long ago": 800_000}, 60)
        await eventually(lambda: two.heard("r", "a"), what="the word")
        assert two.heard("r", "a") == -500
        assert two.heard("r", "ä/ 1") == 500
        assert two.heard("r", "long ago") is None
        assert two.heard("r", "never") is None
        assert two.heard("another", "a") is None
        # Nobody listens to himself.
        assert one.heard("r", "a") is None


async def test_it_is_told_a_few_times_in_a_watch_and_again_for_another_rollout() -> None:
    store, clock = lasting(), Clock(1_000_000)
    async with hearing(store, clock) as one:
        revisions = []
        for moved in (0, 1_000, 13_999, 1):
            clock.now += moved
            assert await one.tell("r", {"a": clock.now}, 60)
            revisions.append((await store.list()).revision)
        await one.tell("r2", {"a": clock.now}, 60)
        revisions.append((await store.list()).revision)
    assert revisions == [1, 1, 1, 2, 3]


async def test_a_word_goes_with_its_replica() -> None:
    store, clock = lasting(), Clock(1_000_000)
    async with hearing(store, clock) as one, hearing(store, clock) as two:
        await one.tell("r", {"a": clock.now}, 60)
        await eventually(lambda: two.heard("r", "a"), what="the word")
        [entry] = (await store.list()).entries
        await store.delete(entry.key)
        await eventually(lambda: two.heard("r", "a") is None, what="its end")


async def test_words_have_an_end_by_themselves() -> None:
    ends: list[int | None] = []

    class Noting(MemoryStore):
        async def put(self, *args: object, expires_at_ms: int | None = None, **more: object) -> object:  # type: ignore[override]
            ends.append(expires_at_ms)
            return None

    one, clock = Hearing(Noting(), Clock(1_000_000)), 1_000_000
    await one.tell("r", {}, 10)
    await Hearing(Noting(), Clock(clock)).tell("r", {}, 600)
    assert ends == [clock + 30_000, clock + 600_000]


async def test_what_cannot_be_told_is_told_the_next_time(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = lasting(), Clock(1_000_000)
    one = Hearing(store, clock)
    await store.close()
    assert not await one.tell("r", {"a": 1}, 60)
    assert "are not told" in caplog.text
    with pytest.raises(StoreUnavailable):
        await store.list()
    assert not await one.tell("r", {"a": 1}, 60)


async def test_what_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = lasting(), Clock(1_000_000)
    async with hearing(store, clock) as one, hearing(store, clock) as two:
        for number, bad in enumerate((b"{", b"[]", b'{"rollout": "r"}', b'{"rollout": "r", "ages": {"a": "x"}}')):
            await store.put(f"bad-{number}", bad)
        await two.tell("r", {"a": clock.now}, 60)
        await eventually(lambda: one.heard("r", "a"), what="the good word")
    assert caplog.text.count("cannot be read") >= 4
