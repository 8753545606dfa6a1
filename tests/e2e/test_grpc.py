"""Faults as a real gRPC client meets them, before a real gRPC application, with --concurrency 1."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.e2e.ring import Ring, abort, delay, rule
from tests.e2e.stack import Stack
from tests.support.grpc_upstream import OPTIONS, PIECES, SERVICE, GrpcUpstream, method
from tests.support.processes import Processes
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

Call = Callable[[grpc.aio.Channel, bytes], Awaitable[bytes]]


@pytest.fixture(scope="module")
def application() -> Iterator[GrpcUpstream]:
    with GrpcUpstream() as listening:
        yield listening


@pytest.fixture(scope="module")
def sidecar(stack: Stack, processes: Processes, application: GrpcUpstream) -> Iterator[Sidecar]:
    front = Sidecar(processes, stack.control, application.port, node="echo-1", cluster="echo", workers=1)
    try:
        yield front.start()
    finally:
        front.stop()


@pytest.fixture
async def ring(stack: Stack, sidecar: Sidecar, application: GrpcUpstream) -> AsyncIterator[Ring]:
    async with stack.ring(sidecar) as ring:
        application.called.clear()
        yield ring


@pytest.fixture
async def channel(ring: Ring) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ring.sidecar.port}", OPTIONS) as channel:
        yield channel


async def unary(channel: grpc.aio.Channel, message: bytes, name: str = "Unary") -> bytes:
    return await channel.unary_unary(method(name))(message, timeout=20)


async def server_stream(channel: grpc.aio.Channel, message: bytes) -> bytes:
    return b"".join([part async for part in channel.unary_stream(method("ServerStream"))(message, timeout=20)])


async def client_stream(channel: grpc.aio.Channel, message: bytes) -> bytes:
    return await channel.stream_unary(method("ClientStream"))(iter([message] * PIECES), timeout=20)


async def bidi(channel: grpc.aio.Channel, message: bytes) -> bytes:
    """Each message is sent when the one before has come back."""
    while True:
        try:
            return await _bidi(channel, message)
        except grpc.aio.AioRpcError as error:
            # The client's own word, for a message that it was about to send when the call ended: it hides the answer.
            if "rror from Core" not in (error.details() or ""):
                raise


async def _bidi(channel: grpc.aio.Channel, message: bytes) -> bytes:
    turn = asyncio.Semaphore()

    async def messages() -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            await turn.acquire()
            yield message

    parts = []
    async for part in channel.stream_stream(method("Bidi"))(messages(), timeout=20):
        parts.append(part)
        turn.release()
    return b"".join(parts)


KINDS = [
    pytest.param(unary, "Unary", 1, id="unary"),
    pytest.param(server_stream, "ServerStream", PIECES, id="server-stream"),
    pytest.param(client_stream, "ClientStream", PIECES, id="client-stream"),
    pytest.param(bidi, "Bidi", PIECES, id="bidi"),
]


async def refused(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as info:
        await call
    return info.value


def metadata(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    return dict([*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())])


@pytest.mark.parametrize(("call", "name", "times"), KINDS)
async def test_a_call_goes_through_after_its_delay(
    ring: Ring, channel: grpc.aio.Channel, application: GrpcUpstream, call: Call, name: str, times: int
) -> None:
    await ring.apply(ring.policy(rule(path=method(name), delay=delay("300ms"))))
    started = time.perf_counter()
    message = b"x" * 100_000
    assert await call(channel, message) == message * times
    assert time.perf_counter() - started >= 0.3
    assert application.methods() == [method(name)]


@pytest.mark.parametrize(("call", "name", "times"), KINDS)
async def test_a_call_ends_with_the_status_and_the_message_of_the_policy(
    ring: Ring, channel: grpc.aio.Channel, application: GrpcUpstream, call: Call, name: str, times: int
) -> None:
    fault = {"grpcStatus": 7, "grpcMessage": "not you: é, 100% sure", "headers": {"x-reason": "a test"}}
    await ring.apply(ring.policy(rule(path=method(name), abort=fault)))
    error = await refused(call(channel, b"x" * 1000))
    assert (error.code(), error.details()) == (grpc.StatusCode.PERMISSION_DENIED, "not you: é, 100% sure")
    assert metadata(error).get("x-reason") == "a test"
    assert metadata(error).get("x-hfi-fault") == f"{ring.name}/r"
    assert application.called == []


async def test_every_status_is_the_one_that_the_policy_names(ring: Ring, channel: grpc.aio.Channel) -> None:
    codes = {code.value[0]: code for code in grpc.StatusCode if code.value[0]}
    await ring.apply(
        ring.policy(*(rule(f"r{number}", method(f"Unary{number}"), abort={"grpcStatus": number}) for number in codes))
    )
    assert {number: (await refused(unary(channel, b"", f"Unary{number}"))).code() for number in codes} == codes


async def test_a_status_of_zero_is_an_empty_stream_that_went_well(ring: Ring, channel: grpc.aio.Channel) -> None:
    await ring.apply(ring.policy(rule(path=method("ServerStream"), abort={"grpcStatus": 0})))
    assert await server_stream(channel, b"x") == b""


@pytest.mark.parametrize(("call", "name", "times"), KINDS)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (404, grpc.StatusCode.UNIMPLEMENTED),
        (429, grpc.StatusCode.UNAVAILABLE),
        (503, grpc.StatusCode.UNAVAILABLE),
        (500, grpc.StatusCode.UNKNOWN),
    ],
)
async def test_an_http_status_is_mapped_as_envoy_maps_it(
    ring: Ring, channel: grpc.aio.Channel, call: Call, name: str, times: int, status: int, code: grpc.StatusCode
) -> None:
    await ring.apply(ring.policy(rule(path=method(name), abort=abort(status, body="try later"))))
    error = await refused(call(channel, b"x"))
    assert (error.code(), error.details()) == (code, "try later")
    assert metadata(error).get("x-hfi-fault") == f"{ring.name}/r"


@pytest.mark.parametrize(("call", "name", "times"), KINDS)
async def test_a_reset_is_an_error_of_the_transport(
    ring: Ring, channel: grpc.aio.Channel, application: GrpcUpstream, call: Call, name: str, times: int
) -> None:
    await ring.apply(ring.policy(rule(path=method(name), abort={"reset": True})))
    error = await refused(call(channel, b"x"))
    assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED}
    assert "x-hfi-fault" not in metadata(error)
    assert application.called == []


async def test_a_stream_is_cut_in_its_middle(ring: Ring, channel: grpc.aio.Channel) -> None:
    await ring.apply(ring.policy(rule(path=method("ServerStream"), response={"truncate": {"bytes": 1500}})))
    parts: list[bytes] = []

    async def collect() -> None:
        async for part in channel.unary_stream(method("ServerStream"))(b"x" * 995, timeout=20):
            parts.append(part)

    error = await refused(collect())
    # A message has five bytes in front: one fits, and half of the next.
    assert parts == [b"x" * 995]
    assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED}


async def test_the_application_is_called_before_its_answer_is_held(
    ring: Ring, channel: grpc.aio.Channel, application: GrpcUpstream
) -> None:
    await ring.apply(ring.policy(rule(path=method("ServerStream"), delay=delay("3s", phase="response"))))
    started = time.perf_counter()
    call = channel.unary_stream(method("ServerStream"))(b"x", timeout=20)
    await eventually(lambda: application.methods() == [method("ServerStream")], what="the call at the application")
    await eventually(lambda: ring.sidecar.stat("wasmcustom.hfi.active_delays") == 1, what="a held response")
    assert [part async for part in call] == [b"x"] * PIECES
    assert time.perf_counter() - started >= 3


async def test_metadata_is_changed_on_its_way_to_the_application_and_back(
    ring: Ring, channel: grpc.aio.Channel, application: GrpcUpstream
) -> None:
    there = {"headers": {"set": {"authorization": "Bearer wrong"}, "remove": ["x-gone"]}}
    back = {"headers": {"set": {"x-answered": "late"}}}
    await ring.apply(ring.policy(rule(path=method("Unary"), request=there, response=back)))
    sent = (("authorization", "Bearer right"), ("x-gone", "1"), ("x-kept", "1"))
    call = channel.unary_unary(method("Unary"))(b"x", timeout=20, metadata=sent)
    assert await call == b"x"
    [(_, seen)] = application.called
    assert (seen["authorization"], seen.get("x-gone"), seen["x-kept"]) == ("Bearer wrong", None, "1")
    received = dict(await call.initial_metadata())
    assert (received.get("x-answered"), received.get("x-hfi-fault")) == ("late", f"{ring.name}/r")


@pytest.mark.parametrize(
    ("matcher", "matches"),
    [
        ({}, {"Unary", "UnaryOther"}),
        ({"service": SERVICE}, {"Unary", "UnaryOther"}),
        ({"method": "Unary"}, {"Unary"}),
        ({"service": SERVICE, "method": "UnaryOther"}, {"UnaryOther"}),
        ({"service": "echo.v1.Ech"}, set()),
        ({"method": "unary"}, set()),
    ],
    ids=str,
)
async def test_a_rule_for_calls_of_grpc(
    ring: Ring, channel: grpc.aio.Channel, matcher: dict[str, str], matches: set[str]
) -> None:
    await ring.apply(ring.policy(rule(match={"grpc": matcher}, abort={"grpcStatus": 10})))
    for name in ("Unary", "UnaryOther"):
        call = unary(channel, b"x", name)
        if name in matches:
            assert (await refused(call)).code() is grpc.StatusCode.ABORTED
        else:
            assert await call == b"x"
    # What is no gRPC is not for it, whatever its path.
    answer = await ring.ask(headers=[("content-type", "application/json")])
    assert answer.header("x-hfi-fault") is None
