"""A store's whole content as one value, newest only: for the small rooms beside the policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn, TypeVar

from hfi_core.errors import StoreError
from hfi_core.newest import Newest
from hfi_core.store.protocol import Entry, Store

T = TypeVar("T")


class Follower(Newest[T]):
    """Follows ``store``; ``fold`` makes the value of all entries and the revision. ``name`` is for logs."""

    def __init__(self, name: str, store: Store, fold: Callable[[Iterable[Entry], int], T]) -> None:
        super().__init__(name, f"the {name} have not been read yet")
        self._store = store
        self._fold = fold
        #: Changes that the store has told of, all in all; who follows sees the newest value, and may have missed some.
        self.changes = 0

    async def _list_and_watch(self) -> NoReturn:
        await self._store.epoch()  # The watch compares with it: another store is listed anew.
        listing = await self._store.list()
        entries = {entry.key: entry for entry in listing.entries}
        self._publish(self._fold(entries.values(), listing.revision), listing.revision)
        async for batch in self._store.watch(listing.revision):
            self._trouble = None
            for change in batch.changes:
                entries.pop(change.key, None)
                if change.entry is not None:
                    entries[change.key] = change.entry
            if batch.changes:
                self.changes += len(batch.changes)
                self._publish(self._fold(entries.values(), batch.revision), batch.revision)
        raise StoreError("the store's watch ended")
