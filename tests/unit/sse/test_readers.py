"""How many may read the stream at once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from hfi_sse.services import HttpSettings
from tests.support.waiting import eventually_async
from tests.unit.sse.plane import Plane, running

STREAM = "/v1/config/stream"


async def refused(plane: Plane, reason: str) -> float:
    return plane.services.registry.get_sample_value("hfi_stream_refused_total", {"reason": reason}) or 0


def poll(plane: Plane, node: str | None, wait: str = "60s") -> asyncio.Task[httpx.Response]:
    """One that has everything, and so is parked."""
    snapshot = plane.services.feed.current
    assert snapshot is not None
    headers = {"last-event-id": str(snapshot.version), "x-hfi-epoch": snapshot.epoch}
    headers |= {"x-hfi-node": node} if node else {}
    return asyncio.create_task(plane.client.get(STREAM, params={"once": "true", "wait": wait}, headers=headers))


async def test_one_node_has_so_many_and_room_when_one_goes() -> None:
    async with running(settings=HttpSettings(max_readers_per_node=2)) as plane:
        polls = [poll(plane, "n"), poll(plane, "n")]
        await plane.parked(2)
        for params in ({"once": "true"}, {}):
            answer = await plane.client.get(STREAM, params=params, headers={"x-hfi-node": "n"})
            assert (answer.status_code, answer.json()["type"]) == (429, "urn:hfi:problem:too-many-readers")
            assert "node 'n' has 2 requests" in answer.json()["detail"]
        assert await refused(plane, "node_limit") == 2
        polls += [poll(plane, "m"), poll(plane, None)]
        await plane.parked(4)
        polls[0].cancel()
        await plane.parked(3)
        assert (await poll(plane, "n", "0s")).status_code == 200
        await plane.apply()
        await asyncio.gather(*polls[1:])


async def test_there_are_so_many_in_all() -> None:
    async with running(settings=HttpSettings(max_readers=2)) as plane:
        parked = poll(plane, "n")
        await plane.parked(1)
        async with plane.client.stream("GET", STREAM) as endless:
            lines = endless.aiter_lines()
            assert (await anext(lines)).startswith("id: ")
            answer = await plane.client.get(STREAM, params={"once": "true"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["reasons"] == ["this replica has as many readers as it may have"]
            assert await refused(plane, "limit") == 1

        async def room() -> Any:
            return (await plane.client.get(STREAM, params={"once": "true"})).status_code == 200

        await eventually_async(room, what="the place of the stream that has ended")
        await plane.apply()
        assert (await parked).status_code == 200
