"""The control plane and its store go away and come back, in the middle of traffic."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, rule
from tests.e2e.stack import Stack, StackFactory, started
from tests.support.processes import Processes
from tests.support.traffic import Connection
from tests.support.upstream import Upstream
from tests.support.waiting import eventually_async

#: A proxy that lost its control plane asks again after 30 s at the latest, and Envoy's own xDS after 2 s.
BACK_SECONDS = 45.0


@pytest.fixture(scope="module")
def memory_stack(processes: Processes, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    one = StackFactory(processes, upstream, tmp_path_factory.mktemp("memory")).on_memory()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
async def forgetful(memory_stack: Stack) -> AsyncIterator[tuple[Stack, Ring]]:
    """One to break that keeps its policies in memory."""
    async with memory_stack.start().ring() as ring:
        yield memory_stack, ring


@asynccontextmanager
async def traffic(ring: Ring) -> AsyncIterator[Counter[int]]:
    """Requests for the ring's path all the while, on connections that stay; and how they were answered so far."""
    found: Counter[int] = Counter()
    stop = asyncio.Event()

    async def ask(connection: Connection) -> None:
        while not stop.is_set():
            found[(await connection.request(ring.path)).status] += 1

    async with ring.connections(4) as opened, asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(ask(connection))
        try:
            yield found
        finally:
            stop.set()


async def more(found: Counter[int], count: int = 200) -> None:
    """Wait until so many more requests are answered."""
    wanted = found.total() + count
    await eventually_async(lambda: _past(found, wanted), within=20, what="traffic going on")


async def _past(found: Counter[int], wanted: int) -> bool:
    return found.total() >= wanted


async def test_faults_go_on_while_the_control_plane_is_killed_and_a_change_after_it_arrives(
    whole: tuple[Stack, Ring],
) -> None:
    stack, ring = whole
    await ring.inject(abort=abort(503))
    async with traffic(ring) as found:
        await more(found)
        stack.control.kill()
        await more(found)
        stack.control.process.start()
        await asyncio.to_thread(stack.control.process.until, stack.control.ready)
        await more(found)
        assert set(found) == {503}, "not one request was treated otherwise"
    await ring.arrived(within=BACK_SECONDS)
    await ring.inject(abort=abort(504))
    assert_aborted(await ring.ask(), 504)
    await ring.clear()
    assert_passed(await ring.ask())


async def test_a_policy_deleted_while_a_proxy_cannot_ask_ends_when_it_can(whole: tuple[Stack, Ring]) -> None:
    stack, ring = whole
    await ring.inject(abort=abort())
    stack.control.kill()
    stack.delete_stored(ring.name)
    assert_aborted(await ring.ask())
    stack.control.start()
    await ring.arrived(within=BACK_SECONDS)
    assert_passed(await ring.ask())


async def test_an_envoy_that_starts_without_a_control_plane_passes_traffic_and_catches_up(
    whole: tuple[Stack, Ring],
) -> None:
    stack, ring = whole
    await ring.inject(abort=abort())
    stack.control.kill()
    for sidecar in stack.sidecars:
        sidecar.stop()
        sidecar.start()
    assert_passed(await ring.ask())
    stack.control.start()
    await ring.arrived(within=BACK_SECONDS)
    assert_aborted(await ring.ask())


async def test_etcd_stops_and_starts_under_traffic(whole: tuple[Stack, Ring]) -> None:
    stack, ring = whole
    await ring.inject(abort=abort(503))
    async with traffic(ring) as found:
        await asyncio.to_thread(stack.etcd.stop)
        await more(found)
        assert (await ring.api.ask("GET", "/v1/health")).status_code == 200, "it lives all the same"
        refused = await ring.api.ask("POST", "/v1/policies", ring.policy(rule(abort=abort()), name="no"))
        assert refused.status_code == 503, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        stack.etcd.start(wait=False)
        await asyncio.to_thread(stack.etcd.wait_ready)
        await eventually_async(lambda: _ready_is(ring, 200), within=30, what="ready again")
        await more(found)
        assert set(found) == {503}
    await ring.inject(abort=abort(504))
    assert_aborted(await ring.ask(), 504)
    assert await ring.api.names() == [ring.name]


async def test_without_its_store_the_control_plane_says_soon_that_it_is_not_ready(whole: tuple[Stack, Ring]) -> None:
    stack, ring = whole
    assert await _ready_is(ring, 200)
    stack.etcd.stop()
    await eventually_async(lambda: _ready_is(ring, 503), within=25, what="not ready without a store")
    stack.etcd.start()
    await eventually_async(lambda: _ready_is(ring, 200), within=30, what="ready again")


async def _ready_is(ring: Ring, status: int) -> bool:
    return (await ring.api.ask("GET", "/v1/health?ready")).status_code == status


async def test_what_was_only_in_memory_is_gone_after_a_restart_and_proxies_follow(
    forgetful: tuple[Stack, Ring],
) -> None:
    """The store is another, and its versions begin anew: the epoch tells, or proxies would take it for stale."""
    stack, ring = forgetful
    for status in (501, 502, 503):
        await ring.inject(abort=abort(status))
    assert_aborted(await ring.ask(), 503)
    stack.control.kill()
    assert_aborted(await ring.ask(), 503)
    stack.control.start()
    await ring.arrived(within=BACK_SECONDS)
    assert_passed(await ring.ask())
    await ring.inject(abort=abort(504))
    assert_aborted(await ring.ask(), 504)


async def test_the_embedded_store_keeps_policies_over_a_stop_and_over_a_kill(stacks: StackFactory) -> None:
    async with started(stacks.on_embedded()) as (stack, ring):
        await ring.inject(abort=abort(503))
        assert_aborted(await ring.ask(), 503)

        assert stack.control.stop() == 0
        assert stack.embedded_etcds() == [], "its etcd ends with it"
        stack.control.start()
        await ring.arrived(within=BACK_SECONDS)
        assert await ring.api.names() == [ring.name]

        stack.control.kill()
        stack.control.start()
        await ring.arrived(within=BACK_SECONDS)
        assert await ring.api.names() == [ring.name]
        await ring.inject(abort=abort(504))
        assert_aborted(await ring.ask(), 504)


async def test_sigterm_ends_the_control_plane_in_good_order_while_proxies_wait(forgetful: tuple[Stack, Ring]) -> None:
    stack, ring = forgetful
    await ring.inject(abort=abort())
    assert stack.control.stop() == 0
    output = stack.control.process.output()
    assert "Traceback" not in output, output
    assert_aborted(await ring.ask())
