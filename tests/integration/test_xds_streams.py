"""The server over TCP, with clients that are plain, slow, silent or wrong. No client here knows the server's code."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hfi_core.errors import SettingsInvalid
from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.source import ResourceSource
from tests.integration.xds_support import (
    AGGREGATED,
    EXTENSIONS,
    NODE,
    ONE_LOOP,
    PATIENCE,
    REPORTS,
    Peer,
    Plane,
    connected,
    delta,
    reports,
    running,
    sotw,
    text,
    wants,
)
from tests.support.waiting import eventually

pytestmark = ONE_LOOP

Code = grpc.StatusCode


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever clients do, nothing is an error of ours: no traceback, no task that nobody awaited."""
    yield
    loud = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not loud, [(record.name, record.getMessage(), record.exc_text) for record in loud]


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


async def streams(plane: Plane, count: int) -> None:
    await eventually(lambda: plane.metric("hfi_xds_streams") == count, what=f"{count} streams")


# -- what is sent ---------------------------------------------------------------------------------------------


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


# -- refusals -------------------------------------------------------------------------------------------------


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


MEGABYTE = 1 << 20


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
    assert "proxy 'n1' has not taken a response for 0.1 s; its connection is cut" in caplog.text
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


# -- readiness and health -------------------------------------------------------------------------------------


async def test_nothing_is_served_before_there_is_something(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane(ResourceSource(debounce_seconds=0))))
    channel = await stack.enter_async_context(connected(plane))
    health = health_pb2_grpc.HealthStub(channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service=AGGREGATED))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await delta(channel).end())[0] is Code.UNAVAILABLE
    assert plane.metric("hfi_xds_rejected_streams_total", reason="not_ready") == 1
    plane.serve(text("one"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    for service in ("", AGGREGATED, EXTENSIONS, REPORTS):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    peer = delta(channel)
    await peer.send(**wants("hfi"))
    assert (await peer.receive()).resources
    watch.cancel()


# -- the end --------------------------------------------------------------------------------------------------


async def test_open_streams_are_ended_with_words(stack: AsyncExitStack) -> None:
    plane = Plane.of(text("one"))
    await plane.start()
    channel = await stack.enter_async_context(connected(plane))
    silent, served, reporter = delta(channel), sotw(channel), reports(channel)
    await served.send(node=NODE, type_url=EXTENSION_CONFIG, resource_names=["hfi"])
    await served.receive()
    await reporter.send(identifier={"node": NODE})
    await eventually(lambda: plane.metric("hfi_xds_reports_total") == 1, what="the report")
    await streams(plane, 2)
    started = time.monotonic()
    await plane.stop()
    # Nobody had to be waited for.
    assert time.monotonic() - started < 1.5
    for peer in (silent, served, reporter):
        code, words = await peer.end()
        assert (code, "stopping" in words) == (Code.UNAVAILABLE, True)
    assert plane.proxies.list()[0].xds_streams == 0
    assert plane.metric("hfi_xds_streams") == plane.metric("hfi_xds_report_streams") == 0
    # No refusal is counted for it.
    assert "hfi_xds_rejected_streams_total" not in {
        sample.name for family in plane.registry.collect() for sample in family.samples
    }
    # To stop what has stopped is nothing.
    await plane.stop()


async def test_streams_that_cannot_be_asked_to_end_are_ended(stack: AsyncExitStack) -> None:
    """Those of health and reflection are not ours, and a client that does not read hears nothing."""
    plane = Plane.of(text("x" * 16 * MEGABYTE))
    await plane.start()
    channel = await stack.enter_async_context(connected(plane))
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    listing = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
    await listing.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    assert (await listing.read()).HasField("list_services_response")
    slow = delta(await stack.enter_async_context(connected(plane)))
    await slow.send(**wants("hfi"))
    await eventually(lambda: plane.has(text("x" * 16 * MEGABYTE), "sent"), what="the response on its way")
    async with asyncio.timeout(PATIENCE):
        await plane.stop()
        # Who watches is told before the end.
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.code() is Code.UNAVAILABLE
    await eventually(lambda: plane.metric("hfi_xds_streams") == 0, what="no stream left")
    assert plane.proxies.list()[0].xds_streams == 0


async def test_a_server_that_was_never_started_can_be_stopped() -> None:
    plane = Plane.of(text("one"))
    await plane.start()
    other = Plane.of(text("one"))
    other.port = plane.port
    with pytest.raises(SettingsInvalid, match="cannot listen"):
        await other.start()
    await other.stop()
    await plane.stop()


async def test_a_connection_ends_when_it_is_old_and_what_the_client_has_is_not_sent_again(
    stack: AsyncExitStack,
) -> None:
    plane = await stack.enter_async_context(
        running(Plane.of(text("one"), max_connection_age_seconds=0.05, max_connection_age_grace_seconds=0.05))
    )
    channel = await stack.enter_async_context(connected(plane))
    first = delta(channel)
    await first.send(**wants("hfi"))
    version = (await first.receive()).resources[0].version
    assert (await first.end())[0] is Code.UNAVAILABLE
    second = delta(channel)
    await second.send(**wants("hfi", initial_resource_versions={"hfi": version}))
    await eventually(lambda: plane.has(text("one"), "acked"), what="what it brought with it")
    assert plane.pushes == 1


async def test_a_client_that_pings_often_keeps_its_connection(stack: AsyncExitStack) -> None:
    """gRPC's own default says ENHANCE_YOUR_CALM to the third ping within five minutes. Frames are of RFC 9113."""
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
    settings, goaway, ping, answer = 4, 7, 6, 1
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings))
    answered: list[bytes] = []
    for number in range(20):
        writer.write(frame(ping, number.to_bytes(8, "big")))
    async with asyncio.timeout(PATIENCE):
        while len(answered) < 20:
            head = await reader.readexactly(9)
            kind, flags, payload = head[3], head[4], await reader.readexactly(int.from_bytes(head[:3], "big"))
            assert kind != goaway, payload
            if (kind, flags) == (ping, answer):
                answered.append(payload)
    assert answered == [number.to_bytes(8, "big") for number in range(20)]
    writer.close()
    await writer.wait_closed()


