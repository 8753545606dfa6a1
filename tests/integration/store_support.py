"""What the tests of the stores share: following a watch, with a deadline on each wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

from hfi_core.store.protocol import Change, Store, WatchBatch

#: A test that waits longer for something has failed.
DEADLINE_SECONDS = 20.0


class Follower:
    """Reads a watch in the background, and keeps all that it said."""

    def __init__(self, store: Store, from_revision: int) -> None:
        self.batches: list[WatchBatch] = []
        self._store = store
        self._from = from_revision
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def changes(self) -> list[Change]:
        return [change for batch in self.batches for change in batch.changes]

    async def __aenter__(self) -> Follower:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._task

    async def _read(self) -> None:
        watch = cast("AsyncGenerator[WatchBatch, None]", self._store.watch(self._from))
        try:
            async with contextlib.aclosing(watch):
                async for batch in watch:
                    self.batches.append(batch)
                    self._news.set()
        finally:
            self._news.set()

    async def count(self, changes: int) -> list[Change]:
        """The changes, when there are so many; raises what the watch raised, when it ended."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(self.changes) < changes:
                await self._more()
        return self.changes

    async def heartbeat(self) -> WatchBatch:
        """The next batch without changes."""
        seen = len(self.batches)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not any(not batch.changes for batch in self.batches[seen:]):
                await self._more()
        return self.batches[-1]

    async def ended(self) -> None:
        """When the watch has ended; raises what it raised."""
        assert self._task is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.shield(self._task)

    async def _more(self) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
            raise AssertionError("the watch ended")
        self._news.clear()
        await self._news.wait()


@contextlib.asynccontextmanager
async def started(store: Store) -> AsyncIterator[Store]:
    """A store that is started, and closed after."""
    try:
        await store.start()
        yield store
    finally:
        await store.close()
