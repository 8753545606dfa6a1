from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hfi_core.errors import SettingsInvalid
from hfi_sse.server import HttpServer
from tests.support.waiting import eventually


async def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def server(app: Starlette, port: int = 0, host: str = "127.0.0.1", grace: float = 1) -> HttpServer:
    return HttpServer(app, host, port, stopping=asyncio.Event(), grace_seconds=grace)


async def test_it_serves_on_the_port_it_answers_and_leaves_signals_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stopping = asyncio.Event()
    serving = HttpServer(Starlette(routes=[Route("/", hello)]), "127.0.0.1", 0, stopping=stopping)
    port = await serving.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"
    assert not stopping.is_set()
    await serving.stop()
    assert stopping.is_set()
    await serving.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsInvalid, match=rf"cannot listen on 127\.0\.0\.1:{port} \(Address already in use\)"):
            await server(Starlette(), port).start()


async def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(SettingsInvalid, match=r"cannot listen on no-such-host\.invalid:0"):
        await server(Starlette(), host="no-such-host.invalid").start()


async def test_an_application_that_does_not_start_does_not_end_the_process() -> None:
    @contextlib.asynccontextmanager
    async def failing(_app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no")
        yield

    serving = server(Starlette(lifespan=failing))
    with pytest.raises(SettingsInvalid, match="did not start"):
        await serving.start()
    await serving.stop()


async def test_stopping_without_a_start_is_harmless() -> None:
    await server(Starlette()).stop()


async def test_what_does_not_end_within_the_grace_is_cut_off() -> None:
    async def endless(_request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.Event().wait()

        return StreamingResponse(body())

    serving = server(Starlette(routes=[Route("/", endless)]))
    port = await serving.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b"x\r\n")
    async with asyncio.timeout(10):
        await serving.stop()
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


BODY = b"x" * (1 << 24)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_does_not_read_loses_its_connection_and_is_counted(streamed: bool) -> None:
    """By the kernel: what is being sent to it, and whether anybody still waits to send more, does not matter."""
    registry, over = CollectorRegistry(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for _ in range(1 << 10):
                yield BODY
        finally:
            over.set()

    async def large(_request: Request) -> Response:
        return StreamingResponse(chunks()) if streamed else Response(BODY)

    app = Starlette(routes=[Route("/", hello), Route("/large", large)])
    serving = HttpServer(
        app, "127.0.0.1", 0, stopping=asyncio.Event(), grace_seconds=1, write_timeout_seconds=0.3, registry=registry
    )
    port = await serving.start()
    try:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
            slow.connect(("127.0.0.1", port))
            slow.sendall(b"GET /large HTTP/1.1\r\nhost: h\r\n\r\n")
            await eventually(
                lambda: registry.get_sample_value("hfi_http_slow_clients_total") == 1, within=30, what="the cut"
            )
            if streamed:
                async with asyncio.timeout(10):
                    await over.wait()
        # An idle connection is no slow one.
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"
        assert registry.get_sample_value("hfi_http_slow_clients_total") == 1
    finally:
        await serving.stop()
