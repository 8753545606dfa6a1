"""HTTP/2 downstream, by a client that is there anyway: gRPC; and gRPC itself, through to an application of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from tests.e2e.ring import Ring, abort, delay, rule
from tests.e2e.stack import Stack
from tests.support.processes import Processes
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually, eventually_async

ACTIVE = "wasmcustom.hfi.active_delays"
#: No proxy of the environment, and no connection that another channel of this process has.
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture
async def channel(ring: Ring) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ring.sidecar.port}", OPTIONS) as channel:
        yield channel


def call(channel: grpc.aio.Channel, path: str) -> grpc.aio.UnaryUnaryCall:
    return channel.unary_unary(f"{path}/Method")(b"", timeout=20, wait_for_ready=True)


async def refused(call: grpc.aio.UnaryUnaryCall) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as info:
        await call
    return info.value


async def test_http2_an_abort_reaches_a_grpc_client_as_a_status(ring: Ring, channel: grpc.aio.Channel) -> None:
    await ring.apply(ring.policy(rule(path=f"{ring.path}/Method", abort=abort(503, body="try later"))))
    error = await refused(call(channel, ring.path))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    metadata = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
    assert ("x-hfi-fault", f"{ring.name}/r") in metadata
    assert ring.sidecar.stat("http.ingress.downstream_cx_http2_total") > 0
    assert ring.reached == []


async def test_http2_streams_of_one_connection_are_held_each_for_itself(ring: Ring, channel: grpc.aio.Channel) -> None:
    await ring.apply(
        ring.policy(
            rule("held", f"{ring.path}/slow/Method", delay=delay("1s"), abort=abort(503)),
            rule("fast", f"{ring.path}/Method", abort=abort(429)),
        )
    )
    started = time.perf_counter()
    slow = [call(channel, f"{ring.path}/slow") for _ in range(10)]
    fast = await refused(call(channel, ring.path))
    assert time.perf_counter() - started < 0.9
    assert fast.code() is grpc.StatusCode.UNAVAILABLE  # as gRPC reads HTTP's 429
    assert {(await refused(one)).code() for one in slow} == {grpc.StatusCode.UNAVAILABLE}
    assert 1 <= time.perf_counter() - started < 2.5


async def test_http2_a_call_that_is_cancelled_frees_its_place(ring: Ring, channel: grpc.aio.Channel) -> None:
    await ring.apply(ring.policy(rule(path={"prefix": ring.path}, delay=delay("20s"))))
    held = call(channel, ring.path)
    await eventually(lambda: ring.sidecar.stat(ACTIVE) == 1, what="one held call")
    held.cancel()
    await eventually(lambda: ring.sidecar.stat(ACTIVE) == 0, what="no held call")
    with pytest.raises(asyncio.CancelledError):
        await held
    assert ring.reached == []


class Echo(grpc.GenericRpcHandler):
    """An application that answers every call with what it was sent."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(request: bytes, _: object) -> bytes:
            self.called.append(details.method)
            return request

        return grpc.unary_unary_rpc_method_handler(answer)


async def test_grpc_goes_through_delayed_or_aborted_and_its_health_checks_untouched(
    ring: Ring, stack: Stack, processes: Processes
) -> None:
    echo = Echo()
    server = grpc.aio.server(handlers=[echo], options=[("grpc.so_reuseport", 0)])
    sidecar = Sidecar(processes, stack.control, server.add_insecure_port("127.0.0.1:0"), node="grpc-1", cluster="grpc")
    await ring.apply(
        ring.policy(
            rule("slow", "/echo.Echo/Slow", delay=delay("300ms")),
            rule("rest", {"prefix": "/"}, abort=abort(503)),
            selector={"cluster": "grpc"},
        )
    )
    await server.start()
    try:
        sidecar.start()
        await eventually_async(lambda: ring.api.up_to_date([sidecar.node]), within=30, what="its rules")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{sidecar.port}", OPTIONS) as channel:
            started = time.perf_counter()
            message = b"x" * 2_000_000
            assert await channel.unary_unary("/echo.Echo/Slow")(message, timeout=20) == message
            assert time.perf_counter() - started >= 0.3
            error = await refused(channel.unary_unary("/echo.Echo/Fast")(b"", timeout=20))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"ok", timeout=20) == b"ok"
        assert echo.called == ["/echo.Echo/Slow", "/grpc.health.v1.Health/Check"]
    finally:
        sidecar.stop()
        await server.stop(0)
