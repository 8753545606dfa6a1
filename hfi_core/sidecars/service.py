"""What can be done with sidecar documents: apply, read, delete. As with policies, what is served comes by the watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfi_core.errors import EntryConflict, SidecarNotFound
from hfi_core.following import Follower
from hfi_core.kinds import SIDECAR
from hfi_core.sidecars.document import SidecarDocument, Sidecars, StoredSidecar, encode
from hfi_core.store.protocol import Store

#: The store's room for them.
ROOM = "sidecars"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an apply. ``created``: there was none for that cluster before."""

    stored: StoredSidecar
    created: bool


class SidecarService:
    """Documents in ``store``, seen through a follower of it."""

    def __init__(self, store: Store, followed: Follower[Sidecars]) -> None:
        self._store = store
        self._followed = followed

    async def apply(self, document: Any, *, dry_run: bool = False) -> Applied:
        """Create or update. ``metadata.version`` in the document is an optimistic lock.

        Raises :class:`~hfi_core.errors.SidecarInvalid`, :class:`~hfi_core.errors.SidecarConflict` and
        :class:`~hfi_core.errors.StoreUnavailable`. ``dry_run`` does everything but the write.
        """
        sidecar = SidecarDocument.of(document)
        version = sidecar.metadata.version
        wanted = None if version is None else int(version)
        while True:
            entry = await self._store.get(sidecar.name)
            actual = 0 if entry is None else entry.version
            SIDECAR.expect(sidecar.name, wanted, actual)
            if dry_run:
                return Applied(StoredSidecar(sidecar, actual), entry is None)
            try:
                written = await self._store.put(sidecar.name, encode(sidecar), expected=actual)
            except EntryConflict:
                continue  # Somebody wrote between the read and the write: compare again.
            await self._followed.seen(written.version)
            return Applied(StoredSidecar(sidecar, written.version), entry is None)

    async def delete(self, name: str) -> int:
        """Remove, and answer the revision. Raises :class:`~hfi_core.errors.SidecarNotFound` and the like."""
        with SIDECAR.named(name):
            revision = await self._store.delete(name)
        await self._followed.seen(revision)
        return revision

    def get(self, name: str) -> StoredSidecar:
        """One of them as served. Raises :class:`~hfi_core.errors.SidecarNotFound`."""
        stored = self._followed.required().by_cluster.get(name)
        if stored is None:
            raise SidecarNotFound(name)
        return stored

    def list(self) -> tuple[StoredSidecar, ...]:
        """All of them, by name."""
        return tuple(self._followed.required().by_cluster.values())
