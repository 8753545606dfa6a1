"""The pump at its seam: what it does when gRPC fails in ways that no client can bring about at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
import pytest
from grpc import aio
from prometheus_client import CollectorRegistry

from hfi_core.address import Address
from hfi_core.proxies import ProxyRegistry
from hfi_core.sidecars.model import Wish
from hfi_xds.admission import Admission, Caller
from hfi_xds.gate import End, Gate
from hfi_xds.messages import DeltaRequest
from hfi_xds.metrics import XdsMetrics
from hfi_xds.patience import Patience
from hfi_xds.rejections import Rejections
from hfi_xds.reporting import Reporter
from hfi_xds.resource_types import EXTENSION_CONFIG, LISTENER
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.session import delta_session
from hfi_xds.settings import XdsSettings
from hfi_xds.sidecar_source import SidecarSource
from hfi_xds.source import ResourceSource
from hfi_xds.stream import Codec, DiscoveryStream, Shared
from hfi_xds.throttle import Throttle
from tests.support.waiting import eventually
from tests.unit.xds.talk import HELLO, of


async def _no_connection(peer: str) -> bool:
    return False


class Pump:
    """Streams without a wire, of one server. ``requests`` may raise."""

    def __init__(self, settings: XdsSettings | None = None, held_seconds: float = 60) -> None:
        self.proxies, self.registry = ProxyRegistry(), CollectorRegistry()
        metrics = XdsMetrics(self.registry)
        self.source = ResourceSource(ResourceSnapshot.of(*of(hfi="one")), debounce_seconds=0)
        self.gate = Gate(100)
        settings, admission = settings or XdsSettings(), Admission(100)
        self.sidecars = SidecarSource()
        self._shared = Shared(
            self.source,
            self.sidecars,
            self.proxies,
            self.proxies.list,
            Reporter(self.proxies, metrics),
            metrics,
            settings,
            self.gate,
            admission,
            Patience(settings.write_timeout_seconds, admission, metrics, _no_connection),
            Throttle(settings.max_concurrent_pushes, held_seconds),
        )
        self.stream = self.another()

    def another(self) -> DiscoveryStream[Any, Any, Any, Any]:
        codec: Any = Codec(lambda request: request, lambda response, identifier: response)
        return DiscoveryStream(self._shared, delta_session(Rejections()), codec, Caller())

    def calls(self, writes: Iterable[Callable[[Any], Awaitable[None]]]) -> list[asyncio.Task[End]]:
        """A stream for each, whose client takes responses so."""
        return [asyncio.create_task(self.another().run(asking(), write)) for write in writes]

    async def end(self, calls: Iterable[asyncio.Task[End]]) -> None:
        self.gate.close()
        async with asyncio.timeout(10):
            assert {(await call).code for call in calls} == {grpc.StatusCode.UNAVAILABLE}
        self.nothing_is_left()

    def nothing_is_left(self) -> None:
        proxy = self.proxies.get(HELLO.node.id)
        assert proxy is not None
        assert proxy.xds_streams == 0
        assert self.registry.get_sample_value("hfi_xds_streams") == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def asking(error: Exception | None = None, *types: str) -> AsyncIterator[DeltaRequest]:
    for type_url in (EXTENSION_CONFIG, *types):
        yield DeltaRequest(type_url, ("hfi",), hello=HELLO)
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


@pytest.mark.parametrize("types", [(), (LISTENER,)], ids=["a bootstrap of its own", "from here"])
async def test_only_who_waits_for_a_listener_misses_something(
    caplog: pytest.LogCaptureFixture, types: tuple[str, ...]
) -> None:
    pump, answered = Pump(), asyncio.Event()
    # Half of what a sidecar needs, for the cluster of all nodes of these tests.
    pump.sidecars.publish({HELLO.node.cluster: Wish(listen=Address("127.0.0.1", 1))})

    async def take(response: Any) -> None:
        answered.set()

    call = asyncio.create_task(pump.stream.run(asking(None, *types), take))
    await answered.wait()
    await pump.end([call])
    await pump.sidecars.close()
    assert ("gets no listener" in caplog.text) is bool(types)


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


async def test_no_more_pushes_at_one_time_than_may_be() -> None:
    """A module of a megabyte to thousands of streams is a few in memory, and all have it in the end."""
    pump, may = Pump(XdsSettings(max_concurrent_pushes=3)), asyncio.Event()
    under_way, most, done = 0, 0, 0

    async def reading(response: Any) -> None:
        nonlocal under_way, most, done
        under_way += 1
        most = max(most, under_way)
        await may.wait()
        under_way -= 1
        done += 1

    calls = pump.calls([reading] * 10)
    await eventually(lambda: under_way == 3, what="three that write")
    for _ in range(100):  # Turns of the loop in which a fourth could.
        await asyncio.sleep(0)
    assert under_way == 3
    may.set()
    await eventually(lambda: done == 10, what="all of them")
    assert most == 3
    await pump.end(calls)


async def test_clients_that_do_not_read_hold_the_others_up_for_a_moment_only() -> None:
    pump, read, taken_by_all = Pump(XdsSettings(max_concurrent_pushes=2), held_seconds=0.05), asyncio.Event(), []

    async def never(response: Any) -> None:
        await read.wait()

    async def at_once(response: Any) -> None:
        taken_by_all.append(response)

    calls = pump.calls([never] * 5 + [at_once] * 5)
    await eventually(lambda: len(taken_by_all) == 5, what="all who read")
    read.set()
    await pump.end(calls)


async def test_who_waited_for_its_turn_sends_what_is_newest() -> None:
    pump, may = Pump(XdsSettings(max_concurrent_pushes=1)), asyncio.Event()
    sent: list[bytes] = []

    async def first(response: Any) -> None:
        await may.wait()

    async def second(response: Any) -> None:
        sent.extend(resource.body for resource in response.resources)

    calls = pump.calls([first, second])
    await eventually(lambda: pump.registry.get_sample_value("hfi_xds_pushes_total", {"type": "ecds"}) == 1)
    for content in ("two", "three"):
        pump.source.publish(ResourceSnapshot.of(*of(hfi=content)))
    may.set()
    await eventually(lambda: sent, what="what waited")
    assert sent == [b"three"]
    await pump.end(calls)


async def test_a_place_is_given_back_once_and_also_when_its_stream_is_cancelled() -> None:
    throttle, may = Throttle(1, held_seconds=0.01), asyncio.Event()

    async def hold() -> None:
        async with throttle.place():
            await may.wait()

    slow, waiting = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0)
    # The first loses its place to the second, and has none to give back when it ends.
    async with asyncio.timeout(10), throttle.place():
        pass
    may.set()
    await asyncio.gather(slow, waiting)
    may.clear()
    throttle._held_seconds = 60  # From here on nobody is slow.
    holding, waiting = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0)
    for task in (waiting, holding):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(10), throttle.place():
        third = asyncio.create_task(throttle._free.acquire())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not third.done(), "there is one place, as in the beginning"
    await third
