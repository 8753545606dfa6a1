"""The client: etcd's verbs in HFI's values."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from hfi_core.errors import StoreUnavailable
from hfi_core.store.etcd_client.calls import Caller
from hfi_core.store.etcd_client.channels import Channels
from hfi_core.store.etcd_client.failures import LeaseExists, LeaseGone
from hfi_core.store.etcd_client.methods import (
    LEASE_GRANT,
    LEASE_KEEP_ALIVE,
    LEASE_REVOKE,
    LEASE_TIME_TO_LIVE,
    RANGE,
    TXN,
)
from hfi_core.store.etcd_client.values import Range, Swap, WatchNews, key_value
from hfi_core.store.etcd_client.watch import Check, Watcher
from hfi_core.store.pb import etcd_pb2 as pb
from hfi_core.store.settings import EtcdSettings


class EtcdClient:
    """Talks to one cluster. All methods raise :class:`~hfi_core.errors.StoreError`.

    Usable after :meth:`connect`, in that event loop, until :meth:`close`.
    """

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        self._caller: Caller | None = None
        self._watcher: Watcher | None = None

    async def connect(self) -> None:
        """Read certificates and get ready; etcd need not be there yet.

        Raises :class:`~hfi_core.errors.SettingsInvalid` when a certificate cannot be read.
        """
        channels = await asyncio.to_thread(Channels, self._settings)
        self._caller = Caller(self._settings, channels)
        self._watcher = Watcher(self._settings, channels, self._caller)

    async def close(self) -> None:
        """Let go of everything; watches end. Safe to call twice, and before :meth:`connect`."""
        if self._caller is not None:
            await self._caller.close()

    async def range(self, key: bytes, end: bytes = b"", *, revision: int = 0, limit: int = 0) -> Range:
        """The key, or all keys from it up to ``end`` (exclusive), at a revision (0: now); linearizable."""
        request = pb.RangeRequest(key=key, range_end=end, revision=revision, limit=limit)
        answer, _ = await self._ready().call(RANGE, request)
        return Range(tuple(map(key_value, answer.kvs)), answer.header.revision, answer.more, answer.header.cluster_id)

    async def swap(
        self,
        key: bytes,
        expected: int,
        value: bytes | None,
        *,
        lease: int = 0,
        provided: Mapping[bytes, int] = MappingProxyType({}),
    ) -> Swap:
        """Write (or, for None, delete) when the key's last revision is ``expected`` (0: it does not exist).

        And when those of other keys are as ``provided`` says.
        """
        read, *others = (pb.RequestOp(request_range=pb.RangeRequest(key=one)) for one in (key, *provided))
        if value is None:
            write = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))
        else:
            write = pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))
        compares = [_is_at(key, expected), *(_is_at(other, revision) for other, revision in provided.items())]
        request = pb.TxnRequest(compare=compares, success=[read, write], failure=[read, *others])
        answer, repeated = await self._ready().call(TXN, request)
        swap = _swap(answer, repeated)
        if swap.succeeded:
            return swap
        found = (other.response_range.kvs for other in answer.responses[1:])
        revisions = {key: kvs[0].mod_revision if kvs else 0 for key, kvs in zip(provided, found, strict=True)}
        return replace(swap, others=revisions)

    async def commit(
        self, key: bytes, expected: int, value: bytes, puts: Mapping[bytes, bytes], deletes: Iterable[bytes], lease: int
    ) -> Swap:
        """As :meth:`swap`, and with the key's write, or not at all, these; all of them under the lease.

        Raises :class:`~hfi_core.store.etcd_client.failures.LeaseGone`. etcd takes 128 writes at once.
        """
        read = pb.RequestOp(request_range=pb.RangeRequest(key=key))
        writes = [
            pb.RequestOp(request_put=pb.PutRequest(key=put, value=content, lease=lease))
            for put, content in {key: value, **puts}.items()
        ]
        writes += [pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=gone)) for gone in deletes]
        request = pb.TxnRequest(compare=[_is_at(key, expected)], success=[read, *writes], failure=[read])
        return _swap(*await self._ready().call(TXN, request))

    async def grant(self, lease: int, seconds: int) -> None:
        """Make a lease of that id, which the caller has drawn; etcd lengthens what is too short for it."""
        # An attempt that went unanswered may have made it: that is why the id is the caller's.
        with contextlib.suppress(LeaseExists):
            await self._ready().call(LEASE_GRANT, pb.LeaseGrantRequest(ID=lease, TTL=seconds))

    async def keep_alive(self, lease: int) -> bool:
        """Begin a lease's time anew; False when there is no such lease any more."""
        answer, _ = await self._ready().call(LEASE_KEEP_ALIVE, pb.LeaseKeepAliveRequest(ID=lease))
        return answer.TTL > 0

    async def lease_keys(self, lease: int) -> tuple[bytes, ...]:
        """The keys that hang on a lease; none when there is no such lease."""
        answer, _ = await self._ready().call(LEASE_TIME_TO_LIVE, pb.LeaseTimeToLiveRequest(ID=lease, keys=True))
        return tuple(answer.keys)

    async def revoke(self, lease: int) -> None:
        """End a lease, and with it every key that hangs on it; fine when it is gone already."""
        with contextlib.suppress(LeaseGone):
            await self._ready().call(LEASE_REVOKE, pb.LeaseRevokeRequest(ID=lease))

    def watch(self, key: bytes, end: bytes, from_revision: int, check: Check) -> AsyncGenerator[WatchNews, None]:
        """Changes of keys from ``key`` up to ``end`` after a revision; see ``watch.py``.

        ``check`` is called before each connection and may raise to end the watch.
        """
        if self._watcher is None:
            raise StoreUnavailable("the store is not started")
        return self._watcher.news(key, end, from_revision, check)

    def _ready(self) -> Caller:
        if self._caller is None:
            raise StoreUnavailable("the store is not started")
        return self._caller


def _is_at(key: bytes, revision: int) -> pb.Compare:
    return pb.Compare(result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=key, mod_revision=revision)


def _swap(answer: pb.TxnResponse, repeated: bool) -> Swap:
    found = answer.responses[0].response_range.kvs
    return Swap(answer.succeeded, answer.header.revision, key_value(found[0]) if found else None, repeated)
