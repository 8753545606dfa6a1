"""The feed: the store's watch folded into one snapshot, newest only.

The only writer of the snapshot is the task that :meth:`Feed.run` is. Readers take :attr:`Feed.current`, or
follow. Publishing never waits for a reader: it swaps an event, and a slow follower wakes up to the newest
(holding a lock while yielding would let one slow reader block every other).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

from hfi_core.clock import now_ms
from hfi_core.errors import HfiError, StoreError, WatchCompacted
from hfi_core.snapshot import Snapshot, fold, from_listing
from hfi_core.store.protocol import Store

log = logging.getLogger(__name__)

#: Between attempts to list again while the store is gone; the watch has a backoff of its own.
RELIST_BACKOFF_SECONDS = (0.1, 5.0)


class Feed:
    """Follows a store. ``clock`` answers Unix milliseconds."""

    def __init__(self, store: Store, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock = clock
        self._current: Snapshot | None = None
        self._changed = asyncio.Event()
        self._confirmed_at_ms: int | None = None
        self._trouble: str | None = "the store has not been read yet"

    @property
    def current(self) -> Snapshot | None:
        """The newest snapshot; None until the store has been read once."""
        return self._current

    @property
    def trouble(self) -> str | None:
        """Why the feed may be behind the store, in words; None while it follows."""
        return self._trouble

    def age_ms(self) -> int | None:
        """Milliseconds since the store last proved that nothing is missing here; None when it never did."""
        return None if self._confirmed_at_ms is None else max(0, self._clock() - self._confirmed_at_ms)

    async def run(self) -> None:
        """List, then watch, for ever; after compaction or a lost store, list again. Ends only by cancellation."""
        low, high = RELIST_BACKOFF_SECONDS
        pause = low
        while True:
            confirmed = self._confirmed_at_ms
            try:
                await self._list_and_watch()
            except WatchCompacted as error:
                log.info("feed: %s", error)
            except StoreError as error:
                self._trouble = str(error)
                if self._confirmed_at_ms != confirmed:
                    pause = low
                log.warning("feed: %s; listing again in %.1f s", error, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(high, pause * 2)

    async def _list_and_watch(self) -> NoReturn:
        epoch = await self._store.epoch()
        listing = await self._store.list()
        self._publish(from_listing(epoch, listing))
        async for batch in self._store.watch(listing.revision):
            current = self._current
            assert current is not None
            if batch.changes:
                self._publish(fold(current, batch.changes, batch.revision))
            else:
                self._confirm()
        raise StoreError("the store's watch ended")

    def _publish(self, snapshot: Snapshot) -> None:
        for name, why in snapshot.broken.items():
            if self._current is None or self._current.broken.get(name) != why:
                log.error("policy %s cannot be read and is left out: %s", name, why)
        self._current = snapshot
        self._confirm()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _confirm(self) -> None:
        self._confirmed_at_ms = self._clock()
        self._trouble = None

    async def follow(self) -> AsyncIterator[Snapshot]:
        """The current snapshot as soon as there is one, then each newest; what is missed in between is skipped."""
        seen: Snapshot | None = None
        while True:
            changed = self._changed
            if self._current is not None and self._current is not seen:
                seen = self._current
                yield seen
            else:
                await changed.wait()

    async def changed_from(self, snapshot: Snapshot | None, *, within: float) -> None:
        """Return when another snapshot than that is current, or after ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._current is snapshot:
                    await self._changed.wait()

    async def reached(self, version: int) -> Snapshot:
        """The first snapshot at ``version`` or later: what a writer waits for to read its own write."""
        async for snapshot in self.follow():
            if snapshot.version >= version:
                return snapshot
        raise HfiError("the feed ended")  # pragma: no cover - follow() does not end
