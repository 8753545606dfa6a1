"""The store in etcd: a policy a key under a prefix, a random name for the store's life, and leases for ends.

On writes: each is a compare-and-swap, also where the caller does not care, so that an attempt that etcd
carries out late, after its answer was lost, can never overwrite a newer value. When an answer was lost and
the comparison of the next attempt fails, the key may hold our own write: if its value and lease are what we
sent, it counts as ours, and the caller gets no false conflict. Somebody else's write of the very same bytes
would count too; what the caller asked for is then true as well.

On ends: an entry with an end gets a lease of its own, drawn anew for each write, with the remaining seconds
rounded up. It covers the time in which no control plane runs, and may be late, never early: etcd begins a
lease's time anew when it restarts or elects another leader. The end inside the value, which the expiration
registry and the data plane go by, is exact.

On epochs: etcd's cluster id is part of the epoch, because a backup restored into a new cluster has other
revisions. One restored into the same cluster id goes back in time: a store that sees that gives the epoch's
key a new value. (``etcdutl snapshot restore --bump-revision`` avoids it.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping

from hfi_core.clock import now_ms
from hfi_core.errors import EntryConflict, EntryMissing, StoreError, StoreUnavailable, WatchCompacted
from hfi_core.store.etcd_client import EtcdClient, KeyChange, KeyValue, Range, Swap
from hfi_core.store.etcd_client.failures import LeaseGone, RevisionCompacted, RevisionInFuture
from hfi_core.store.etcd_tenancy import EtcdTenancy
from hfi_core.store.protocol import NOTHING, Change, Entry, Listing, Provided, WatchBatch
from hfi_core.store.settings import EtcdSettings

log = logging.getLogger(__name__)

#: A listing whose revision is compacted while it is being paged begins again; so often at most.
LISTINGS = 5


class EtcdStore:
    """See :class:`~hfi_core.store.protocol.Store`. etcd need not be there yet when it is started."""

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        self._client = EtcdClient(settings)
        self._prefix = settings.prefix.encode()
        # The prefix ends with a slash, so its last byte can be counted up.
        self._end = self._prefix[:-1] + bytes([self._prefix[-1] + 1])
        self._epoch_key = settings.epoch_key.encode()
        self._epoch: str | None = None
        self._reached = 0
        self._tidying: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Read certificates; raises :class:`~hfi_core.errors.SettingsInvalid` when they cannot be read."""
        await self._client.connect()

    async def close(self) -> None:
        """Let go of the connections; watches end."""
        for task in self._tidying:
            task.cancel()
        await asyncio.gather(*self._tidying, return_exceptions=True)
        await self._client.close()

    async def epoch(self) -> str:
        """The name of this store's life; read anew each time, and made when there is none."""
        found = await self._client.range(self._epoch_key)
        if not found.entries:
            await self._client.swap(self._epoch_key, 0, uuid.uuid4().hex.encode())
            found = await self._client.range(self._epoch_key)
        self._epoch = _epoch_name(found)
        return self._epoch

    async def list(self, at: int = 0) -> Listing:
        """Everything, at one revision, read in pages."""
        if at:
            return await self._list(at)
        for _ in range(LISTINGS):
            with contextlib.suppress(RevisionCompacted):
                return await self._list(0)
        raise StoreUnavailable("etcd compacts faster than the policies can be read")

    async def _list(self, revision: int) -> Listing:
        entries: list[Entry] = []
        key = self._prefix
        while True:
            page = await self._client.range(key, self._end, revision=revision, limit=self._settings.page_size)
            revision = revision or page.revision
            entries += map(self._entry, page.entries)
            if not page.more:
                self._saw(revision)
                return Listing(tuple(entries), revision)
            key = page.entries[-1].key + b"\0"

    async def get(self, key: str) -> Entry | None:
        """The entry, or None."""
        found = await self._client.range(self._key(key))
        return self._entry(found.entries[0]) if found.entries else None

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: int | None = None,
        expires_at_ms: int | None = None,
        provided: Provided = NOTHING,
    ) -> Entry:
        """Write; see the protocol, and above."""
        lease = await self._lease(expires_at_ms)
        while True:
            version = await self._version(key) if expected is None else expected
            try:
                swap = await self._client.swap(
                    self._key(key), version, value, lease=lease, provided=self._keys(provided)
                )
            except LeaseGone:  # The end is so near that it came before the write.
                lease = await self._lease(expires_at_ms)
                continue
            if swap.succeeded:
                break
            if swap.repeated and _is_ours(swap, value, lease):
                assert swap.current is not None
                self._saw(swap.revision)
                return Entry(key, value, swap.current.revision)
            if (conflict := self._conflict(swap, key, expected, provided)) is not None:
                self._tidy(lease)
                raise conflict
        self._saw(swap.revision)
        if swap.current is not None:
            self._tidy(swap.current.lease)
        return Entry(key, value, swap.revision)

    async def delete(self, key: str, *, expected: int | None = None, provided: Provided = NOTHING) -> int:
        """Remove; see the protocol. Of a key that is gone after a lost answer we say that it was us."""
        while True:
            version = await self._version(key) if expected is None else expected
            swap = await self._client.swap(self._key(key), version, None, provided=self._keys(provided))
            if swap.current is None and not (swap.repeated and version):
                raise EntryMissing(key)
            if swap.succeeded or swap.current is None:
                self._saw(swap.revision)
                if swap.current is not None:
                    self._tidy(swap.current.lease)
                return swap.revision
            if (conflict := self._conflict(swap, key, expected, provided)) is not None:
                raise conflict

    async def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
        """Changes after ``from_revision``; see the protocol."""
        epoch = self._epoch

        async def check(seen: int) -> None:
            await self._may_go_on(seen, epoch)

        async with contextlib.aclosing(self._client.watch(self._prefix, self._end, from_revision, check)) as watch:
            async for news in watch:
                self._saw(news.revision)
                yield WatchBatch(tuple(map(self._change, news.changes)), news.revision)

    def beside(self, room: str) -> EtcdStore:
        """With a connection of its own; see the protocol."""
        return EtcdStore(self._settings.beside(room))

    def tenancy(self, name: str, seconds: int) -> EtcdTenancy:
        """Under a lease; see the protocol."""
        return EtcdTenancy(self._client, self._prefix, name, seconds)

    async def _may_go_on(self, seen: int, epoch: str | None) -> None:
        """Raise :class:`WatchCompacted` when what follows ``seen`` cannot be had whole, or is another store's."""
        # What had been reached before etcd was asked: writes go on meanwhile, and may be answered sooner than this.
        reached = self._reached
        now = await self._client.range(self._epoch_key)
        if now.revision < reached:
            log.error("etcd went back from revision %d to %d: restored from a backup?", reached, now.revision)
            self._reached = now.revision
            if now.entries and _epoch_name(now) == self._epoch:
                await self._client.swap(self._epoch_key, now.entries[0].revision, uuid.uuid4().hex.encode())
            raise WatchCompacted(now.revision)
        if epoch is not None and _epoch_name(now) != epoch:
            log.warning("this is another etcd than before, or its epoch was removed; listing again")
            raise WatchCompacted(now.revision)
        try:
            # A watch that begins exactly at the compacted revision would miss a delete there (etcd#18089).
            await self._client.range(self._epoch_key, revision=seen)
        except (RevisionCompacted, RevisionInFuture) as error:
            # In the future: the caller's revision is from another etcd, or from before a restored backup.
            raise WatchCompacted(now.revision) from error

    async def _lease(self, expires_at_ms: int | None) -> int:
        """A new lease up to that time; 0 for none."""
        if expires_at_ms is None:
            return 0
        lease = secrets.randbelow(2**63 - 1) + 1
        await self._client.grant(lease, max(1, -((now_ms() - expires_at_ms) // 1000)))
        return lease

    async def _version(self, key: str) -> int:
        entry = await self.get(key)
        return 0 if entry is None else entry.version

    def _tidy(self, lease: int) -> None:
        """Revoke a lease that is no longer needed, by the by: it would end by itself."""
        if lease:
            task = asyncio.create_task(self._revoke(lease))
            self._tidying.add(task)
            task.add_done_callback(self._tidying.discard)

    async def _revoke(self, lease: int) -> None:
        try:
            # Ours hold one key each, but revoking one on which somebody hung another key would delete that.
            if not await self._client.lease_keys(lease):
                await self._client.revoke(lease)
        except StoreError as error:
            log.debug("lease %x is left to end by itself: %s", lease, error)

    def _saw(self, revision: int) -> None:
        self._reached = max(self._reached, revision)

    def _conflict(self, swap: Swap, key: str, expected: int | None, provided: Provided) -> EntryConflict | None:
        """What a swap that was not done came upon; None when only the key has moved on, and nobody minds."""
        for other, wanted in provided.items():
            if (present := swap.others[self._key(other)]) != wanted:
                return EntryConflict(other, wanted, present)
        return None if expected is None else EntryConflict(key, expected, _revision(swap.current))

    def _keys(self, provided: Provided) -> Mapping[bytes, int]:
        return {self._key(key): version for key, version in provided.items()}

    def _key(self, key: str) -> bytes:
        return self._prefix + key.encode()

    def _name(self, key: bytes) -> str:
        # Somebody else may have put a key there that is not UTF-8; it must not make the rest unreadable.
        return key[len(self._prefix) :].decode(errors="backslashreplace")

    def _entry(self, found: KeyValue) -> Entry:
        return Entry(self._name(found.key), found.value, found.revision)

    def _change(self, change: KeyChange) -> Change:
        name = self._name(change.key)
        entry = None if change.value is None else Entry(name, change.value, change.revision)
        return Change(name, entry, change.revision)


def _epoch_name(found: Range) -> str:
    value = found.entries[0].value.decode(errors="backslashreplace") if found.entries else ""
    return f"{value}.{found.cluster_id:x}"


def _is_ours(swap: Swap, value: bytes, lease: int) -> bool:
    return swap.current is not None and swap.current.value == value and swap.current.lease == lease


def _revision(found: KeyValue | None) -> int:
    return 0 if found is None else found.revision
