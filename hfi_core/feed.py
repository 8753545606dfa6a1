"""The feed: the store's watch folded into one snapshot, newest only (:mod:`hfi_core.newest`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

from hfi_core.clock import now_ms
from hfi_core.errors import StoreError, StoreUnavailable
from hfi_core.newest import Newest
from hfi_core.snapshot import Snapshot, fold, from_listing
from hfi_core.store.protocol import Store

log = logging.getLogger(__name__)

#: So long may a quiet store be silent: etcd is asked for a sign of life after 5 s, and given up after 10.
QUIET_MS = 10_000


class Feed(Newest[Snapshot]):
    """Follows a store. ``clock`` answers Unix milliseconds."""

    def __init__(self, store: Store, clock: Callable[[], int] = now_ms) -> None:
        super().__init__("feed", "the store has not been read yet")
        self._store = store
        self._clock = clock
        self._catching_up = asyncio.Lock()
        self._confirmed_at_ms: int | None = None

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

    async def _list_and_watch(self) -> NoReturn:
        epoch = await self._store.epoch()
        listing = await self._store.list()
        self._serve(from_listing(epoch, listing))
        async for batch in self._store.watch(listing.revision):
            current = self._current
            assert current is not None
            # Others may have been read already, by catch_up().
            changes = tuple(change for change in batch.changes if change.revision > current.version)
            if changes:
                self._serve(fold(current, changes, batch.revision))
            else:
                self._confirm()
        raise StoreError("the store's watch ended")

    async def catch_up(self, version: int, epoch: str) -> None:
        """Read that version of the store when it is newer than this feed's: somebody has seen it.

        A replica that lists is as far as the store's newest revision, whatever that was about; one that watches stays
        at the last change of a policy. A proxy that goes from the former to the latter would take it for a stale one.
        That very version, because the newest would be another one again, with which others had to catch up; it is read
        only when the store has forgotten that one. Does nothing when the store cannot be read, or is another.
        """
        async with self._catching_up:
            current = self._current
            if current is None or current.epoch != epoch or current.version >= version:
                return
            try:
                if await self._store.epoch() != epoch:
                    return
                try:
                    listing = await self._store.list(version)
                except StoreUnavailable:
                    raise
                except StoreError:
                    listing = await self._store.list()
            except StoreError as error:
                log.debug("feed: cannot catch up with version %d: %s", version, error)
                return
            if self._current is not None and self._current.epoch == epoch and listing.revision > self._current.version:
                self._serve(from_listing(epoch, listing))

    def _serve(self, snapshot: Snapshot) -> None:
        for name, why in snapshot.broken.items():
            if self._current is None or self._current.broken.get(name) != why:
                log.error("policy %s cannot be read and is left out: %s", name, why)
        self._confirm()
        self._publish(snapshot, snapshot.version)

    def _confirm(self) -> None:
        self._confirmed_at_ms = self._clock()
        self._trouble = None
