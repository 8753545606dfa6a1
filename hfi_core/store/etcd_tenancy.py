"""A tenancy in etcd: one lease for all its keys, and each write a compare-and-swap of the tenant's own key.

That comparison is what makes an attempt that etcd carries out late, after its answer was lost, harmless: the own key
has moved on by then. It is also how a lost lease shows, for the own key is gone with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping

from hfi_core.errors import TenancyLost
from hfi_core.store.etcd_client import EtcdClient
from hfi_core.store.etcd_client.failures import LeaseGone


class EtcdTenancy:
    """See :class:`~hfi_core.store.tenancy.Tenancy`. ``prefix`` is what keys begin with in etcd."""

    def __init__(self, client: EtcdClient, prefix: bytes, name: str, seconds: int) -> None:
        self._client = client
        self._prefix = prefix
        self._name = name
        self._seconds = seconds
        self._lease = 0
        self._written = 0

    async def write(self, own: bytes, puts: Mapping[str, bytes], deletes: Collection[str]) -> None:
        """One transaction; see the protocol."""
        if not self._lease:
            lease = secrets.randbelow(2**63 - 1) + 1
            await self._client.grant(lease, self._seconds)
            self._lease = lease
        key, gone = self._key(self._name), [self._key(key) for key in deletes]
        written = {self._key(key): value for key, value in puts.items()}
        while True:
            try:
                swap = await self._client.commit(key, self._written, own, written, gone, self._lease)
            except LeaseGone as error:
                raise self._lost() from error
            current = swap.current
            if swap.succeeded:
                self._written = swap.revision
                return
            if current is None or current.lease != self._lease:
                raise self._lost()
            # Nobody else writes under our lease: it was a write of ours that went unanswered, this one or one before.
            self._written = current.revision
            if current.value == own:
                return

    async def renew(self) -> None:
        """Keep the lease; see the protocol."""
        if self._lease and not await self._client.keep_alive(self._lease):
            raise self._lost()

    async def end(self) -> None:
        """Revoke the lease, and so remove every key under it."""
        lease, self._lease, self._written = self._lease, 0, 0
        if lease:
            await self._client.revoke(lease)

    def _lost(self) -> TenancyLost:
        self._lease = self._written = 0
        return TenancyLost(f"etcd has let go of what {self._name} had written; it is written again")

    def _key(self, key: str) -> bytes:
        return self._prefix + key.encode()
