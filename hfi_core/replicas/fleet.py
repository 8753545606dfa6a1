"""This replica among the others: tells them who is connected to it, and hears from them.

Laws:

1. What is told lives under a lease: it is gone within :data:`LEASE_SECONDS` when this process dies or loses the store,
   and at once when it stops.
2. Only what has changed is written, at most every :data:`TICK_SECONDS`, many changes in one write. When that is much,
   less often, for proxies are served meanwhile.
3. Rules are told of in the order in which they became true: who lags behind a new position is written before it.
4. Who has not reached the store for a while says so when it is asked for others, and does not answer with what it knew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, NoReturn

from hfi_core.clock import now_ms
from hfi_core.errors import StoreError, TenancyLost
from hfi_core.feed import Feed
from hfi_core.following import Follower
from hfi_core.proxies import ProxyRegistry, ProxyStatus
from hfi_core.replicas import documents
from hfi_core.replicas.documents import Fleet, Position, Replica
from hfi_core.replicas.merging import Known, merge
from hfi_core.store.protocol import Entry, Store
from hfi_core.store.tenancy import MAX_KEYS

log = logging.getLogger(__name__)

#: How long others believe one who says nothing more.
LEASE_SECONDS = 6
RENEW_SECONDS = 2.0
#: A node that connects says several things within some milliseconds.
TICK_SECONDS = 0.25
#: After telling, nothing more is told for so many times as long, though no longer than ``MAX_PAUSE_SECONDS``.
PAUSE = 10
MAX_PAUSE_SECONDS = 1.0
#: When so many proxies have changed since the last tick, a change is on its way to all of them, and each will change
#: once more when it has answered: they are told of when that is over, or after so many ticks.
WAVE = 200
WAVE_TICKS = 3
RETRY_SECONDS = 1.0
#: How long a clean stop may take to say goodbye; after it the lease ends by itself.
GOODBYE_SECONDS = 2.0


def new_id() -> str:
    """An id for this process, that people recognise the machine by."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "hfi"
    return f"{host}.{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Told:
    """What all have told, read when somebody wants to know: of two thousand proxies that is a tenth of a second, and
    each thing that is told would cost it."""

    reader: str
    entries: tuple[Entry, ...]
    at_ms: int

    @cached_property
    def fleet(self) -> Fleet:
        """What it says."""
        return documents.read(self.entries, self.at_ms)

    @cached_property
    def polling_elsewhere(self) -> frozenset[str]:
        """The nodes that wait for rules at another replica than ``reader``."""
        return documents.polling(self.entries, self.reader)


class _Made(NamedTuple):
    """A proxy's document, and what it was made of."""

    status: ProxyStatus
    current: bool
    document: bytes