def frame(kind: int, payload: bytes = b"") -> bytes:
    """A frame of the connection itself."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0, 0, 0, 0, 0]) + payload


# -- TLS ------------------------------------------------------------------------------------------------------


def certificate(directory: Path) -> tuple[bytes, bytes]:
    """A key and a certificate for this machine, made by openssl."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=hfi", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=30)
    return key.read_bytes(), cert.read_bytes()


async def test_with_credentials_it_is_tls_and_nothing_else(stack: AsyncExitStack, tmp_path: Path) -> None:
    key, cert = certificate(tmp_path)
    plane = Plane.of(text("one"))
    plane.credentials = grpc.ssl_server_credentials([(key, cert)])
    await stack.enter_async_context(running(plane))
    secure = grpc.ssl_channel_credentials(root_certificates=cert)
    peer = delta(await stack.enter_async_context(aio.secure_channel(plane.address, secure)))
    await peer.send(**wants("hfi"))
    assert (await peer.receive()).resources
    plain = delta(await stack.enter_async_context(connected(plane)))
    assert (await plain.end())[0] is Code.UNAVAILABLE


# -- reports --------------------------------------------------------------------------------------------------


def report(**values: float) -> list[dict[str, Any]]:
    return [
        {"name": f"wasmcustom.hfi.{name}", "type": "COUNTER", "metric": [{"counter": {"value": value}}]}
        for name, value in values.items()
    ]


async def test_a_proxy_reports_and_says_once_who_it_is(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    channel = await stack.enter_async_context(connected(plane))
    first, second = reports(channel), reports(channel)
    await first.send(identifier={"node": NODE}, envoy_metrics=report(total_requests=3))
    await first.send(envoy_metrics=report(total_requests=10))
    await second.send(identifier={"node": {"id": "n2"}}, envoy_metrics=report(total_requests=5))
    await eventually(lambda: plane.data_plane.counters.totals["total_requests"] == 15, what="the sum")
    assert plane.metric("hfi_xds_report_streams") == 2
    # Reports make no proxy, and are no discovery.
    assert plane.proxies.list() == ()
    assert plane.metric("hfi_xds_streams") == 0
    await first.call.done_writing()
    assert await first.end() == (Code.OK, "")
    second.call.cancel()
    await eventually(lambda: plane.metric("hfi_xds_report_streams") == 0, what="no stream left")


async def test_what_waits_now_leaves_with_the_stream_that_told_of_it(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    channel = await stack.enter_async_context(connected(plane))
    first, second = reports(channel), reports(channel)
    for peer, node, waiting in ((first, "n1", 3), (second, "n2", 4)):
        gauge = {"name": "wasmcustom.hfi.active_delays", "type": "GAUGE", "metric": [{"gauge": {"value": waiting}}]}
        await peer.send(identifier={"node": {"id": node}}, envoy_metrics=[gauge])
    gauges = plane.data_plane.gauges
    await eventually(lambda: gauges.active_delays == 7, what="both of them")
    await first.call.done_writing()
    assert await first.end() == (Code.OK, "")
    assert gauges.active_delays == 4
    second.call.cancel()
    await eventually(lambda: gauges.active_delays == 0, what="nobody who waits")


@pytest.mark.parametrize("node", [{}, {"id": "n" * 2_000}], ids=["nobody", "a long name"])
async def test_a_report_of_nobody_is_refused(stack: AsyncExitStack, node: dict[str, Any]) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer: Peer = reports(await stack.enter_async_context(connected(plane)))
    await peer.send(identifier={"node": node}, envoy_metrics=report(total_requests=3))
    assert (await peer.end())[0] is Code.INVALID_ARGUMENT
    assert plane.data_plane.counters.nodes == {}


async def test_types_that_are_known_and_not_served_are_waited_for(stack: AsyncExitStack) -> None:
    plane = await stack.enter_async_context(running(Plane.of(text("one"))))
    peer = delta(await stack.enter_async_context(connected(plane)))
    await peer.send(node=NODE, type_url=CLUSTER)
    await peer.send(type_url=EXTENSION_CONFIG, resource_names_subscribe=["hfi"])
    assert (await peer.receive()).type_url == EXTENSION_CONFIG
    plane.source.publish(ResourceSnapshot.of(text("one"), types=[CLUSTER]))
    response = await peer.receive()
    assert (response.type_url, len(response.resources)) == (CLUSTER, 0)
