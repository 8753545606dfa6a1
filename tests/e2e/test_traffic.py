"""Traffic as it is: connections that were there before, both workers, large bodies, HTTP/2, clients that leave."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_delayed, assert_passed, delay
from tests.support.sidecar import WORKERS, Sidecar
from tests.support.traffic import Connection, statuses, volley
from tests.support.waiting import eventually

MIB = 1 << 20
#: Three seconds: how many are held is known a second after it is true.
HELD = "3s"


async def test_what_is_deleted_ends_within_a_second_on_a_connection_opened_before(ring: Ring) -> None:
    async with ring.connections(1) as [connection]:
        assert_passed(await connection.request(ring.path))
        await ring.inject(abort=abort())
        assert_aborted(await connection.request(ring.path))

        await ring.api.delete(ring.name)
        deleted = time.perf_counter()
        while (answer := await connection.request(ring.path)).status == 503:
            assert time.perf_counter() - deleted < 1
        assert_passed(answer)


async def test_every_worker_injects(ring: Ring) -> None:
    before = worker_connections(ring.sidecar)
    async with ring.connections(60) as opened:
        await ring.inject(abort=abort())
        found = statuses(await volley(opened, 600, ring.path))
        for connection in opened:
            assert_aborted(await connection.request(ring.path))
    assert found == {503: 600}
    taken = [after - count for after, count in zip(worker_connections(ring.sidecar), before, strict=True)]
    assert len(taken) == WORKERS
    assert all(count > 0 for count in taken), f"the kernel gave every connection to one worker: {taken}"


def worker_connections(sidecar: Sidecar) -> list[int]:
    found = sidecar.stats(rf"listener[.].*{sidecar.port}[.]worker_[0-9]+[.]downstream_cx_total")
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize("length", [1000, 8 * MIB])
async def test_a_body_that_was_held_arrives_intact(ring: Ring, length: int) -> None:
    await ring.inject(delay=delay("300ms"))
    body = random.Random(length).randbytes(length)
    answer = await ring.ask(method="PUT", body=body)
    assert_delayed(answer, 0.3)
    [seen] = ring.reached
    assert (seen.method, seen.length, seen.sha256) == ("PUT", length, hashlib.sha256(body).hexdigest())


async def test_a_client_that_leaves_is_forgotten_and_the_upstream_never_hears_of_it(ring: Ring) -> None:
    await ring.inject(delay=delay(HELD))
    async with ring.connections(4) as [leaving, *staying]:
        await leaving.send(f"{ring.path}?leaving")
        await eventually(lambda: active(ring.sidecar) == 1, what="one held request")
        leaving.abandon()
        await eventually(lambda: active(ring.sidecar) == 0, what="no held request")
        # These are held until after its time would have come.
        for answer in await volley(staying, 3, ring.path):
            assert_delayed(answer, 3)
    assert [seen.target for seen in ring.reached] == [ring.path] * 3
    await eventually(lambda: active(ring.sidecar) == 0, what="no held request")


async def test_a_client_that_leaves_before_its_abort_hurts_nobody(ring: Ring) -> None:
    await ring.inject(delay=delay(HELD), abort=abort())
    async with ring.connections(20) as opened:
        for connection in opened:
            await connection.send(ring.path)
        await eventually(lambda: active(ring.sidecar) == 20, what="20 held requests")
        for connection in opened[::2]:
            connection.abandon()
        for connection in opened[1::2]:
            assert_aborted(await connection.read())
    await eventually(lambda: active(ring.sidecar) == 0, what="no held request")
    assert ring.reached == []


def active(sidecar: Sidecar) -> int:
    return sidecar.stat("wasmcustom.hfi.active_delays")


async def test_a_request_in_flight_keeps_the_rules_it_started_with(ring: Ring) -> None:
    await ring.inject(delay=delay(HELD), abort=abort(504))
    async with ring.connections(1) as [connection]:
        await connection.send(ring.path)
        await eventually(lambda: active(ring.sidecar) == 1, what="one held request")
        await ring.arrived(await ring.api.delete(ring.name))
        assert_passed(await ring.ask())
        answer = await connection.read()
    assert_aborted(answer, 504)
    assert answer.seconds >= 3


async def test_a_hundred_changes_in_a_row_leave_the_last(ring: Ring) -> None:
    """Traffic goes on the while, and every answer is one of a policy that was there."""
    stop = asyncio.Event()
    found: set[int] = set()

    async def ask(connection: Connection) -> None:
        while not stop.is_set():
            found.add((await connection.request(ring.path)).status)

    async with ring.connections(8) as opened, asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(ask(connection))
        for status in range(400, 500):
            await ring.api.apply(ring.policy(abort_all(ring.path, status)))
        await ring.apply(ring.policy(abort_all(ring.path, 599)))
        stop.set()
    assert found <= {200, *range(400, 500), 599}
    async with ring.connections(8) as opened:
        assert statuses(await volley(opened, 100, ring.path)) == {599: 100}


def abort_all(path: str, status: int) -> dict[str, object]:
    return {"name": "r", "match": {"path": {"exact": path}}, "fault": {"abort": abort(status)}}
