"""The server as such: whether it is ready, its end, its connections, and TLS."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hfi_core.errors import SettingsInvalid
from hfi_xds.resource_types import EXTENSION_CONFIG
from hfi_xds.source import ResourceSource
from tests.integration.xds_support import (
    AGGREGATED,
    EXTENSIONS,
    MEGABYTE,
    NODE,
    ONE_LOOP,
    PATIENCE,
    REPORTS,
    Plane,
    connected,
    delta,
    reports,
    running,
    sotw,
    streams,
    text,
    wants,
)
from tests.support.waiting import eventually

pytestmark = [ONE_LOOP, pytest.mark.usefixtures("quiet")]

Code = grpc.StatusCode


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
