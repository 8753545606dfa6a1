from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from hfi_core.feed import Feed
from hfi_core.following import Follower
from hfi_core.replicas import keeping_up
from hfi_core.replicas.documents import Position, Replica, replica_document
from hfi_core.replicas.fleet import Told
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Listing, WatchBatch
from tests.support.waiting import eventually


class Policies(MemoryStore):
    """Counts how often it is read; one that is ``deaf`` tells of no change."""

    def __init__(self, deaf: bool) -> None:
        super().__init__()
        self.reads = 0
        self._deaf = deaf

    async def list(self, at: int = 0) -> Listing:
        self.reads += 1
        return await super().list(at)

    async def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
        if self._deaf:
            await asyncio.Event().wait()
        async for batch in super().watch(from_revision):
            yield batch


@contextlib.asynccontextmanager
async def keeping(policies: Policies, status: MemoryStore) -> AsyncIterator[tuple[Feed, Follower[Told]]]:
    feed, others = Feed(policies), Follower("status", status, lambda entries, _: Told("r1", tuple(entries), 0))
    works = (feed.run(), others.run(), keeping_up.keep_up(others, feed))
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await feed.reached(0)
        yield feed, others
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def tell(status: MemoryStore, name: str, version: int, epoch: str) -> None:
    await status.put(name, replica_document(Replica(name, 1, "1", Position(version, epoch))))


async def test_what_another_has_read_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would take proxies that are connected to the other one for outdated."""
    monkeypatch.setattr(keeping_up, "GRACE_SECONDS", 0.001)
    policies, status = Policies(deaf=True), MemoryStore()
    async with keeping(policies, status) as (feed, _):
        assert feed.current is not None
        # What cannot be read as a policy has a version as well.
        newest = (await policies.put("p", b"?")).version
        await tell(status, "another-life", newest, "another epoch")
        await status.put("r3", b"of another layout")
        await status.put("r2/n1", b"{}")
        await tell(status, "r2", newest, feed.current.epoch)
        await eventually(lambda: feed.current is not None and feed.current.version == newest, what="what r2 has read")
        assert policies.reads == 2


async def test_what_comes_by_itself_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping_up, "GRACE_SECONDS", 0.1)
    policies, status = Policies(deaf=False), MemoryStore()
    async with keeping(policies, status) as (feed, others):
        assert feed.current is not None
        looked, catch_up = asyncio.Event(), feed.catch_up

        async def caught_up(version: int, epoch: str) -> None:
            await catch_up(version, epoch)
            looked.set()

        monkeypatch.setattr(feed, "catch_up", caught_up)
        newest = feed.current.version + 1
        await tell(status, "r2", newest, feed.current.epoch)
        await others.until(lambda told: len(told.entries) > 0)
        await policies.put("p", b"?")
        async with asyncio.timeout(10):
            await looked.wait()
        assert (feed.current.version, policies.reads) == (newest, 1)
