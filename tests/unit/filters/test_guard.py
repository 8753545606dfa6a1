from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hfi_core.dataplane import DataPlane
from hfi_core.errors import StoreUnavailable
from hfi_core.filters import guard as guard_module
from hfi_core.filters.guard import RolloutGuard
from hfi_core.filters.hearing import Hearing
from hfi_core.filters.manifest import Manifest
from hfi_core.filters.metrics import FilterCollector
from hfi_core.filters.progress import VersionOf
from hfi_core.filters.rollout import Assignment, Limits, Rollout
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import MANIFESTS, FilterState
from hfi_core.following import Follower
from hfi_core.policy.model import Selector
from hfi_core.proxies import ProxyRegistry, ResourceState, ResourceStatus
from hfi_core.snapshot import NodeIdentity
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry
from tests.support.waiting import eventually

CANARY, OTHER = NodeIdentity.of("canary-1", "canary"), NodeIdentity.of("other-1", "other")
ERRORS = "wasmcustom.hfi.errors"
LIMITS = Limits(watch_seconds=60)


def module(version: str) -> Manifest:
    return Manifest(version=version, digest=version * 64, size=1, piece_bytes=1, abi="0.2.1", pushed_at_ms=0)


def version_of(assignment: Assignment) -> str | None:
    return f"{assignment.version}/{assignment.generation}"


class Flaky(MemoryStore):
    away = False

    async def put(self, key: str, value: bytes, **how: Any) -> Entry:
        if self.away:
            raise StoreUnavailable("away")
        return await super().put(key, value, **how)


