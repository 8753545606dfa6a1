"""``/v1/config/stream`` as a browser reads it, over TCP with an SSE client that is not ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from hfi_sse.services import HttpSettings
from tests.support.policies import abort_rule
from tests.support.waiting import eventually_async
from tests.unit.sse.plane import HOST, Plane, running

STREAM = "/v1/config/stream"


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    async with running() as found:
        yield found


@contextlib.asynccontextmanager
async def watching(plane: Plane, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    source: EventSource
    async with aconnect_sse(plane.client, "GET", STREAM + query, headers=sent) as source:
        source.response.raise_for_status()
        yield source.aiter_sse()


async def next_of(events: AsyncIterator[ServerSentEvent]) -> ServerSentEvent:
    async with asyncio.timeout(30):
        found = await anext(events)
    assert found.event == "update"
    return found


def policies(found: ServerSentEvent) -> list[str]:
    data = json.loads(found.data)
    assert data["version"] == found.id
    return [rule["policy"] for rule in data["rules"]]


async def test_first_the_whole_and_then_each_change(plane: Plane) -> None:
    first = await plane.apply("a")
    async with watching(plane) as events:
        found = await next_of(events)
        assert (found.id, policies(found)) == (str(first), ["a"])
        second = await plane.apply("b")
        found = await next_of(events)
        assert (found.id, policies(found)) == (str(second), ["a", "b"])
        await plane.client.delete("/v1/policies/a")
        assert policies(await next_of(events)) == ["b"]


async def test_who_is_no_proxy_sees_every_rule_and_a_proxys_view_is_by_request(plane: Plane) -> None:
    await plane.apply("a", selector={"cluster": "one"})
    await plane.apply("b", selector={"cluster": "two", "labels": {"track": "canary"}})
    async with watching(plane) as events:
        assert policies(await next_of(events)) == ["a", "b"]
    async with watching(plane, "?cluster=two&labels=track=canary") as events:
        assert policies(await next_of(events)) == ["b"]
    async with watching(plane, x_hfi_cluster="one") as events:
        assert policies(await next_of(events)) == ["a"]
    assert (await plane.client.get("/v1/proxies")).json()["items"] == [], "watching makes nobody a proxy"


async def test_resuming_sends_nothing_until_there_is_something_new(plane: Plane) -> None:
    version = await plane.apply("a")
    async with watching(plane) as events:
        await next_of(events)
    async with watching(plane, last_event_id=str(version)) as events:
        await plane.parked(1)
        newer = await plane.apply("b")
        assert (await next_of(events)).id == str(newer)
    async with watching(plane, last_event_id=str(version)) as events:
        assert (await next_of(events)).id == str(newer), "what was missed is sent at once"
    async with watching(plane, "?epoch=another", last_event_id=str(newer)) as events:
        assert (await next_of(events)).id == str(newer)


async def test_a_slow_reader_skips_to_the_newest(plane: Plane) -> None:
    # Events of some 8 MB do not fit into the buffers of sockets, so the server waits until they are read.
    big = [abort_rule(f"r{i}") | {"fault": {"abort": {"httpStatus": 503, "body": "x" * 65_000}}} for i in range(8)]
    for i in range(16):
        await plane.apply(f"big{i:02}", *big)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, (HOST, plane.port))
        await loop.sock_sendall(slow, b"GET /v1/config/stream HTTP/1.1\r\nhost: hfi\r\n\r\n")

        async def sent(count: int) -> None:
            async def reached() -> bool:
                return bool((await plane.stream_metrics())["events"]["endless"] == count)

            await eventually_async(reached)

        await sent(1)
        for i in range(20):
            last = await plane.apply("small", priority=i)
        assert (await plane.stream_metrics())["events"]["endless"] == 1, "it holds nobody up, and nothing is queued"
        reader, writer = await asyncio.open_connection(sock=slow, limit=64 << 20)
        ids = [(await _line_of(reader, b"id: ")) for _ in range(2)]
        assert ids[1] == str(last), "from the first straight to the newest"
        writer.close()


async def _line_of(reader: asyncio.StreamReader, prefix: bytes) -> str:
    async with asyncio.timeout(60):
        while True:
            line = await reader.readline()
            if line.startswith(prefix):
                return line.removeprefix(prefix).decode().strip()


async def test_a_silent_stream_has_a_heartbeat() -> None:
    async with running(settings=HttpSettings(heartbeat_seconds=0.05)) as plane:
        async with plane.client.stream("GET", STREAM) as answer:
            lines = answer.aiter_lines()
            async with asyncio.timeout(30):
                found = [line async for line in _until(lines, ": heartbeat")]
        assert found[0].startswith("id: ")
        assert found[-1] == ": heartbeat"


async def _until(lines: AsyncIterator[str], last: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line == last:
            return


async def test_what_browsers_and_proxies_need_is_in_the_head(plane: Plane) -> None:
    version = await plane.apply("a")
    async with plane.client.stream("GET", STREAM) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["x-hfi-version"] == str(version)
        assert answer.headers["x-hfi-epoch"] == await plane.store.epoch()
    head = await plane.client.head(STREAM)
    assert head.status_code == 200
    assert head.content == b""


async def test_a_reader_that_goes_frees_its_place(plane: Plane) -> None:
    async with watching(plane) as events:
        await next_of(events)
        await plane.parked(1)
        assert (await plane.stream_metrics())["readers"]["endless"] == 1
    await plane.parked(0)
    assert (await plane.stream_metrics())["readers"]["endless"] == 0


async def test_before_the_first_snapshot_a_stream_is_open_and_waits() -> None:
    async with running(follow=False) as plane, watching(plane) as events:
        await plane.parked(1)
        following = asyncio.create_task(plane.feed.run())
        assert policies(await next_of(events)) == []
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_server_that_stops_ends_every_stream() -> None:
    async with running() as plane, contextlib.AsyncExitStack() as streams:
        readers = [await streams.enter_async_context(watching(plane)) for _ in range(10)]
        for events in readers:
            await next_of(events)
        await plane.parked(10)
        async with asyncio.timeout(10):
            await plane.server.stop()
            for events in readers:
                assert [event async for event in events] == [], "it ends, and without an error"
