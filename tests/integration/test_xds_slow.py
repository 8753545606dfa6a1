"""Clients that do not read, or go in the middle of it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc import aio

from hfi_core.snapshot import NodeIdentity
from hfi_xds.resource_types import EXTENSION_CONFIG
from tests.integration.xds_support import (
    MEGABYTE,
    NODE,
    ONE_LOOP,
    Peer,
    Plane,
    connected,
    delta,
    running,
    status,
    streams,
    text,
    wants,
)
from tests.support.waiting import eventually

pytestmark = [ONE_LOOP, pytest.mark.usefixtures("quiet")]

Code = grpc.StatusCode


async def slow_client(plane: Plane, channel: aio.Channel, count: int = 1) -> Peer:
    """One that does not read what it asked for, and has been noticed; the last of so many."""
    peer = delta(channel)
    await peer.send(**wants("hfi"))
    await eventually(
        lambda: plane.metric("hfi_xds_rejected_streams_total", reason="slow") == count, what="a write that is not taken"
    )
    return peer


async def another_node(channel: aio.Channel) -> Peer:
    """A stream of n2, which reads, on the same connection."""
    peer = delta(channel)
    await peer.send(node={"id": "n2"}, type_url=EXTENSION_CONFIG, resource_names_subscribe=["other"])
    assert (await peer.receive()).resources[0].name == "other"
    return peer


async def test_a_client_that_does_not_read_is_dropped_and_nobody_else(
    stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    plane = Plane.of(text("x" * MEGABYTE), text("1", "other"), write_timeout_seconds=0.1)
    await stack.enter_async_context(running(plane))
    other = await another_node(await stack.enter_async_context(connected(plane)))
    slow = await slow_client(plane, await stack.enter_async_context(connected(plane)))
    assert (await slow.end())[0] is Code.UNAVAILABLE
    await streams(plane, 1)
    assert "client 'n1' has not taken a response for 0.1 s; its connection is cut" in caplog.text
    assert plane.proxies.list()[0].xds_streams == 0
    # It may come back, and the other one has not noticed a thing.
    plane.serve(text("2"), text("2", "other"))
    assert (await other.receive()).resources[0].resource.value == b"2"
    again = delta(await stack.enter_async_context(connected(plane)))
    await again.send(**wants("hfi"))
    assert (await again.receive()).resources[0].resource.value == b"2"


async def test_a_client_that_does_not_read_behind_a_proxy_costs_one_response_and_its_place(
    stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """Where others share its connection, it is not cut."""
    plane = Plane.of(text("x" * MEGABYTE), text("1", "other"), write_timeout_seconds=0.1, max_streams=3)
    await stack.enter_async_context(running(plane))
    shared = await stack.enter_async_context(connected(plane))
    beside = await another_node(shared)
    slow = await slow_client(plane, shared)
    await eventually(lambda: "others share its connection" in caplog.text, what="the complaint")
    for number in range(100):
        plane.serve(text(f"{number}"))
    # Others are served, and there is one place less.
    channel = await stack.enter_async_context(connected(plane))
    other = delta(channel)
    await other.send(**{**wants("hfi"), "node": {"id": "n3"}})
    assert (await other.receive()).resources[0].resource.value == b"99"
    assert (await delta(channel).end())[0] is Code.RESOURCE_EXHAUSTED
    # Once it has read what had been written, it is told that nothing more will come.
    assert len((await slow.receive()).resources[0].resource.value) == MEGABYTE
    assert (await slow.end())[0] is Code.DEADLINE_EXCEEDED
    assert plane.pushes == 3
    await streams(plane, 2)
    assert not beside.call.done()


async def test_clients_that_do_not_read_and_go_are_gone(stack: AsyncExitStack) -> None:
    """Many: whether gRPC cancels us, or fails what it was sending, is a matter of luck."""
    plane = await stack.enter_async_context(running(Plane.of(text("x" * MEGABYTE), write_timeout_seconds=0.01)))
    async with AsyncExitStack() as clients:
        for count in range(1, 21):
            await slow_client(plane, await clients.enter_async_context(connected(plane)), count)
    await streams(plane, 0)
    assert plane.proxies.list()[0].xds_streams == 0


@pytest.mark.parametrize("first", [wants("hfi"), {"node": NODE}, {}], ids=["served", "refused", "nobody"])
async def test_clients_that_go_at_any_moment_are_gone(stack: AsyncExitStack, first: dict[str, Any]) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("x" * MEGABYTE))))
    channel = await stack.enter_async_context(connected(plane))
    for turns in range(60):
        peer = delta(channel)
        await peer.send(**first)
        for _ in range(turns):
            await asyncio.sleep(0)
        peer.call.cancel()
    patient = delta(channel)
    await patient.send(**wants("hfi"))
    await patient.receive()
    await streams(plane, 1)


async def test_a_client_that_does_not_read_is_gone_when_its_connection_is_too_old(stack: AsyncExitStack) -> None:
    """The end of all patience where others share it: gRPC can end the connection, if not the stream."""
    plane = Plane.of(
        text("x" * MEGABYTE),
        text("1", "other"),
        write_timeout_seconds=0.1,
        max_connection_age_seconds=0.3,
        max_connection_age_grace_seconds=0.05,
    )
    await stack.enter_async_context(running(plane))
    shared = await stack.enter_async_context(connected(plane))
    await another_node(shared)
    await slow_client(plane, shared)
    await streams(plane, 0)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
async def test_who_asks_for_status_and_does_not_read_is_dropped(
    stack: AsyncExitStack, caplog: pytest.LogCaptureFixture, beside: bool
) -> None:
    """As with any other stream: with its connection, or when it has read what was on its way."""
    plane = Plane.of(text("one"), write_timeout_seconds=0.1)
    for number in range(MEGABYTE // 1_000):
        plane.proxies.stream_opened(NodeIdentity(f"{number:01000}"))
    await stack.enter_async_context(running(plane))
    channel = await stack.enter_async_context(connected(plane))
    if beside:
        other = delta(channel)
        await other.send(**wants("hfi"))
        await other.receive()
    slow = status(channel)
    await slow.send(node={"id": "n2"})
    await eventually(lambda: plane.metric("hfi_xds_rejected_streams_total", reason="slow") == 1, what="its patience")
    await eventually(lambda: "client 'n2' has not taken a response for 0.1 s" in caplog.text, what="the complaint")
    if beside:
        assert len((await slow.receive()).config) > MEGABYTE // 1_000
    assert (await slow.end())[0] is (Code.DEADLINE_EXCEEDED if beside else Code.UNAVAILABLE)
    # Its place is free, and a client that reads is answered.
    again = status(await stack.enter_async_context(connected(plane)))
    await again.send(node={"id": "n2"}, node_matchers=[{"node_id": {"exact": f"{7:01000}"}}])
    assert len((await again.receive()).config) == 1
