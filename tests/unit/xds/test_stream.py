"""The pump at its seam: what it does when gRPC fails in ways that no client can bring about at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio
from prometheus_client import CollectorRegistry

from hfi_core.proxies import ProxyRegistry
from hfi_xds.admission import Admission, Caller
from hfi_xds.gate import Gate
from hfi_xds.messages import DeltaRequest
from hfi_xds.metrics import XdsMetrics
from hfi_xds.rejections import Rejections
from hfi_xds.reporting import Reporter
from hfi_xds.resource_types import EXTENSION_CONFIG
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.session import delta_session
from hfi_xds.settings import XdsSettings
from hfi_xds.sidecar_source import SidecarSource
from hfi_xds.source import ResourceSource
from hfi_xds.stream import Codec, DiscoveryStream, Shared
from tests.support.waiting import eventually
from tests.unit.xds.talk import HELLO, of


async def _no_connection(peer: str) -> bool:
    return False


class Pump:
    """One stream without a wire. ``requests`` may raise."""

    def __init__(self, settings: XdsSettings | None = None) -> None:
        self.proxies, self.registry = ProxyRegistry(), CollectorRegistry()
        metrics = XdsMetrics(self.registry)
        source = ResourceSource(ResourceSnapshot.of(*of(hfi="one")))
        reporter = Reporter(self.proxies, metrics)
        shared = Shared(
            source,
            SidecarSource(),
            self.proxies,
            reporter,
            metrics,
            settings or XdsSettings(),
            Gate(1),
            Admission(1),
            _no_connection,
        )
        codec: Any = Codec(lambda request: request, lambda response, identifier: response)
        self.stream = DiscoveryStream(shared, delta_session(Rejections()), codec, Caller())

    def nothing_is_left(self) -> None:
        proxy = self.proxies.get(HELLO.node.id)
        assert proxy is not None
        assert proxy.xds_streams == 0
        assert self.registry.get_sample_value("hfi_xds_streams") == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def asking(error: Exception | None = None) -> AsyncIterator[DeltaRequest]:
    yield DeltaRequest(EXTENSION_CONFIG, ("hfi",), hello=HELLO)
    if error is not None:
        raise error
    await asyncio.Event().wait()


async def taken(response: Any) -> None:
    pass


async def test_a_client_that_goes_in_the_middle_of_a_write_ends_the_call() -> None:
    """gRPC fails the write, and prints a traceback of whatever error we raise but this."""
    pump = Pump()

    async def gone(response: Any) -> None:
        raise aio.InternalError("the call has ended")

    with pytest.raises(asyncio.CancelledError):
        await pump.stream.run(asking(), gone)
    pump.nothing_is_left()


async def test_a_mistake_of_ours_is_not_hidden() -> None:
    pump = Pump()
    with pytest.raises(ZeroDivisionError):
        await pump.stream.run(asking(ZeroDivisionError()), taken)
    pump.nothing_is_left()


async def test_a_call_that_is_cancelled_takes_its_write_with_it() -> None:
    pump, writing = Pump(), asyncio.Event()

    async def never(response: Any) -> None:
        writing.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(pump.stream.run(asking(), never))
    await writing.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    pump.nothing_is_left()


async def test_a_slow_client_whose_connection_is_not_found_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """It may have gone by itself at that moment; and whatever becomes of its write, its stream ends."""
    pump, read = Pump(XdsSettings(write_timeout_seconds=0.01)), asyncio.Event()

    async def slowly(response: Any) -> None:
        await read.wait()

    call = asyncio.create_task(pump.stream.run(asking(), slowly))
    await eventually(lambda: "was not found" in caplog.text, what="the complaint")
    assert not call.done()
    read.set()
    assert (await call).code is grpc.StatusCode.DEADLINE_EXCEEDED
    pump.nothing_is_left()
