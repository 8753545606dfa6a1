"""The pump at its seam: what it does when gRPC fails in ways that no client can bring about at will."""

from __future__ import annotations

import asyncio
import gc
import weakref
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
from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG, LISTENER
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


async def test_each_client_has_a_patience_of_its_own() -> None:
    """One timer watches over all writes: one that was taken is no longer watched, and those after it are."""
    pump = Pump(XdsSettings(write_timeout_seconds=0.05))

    def slow() -> float:
        return pump.registry.get_sample_value("hfi_xds_rejected_streams_total", {"reason": "slow"}) or 0

    fast, read = pump.calls([taken]), asyncio.Event()

    async def slowly(response: Any) -> None:
        await read.wait()

    calls = pump.calls([slowly])
    await eventually(lambda: slow() == 1, what="the first")
    calls += pump.calls([slowly])
    await eventually(lambda: slow() == 2, what="the second")
    read.set()
    assert {(await call).code for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert slow() == 2
    await pump.end(fast)


async def test_a_stream_that_ends_leaves_its_place_to_others() -> None:
    pump = Pump(XdsSettings(max_concurrent_pushes=1))
    answered = asyncio.Event()

    async def never(response: Any) -> None:
        await asyncio.Event().wait()

    async def at_once(response: Any) -> None:
        answered.set()

    calls = pump.calls([never, at_once])
    await eventually(lambda: pump.registry.get_sample_value("hfi_xds_pushes_total", {"type": "ecds"}) == 1)
    calls[0].cancel()
    async with asyncio.timeout(10):
        await answered.wait()
    await pump.end(calls[1:])


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_client_that_says_no_more_is_answered_in_full_and_then_let_go(at_once: bool) -> None:
    """Each of its types with a response of its own."""
    pump, types = Pump(), []
    pump.source.publish(ResourceSnapshot.of(*of(hfi="one"), types=[CLUSTER, LISTENER]))

    async def all_types() -> AsyncIterator[DeltaRequest]:
        for type_url in (LISTENER, EXTENSION_CONFIG, CLUSTER):
            yield DeltaRequest(type_url, ("hfi",) if type_url == EXTENSION_CONFIG else (), hello=HELLO)
        if not at_once:
            await eventually(lambda: types, what="its clusters")
            yield DeltaRequest(CLUSTER, nonce="1")  # Its listeners wait for that.
            await eventually(lambda: len(types) == 3, what="all responses")

    async def take(response: Any) -> None:
        types.append(response.type_url)

    async with asyncio.timeout(10):
        end = await pump.stream.run(all_types(), take)
    assert end.code is grpc.StatusCode.OK
    assert types == [CLUSTER, EXTENSION_CONFIG, LISTENER]
    pump.nothing_is_left()


async def test_no_heart_beats_for_a_stream_that_has_ended() -> None:
    pump = Pump(XdsSettings(resource_ttl_seconds=0.03))
    stream, beats = pump.another(), 0

    async def take(response: Any) -> None:
        nonlocal beats
        beats += response.heartbeat

    acked = DeltaRequest(EXTENSION_CONFIG, nonce="1")

    async def requests() -> AsyncIterator[DeltaRequest]:
        yield DeltaRequest(EXTENSION_CONFIG, ("hfi",), hello=HELLO)
        await eventually(lambda: pump.registry.get_sample_value("hfi_xds_pushes_total", {"type": "ecds"}) == 1)
        yield acked
        await asyncio.Event().wait()

    call = asyncio.create_task(stream.run(requests(), take))
    await eventually(lambda: beats, what="a sign of life")
    await pump.end([call])
    gone = weakref.ref(stream)
    del stream, call
    gc.collect()
    assert gone() is None, "a timer still knows it"


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


async def test_who_has_said_hello_and_waits_for_its_turn_is_not_silent() -> None:
    pump, may = Pump(XdsSettings(max_concurrent_pushes=1, hello_timeout_seconds=0.05)), asyncio.Event()
    sent: list[Any] = []

    async def first(response: Any) -> None:
        await may.wait()

    async def second(response: Any) -> None:
        sent.append(response)

    calls = pump.calls([first])
    await eventually(lambda: pump.registry.get_sample_value("hfi_xds_pushes_total", {"type": "ecds"}) == 1)
    calls += pump.calls([second])
    waited, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.call_later(0.1, waited.set)  # Twice as long as it may be silent.
    await waited.wait()
    assert not sent
    assert not any(call.done() for call in calls)
    may.set()
    await eventually(lambda: sent, what="its turn")
    await pump.end(calls)


async def test_the_end_of_the_server_does_not_wait_for_anybody_s_turn() -> None:
    pump, may = Pump(XdsSettings(max_concurrent_pushes=1)), asyncio.Event()

    async def first(response: Any) -> None:
        await may.wait()

    calls = pump.calls([first, taken])
    await eventually(lambda: pump.registry.get_sample_value("hfi_xds_pushes_total", {"type": "ecds"}) == 1)
    pump.gate.close()
    async with asyncio.timeout(10):
        assert (await calls[1]).code is grpc.StatusCode.UNAVAILABLE
    assert not calls[0].done()
    may.set()
    await pump.end(calls)