class Membership:
    """``store`` is a room of its own. ``confirm`` brings the registry up to date before it is read.

    :meth:`run` and the ``others``' own ``run`` are to be run for as long as this lives.
    """

    def __init__(
        self,
        replica: Replica,
        store: Store,
        proxies: ProxyRegistry,
        feed: Feed,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._replica = replica
        self._store = store
        self._proxies = proxies
        self._feed = feed
        self._clock = clock
        self._tenancy = store.tenancy(replica.id, LEASE_SECONDS)
        self._told: dict[str, bytes] = {}
        self._made: dict[str, _Made] = {}
        self._complete = False
        self._postponed = 0
        #: Whether the last thing that was written or renewed has reached the store.
        self._reached = True
        self._vouched_ms = clock()
        self.confirm: Callable[[], None] = lambda: None
        self.others = Follower("status of replicas", store, self._read)

    @property
    def id(self) -> str:
        """This replica's."""
        return self._replica.id

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All replicas that are known to live, this one among them, by id."""
        seen = () if self.others.current is None else self.others.current.fleet.replicas
        others = (replica for replica in seen if replica.id != self.id)
        return tuple(sorted((self._replica, *others), key=lambda replica: replica.id))

    def known(self) -> tuple[Known, ...]:
        """The proxies of all replicas, by node id."""
        held = () if self.others.current is None else self.others.current.fleet.held
        if self.others.trouble is None:
            self._vouched_ms = self._clock()
        # Who holds a proxy vouches for it by its lease, for as long as we can see that.
        held = tuple(replace(found, status=_seen(found.status, self._vouched_ms)) for found in held)
        return merge(self.id, self._proxies.list(), held)

    def polling_elsewhere(self) -> frozenset[str] | None:
        """The ids of the nodes that wait for rules at another replica, as far as that has been heard here.

        None while it cannot be known: nobody has been heard yet, or the store is out of reach, where others' words end
        with their leases whether they are true or not.
        """
        told = self.others.current
        if told is None or self.others.trouble is not None or not self._reached:
            return None
        return told.polling_elsewhere

    async def ask_polling_elsewhere(self) -> frozenset[str]:
        """The same, asked of the store: what is followed may lag. Raises :class:`~hfi_core.errors.StoreError`."""
        return documents.polling((await self._store.list()).entries, self.id)

    def _read(self, entries: Iterable[Entry], _revision: int) -> Told:
        return Told(self.id, tuple(entries), self._clock())

    # -- telling --------------------------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Tell what changes, and renew the lease, for ever; says goodbye when it is cancelled."""
        clock = asyncio.get_running_loop().time
        renewed = clock()
        try:
            while True:
                try:
                    began = clock()
                    await self._tell()
                    pause = PAUSE * (clock() - began)
                    if clock() - renewed >= RENEW_SECONDS:
                        await self._tenancy.renew()
                        renewed = clock()
                        self._reached = True
                    await asyncio.sleep(min(max(TICK_SECONDS, pause), MAX_PAUSE_SECONDS))
                except TenancyLost as lost:
                    log.info("%s", lost)
                    self._reached, renewed = False, clock()
                    self._told.clear()
                    self._complete = False
                    self._replica = replace(self._replica, writes=0)
                except StoreError as error:
                    log.debug("status is not told to other replicas: %s", error)
                    self._reached = False
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._tenancy.end()

    async def _tell(self) -> None:
        snapshot = self._feed.current
        position = None if snapshot is None else Position(snapshot.version, snapshot.epoch)
        changed = self._proxies.take_changed()
        if self._complete and not changed and position == self._replica.position:
            return
        self._complete = False
        if len(changed) > WAVE and self._postponed < WAVE_TICKS:
            self._postponed += 1
            return
        self._postponed = 0
        self.confirm()
        self._proxies.take_changed()
        connected = [status for status in self._proxies.list() if status.connected]
        self._made = {status.node.id: self._make(status, position) for status in connected}
        wanted = {documents.proxy_key(self.id, node_id): made.document for node_id, made in self._made.items()}
        news = {key: value for key, value in wanted.items() if self._told.get(key) != value}
        gone = [key for key in self._told if key not in wanted]
        await self._write(news, gone, position)
        self._complete = True

    def _make(self, status: ProxyStatus, position: Position | None) -> _Made:
        made, current = self._made.get(status.node.id), documents.is_current(status, position)
        if made is not None and made.status is status and made.current == current:
            return made
        return _Made(status, current, documents.proxy_document(status, position))

    async def _write(self, news: dict[str, bytes], gone: list[str], position: Position | None) -> None:
        for puts, deletes, last in _batches(news, gone):
            moved = last and position != self._replica.position
            if not (puts or deletes or moved or not self._replica.writes):
                continue
            replica = replace(
                self._replica,
                position=position if last else self._replica.position,
                writes=self._replica.writes + 1,
            )
            await self._tenancy.write(documents.replica_document(replica), puts, deletes)
            self._replica = replica
            self._told |= puts
            for key in deletes:
                del self._told[key]


def _seen(status: ProxyStatus, at_ms: int) -> ProxyStatus:
    return replace(status, last_seen_ms=at_ms, rules_seen_ms=None if status.rules_version is None else at_ms)


def _batches(news: dict[str, bytes], gone: list[str]) -> Iterator[tuple[dict[str, bytes], list[str], bool]]:
    """Writes of a size that fits; the last one, which may be empty, is told apart."""
    keys = sorted(news, key=lambda key: b'"rules":"current"' in news[key]) + gone
    parts = [keys[start : start + MAX_KEYS] for start in range(0, len(keys), MAX_KEYS)] or [[]]
    for number, part in enumerate(parts, 1):
        yield {key: news[key] for key in part if key in news}, [k for k in part if k not in news], number == len(parts)
