"""What nodes have rejected, in the store: so that every replica knows it, and one that starts.

A rejection is written once, by the replica that heard it, and read by all. It needs no lease of that replica's: it is
of the node and the content, and true for as long as that Envoy runs. It ends by itself after a time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import NoReturn

from hfi_core.clock import now_ms
from hfi_core.errors import StoreError
from hfi_core.following import Follower
from hfi_core.store.protocol import Entry, Store
from hfi_xds.rejections import Rejected, Rejections

log = logging.getLogger(__name__)

#: An Envoy that runs for longer under one rejection is believed again, at a replica that has not heard it itself.
KEPT_MS = 7 * 24 * 3_600_000
#: Nodes are named by whoever connects, so what is kept of them is bounded.
MAX_KEPT = 20_000
RETRY_SECONDS = 1.0


class RejectionKeeper:
    """``store`` is a room of its own. :meth:`run` and that of ``followed`` are to be run for as long as this lives."""

    def __init__(self, store: Store, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock = clock
        self._waiting: OrderedDict[str, Rejected] = OrderedDict()
        self._news = asyncio.Event()
        self._seen: frozenset[str] = frozenset()
        self._full = False
        self.rejections = Rejections(self._told)
        self.followed: Follower[tuple[Entry, ...]] = Follower(
            "rejections", store, lambda entries, _revision: tuple(entries)
        )
        #: Set when what the store holds is known here.
        self.ready = asyncio.Event()

    async def run(self) -> NoReturn:
        """Write what was rejected here, and learn what was rejected elsewhere; ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._learn())
            await self._write()

    def _told(self, rejected: Rejected) -> None:
        self._waiting[_key(rejected)] = rejected
        while len(self._waiting) > MAX_KEPT:
            self._waiting.popitem(last=False)
        self._news.set()

    async def _learn(self) -> None:
        async for entries in self.followed.follow():
            for entry in entries:
                if entry.key not in self._seen and (rejected := _read(entry)) is not None:
                    self.rejections.learn(rejected)
            self._seen = frozenset(entry.key for entry in entries)
            self.ready.set()

    async def _write(self) -> NoReturn:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                key, rejected = next(iter(self._waiting.items()))
                try:
                    if self._has_room(key):
                        await self._store.put(key, _document(rejected), expires_at_ms=self._clock() + KEPT_MS)
                    self._waiting.pop(key, None)
                except StoreError as error:
                    log.warning("a rejection is not known to other replicas yet: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)

    def _has_room(self, key: str) -> bool:
        full = len(self._seen) >= MAX_KEPT and key not in self._seen
        if full and not self._full:
            log.warning("%d rejections are kept, and no more: other replicas do not hear of further ones", MAX_KEPT)
        self._full = full
        return not full


def _key(rejected: Rejected) -> str:
    # Node ids and names may be long and hold anything.
    return hashlib.sha256(json.dumps(rejected).encode()).hexdigest()


def _document(rejected: Rejected) -> bytes:
    return json.dumps(rejected._asdict()).encode()


def _read(entry: Entry) -> Rejected | None:
    """None for what somebody else has put there."""
    try:
        rejected = Rejected(**json.loads(entry.value))
    except (ValueError, TypeError):
        return None
    return rejected if all(isinstance(part, str) for part in rejected) else None
