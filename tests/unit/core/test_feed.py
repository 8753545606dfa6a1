from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from hfi_core import newest
from hfi_core.errors import StoreError, StoreUnavailable, WatchCompacted
from hfi_core.feed import Feed
from hfi_core.policy.model import Policy
from hfi_core.policy.stored import encode
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Listing, WatchBatch
from tests.support.policies import policy
from tests.support.waiting import eventually
from tests.unit.core.conftest import Clock


async def put(store: MemoryStore, name: str) -> int:
    return (await store.put(name, encode(Policy.model_validate(policy(name)), 1))).version


class Hidden(MemoryStore):
    """The same store, ``more`` revisions ahead, or which is ``away``; ``forgotten`` revisions cannot be listed."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store
        self.more = 0
        self.away = False
        self.forgotten = 0

    async def epoch(self) -> str:
        return await self._store.epoch()

    async def list(self, at: int = 0) -> Listing:
        if self.away:
            raise StoreUnavailable("away")
        listing = await self._store.list()
        newest = listing.revision + self.more
        if at and not self.forgotten < at <= newest:
            raise StoreError("no such revision")
        return Listing(listing.entries, at or newest)

    def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
        return self._store.watch(from_revision)


async def test_a_follower_starts_with_the_whole_and_then_gets_each_newest(store: MemoryStore, feed: Feed) -> None:
    await put(store, "a")
    follower = feed.follow()
    assert (await feed.reached(1)).policies.keys() == {"a"}
    assert (await anext(follower)).policies.keys() == {"a"}
    for name in ("b", "c", "d"):
        version = await put(store, name)
    await feed.reached(version)
    assert (await anext(follower)).policies.keys() == {"a", "b", "c", "d"}, "a slow follower skips to the newest"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await anext(follower)


async def test_the_clients_own_version_is_the_snapshots(store: MemoryStore, feed: Feed) -> None:
    version = await put(store, "a")
    assert (await feed.reached(version)).version == version
    assert (await feed.reached(version)).policies["a"].version == version


async def test_the_age_counts_from_the_last_proof(store: MemoryStore, feed: Feed, clock: Clock) -> None:
    clock.now += 700
    assert feed.age_ms() == 700
    await feed.reached(await put(store, "a"))
    assert feed.age_ms() == 0


async def test_a_feed_that_is_cut_off_says_for_how_long(store: MemoryStore, feed: Feed, clock: Clock) -> None:
    clock.now += 10_000
    assert feed.cut_off_ms() == 0, "a quiet store is as silent"
    clock.now += 1
    assert feed.cut_off_ms() == 10_001
    await feed.reached(await put(store, "a"))
    assert feed.cut_off_ms() == 0


async def test_a_feed_catches_up_with_what_others_have_seen(feed: Feed, store: MemoryStore) -> None:
    """As in etcd, where what is not of the policies moves the revision as well."""
    await feed.reached(await put(store, "a"))
    before = feed.current
    assert before is not None
    hidden = Hidden(store)
    other = Feed(hidden)
    task = asyncio.create_task(other.run())
    try:
        assert (await other.reached(0)).version == before.version
        hidden.more = 5
        await other.catch_up(before.version + 3, "another epoch")
        await other.catch_up(before.version, before.epoch)
        assert other.current is not None
        assert other.current.version == before.version
        await other.catch_up(before.version + 3, before.epoch)
        assert other.current.version == before.version + 3, "as far, and no further: others had to catch up with that"
        assert other.current.policies == before.policies
        hidden.forgotten = before.version + 4
        await other.catch_up(before.version + 4, before.epoch)
        assert other.current.version == before.version + 5, "the newest, for what was meant is known no more"
        await other.catch_up(before.version + 30, before.epoch)
        assert other.current.version == before.version + 5, "there is no more"
        hidden.away = True
        await other.catch_up(before.version + 30, before.epoch)
        hidden.more = 0
        for name in "bcdefg":
            await put(store, name)
        # Those that it counts as read are not taken back by the watch that tells of them later.
        await other.reached(before.version + 6)
        assert "g" in other.current.policies
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_waiting_for_a_change_ends_by_the_change_or_by_the_time(store: MemoryStore, feed: Feed) -> None:
    before = feed.current
    await feed.changed_from(before, within=0.01)
    assert feed.current is before
    await put(store, "a")
    await feed.changed_from(before, within=10)
    assert feed.current is not before


class Troubled(MemoryStore):
    """A memory store with the troubles of a remote one."""

    def __init__(self) -> None:
        super().__init__()
        self.unavailable = 0
        self.compactions = 0
        self.listings = 0
        self.batches: list[WatchBatch] = []

    async def list(self, at: int = 0) -> Listing:
        self.listings += 1
        if self.unavailable > 0:
            self.unavailable -= 1
            raise StoreUnavailable("no etcd at 127.0.0.1:1")
        return await super().list(at)

    async def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
        if self.compactions > 0:
            self.compactions -= 1
            raise WatchCompacted(from_revision + 1)
        for batch in self.batches:
            yield batch
        if not self.batches:
            async for batch in super().watch(from_revision):
                yield batch


@contextlib.asynccontextmanager
async def following(store: MemoryStore, clock: Clock) -> AsyncIterator[Feed]:
    feed = Feed(store, clock)
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "RELIST_BACKOFF_SECONDS", (0.001, 0.004))


@pytest.mark.usefixtures("quick")
async def test_a_store_that_comes_late_is_followed_and_the_trouble_is_said(clock: Clock) -> None:
    store = Troubled()
    store.unavailable = 10_000
    async with following(store, clock) as feed:
        assert feed.trouble == "the store has not been read yet"
        await eventually(lambda: feed.trouble == "no etcd at 127.0.0.1:1")
        assert (feed.current, feed.age_ms()) == (None, None)
        store.unavailable = 0
        await feed.reached(0)
        assert feed.trouble is None


async def test_after_compaction_it_lists_again(clock: Clock) -> None:
    store = Troubled()
    store.compactions = 2
    async with following(store, clock) as feed:
        await feed.reached(await put(store, "a"))
        assert store.listings == 3


@pytest.mark.usefixtures("quick")
async def test_a_watch_that_ends_is_begun_again(clock: Clock) -> None:
    store = Troubled()
    store.batches = [WatchBatch((), 0)]
    async with following(store, clock) as feed:
        await eventually(lambda: feed.trouble == "the store's watch ended")
        store.batches = []
        await feed.reached(await put(store, "a"))


async def test_an_empty_batch_proves_that_nothing_is_missing(clock: Clock) -> None:
    release = asyncio.Event()

    class Quiet(MemoryStore):
        async def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
            await release.wait()
            yield WatchBatch((), from_revision)
            await asyncio.Event().wait()

    async with following(Quiet(), clock) as feed:
        first = await feed.reached(0)
        clock.now += 500
        assert feed.age_ms() == 500
        release.set()
        await eventually(lambda: feed.age_ms() == 0)
        assert feed.current is first
