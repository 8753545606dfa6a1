from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping

import pytest

from hfi_core.errors import StoreUnavailable, TenancyLost
from hfi_core.feed import Feed
from hfi_core.proxies import ProxyRegistry, ProxyStatus, ResourceStatus
from hfi_core.replicas import documents
from hfi_core.replicas import fleet as fleet_module
from hfi_core.replicas.documents import Position, Replica
from hfi_core.replicas.fleet import Membership, new_id
from hfi_core.snapshot import NodeIdentity
from hfi_core.store.memory import MemoryStore
from hfi_core.store.tenancy import MAX_KEYS
from tests.support.waiting import eventually


class Recording:
    """A tenancy that keeps each write, and fails as told."""

    def __init__(self) -> None:
        self.writes: list[tuple[set[str], set[str]]] = []
        self.failures: list[Exception] = []
        self.renewals = 0
        self.ended = False

    async def write(self, own: bytes, puts: Mapping[str, bytes], deletes: Collection[str]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        assert len(puts) + len(deletes) <= MAX_KEYS
        self.writes.append((set(puts), set(deletes)))

    async def renew(self) -> None:
        self.renewals += 1

    async def end(self) -> None:
        self.ended = True


class Room(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.recording = Recording()

    def tenancy(self, name: str, seconds: int) -> Recording:
        return self.recording


@contextlib.asynccontextmanager
async def running(*members: Membership) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for one in members for work in (one.run(), one.others.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def member(name: str, store: MemoryStore, feed: Feed, proxies: ProxyRegistry | None = None) -> Membership:
    return Membership(Replica(name, 1, "1", None), store, proxies or ProxyRegistry(), feed)


@pytest.fixture
async def policies() -> AsyncIterator[Feed]:
    store = MemoryStore()
    feed = Feed(store)
    task = asyncio.create_task(feed.run())
    await feed.reached(0)
    yield feed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()


def nodes(one: Membership) -> dict[str, tuple[str | None, bool]]:
    return {known.status.node.id: (known.xds_replica, known.status.connected) for known in one.known()}


async def test_everybody_knows_who_is_connected_to_whom(policies: Feed) -> None:
    store = MemoryStore()
    here, there = ProxyRegistry(), ProxyRegistry()
    one, two = member("r1", store, policies, here), member("r2", store, policies, there)
    async with running(two):
        async with running(one):
            here.stream_opened(NodeIdentity("a"))
            here.resource("a", ResourceStatus("type", "hfi", "v1", "nacked", "no", 5))
            there.polling(NodeIdentity("b"), True)
            both = {"a": ("r1", True), "b": (None, True)}
            await eventually(lambda: nodes(one) == nodes(two) == both)
            assert [replica.id for replica in two.replicas] == [replica.id for replica in one.replicas] == ["r1", "r2"]
            [a, b] = two.known()
            assert (b.rules_replica, a.status.resources[0].message) == ("r2", "no")
            here.stream_closed("a")
            await eventually(lambda: nodes(two) == {"b": (None, True)})
            assert nodes(one)["a"] == (None, False), "the replica that held it remembers it"
            here.stream_opened(NodeIdentity("a"))
            await eventually(lambda: nodes(two) == both)
        await eventually(lambda: nodes(two) == {"b": (None, True)}, what="the goodbye of a replica")
        assert [replica.id for replica in two.replicas] == ["r2"]


async def test_only_what_has_changed_is_written(policies: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "TICK_SECONDS", 0.001)
    monkeypatch.setattr(fleet_module, "RENEW_SECONDS", 0.01)
    room, proxies = Room(), ProxyRegistry()
    async with running(member("r1", room, policies, proxies)):
        await eventually(lambda: room.recording.writes == [(set(), set())], what="its own document")
        for number in range(2 * MAX_KEYS + 1):
            proxies.stream_opened(NodeIdentity(f"n{number:03}"))
        await eventually(lambda: len(room.recording.writes) == 4)
        assert sum(len(puts) for puts, _ in room.recording.writes) == 2 * MAX_KEYS + 1
        proxies.stream_opened(NodeIdentity("n000"))
        await eventually(lambda: room.recording.writes[4:] == [({"r1/n000"}, set())])
        proxies.stream_closed("n001")
        await eventually(lambda: room.recording.writes[5:] == [(set(), {"r1/n001"})])
        proxies.polling(NodeIdentity("n002"), False)
        seen = room.recording.renewals
        await eventually(lambda: room.recording.renewals > seen + 2)
        assert len(room.recording.writes) == 6, "a sign of life is no news"
    assert room.recording.ended


async def test_what_is_lost_is_written_again(policies: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "TICK_SECONDS", 0.001)
    monkeypatch.setattr(fleet_module, "RETRY_SECONDS", 0.001)
    room, proxies = Room(), ProxyRegistry()
    proxies.stream_opened(NodeIdentity("a"))
    async with running(member("r1", room, policies, proxies)):
        await eventually(lambda: room.recording.writes == [({"r1/a"}, set())])
        room.recording.failures = [StoreUnavailable("away"), StoreUnavailable("away")]
        proxies.stream_opened(NodeIdentity("b"))
        await eventually(lambda: room.recording.writes[1:] == [({"r1/b"}, set())])
        room.recording.failures = [TenancyLost("gone")]
        proxies.stream_opened(NodeIdentity("c"))
        await eventually(lambda: room.recording.writes[2:] == [({"r1/a", "r1/b", "r1/c"}, set())])


async def test_it_is_known_who_polls_elsewhere(policies: Feed) -> None:
    store = MemoryStore()
    here, there = ProxyRegistry(), ProxyRegistry()
    one, two = member("r1", store, policies, here), member("r2", store, policies, there)
    assert one.polling_elsewhere() is None, "nobody has been heard yet"
    async with running(one, two):
        here.polling(NodeIdentity("mine"), True)
        there.polling(NodeIdentity("both/1"), True)
        here.polling(NodeIdentity("both/1"), True)
        there.stream_opened(NodeIdentity.of("no poll", "c", {"polling": '"polling":true'}))
        await eventually(lambda: one.polling_elsewhere() == {"both/1"})
        await eventually(lambda: two.polling_elsewhere() == {"mine", "both/1"})
        assert await one.ask_polling_elsewhere() == {"both/1"}
        there.polling(NodeIdentity("both/1"), False)
        await eventually(lambda: one.polling_elsewhere() == set())


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), TenancyLost("gone")], ids=["away", "lost"])
async def test_who_does_not_reach_the_store_knows_nothing_of_others(
    policies: Feed, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """Until it has renewed its lease: only then has the store been there for some time."""
    monkeypatch.setattr(fleet_module, "TICK_SECONDS", 0.001)
    monkeypatch.setattr(fleet_module, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(fleet_module, "RENEW_SECONDS", 3600)
    room, proxies = Room(), ProxyRegistry()
    one = member("r1", room, policies, proxies)
    async with running(one):
        await eventually(lambda: one.polling_elsewhere() is not None and room.recording.writes)
        room.recording.failures = [failure]
        proxies.stream_opened(NodeIdentity("a"))
        await eventually(lambda: room.recording.writes[1:], what="the next attempt")
        assert one.polling_elsewhere() is None
        monkeypatch.setattr(fleet_module, "RENEW_SECONDS", 0)
        await eventually(lambda: one.polling_elsewhere() is not None)
        assert room.recording.renewals


def test_ids_are_of_one_process() -> None:
    assert new_id() != new_id()
    assert "/" not in new_id()


async def test_a_wave_of_changes_is_told_of_when_it_is_over(policies: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that goes to all proxies changes each twice, when it is sent and when it is answered."""
    monkeypatch.setattr(fleet_module, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(fleet_module, "WAVE", 2)
    room, proxies = Room(), ProxyRegistry()
    async with running(member("r1", room, policies, proxies)):
        await eventually(lambda: len(room.recording.writes) == 1, what="its own document")
        for state in ("sent", "acked"):
            for number in range(3):
                proxies.stream_opened(NodeIdentity(f"n{number}"))
                proxies.resource(f"n{number}", ResourceStatus("type", "hfi", "v1", state))
            await eventually(lambda: not proxies._changed, what="a tick")
            assert len(room.recording.writes) == 1
        await eventually(lambda: len(room.recording.writes) == 2)
        assert room.recording.writes[1:] == [({"r1/n0", "r1/n1", "r1/n2"}, set())]


async def test_waves_without_end_are_told_of_all_the_same(policies: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(fleet_module, "WAVE", 2)
    room, proxies = Room(), ProxyRegistry()

    def another_change() -> bool:
        for number in range(3):
            proxies.stream_opened(NodeIdentity(f"n{number}"))
        return len(room.recording.writes) >= 3

    async with running(member("r1", room, policies, proxies)):
        await eventually(another_change)


async def test_a_document_is_made_anew_only_when_its_proxy_has_changed(
    policies: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "TICK_SECONDS", 0.001)
    made: list[str] = []
    make = documents.proxy_document

    def counted(status: ProxyStatus, position: Position | None) -> bytes:
        made.append(status.node.id)
        return make(status, position)

    monkeypatch.setattr(documents, "proxy_document", counted)
    room, proxies = Room(), ProxyRegistry()
    async with running(member("r1", room, policies, proxies)):
        proxies.stream_opened(NodeIdentity("a"))
        proxies.stream_opened(NodeIdentity("b"))
        await eventually(lambda: room.recording.writes[-1:] == [({"r1/a", "r1/b"}, set())])
        proxies.stream_opened(NodeIdentity("b"))
        await eventually(lambda: room.recording.writes[-1:] == [({"r1/b"}, set())])
    assert sorted(made) == ["a", "b", "b"]