class Replica:
    """One replica's guard, and what it sees. ``now`` is Unix milliseconds."""

    def __init__(self, store: MemoryStore) -> None:
        self.now = 1_000_000
        self.filters = Follower("filters", store, FilterState.of)
        self.rollouts = RolloutService(store, self.filters, self.clock)
        self.proxies = ProxyRegistry(self.clock)
        self.data_plane = DataPlane()
        self.hearing = Hearing(store.beside("heard"), self.clock)
        self.version_of: VersionOf = version_of
        self.guard = RolloutGuard(
            self.filters,
            self.rollouts,
            self.proxies,
            self.data_plane,
            lambda assignment: self.version_of(assignment),
            self.hearing,
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

    def metrics(self) -> list[str]:
        registry = CollectorRegistry()
        registry.register(FilterCollector(self.filters, self.rollouts, self.proxies, self.version_of))
        return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


@contextlib.asynccontextmanager
async def replica(store: MemoryStore) -> AsyncIterator[Replica]:
    made = Replica(store)
    tasks = [asyncio.create_task(made.filters.run()), asyncio.create_task(made.guard.run())]
    tasks.append(asyncio.create_task(made.hearing.follower.run()))
    try:
        await made.filters.reached(0)
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def started(one: Replica, limits: Limits = LIMITS) -> None:
    await one.rollouts.start("2", selector=Selector(cluster="canary"), limits=limits)
    await one.under_way()


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> Flaky:
    monkeypatch.setattr(guard_module, "LOOK_SECONDS", 0.005)
    # Nothing comes to its end: the clocks of these tests are not the world's.
    made = Flaky(clock=lambda: 0)
    for version in ("1", "2"):
        await made.put(MANIFESTS + version, module(version).encode())
    return made


@pytest.fixture
async def one(store: Flaky) -> AsyncIterator[Replica]:
    async with replica(store) as made:
        await made.rollouts.begin(module("1"))
        made.connect(OTHER, served="1/1")
        made.polls(OTHER)
        yield made


async def test_a_node_that_rejects_the_candidate_ends_it(one: Replica, caplog: pytest.LogCaptureFixture) -> None:
    await started(one)
    one.connect(CANARY, "nacked", message="Unable to create Wasm plugin")
    back = await one.back()
    assert (back.cause, back.reason) == ("rejected", "node canary-1 rejected it: Unable to create Wasm plugin")
    await eventually(lambda: "rolled filter module 2 back: node canary-1 rejected it" in caplog.text, what="the words")
    document = one.rollouts.state().document
    assert document is not None
    assert (document.events[-1].kind, document.events[-1].cause) == ("rolled_back", "rejected")
    assert 'hfi_filter_rollbacks_total{cause="rejected"} 1.0' in one.metrics()
    assert 'hfi_filter_rollout{state="rolled_back"} 1.0' in one.metrics()


async def test_errors_that_only_nodes_with_the_candidate_have_end_it(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.errors(CANARY, 100)
    one.errors(OTHER, 100)
    await started(one)
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.now += 1_000
    one.errors(CANARY, 103)
    one.errors(OTHER, 103)
    await one.stays(monkeypatch)
    one.errors(CANARY, 104)
    back = await one.back()
    assert back.cause == "errors"
    assert "node canary-1 has had 4 errors" in back.reason


async def test_the_first_errors_of_a_node_that_never_had_any_count(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy says nothing of a counter before it has counted."""
    one.connect(CANARY, served="1/1")
    await started(one)
    await one.stays(monkeypatch)
    one.now += 1_000
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.errors(CANARY, 3)
    assert (await one.back()).cause == "errors"


async def test_errors_from_before_a_node_came_here_do_not_count(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    await one.stays(monkeypatch)
    one.now += 1_000
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.errors(CANARY, 3)
    await one.stays(monkeypatch)
    one.errors(CANARY, 4)
    assert "node canary-1 has had 1 errors" in (await one.back()).reason


async def test_errors_of_a_node_that_began_with_the_candidate_count_from_its_start(one: Replica) -> None:
    await started(one)
    one.now += 20_000
    one.errors(CANARY, 3, uptime=10)
    one.connect(CANARY)
    assert (await one.back()).cause == "errors"


async def test_errors_after_the_watch_end_nothing(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    one.connect(CANARY)
    one.polls(CANARY)
    one.errors(CANARY, 0)
    await one.stays(monkeypatch)
    one.now += 60_000
    one.errors(CANARY, 50)
    await one.stays(monkeypatch)


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "its filter asks no more"])
async def test_a_node_that_goes_silent_ends_it(one: Replica, monkeypatch: pytest.MonkeyPatch, gone: bool) -> None:
    await started(one)
    one.connect(CANARY)
    one.polls(CANARY)
    await one.stays(monkeypatch)
    one.proxies.polling(CANARY, False)
    if gone:
        one.proxies.stream_closed(CANARY.id)
    one.now += 59_000
    await one.stays(monkeypatch)
    one.now += 1_000
    back = await one.back()
    assert (back.cause, back.reason) == ("silent", "node canary-1 runs it and has not been heard of for 60 s")


async def test_a_node_that_never_asks_for_rules_ends_it(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    one.connect(CANARY)
    await one.stays(monkeypatch)
    one.now += 60_000
    assert (await one.back()).cause == "silent"


async def test_a_node_that_asks_another_replica_is_silent_only_when_that_hears_nothing(
    one: Replica, store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(store) as two:
        await started(one)
        await two.under_way()
        one.connect(CANARY)
        one.polls(CANARY)
        await one.stays(monkeypatch)
        # It goes on with the other, whose clock is another.
        two.now = 77
        two.polls(CANARY)
        one.proxies.polling(CANARY, False)
        for _ in range(3):
            one.now += 15_000
            two.now += 15_000
            await two.stays(monkeypatch)
            await eventually(lambda: one.hearing.heard(one.guard.watching, CANARY.id) == one.now, what="its word")
            await one.stays(monkeypatch)
        # And stops, within its watch.
        two.proxies.polling(CANARY, False)
        one.now += 59_000
        two.now += 59_000
        await one.stays(monkeypatch)
        one.now += 1_000
        back = await one.back()
        assert (back.cause, back.reason) == ("silent", "node canary-1 runs it and has not been heard of for 60 s")


async def test_nobody_is_silent_for_a_replica_that_cannot_ask_the_others(
    one: Replica, store: Flaky, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await started(one)
    one.connect(CANARY)
    await one.stays(monkeypatch)

    async def away(*args: object, **more: object) -> Entry:
        raise StoreUnavailable("away")

    monkeypatch.setattr(store.beside("heard"), "put", away)
    one.now += 60_000
    await one.stays(monkeypatch)
    assert "the other replicas are not told which nodes are heard here: away" in caplog.text


async def test_a_node_that_does_not_answer_ends_it(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    one.connect(CANARY, "sent")
    await one.stays(monkeypatch)
    one.now += 60_000
    back = await one.back()
    assert (back.cause, back.reason) == ("silent", "node canary-1 was sent it and has not answered for 60 s")


async def test_what_this_replica_does_not_serve_it_does_not_judge(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.version_of = lambda assignment: None
    await started(one)
    one.connect(CANARY, "sent")
    await one.stays(monkeypatch)
    one.now += 100_000
    await one.stays(monkeypatch)


async def test_what_is_paused_is_watched_as_before(one: Replica) -> None:
    await started(one)
    await one.rollouts.pause()
    one.connect(CANARY, "nacked")
    assert (await one.back()).cause == "rejected"


async def test_another_attempt_is_judged_anew(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    await started(one)
    one.connect(CANARY, "nacked")
    await one.back()
    await started(one)
    # What it rejected was the attempt before; and its errors from then are not held against this one.
    one.errors(CANARY, 7)
    one.connect(CANARY, "acked", served="2/3")
    one.polls(CANARY)
    await one.stays(monkeypatch)


async def test_a_store_that_is_away_is_asked_again(
    one: Replica, store: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    await started(one)
    store.away = True
    one.connect(CANARY, "nacked")
    await eventually(lambda: caplog.text.count("must go back, but cannot: away") > 1, what="two attempts")
    store.away = False
    assert (await one.back()).cause == "rejected"


async def test_of_two_replicas_that_see_it_one_acts(one: Replica, store: Flaky) -> None:
    async with replica(store) as two:
        await started(one)
        await two.under_way()
        for seeing in (one, two):
            seeing.connect(CANARY, "nacked")
        await one.back()
        await two.back()
        document = two.rollouts.state().document
        assert document is not None
        assert [event.kind for event in document.events].count("rolled_back") == 1
        assert one.rollouts.rolled_back["rejected"] + two.rollouts.rolled_back["rejected"] == 1


#: As METRICS.md has them.
SHOWN = [
    *(f'hfi_filter_rollbacks_total{{cause="{cause}"}} 0.0' for cause in ("operator", "rejected", "errors", "silent")),
    "hfi_filter_modules 2.0",
    "hfi_filter_values_broken 1.0",
    'hfi_filter_rollout{state="running"} 1.0',
    *(f'hfi_filter_rollout{{state="{state}"}} 0.0' for state in ("paused", "completed", "rolled_back")),
    "hfi_filter_rollout_share_ratio 0.0",
    'hfi_filter_nodes{module="stable",state="applied"} 1.0',
    'hfi_filter_nodes{module="stable",state="waiting"} 0.0',
    'hfi_filter_nodes{module="stable",state="rejected"} 0.0',
    'hfi_filter_nodes{module="candidate",state="applied"} 0.0',
    'hfi_filter_nodes{module="candidate",state="waiting"} 1.0',
    'hfi_filter_nodes{module="candidate",state="rejected"} 0.0',
]


async def test_all_of_it_is_shown_in_metrics(one: Replica, store: Flaky) -> None:
    await store.put(MANIFESTS + "broken", b"{")
    await started(one)
    one.connect(CANARY, "sent")
    assert one.metrics() == SHOWN
    document = await one.rollouts.advance(50)
    assert document.active is not None
    assert "hfi_filter_rollout_share_ratio 0.5" in one.metrics()


def test_before_the_store_is_read_there_is_little_to_show() -> None:
    assert Replica(MemoryStore()).metrics() == SHOWN[:4]


def test_the_metrics_are_those_that_are_documented() -> None:
    names = {line.partition("{")[0].partition(" ")[0] for line in SHOWN}
    documented = (Path(__file__).parents[3] / "METRICS.md").read_text()
    assert names == set(re.findall(r"^\| `(hfi_filter_\w+)` \|", documented, re.MULTILINE))
