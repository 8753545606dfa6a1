"""A store's whole content as one value, newest only: for the small rooms beside the policies.

As :class:`~hfi_core.feed.Feed`, which does it for policies: list, then watch; whoever follows skips to the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Generic, NoReturn, TypeVar

from hfi_core.errors import HfiError, StoreError, WatchCompacted
from hfi_core.store.protocol import Entry, Store

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Between attempts to list again while the store is gone; the watch has a backoff of its own.
RELIST_BACKOFF_SECONDS = (0.1, 5.0)


class Follower(Generic[T]):
    """Follows ``store``; ``fold`` makes the value of all entries and the revision. ``name`` is for logs."""

    def __init__(self, name: str, store: Store, fold: Callable[[Iterable[Entry], int], T]) -> None:
        self._name = name
        self._store = store
        self._fold = fold
        self._current: T | None = None
        self._revision = -1
        self._changed = asyncio.Event()
        self._trouble: str | None = f"the {name} have not been read yet"

    @property
    def current(self) -> T | None:
        """The newest value; None until the store has been read once."""
        return self._current

    @property
    def trouble(self) -> str | None:
        """Why the value may be behind the store, in words; None while it follows."""
        return self._trouble

    async def run(self) -> None:
        """List, then watch, for ever; after compaction or a lost store, list again. Ends only by cancellation."""
        low, high = RELIST_BACKOFF_SECONDS
        pause = low
        while True:
            try:
                await self._list_and_watch()
            except WatchCompacted as error:
                log.info("%s: %s", self._name, error)
            except StoreError as error:
                pause = low if self._trouble is None else min(high, pause * 2)
                self._trouble = str(error)
                log.warning("%s: %s; listing again in %.1f s", self._name, error, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _list_and_watch(self) -> NoReturn:
        await self._store.epoch()  # The watch compares with it: another store is listed anew.
        listing = await self._store.list()
        entries = {entry.key: entry for entry in listing.entries}
        self._publish(entries.values(), listing.revision)
        async for batch in self._store.watch(listing.revision):
            self._trouble = None
            for change in batch.changes:
                entries.pop(change.key, None)
                if change.entry is not None:
                    entries[change.key] = change.entry
            if batch.changes:
                self._publish(entries.values(), batch.revision)
        raise StoreError("the store's watch ended")

    def _publish(self, entries: Iterable[Entry], revision: int) -> None:
        self._current = self._fold(entries, revision)
        self._revision = revision
        self._trouble = None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> AsyncIterator[T]:
        """The current value as soon as there is one, then each newest; what is missed in between is skipped."""
        seen: T | None = None
        while True:
            changed = self._changed
            if self._current is not None and self._current is not seen:
                seen = self._current
                yield seen
            else:
                await changed.wait()

    async def changed_from(self, value: T, *, within: float) -> None:
        """Return when another value than that is current, or after ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._current is value:
                    await self._changed.wait()

    async def until(self, condition: Callable[[T], bool]) -> T:
        """The first value for which that holds."""
        async for value in self.follow():
            if condition(value):
                return value
        raise HfiError("the following ended")  # pragma: no cover - follow() does not end

    async def reached(self, revision: int) -> T:
        """The first value at that revision or later: what a writer waits for to read its own write."""
        async for value in self.follow():
            if self._revision >= revision:
                return value
        raise HfiError("the following ended")  # pragma: no cover - follow() does not end
