"""Keys that live as long as who writes them: what a replica says of itself and of who is connected to it.

Laws, which the contract suite checks of every implementation:

1. What is written stays until it is deleted, or :meth:`Tenancy.end`, or nothing was renewed for its seconds.
2. A write is whole: others see all of it or nothing.
3. Once something of it is lost, all counts as lost, and the next write begins anew. What had been written before may
   be there for some seconds yet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

#: Keys in one write; etcd takes 128 operations at once, and two are the tenancy's own.
MAX_KEYS = 100


class Tenancy(Protocol):
    """One writer's keys. The key of its name is its own, and has to differ in each write.

    All methods raise :class:`~hfi_core.errors.StoreError`.
    """

    async def write(self, own: bytes, puts: Mapping[str, bytes], deletes: Collection[str]) -> None:
        """Write these, at most :data:`MAX_KEYS` together, and the own key. Raises TenancyLost (law 3)."""

    async def renew(self) -> None:
        """Live on. Raises :class:`~hfi_core.errors.TenancyLost` (law 3)."""

    async def end(self) -> None:
        """Let go of everything that was written; fine when there is nothing."""
