"""What is sent over TCP, to clients that are plain. No client here knows the server's code."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG
from hfi_xds.resources import ResourceSnapshot
from tests.integration.xds_support import (
    EXTENSIONS,
    NODE,
    ONE_LOOP,
    Plane,
    connected,
    delta,
    running,
    sotw,
    streams,
    text,
    wants,
)
from tests.support.waiting import eventually

pytestmark = [ONE_LOOP, pytest.mark.usefixtures("quiet")]

Code = grpc.StatusCode


async def test_delta_over_the_wire(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"), identifier="replica-1")))
    channel = await stack.enter_async_context(connected(plane))
    peer = delta(channel)
    await peer.send(**wants("hfi"))
    response = await peer.receive()
    [resource] = response.resources
    assert (response.type_url, response.control_plane.identifier) == (EXTENSION_CONFIG, "replica-1")
    assert (resource.name, resource.version) == ("hfi", text("one").version)
    assert (resource.resource.type_url, resource.resource.value) == (EXTENSION_CONFIG, b"one")
    await eventually(lambda: plane.has(text("one"), "sent"), what="sent")
    await peer.send(type_url=EXTENSION_CONFIG, response_nonce=response.nonce)
    await eventually(lambda: plane.has(text("one"), "acked"), what="the acknowledgement")
    plane.serve(text("two"))
    changed = await peer.receive()
    assert changed.resources[0].resource.value == b"two"
    await peer.send(type_url=EXTENSION_CONFIG, response_nonce=changed.nonce, error_detail={"code": 13, "message": "no"})
    await eventually(lambda: plane.has(text("two"), "nacked"), what="the rejection")
    status = plane.status()
    assert status is not None
    assert status.message == "no"
    counted = {name: plane.metric(f"hfi_xds_{name}_total", type="ecds") for name in ("pushes", "acks", "nacks")}
    assert counted == {"pushes": 2, "acks": 1, "nacks": 1}


async def test_state_of_the_world_over_the_wire(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer = sotw(await stack.enter_async_context(connected(plane)))
    await peer.send(node=NODE, type_url=EXTENSION_CONFIG, resource_names=["hfi"])
    response = await peer.receive()
    assert response.version_info == text("one").version
    [resource] = response.resources
    assert (resource.type_url, resource.value) == (EXTENSION_CONFIG, b"one")
    known = {"type_url": EXTENSION_CONFIG, "resource_names": ["hfi"], "version_info": response.version_info}
    await peer.send(**known, response_nonce=response.nonce)
    await eventually(lambda: plane.has(text("one"), "acked"), what="the acknowledgement")
    plane.serve(text("two"))
    assert (await peer.receive()).resources[0].value == b"two"


@pytest.mark.parametrize("variant", [delta, sotw])
async def test_the_service_of_one_type_need_not_be_told_it(stack: AsyncExitStack, variant: Any) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer = variant(await stack.enter_async_context(connected(plane)), EXTENSIONS)
    names = {"resource_names_subscribe": ["hfi"]} if variant is delta else {"resource_names": ["hfi"]}
    await peer.send(node=NODE, **names)
    assert (await peer.receive()).type_url == EXTENSION_CONFIG


async def test_a_client_that_closes_its_side_is_answered_and_let_go(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer = delta(await stack.enter_async_context(connected(plane)))
    await peer.send(**wants("hfi"))
    await peer.call.done_writing()
    assert (await peer.receive()).resources[0].resource.value == b"one"
    assert await peer.end() == (Code.OK, "")
    await streams(plane, 0)


async def test_a_stream_goes_on_after_a_type_that_nobody_knows(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer = delta(await stack.enter_async_context(connected(plane)))
    await peer.send(node=NODE, type_url="type.googleapis.com/unheard.of", resource_names_subscribe=["a"])
    await peer.send(**wants("hfi"))
    assert (await peer.receive()).type_url == EXTENSION_CONFIG
    assert plane.metric("hfi_xds_unknown_type_total") == 1


async def test_types_that_are_known_and_not_served_are_waited_for(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer = delta(await stack.enter_async_context(connected(plane)))
    await peer.send(node=NODE, type_url=CLUSTER)
    await peer.send(type_url=EXTENSION_CONFIG, resource_names_subscribe=["hfi"])
    assert (await peer.receive()).type_url == EXTENSION_CONFIG
    plane.source.publish(ResourceSnapshot.of(text("one"), types=[CLUSTER]))
    response = await peer.receive()
    assert (response.type_url, len(response.resources)) == (CLUSTER, 0)


async def test_proxies_come_and_go(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    metadata = {"hfi": {"labels": {"track": "canary"}}}
    node = {**NODE, "metadata": metadata, "user_agent_name": "envoy", "user_agent_version": "1.40.0"}
    async with connected(plane) as channel:
        for peer in (delta(channel), sotw(channel)):
            await peer.send(node=node, type_url=EXTENSION_CONFIG)
        proxy = await eventually(lambda: plane.proxies.get("n1"), what="the proxy")
        await eventually(lambda: plane.proxies.list()[0].xds_streams == 2, what="both of its streams")
        assert plane.metric("hfi_xds_streams") == 2
        assert (proxy.node.cluster, dict(proxy.node.labels), proxy.user_agent) == (
            "c",
            {"track": "canary"},
            "envoy/1.40.0",
        )
    await eventually(lambda: plane.proxies.list()[0].xds_streams == 0, what="its streams gone")
    await streams(plane, 0)


async def test_two_streams_of_a_node_share_its_rejections(stack: AsyncExitStack) -> None:
    """A node that reconnects to the same server gets what it rejected only if it has nothing at all."""
    plane = await stack.enter_async_context(running(Plane.of(text("bad"), text("good", "other"))))
    channel = await stack.enter_async_context(connected(plane))
    first = delta(channel)
    await first.send(**wants("hfi"))
    nonce = (await first.receive()).nonce
    await first.send(type_url=EXTENSION_CONFIG, response_nonce=nonce, error_detail={"code": 13, "message": "no"})
    await eventually(lambda: plane.has(text("bad"), "nacked"), what="the rejection")
    second = delta(channel)
    await second.send(**wants("hfi", "other", initial_resource_versions={"hfi": "what it runs"}))
    assert [resource.name for resource in (await second.receive()).resources] == ["other"]
    plane.serve(text("mended"), text("good", "other"))
    assert [resource.resource.value for resource in (await second.receive()).resources] == [b"mended"]
