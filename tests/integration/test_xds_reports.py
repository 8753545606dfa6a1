"""What proxies report over TCP."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from tests.integration.xds_support import (
    NODE,
    ONE_LOOP,
    Peer,
    Plane,
    connected,
    reports,
    running,
    text,
)
from tests.support.waiting import eventually

pytestmark = [ONE_LOOP, pytest.mark.usefixtures("quiet")]

Code = grpc.StatusCode


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
