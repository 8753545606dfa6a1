from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import pytest

from hfi_core import newest
from hfi_core.errors import StoreUnavailable
from hfi_core.following import Follower
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry, Listing
from tests.support.waiting import eventually

Value = tuple[frozenset[tuple[str, bytes]], int]


def fold(entries: Iterable[Entry], revision: int) -> Value:
    return frozenset((entry.key, entry.value) for entry in entries), revision


class Flaky(MemoryStore):
    away = False

    async def list(self, at: int = 0) -> Listing:
        if self.away:
            raise StoreUnavailable("away")
        return await super().list(at)


@pytest.fixture
async def store() -> AsyncIterator[Flaky]:
    made = Flaky(history=3)
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def followed(store: MemoryStore) -> AsyncIterator[Follower[Value]]:
    made = Follower("things", store, fold)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_is_what_the_store_holds_and_then_each_change(store: Flaky) -> None:
    await store.put("a", b"1")
    async with followed(store) as things:
        assert things.current is None
        assert things.trouble == "the things have not been read yet"
        assert await things.reached(0) == (frozenset({("a", b"1")}), 1)
        written = await store.put("b", b"2")
        assert await things.reached(written.version) == (frozenset({("a", b"1"), ("b", b"2")}), 2)
        assert await things.until(lambda value: value[1] == 2) == things.current
        removed = await store.delete("a")
        assert await things.reached(removed) == (frozenset({("b", b"2")}), 3)
        assert things.trouble is None


async def test_who_follows_skips_to_the_newest(store: Flaky) -> None:
    async with followed(store) as things:
        values = things.follow()
        assert await anext(values) == (frozenset(), 0)
        for number in range(3):
            written = await store.put("a", bytes([number]))
        await things.reached(written.version)
        assert await anext(values) == (frozenset({("a", b"\x02")}), 3)


async def test_after_compaction_and_while_the_store_is_away_it_catches_up(
    store: Flaky, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(newest, "RELIST_BACKOFF_SECONDS", (0.001, 0.01))
    async with followed(store) as things:
        await things.reached(0)
        store.away = True
        # More than the history holds, at once: the watch cannot go on, and listing fails.
        for number in range(10):
            written = await store.put("a", bytes([number]))
        await eventually(lambda: things.trouble == "away", what="the trouble")
        assert things.current == (frozenset(), 0)
        store.away = False
        assert await things.reached(written.version) == (frozenset({("a", b"\x09")}), 10)
        assert things.trouble is None
