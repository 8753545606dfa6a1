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

#: So long may a quiet store be silent: etcd is asked for a sign of life after 5 s, and given up after 10.
QUIET_MS = 10_000
#: Between attempts to list again while the store is gone; the watch has a backoff of its own.
RELIST_BACKOFF_SECONDS = (0.1, 5.0)


class Feed:
    """Follows a store. ``clock`` answers Unix milliseconds."""

    def __init__(self, store: Store, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock = clock
        self._current: Snapshot | None = None
        self._changed = asyncio.Event()
        self._catching_up = asyncio.Lock()
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

    def cut_off_ms(self) -> int:
        """For how long the store has not been heard of; 0 while its silence is that of a quiet store.

        It goes to the proxies (``x-hfi-age-ms``), whose dead man's switch counts it in: a replica that is cut off
        answers, and its answers must not keep old faults going.
        """
        age = self.age_ms()
        return 0 if age is None or (self._trouble is None and age <= QUIET_MS) else age

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
            # Others may have been read already, by catch_up().
            changes = tuple(change for change in batch.changes if change.revision > current.version)
            if changes:
                self._publish(fold(current, changes, batch.revision))
            else:
                self._confirm()
        raise StoreError("the store's watch ended")

    async def catch_up(self, version: int, epoch: str) -> None:
        """Read the store anew when it has got further than this feed: somebody has seen that version of it.

        A replica that lists is as far as the store's newest revision, whatever that was about; one that watches stays
        at the last change of a policy. A proxy that goes from the former to the latter would take it for a stale one.
        Does nothing when the store cannot be read, or is another.
        """
        async with self._catching_up:
            current = self._current
            if current is None or current.epoch != epoch or current.version >= version:
                return
            try:
                if await self._store.epoch() != epoch:
                    return
                listing = await self._store.list()
            except StoreError as error:
                log.debug("feed: cannot catch up with version %d: %s", version, error)
                return
            if self._current is not None and self._current.epoch == epoch and listing.revision > self._current.version:
                self._publish(from_listing(epoch, listing))

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
