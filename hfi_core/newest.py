"""One value that follows a store, newest only: what the feed of policies and the followers of other rooms share.

The only writer of the value is the task that :meth:`Newest.run` is. Readers take :attr:`Newest.current`, or follow.
Publishing never waits for a reader: it swaps an event, and a slow follower wakes up to the newest (holding a lock
while yielding would let one slow reader block every other).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Generic, NoReturn, TypeVar

from hfi_core.backoff import Backoff
from hfi_core.errors import HfiError, StoreError, StoreUnavailable, WatchCompacted
from hfi_core.outage import Outage

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Between attempts to list again while the store is gone; the watch has a backoff of its own.
RELIST_BACKOFF_SECONDS = (0.1, 5.0)
#: How long a write waits to be seen here. Past it the write is done all the same.
READ_YOUR_WRITE_SECONDS = 2.0


class Newest(ABC, Generic[T]):
    """``name`` is for logs; ``unread`` says in words that the store has not been read yet."""

    def __init__(self, name: str, unread: str) -> None:
        self._name = name
        self._outage = Outage(log, f"the reading of the store ({name})")
        self._current: T | None = None
        self._revision = -1
        self._changed = asyncio.Event()
        self._trouble: str | None = unread

    @property
    def current(self) -> T | None:
        """The newest value; None until the store has been read once."""
        return self._current

    @property
    def trouble(self) -> str | None:
        """Why the value may be behind the store, in words; None while it follows."""
        return self._trouble

    def required(self) -> T:
        """The newest value. Raises :class:`~hfi_core.errors.StoreUnavailable` before the store has been read."""
        if self._current is None:
            raise StoreUnavailable(self._trouble or "the store has not been read yet")
        return self._current

    async def run(self) -> None:
        """List, then watch, for ever; after compaction or a lost store, list again. Ends only by cancellation."""
        backoff = Backoff(*RELIST_BACKOFF_SECONDS)
        while True:
            try:
                await self._list_and_watch()
            except WatchCompacted as error:
                log.info("%s: %s", self._name, error)
            except StoreError as error:
                if self._trouble is None:
                    backoff.reset()
                self._trouble = str(error)
                wait = backoff.next()
                self._outage.failed(error, wait)
                await asyncio.sleep(wait)

    @abstractmethod
    async def _list_and_watch(self) -> NoReturn:
        """Publish what the store holds, and each change, until it raises :class:`~hfi_core.errors.StoreError`."""

    def _publish(self, value: T, revision: int) -> None:
        self._current = value
        self._revision = revision
        self._trouble = None
        self._outage.over()
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

    async def changed_from(self, value: T | None, *, within: float) -> None:
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
        """The first value at that revision or later."""
        return await self.until(lambda _: self._revision >= revision)

    async def seen(self, revision: int) -> None:
        """Let a writer read its own write: return when it is here, or after :data:`READ_YOUR_WRITE_SECONDS`."""
        await self.shown(lambda _: self._revision >= revision)

    async def shown(self, condition: Callable[[T], bool]) -> None:
        """The same for a write that is known by what it has changed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_YOUR_WRITE_SECONDS):
                await self.until(condition)
