"""Who is refused over TCP: clients that are wrong, silent or too many."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from hfi_xds.resource_types import EXTENSION_CONFIG
from tests.integration.xds_support import (
    NODE,
    ONE_LOOP,
    Plane,
    connected,
    delta,
    reports,
    running,
    sotw,
    status,
    streams,
    text,
    wants,
)
from tests.support.waiting import eventually

pytestmark = [ONE_LOOP, pytest.mark.usefixtures("quiet")]

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ({"type_url": EXTENSION_CONFIG}, "must carry node.id"),
        ({"node": NODE}, "type_url is missing"),
        ({"node": NODE, "type_url": EXTENSION_CONFIG, "resource_names_subscribe": ["x" * 2_000]}, "longer than"),
    ],
    ids=["nobody", "no type", "a long name"],
)
async def test_a_broken_rule_ends_the_stream_and_says_why(
    stack: AsyncExitStack, message: dict[str, Any], detail: str
) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer = delta(await stack.enter_async_context(connected(plane)))
    await peer.send(**message)
    code, told = await peer.end()
    assert (code, detail in told) == (Code.INVALID_ARGUMENT, True)
    assert plane.metric("hfi_xds_rejected_streams_total", reason="invalid") == 1
    await streams(plane, 0)


@pytest.mark.parametrize("make", [delta, sotw, reports])
async def test_garbage_ends_the_stream(stack: AsyncExitStack, make: Any) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer = make(await stack.enter_async_context(connected(plane)))
    await peer.send_raw(b"\xff\xff\xff")
    assert (await peer.end())[0] is Code.INVALID_ARGUMENT
    assert plane.metric("hfi_xds_rejected_streams_total", reason="invalid") == 1


async def test_a_message_that_is_too_long_ends_the_stream(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"), max_message_bytes=1_000)))
    peer = delta(await stack.enter_async_context(connected(plane)))
    await peer.send(**wants("x" * 2_000))
    assert (await peer.end())[0] is Code.RESOURCE_EXHAUSTED
    await streams(plane, 0)


async def test_no_more_streams_than_may_be(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"), max_streams=2)))
    channel = await stack.enter_async_context(connected(plane))
    taken = [delta(channel), reports(channel)]
    await taken[0].send(**wants("hfi"))
    await taken[1].send(identifier={"node": NODE})
    await eventually(lambda: plane.metric("hfi_xds_reports_total") == 1, what="both of them")
    await streams(plane, 1)
    for further in (sotw(channel), reports(channel)):
        assert (await further.end())[0] is Code.RESOURCE_EXHAUSTED
    assert plane.metric("hfi_xds_rejected_streams_total", reason="limit") == 2
    # A place that is free again is given again.
    taken[0].call.cancel()
    await streams(plane, 0)
    another = delta(channel)
    await another.send(**wants("hfi"))
    assert (await another.receive()).resources


async def test_no_more_streams_of_one_node_than_may_be(stack: AsyncExitStack) -> None:
    """Of all kinds together, and over all connections; and who goes makes room."""
    plane = await stack.enter_async_context(running(Plane.of(text("one"), max_streams_per_node=2)))
    first = delta(await stack.enter_async_context(connected(plane)))
    await first.send(**wants("hfi"))
    await first.receive()
    channel = await stack.enter_async_context(connected(plane))
    reporter = reports(channel)
    await reporter.send(identifier={"node": NODE})
    await eventually(lambda: plane.metric("hfi_xds_reports_total") == 1, what="the first report")
    for peer, message in ((delta(channel), wants("hfi")), (sotw(channel), {"node": NODE})):
        await peer.send(**message)
        code, words = await peer.end()
        assert (code, "node 'n1' has 2 streams already" in words) == (Code.RESOURCE_EXHAUSTED, True)
    another = reports(channel)
    await another.send(identifier={"node": NODE})
    assert (await another.end())[0] is Code.RESOURCE_EXHAUSTED
    assert plane.metric("hfi_xds_rejected_streams_total", reason="node_limit") == 3
    other = delta(channel)
    await other.send(**{**wants("hfi"), "node": {"id": "n2"}})
    await other.receive()

    first.call.cancel()
    await streams(plane, 1)
    again = delta(channel)
    await again.send(**wants("hfi"))
    await again.receive()


async def test_streams_that_ask_for_status_count_as_well(stack: AsyncExitStack) -> None:
    """Towards their node's, from their first message on; and those of nobody by the host that they come from."""
    plane = await stack.enter_async_context(running(Plane.of(text("one"), max_streams_per_node=2)))
    channel = await stack.enter_async_context(connected(plane))
    discovery = delta(channel)
    await discovery.send(**wants("hfi"))
    await discovery.receive()
    kept = [status(channel) for _ in range(3)]
    await kept[0].send(node=NODE)
    await kept[0].receive()
    for nobody in kept[1:]:
        for _ in range(2):
            await nobody.send()
            await nobody.receive()
    for request, words in (({"node": NODE}, "node 'n1' has 2 streams already"), ({}, "127.0.0.1 has 2 streams")):
        # On another connection, from another port.
        further = status(await stack.enter_async_context(connected(plane)))
        await further.send(**request)
        code, told = await further.end()
        assert (code, words in told) == (Code.RESOURCE_EXHAUSTED, True), told
    more = delta(channel)
    await more.send(**wants("hfi"))
    assert (await more.end())[0] is Code.RESOURCE_EXHAUSTED
    assert plane.metric("hfi_xds_rejected_streams_total", reason="node_limit") == 3
    # Who goes makes room.
    for peer in kept[:2]:
        await peer.call.done_writing()
        assert (await peer.end())[0] is Code.OK
    for request in ({"node": NODE}, {}):
        again = status(channel)
        await again.send(**request)
        await again.receive()


