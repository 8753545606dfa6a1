"""What clients may cost, as ``serve`` is told it: each limit on the whole program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import httpx
import pytest
from grpc import aio

from tests.integration.test_cli_serve import Served, serving
from tests.integration.xds_support import ONE_LOOP, delta, reports, wants
from tests.support.waiting import eventually_async

pytestmark = ONE_LOOP

Code = grpc.StatusCode
OPTIONS = ("--max-streams", "3", "--max-node-streams", "2", "--max-message", str(1 << 17), "--write-timeout", "0.3")


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("limits"), "--store", "memory", *OPTIONS) as running:
        yield running


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator[aio.Channel]:
    """Takes the module, when it is read; and no more than 64 KB in advance."""
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", 1 << 26),
        ("grpc.http2.bdp_probe", 0),
    ]
    async with aio.insecure_channel(served.xds, options=options) as channel:
        yield channel


async def counted(served: Served, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        text = (await http.get(f"{served.url}/v1/metrics", params={"format": "prometheus"})).text
    values = [line.split()[-1] for line in text.splitlines() if line.startswith(name)]
    return float(values[0]) if values else 0.0


async def test_streams_of_xds(served: Served) -> None:
    async with connected(served) as channel:
        kept = [delta(channel), delta(channel)]
        for peer in kept:
            await peer.send(**wants("hfi"))
            await peer.receive()
        third = delta(channel)
        await third.send(**wants("hfi"))
        code, words = await third.end()
        assert (code, "has 2 streams already" in words) == (Code.RESOURCE_EXHAUSTED, True)
        other = delta(channel)
        await other.send(**{**wants("hfi"), "node": {"id": "n2"}})
        await other.receive()
        code, words = await reports(channel).end()
        assert (code, "as many streams as it may have" in words) == (Code.RESOURCE_EXHAUSTED, True)
        assert await counted(served, 'hfi_xds_rejected_streams_total{reason="node_limit"}') == 1
        assert await counted(served, 'hfi_xds_rejected_streams_total{reason="limit"}') == 1


async def test_a_message(served: Served) -> None:
    async with connected(served) as channel:
        peer = delta(channel)
        await peer.send(**wants(*(f"{number:01000}" for number in range(150))))
        assert (await peer.end())[0] is Code.RESOURCE_EXHAUSTED


async def test_requests_for_the_stream(served: Served) -> None:
    async with AsyncExitStack() as stack, httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        kept: list[AsyncIterator[str]] = []

        async def status(node: str, *, keep: bool = False) -> int:
            stream = http.stream("GET", "/v1/config/stream", headers={"x-hfi-node": node})
            answer = await stack.enter_async_context(stream)
            if keep:
                # Let go of, it would end the stream.
                kept.append(answer.aiter_lines())
                assert (await anext(kept[-1])).startswith("id: ")
            return answer.status_code

        assert [await status("n", keep=True) for _ in range(2)] == [200, 200]
        assert await status("n") == 429
        assert await status("m", keep=True) == 200
        assert await status("o") == 503


async def test_a_client_that_does_not_read(served: Served) -> None:
    async with connected(served) as channel:
        slow = delta(channel)
        await slow.send(**wants("hfi"))

        async def dropped() -> bool:
            return await counted(served, 'hfi_xds_rejected_streams_total{reason="slow"}') == 1

        await eventually_async(dropped, within=30, what="the stream to be dropped")
        assert (await slow.end())[0] is Code.UNAVAILABLE
        assert await counted(served, "hfi_xds_streams") == 0
    assert "its connection is cut" in served.told()
    assert "Traceback" not in served.told()
