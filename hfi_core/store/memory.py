"""A store in this process's memory: for tests, and for trying HFI out without an etcd. Nothing outlives it.

Everything happens in one event loop and no method waits between reading and writing, so each is atomic.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping

from hfi_core.clock import now_ms
from hfi_core.errors import EntryConflict, EntryMissing, StoreError, StoreUnavailable, WatchCompacted
from hfi_core.store.protocol import NOTHING, Change, Entry, Listing, Provided, WatchBatch
from hfi_core.store.tenancy import Tenancy

#: Changes that are kept for watches that begin in the past; older ones count as compacted.
HISTORY = 10_000
#: A quiet watch proves that it is alive so often; who follows it takes its silence for trouble.
HEARTBEAT_SECONDS = 5.0


class MemoryStore:
    """See :class:`~hfi_core.store.protocol.Store`. ``clock`` answers Unix milliseconds."""

    def __init__(
        self, clock: Callable[[], int] = now_ms, history: int = HISTORY, heartbeat: float = HEARTBEAT_SECONDS
    ) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self._epoch = uuid.uuid4().hex
        self._revision = 0
        self._entries: dict[str, Entry] = {}
        self._ends: dict[str, int] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._compacted = 0
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._beside: dict[str, MemoryStore] = {}

    async def start(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """End every watch, and the timer."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    async def epoch(self) -> str:
        """A random name of this instance."""
        return self._epoch

    async def list(self, at: int = 0) -> Listing:
        """Everything, at one revision; of what was before the newest, nothing is kept."""
        self._open()
        if at not in (0, self._revision):
            raise StoreError(f"the store is at revision {self._revision}, and does not know {at}")
        return Listing(tuple(entry for _, entry in sorted(self._entries.items())), self._revision)

    async def get(self, key: str) -> Entry | None:
        """The entry, or None."""
        self._open()
        return self._entries.get(key)

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: int | None = None,
        expires_at_ms: int | None = None,
        provided: Provided = NOTHING,
    ) -> Entry:
        """Write; see the protocol."""
        self._open()
        self._expect(key, expected, provided)
        entry = Entry(key, value, self._revision + 1)
        self._entries[key] = entry
        self._ends.pop(key, None)
        if expires_at_ms is not None:
            self._ends[key] = expires_at_ms
        self._record(Change(key, entry, entry.version))
        return entry

    async def delete(self, key: str, *, expected: int | None = None, provided: Provided = NOTHING) -> int:
        """Remove; see the protocol."""
        self._open()
        if key not in self._entries:
            raise EntryMissing(key)
        self._expect(key, expected, provided)
        return self._remove(key)

    async def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
        """Changes after ``from_revision``; see the protocol."""
        seen = from_revision
        while not self._closed:
            changed = self._changed
            if seen < self._compacted:
                raise WatchCompacted(self._compacted)
            missed = tuple(change for change in self._history if change.revision > seen)
            if missed:
                seen = missed[-1].revision
                yield WatchBatch(missed, seen)
                continue
            try:
                async with asyncio.timeout(self._heartbeat):
                    await changed.wait()
            except TimeoutError:
                # Not the store's revision: a write may have come between the time-out and now, undelivered.
                yield WatchBatch((), seen)

    def beside(self, room: str) -> MemoryStore:
        """The same one each time; see the protocol."""
        if room not in self._beside:
            self._beside[room] = MemoryStore(self._clock, self._history.maxlen or HISTORY, self._heartbeat)
        return self._beside[room]

    def tenancy(self, name: str, seconds: int) -> Tenancy:
        """Ends with :meth:`~hfi_core.store.tenancy.Tenancy.end`, or with the process."""
        return MemoryTenancy(self, name)

    def _expect(self, key: str, expected: int | None, provided: Provided) -> None:
        for one, wanted in ((key, expected), *provided.items()):
            entry = self._entries.get(one)
            present = 0 if entry is None else entry.version
            if wanted is not None and wanted != present:
                raise EntryConflict(one, wanted, present)

    def _remove(self, key: str) -> int:
        del self._entries[key]
        self._ends.pop(key, None)
        self._record(Change(key, None, self._revision + 1))
        return self._revision

    def _record(self, change: Change) -> None:
        if len(self._history) == self._history.maxlen:
            self._compacted = self._history[0].revision
        self._revision = change.revision
        self._history.append(change)
        self._wake()
        self._arm()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ends and not self._closed:
            wait = max(0, min(self._ends.values()) - self._clock()) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait, self._expire)

    def _expire(self) -> None:
        now = self._clock()
        for key in [key for key, end in self._ends.items() if end <= now]:
            self._remove(key)
        self._arm()  # The loop's clock and the wall's differ a little: what is not yet due gets a new timer.

    def _open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")


class MemoryTenancy:
    """See :class:`~hfi_core.store.tenancy.Tenancy`. The store is gone with the process, so no time runs out."""

    def __init__(self, store: MemoryStore, name: str) -> None:
        self._store = store
        self._name = name
        self._keys: set[str] = set()

    async def write(self, own: bytes, puts: Mapping[str, bytes], deletes: Collection[str]) -> None:
        """Everything; see the protocol."""
        for key, value in {self._name: own, **puts}.items():
            await self._store.put(key, value)
            self._keys.add(key)
        for key in deletes:
            await self._delete(key)

    async def renew(self) -> None:
        """Nothing to renew."""

    async def end(self) -> None:
        """Remove what was written."""
        for key in sorted(self._keys):
            await self._delete(key)

    async def _delete(self, key: str) -> None:
        self._keys.discard(key)
        with contextlib.suppress(EntryMissing):
            await self._store.delete(key)
