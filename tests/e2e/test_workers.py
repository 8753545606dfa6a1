"""One worker and four: every VM takes every snapshot over, also while requests come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, delay, rule
from tests.e2e.stack import Stack
from tests.support.processes import Processes
from tests.support.sidecar import Sidecar
from tests.support.traffic import Client, Wire, statuses, volley
from tests.support.waiting import eventually, eventually_async


@pytest.fixture(scope="module")
def narrow(stack: Stack, processes: Processes) -> Iterator[Sidecar]:
    sidecar = Sidecar(processes, stack.control, stack.upstream.port, node="narrow-1", cluster="narrow", workers=1)
    try:
        yield sidecar.start()
    finally:
        sidecar.stop()


@pytest.fixture(params=["narrow", "wide"])
async def ring(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Ring]:
    async with stack.ring(request.getfixturevalue(request.param)) as ring:
        yield ring


async def test_every_worker_has_a_new_snapshot_and_its_takeover_is_counted(ring: Ring) -> None:
    async with ring.connections(20 * ring.sidecar.workers) as opened:
        await eventually(lambda: all_workers(ring.sidecar), what="a connection at each worker")
        for status in (501, 502):
            before = ring.sidecar.histogram("hfi.takeover_us")
            await ring.inject(abort=abort(status))
            await eventually_async(lambda status=status: all_answer(ring, opened, status), what=f"{status} everywhere")
            await eventually(
                lambda before=before: (
                    ring.sidecar.histogram("hfi.takeover_us").since(before).count >= ring.sidecar.workers
                ),
                what="a takeover counted in each worker",
            )
    version = int((await ring.api.get(f"/v1/policies/{ring.name}"))["metadata"]["version"])
    await eventually(lambda: ring.sidecar.stat("wasmcustom.hfi.snapshot_version") == version, what="its version")
    assert ring.sidecar.stat("wasmcustom.hfi.snapshot_age_seconds") < 60


def all_workers(sidecar: Sidecar) -> bool:
    found = sidecar.stats(rf"listener[.].*{sidecar.port}[.]worker_[0-9]+[.]downstream_cx_active")
    return len(found) == sidecar.workers and all(found.values())


async def all_answer(ring: Ring, opened: list[Client], status: int) -> bool:
    return set(statuses([await connection.request(ring.path) for connection in opened])) == {status}


async def test_every_fault_of_every_kind_at_once(ring: Ring, wire: Wire) -> None:
    """Of one policy, in one volley, so that none of them disturbs another."""
    await ring.apply(
        ring.policy(
            rule("abort", f"{ring.path}/abort", abort=abort(503)),
            rule("delay", f"{ring.path}/delay", delay=delay("50ms")),
            rule("late", f"{ring.path}/late", delay={"uniform": {"min": "1ms", "max": "50ms"}, "phase": "response"}),
            rule("body", f"{ring.path}/body", response={"body": "new"}),
            rule("times", f"{ring.path}/times", times=30, abort=abort(429)),
            rule("request", f"{ring.path}/request", request={"headers": {"set": {"x-new": "1"}}}),
        )
    )
    wanted = {"abort": {503: 100}, "times": {429: 30, 200: 70}}
    names = ("abort", "delay", "late", "body", "times", "request")

    async def fire(name: str) -> None:
        async with ring.connections(5, wire=wire) as opened:
            answers = await volley(opened, 100, f"{ring.path}/{name}")
        assert statuses(answers) == wanted.get(name, {200: 100}), name
        if name == "body":
            assert {answer.body for answer in answers} == {b"new"}

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(fire(name))
    counted = {f"matched~{name}~any": 100 for name in names}
    injected = {"abort": "abort", "delay": "delay", "late": "delay", "body": "response", "request": "request"}
    counted |= {f"injected~{name}~{kind}": 100 for name, kind in injected.items()}
    await ring.counted({**counted, "injected~times~abort": 30, "skipped~times~times": 70})
    await eventually(lambda: ring.sidecar.stat("wasmcustom.hfi.active_delays") == 0, what="nothing held")


async def test_snapshots_change_under_traffic_and_no_request_falls_between(ring: Ring, wire: Wire) -> None:
    """Some thousand rules are replaced again and again; every answer is one of a policy that was there."""
    stop = asyncio.Event()
    found: set[int] = set()
    filler = [rule(f"f{number}", f"/filler/{number}", abort=abort()) for number in range(250)]

    async def ask(connection: Client) -> None:
        while not stop.is_set():
            found.add((await connection.request(ring.path)).status)

    here = {"path": {"exact": ring.path}}
    await ring.apply(ring.policy(rule(match=here, abort=abort(500))))
    async with ring.connections(8, wire=wire) as opened, asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(ask(connection))
        for status in (501, 502, 503):
            for name in ("a", "b", "c"):
                await ring.api.apply(ring.policy(*filler, name=f"{name}", priority=status))
            await ring.apply(ring.policy(rule(match=here, abort=abort(status))))
        stop.set()
    assert found <= {500, 501, 502, 503}
    await ring.clear()
    assert_passed(await ring.ask())


async def test_a_delay_in_one_worker_holds_up_no_other_request(ring: Ring, wire: Wire) -> None:
    await ring.apply(
        ring.policy(
            rule("long", f"{ring.path}/long", delay=delay("20s")),
            rule("short", f"{ring.path}/short", delay=delay("10ms"), abort=abort()),
        )
    )
    async with ring.connections(40, wire=wire) as opened:
        for connection in opened[:20]:
            await connection.send(f"{ring.path}/long")
        await eventually(lambda: ring.sidecar.stat("wasmcustom.hfi.active_delays") == 20, what="twenty held")
        for connection in opened[20:]:
            assert_aborted(await connection.request(f"{ring.path}/short"))
        for connection in opened[:20]:
            connection.abandon()
        await eventually(lambda: ring.sidecar.stat("wasmcustom.hfi.active_delays") == 0, what="nothing held")
    assert ring.reached == []
