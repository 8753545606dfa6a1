"""The store protocol: etcd's model of revisions, in five verbs.

Laws, which the contract suite checks of every implementation:

1. There is one revision counter for the whole store; each write that changes something makes it larger.
2. ``put`` and ``delete`` with ``expected`` are atomic compare-and-swap on the key's own version, and with ``provided``
   on those of other keys of this store as well.
3. ``watch(r)`` yields every change with a revision above ``r``, in order, none twice, none left out, and
   survives the loss of the connection. Where that is impossible (compaction) it raises
   :class:`~hfi_core.errors.WatchCompacted`, and the caller lists again.
4. An entry with ``expires_at_ms`` disappears within a few seconds after that time by itself, and watchers see
   it as a delete.
5. ``epoch`` stays the same for as long as revisions are comparable, and differs for any other store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from hfi_core.store.tenancy import Tenancy

#: Other keys of the store, and the version that each must have for a write to be done; 0: it must not exist.
Provided = Mapping[str, int]
NOTHING: Provided = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as stored. ``version`` is the revision of its last write."""

    key: str
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All entries at one revision, sorted by key."""

    entries: tuple[Entry, ...]
    revision: int

    def version_of(self, key: str) -> int:
        """The version of a key; 0 when it does not exist."""
        return next((entry.version for entry in self.entries if entry.key == key), 0)


@dataclass(frozen=True, slots=True)
class Change:
    """One write: ``entry`` is None for a delete. ``revision`` is the store's revision of that write."""

    key: str
    entry: Entry | None
    revision: int


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Changes that belong together (never half a transaction).

    ``changes`` may be empty: the store then only says that ``revision`` has been reached with nothing new,
    which proves that the watch is alive.
    """

    changes: tuple[Change, ...]
    revision: int


class Store(Protocol):
    """What every store can do. All methods raise :class:`~hfi_core.errors.StoreUnavailable` on trouble."""

    async def start(self) -> None:
        """Connect, or start what is needed. Called once, before anything else."""

    async def close(self) -> None:
        """Let go of everything; open watches end. Safe to call twice, and after a failed start."""

    async def epoch(self) -> str:
        """An opaque name of this store's life (law 5)."""

    async def list(self, at: int = 0) -> Listing:
        """Everything, at one revision: ``at``, or the newest. Raises :class:`~hfi_core.errors.StoreError`, too, when
        that revision is not known any more, or not yet."""

    async def get(self, key: str) -> Entry | None:
        """The entry, or None."""

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: int | None = None,
        expires_at_ms: int | None = None,
        provided: Provided = NOTHING,
    ) -> Entry:
        """Write, and answer the entry as written.

        ``expected``: None writes in any case; 0 only when the key does not exist; n only when its version is
        n. ``provided``: what must hold of other keys. Raises :class:`~hfi_core.errors.EntryConflict` otherwise,
        with the key that differs. ``expires_at_ms`` is Unix time; a write without it also takes an earlier expiry away.
        """

    async def delete(self, key: str, *, expected: int | None = None, provided: Provided = NOTHING) -> int:
        """Remove, and answer the revision of the removal.

        Raises :class:`~hfi_core.errors.EntryMissing` when the key does not exist and
        :class:`~hfi_core.errors.EntryConflict` when its version is not ``expected``, or another's not as ``provided``.
        """

    def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
        """Changes after ``from_revision`` (laws 3 and 4), until the consumer stops or the store closes.

        Raises :class:`~hfi_core.errors.WatchCompacted`. A dropped connection is not an error: the
        implementation connects again, with backoff, and goes on where it was.
        """

    def beside(self, room: str) -> Store:
        """A store in the same place for documents of another kind, with keys of its own; ``room`` names it.

        To be started and closed by who asks for it; asked for when this one is started.
        """

    def tenancy(self, name: str, seconds: int) -> Tenancy:
        """Keys of this store that live as long as who writes them; see there."""