@pytest.mark.parametrize("make", [delta, sotw, reports])
async def test_a_client_that_says_nothing_is_not_waited_for(stack: AsyncExitStack, make: Any) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"), hello_timeout_seconds=0.05)))
    peer = make(await stack.enter_async_context(connected(plane)))
    assert (await peer.end())[0] is Code.DEADLINE_EXCEEDED
    assert plane.metric("hfi_xds_rejected_streams_total", reason="silent") == 1
    assert plane.metric("hfi_xds_streams") == plane.metric("hfi_xds_report_streams") == 0


async def test_news_is_not_for_those_who_have_said_nothing(stack: AsyncExitStack) -> None:
    """Nor does it give them more time."""
    plane = await stack.enter_async_context(running(Plane.of(text("one"), hello_timeout_seconds=0.5)))
    channel = await stack.enter_async_context(connected(plane))
    late, silent = delta(channel), delta(channel)
    await streams(plane, 2)
    plane.serve(text("two"))
    await late.send(**wants("hfi"))
    assert (await late.receive()).resources[0].resource.value == b"two"
    assert plane.pushes == 1
    assert (await silent.end())[0] is Code.DEADLINE_EXCEEDED


async def test_a_client_that_has_said_who_it_is_may_be_silent(stack: AsyncExitStack) -> None:
    """What is not there is waited for, beyond the time that a first message may take."""
    plane = await stack.enter_async_context(running(Plane.of(text("1", "other"), hello_timeout_seconds=0.05)))
    channel = await stack.enter_async_context(connected(plane))
    peer, reporter, silent = delta(channel), reports(channel), delta(channel)
    await peer.send(**wants("hfi"))
    await reporter.send(identifier={"node": NODE})
    # Opened last and ended first: the time is up for all three.
    assert (await silent.end())[0] is Code.DEADLINE_EXCEEDED
    assert plane.metric("hfi_xds_report_streams") == 1
    plane.serve(text("one"))
    assert (await peer.receive()).resources[0].resource.value == b"one"
