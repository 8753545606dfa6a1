"""A replica's guard of rollouts, and all that it sees; time passes when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hfi_core.dataplane import DataPlane
from hfi_core.errors import StoreUnavailable
from hfi_core.feed import Feed
from hfi_core.filters.guard import RolloutGuard
from hfi_core.filters.manifest import Manifest
from hfi_core.filters.progress import VersionOf
from hfi_core.filters.rollout import Assignment, Limits, Rollout
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.policy.model import Selector
from hfi_core.proxies import ProxyRegistry, ResourceState, ResourceStatus
from hfi_core.replicas import documents
from hfi_core.replicas.fleet import Membership
from hfi_core.snapshot import NodeIdentity
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry, Listing, WatchBatch
from tests.support.waiting import eventually, eventually_async

CANARY, OTHER = NodeIdentity.of("canary-1", "canary"), NodeIdentity.of("other-1", "other")
ERRORS = "wasmcustom.hfi.errors"
LIMITS = Limits(watch_seconds=60)


def module(version: str) -> Manifest:
    return Manifest(version=version, digest=version * 64, size=1, piece_bytes=1, abi="0.2.1", pushed_at_ms=0)


def version_of(assignment: Assignment) -> str | None:
    return f"{assignment.version}/{assignment.generation}"


class Flaky(MemoryStore):
    """One that can be away, with all that lies beside it."""

    def __init__(self) -> None:
        # Nothing comes to its end: the clocks of these tests are not the world's.
        super().__init__(clock=lambda: 0, heartbeat=0.005)
        self.away = False
        self._rooms: dict[str, Flaky] = {}

    def beside(self, room: str) -> Flaky:
        return self._rooms.setdefault(room, Flaky())

    async def list(self, at: int = 0) -> Listing:
        self._reach()
        return await super().list(at)

    async def put(self, key: str, value: bytes, **how: Any) -> Entry:
        self._reach()
        return await super().put(key, value, **how)

    async def watch(self, from_revision: int) -> AsyncIterator[WatchBatch]:
        async for batch in super().watch(from_revision):
            self._reach()
            yield batch

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


class Replica:
    """One replica's guard, and what it sees. ``now`` is Unix milliseconds."""

    following: asyncio.Task[None]

    def __init__(self, store: MemoryStore, name: str = "r1") -> None:
        self.now = 1_000_000
        self.filters = Follower("filters", store, FilterState.of)
        self.rollouts = RolloutService(store, self.filters, self.clock)
        self.proxies = ProxyRegistry(self.clock)
        self.data_plane = DataPlane()
        status = store.beside("status")
        replica = documents.Replica(name, 0, "1", None)
        self.membership = Membership(replica, status, self.proxies, Feed(store), self.clock)
        self.version_of: VersionOf = version_of
        #: What nodes have rejected, at whichever replica, as the store says.
        self.rejections: set[tuple[str, str]] = set()
        self.guard = RolloutGuard(
            self.filters,
            self.rollouts,
            self.proxies,
            self.data_plane,
            lambda assignment: self.version_of(assignment),
            lambda node, version: (node, version) in self.rejections,
            self.membership,
            self.clock,
        )

    def clock(self) -> int:
        return self.now

    def connect(
        self, node: NodeIdentity, state: ResourceState = "acked", served: str = "2/2", message: str = ""
    ) -> None:
        if self.proxies.get(node.id) is None:
            self.proxies.stream_opened(node)
        self.proxies.resource(node.id, ResourceStatus("ecds", "hfi", served, state, message))

    def errors(self, node: NodeIdentity, count: int, uptime: float = 10_000) -> None:
        self.data_plane.counters.observe(node.id, {ERRORS: count}, uptime)

    def reports_nothing(self, node: NodeIdentity) -> None:
        """It reports here, and has counted nothing yet."""
        self.data_plane.counters.observe(node.id, {}, 10_000)

    def polls(self, node: NodeIdentity, waiting: bool = True) -> None:
        self.proxies.rules_reached(node, 1, "e")
        self.proxies.polling(node, waiting)

    async def under_way(self) -> Rollout:
        document = (await self.filters.until(lambda state: bool(state.document and state.document.active))).document
        assert document is not None
        assert document.active is not None
        return document.active

    async def back(self) -> Rollout:
        """The rollout, when it has gone back."""
        async with asyncio.timeout(10):
            state = await self.filters.until(
                lambda state: bool(state.document and state.document.rollout and not state.document.active)
            )
        assert state.document is not None
        assert state.document.rollout is not None
        assert state.document.rollout.state == "rolled_back"
        return state.document.rollout

    async def stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The guard has looked again, twice, and let it go on."""
        looks = 0
        sights = self.guard.sights

        def counted(*args: object) -> object:
            nonlocal looks
            looks += 1
            return sights(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(self.guard, "sights", counted)
        await eventually(lambda: looks > 2, what="two looks")
        monkeypatch.setattr(self.guard, "sights", sights)
        await self.under_way()

    async def hears_of(self, *nodes: NodeIdentity) -> None:
        """These are the ones that others are known to hear."""
        expected = {node.id for node in nodes}
        await eventually(lambda: self.membership.polling_elsewhere() == expected, what="whom others hear")

    async def could_hear_of(self, *nodes: NodeIdentity) -> None:
        """Others have told that these are the ones that they hear, whether that has been heard here or not."""
        expected = {node.id for node in nodes}

        async def told() -> bool:
            return await self.membership.ask_polling_elsewhere() == expected

        await eventually_async(told, what="what others have told")

    async def stop_following(self) -> None:
        """From here on it hears nothing new of others, and does not know that."""
        self.following.cancel()
        await asyncio.gather(self.following, return_exceptions=True)


@contextlib.asynccontextmanager
async def replica(store: MemoryStore, name: str = "r1") -> AsyncIterator[Replica]:
    made = Replica(store, name)
    made.following = asyncio.create_task(made.membership.others.run())
    work = (made.filters.run(), made.guard.run(), made.membership.run())
    tasks = [made.following, *(asyncio.create_task(one) for one in work)]
    try:
        await made.filters.reached(0)
        await made.membership.others.reached(0)
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def started(one: Replica, limits: Limits = LIMITS) -> None:
    await one.rollouts.start("2", selector=Selector(cluster="canary"), limits=limits)
    await one.under_way()
