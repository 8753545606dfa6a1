"""The laws of the store protocol, on the store in memory."""

from __future__ import annotations

import asyncio

import pytest

from hfi_core.clock import now_ms
from hfi_core.errors import EntryConflict, EntryMissing, StoreUnavailable, WatchCompacted
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import WatchBatch
from tests.support.waiting import eventually_async


async def test_each_write_makes_the_revision_larger(store: MemoryStore) -> None:
    first = await store.put("a", b"1")
    second = await store.put("b", b"2")
    third = await store.put("a", b"3")
    assert first.version < second.version < third.version
    listing = await store.list()
    assert listing.entries == (third, second)
    assert listing.revision == third.version
    assert await store.get("a") == third
    assert await store.get("c") is None


async def test_writes_compare_and_swap(store: MemoryStore) -> None:
    entry = await store.put("a", b"1", expected=0)
    for stale in (0, entry.version + 1):
        with pytest.raises(EntryConflict):
            await store.put("a", b"2", expected=stale)
    with pytest.raises(EntryConflict):
        await store.delete("a", expected=entry.version + 1)
    assert await store.get("a") == entry
    assert await store.delete("a", expected=entry.version) == entry.version + 1
    with pytest.raises(EntryMissing):
        await store.delete("a")


async def test_a_watch_yields_every_change_after_its_revision_in_order(store: MemoryStore) -> None:
    start = (await store.put("a", b"1")).version
    watch = store.watch(start)
    second = await store.put("b", b"2")
    removed = await store.delete("a")
    batch = await anext(watch)
    assert [(change.key, change.entry, change.revision) for change in batch.changes] == [
        ("b", second, second.version),
        ("a", None, removed),
    ]
    assert batch.revision == removed
    waiting = asyncio.ensure_future(anext(watch))
    third = await store.put("c", b"3")
    assert [change.entry for change in (await waiting).changes] == [third]


async def test_a_quiet_watch_proves_that_it_is_alive() -> None:
    store = MemoryStore(heartbeat=0.01)
    version = (await store.put("a", b"1")).version
    assert await anext(store.watch(version)) == WatchBatch((), version)


async def test_what_is_no_longer_kept_is_compacted() -> None:
    store = MemoryStore(history=2)
    for number in range(4):
        await store.put("a", str(number).encode())
    with pytest.raises(WatchCompacted) as refusal:
        await anext(store.watch(1))
    assert refusal.value.compact_revision == 2
    assert [change.revision for change in (await anext(store.watch(2))).changes] == [3, 4]


async def test_an_entry_leaves_at_its_end_and_a_watch_sees_it(store: MemoryStore) -> None:
    start = (await store.put("a", b"1", expires_at_ms=now_ms() + 50)).version
    await store.put("stays", b"1", expires_at_ms=now_ms() + 3_600_000)
    detached = await store.put("b", b"1", expires_at_ms=now_ms() + 50)
    await store.put("b", b"2", expected=detached.version)
    keys = []
    async with asyncio.timeout(10):
        async for batch in store.watch(start):
            keys += [change.key for change in batch.changes if change.entry is None]
            if keys:
                break
    assert keys == ["a"]
    assert [entry.key for entry in (await store.list()).entries] == ["b", "stays"]


async def test_an_end_in_the_past_is_now(store: MemoryStore) -> None:
    await store.put("a", b"1", expires_at_ms=0)

    async def gone() -> bool:
        return await store.get("a") is None

    await eventually_async(gone)


async def test_epochs_differ() -> None:
    one, two = MemoryStore(), MemoryStore()
    assert await one.epoch() == await one.epoch() != await two.epoch()


async def test_a_closed_store_ends_its_watches_and_refuses(store: MemoryStore) -> None:
    watch = store.watch(0)
    waiting = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    await store.put("late", b"", expires_at_ms=now_ms() + 3_600_000)
    await waiting
    waiting = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert await waiting is None
    with pytest.raises(StoreUnavailable):
        await store.list()
