"""The store in an etcd of our own, which starts and stops with it: the default of ``serve`` and the demo."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hfi_core.errors import StoreUnavailable
from hfi_core.store.embedded_etcd import EmbeddedEtcd, EmbeddedSettings
from hfi_core.store.etcd import EtcdStore
from hfi_core.store.protocol import NOTHING, Entry, Listing, Provided, WatchBatch
from hfi_core.store.tenancy import Tenancy

__all__ = ["EmbeddedEtcd", "EmbeddedSettings", "EmbeddedStore"]


class EmbeddedStore:
    """A store in an etcd of our own; see :class:`~hfi_core.store.protocol.Store`."""

    def __init__(self, settings: EmbeddedSettings) -> None:
        self.etcd = EmbeddedEtcd(settings)
        self._store: EtcdStore | None = None

    async def start(self) -> None:
        """Start the etcd and wait for it; see :meth:`EmbeddedEtcd.start` for what it raises."""
        await self.etcd.start()
        store = EtcdStore(self.etcd.client_settings)
        await store.start()
        self._store = store

    async def close(self) -> None:
        """Stop the client, then the etcd."""
        if self._store is not None:
            await self._store.close()
        await self.etcd.close()

    async def epoch(self) -> str:
        """See the protocol."""
        return await self._ready().epoch()

    async def list(self, at: int = 0) -> Listing:
        """See the protocol."""
        return await self._ready().list(at)

    async def get(self, key: str) -> Entry | None:
        """See the protocol."""
        return await self._ready().get(key)

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: int | None = None,
        expires_at_ms: int | None = None,
        provided: Provided = NOTHING,
    ) -> Entry:
        """See the protocol."""
        return await self._ready().put(key, value, expected=expected, expires_at_ms=expires_at_ms, provided=provided)

    async def delete(self, key: str, *, expected: int | None = None, provided: Provided = NOTHING) -> int:
        """See the protocol."""
        return await self._ready().delete(key, expected=expected, provided=provided)

    def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
        """See the protocol."""
        return self._ready().watch(from_revision)

    def beside(self, room: str) -> EtcdStore:
        """In the same etcd; see the protocol."""
        return self._ready().beside(room)

    def tenancy(self, name: str, seconds: int) -> Tenancy:
        """See the protocol."""
        return self._ready().tenancy(name, seconds)

    def _ready(self) -> EtcdStore:
        if self._store is None:
            raise StoreUnavailable("the store is not started")
        return self._store
