"""A real Envoy on the real server: what it was sent, what it runs, and what is known of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from hfi_core.modules.catalogue import FILTER, FilterModule, load_module
from hfi_core.modules.filter_config import FilterConfig
from hfi_xds.filter_resource import filter_resource, pass_through
from hfi_xds.resources import Resource
from tests.integration.xds_support import ONE_LOOP, PATIENCE, Plane, Variant, bootstrap, fault, running
from tests.support.envoy import Envoy, running_envoy
from tests.support.traffic import Connection, connections, once
from tests.support.waiting import eventually, eventually_async

pytestmark = [
    ONE_LOOP,
    pytest.mark.envoy,
    pytest.mark.usefixtures("quiet"),
    # envoy-data-plane, which builds the resources, declares its validators in a way that pydantic will drop.
    pytest.mark.filterwarnings("ignore:Using `@model_validator` with mode='after':DeprecationWarning"),
]

DELTA, SOTW = Variant("DELTA_GRPC"), Variant("GRPC")
ALL = [DELTA, SOTW, Variant("DELTA_GRPC", aggregated=False), Variant("GRPC", aggregated=False)]
BOTH = pytest.mark.parametrize("variant", [DELTA, SOTW], ids=str)

STATS = "extension_config_discovery.http_filter.hfi."
#: No status at all: Envoy's own validation says no.
BAD = 100


class Proxy:
    """The Envoy under test, and its port for requests."""

    def __init__(self, envoy: Envoy, port: int) -> None:
        self.envoy = envoy
        self.port = port

    async def answers(self, status: int) -> None:
        """Wait until requests are answered with this status: workers take a change a moment after the main thread."""
        await eventually_async(lambda: self._answers(status), what=f"requests answered with {status}")

    async def _answers(self, status: int) -> bool:
        return (await once(self.port, "/")).status == status

    async def discovery(self, name: str) -> int:
        """Envoy's own count of what became of the filter's configuration."""
        found = await self.envoy.stats(rf".*{STATS.replace('.', '[.]')}{name}$")
        return sum(found.values())


@asynccontextmanager
async def proxied(
    plane: Plane, directory: Path, variant: Variant = DELTA, *, default: bool = True
) -> AsyncIterator[Proxy]:
    config = bootstrap(plane.port, variant, default=default)
    async with running_envoy(config, directory, concurrency=1) as envoy:
        yield Proxy(envoy, int((await envoy.listener("ingress")).rpartition(":")[2]))


async def acked(plane: Plane, resource: Resource) -> None:
    await eventually(lambda: plane.has(resource, "acked"), within=PATIENCE, what=f"acknowledgement of {resource}")


@pytest.mark.parametrize("variant", ALL, ids=str)
async def test_what_is_served_is_run_and_known(stack: AsyncExitStack, tmp_path: Path, variant: Variant) -> None:
    plane = await stack.enter_async_context(running(Plane.of(fault(418), identifier="replica-1")))
    proxy = await stack.enter_async_context(proxied(plane, tmp_path, variant))
    await acked(plane, fault(418))
    await proxy.answers(418)
    known = plane.proxies.get("n1")
    assert known is not None
    assert (known.node.cluster, known.node.labels, known.xds_streams) == ("c", (("track", "canary"),), 1)
    assert known.user_agent.startswith("envoy/1.")
    # A second stream of reports is not a second stream of discovery.
    await eventually(lambda: plane.metric("hfi_xds_report_streams") == 1, what="its reports")
    plane.serve(fault(503))
    await acked(plane, fault(503))
    await proxy.answers(503)
    assert plane.pushes == 2
    if variant.aggregated:
        assert "replica-1" in (await proxy.envoy.admin.get("/stats", params={"filter": "control_plane"})).text


@BOTH
async def test_what_is_rejected_is_recorded_and_not_sent_again(
    stack: AsyncExitStack, tmp_path: Path, variant: Variant
) -> None:
    plane = await stack.enter_async_context(running(Plane.of(fault(418))))
    proxy = await stack.enter_async_context(proxied(plane, tmp_path, variant))
    await acked(plane, fault(418))
    plane.serve(fault(BAD))
    await eventually(lambda: plane.has(fault(BAD), "nacked"), what="the rejection")
    status = plane.status()
    assert status is not None
    assert "HttpStatus" in status.message
    # What it ran it runs. A change elsewhere, or the return of what was rejected, sends nothing.
    await proxy.answers(418)
    plane.serve(fault(BAD), fault(200, "other"))
    plane.serve(fault(503))
    await acked(plane, fault(503))
    plane.serve(fault(BAD))
    plane.serve(fault(504))
    await acked(plane, fault(504))
    await proxy.answers(504)
    assert plane.pushes == 4
    assert await proxy.discovery("config_fail") == 1
    assert plane.metric("hfi_xds_nacks_total", type="ecds") == 1


@BOTH
async def test_a_restart_of_the_control_plane_changes_nothing(
    stack: AsyncExitStack, tmp_path: Path, variant: Variant
) -> None:
    plane = Plane.of(fault(418))
    await stack.enter_async_context(running(plane))
    proxy = await stack.enter_async_context(proxied(plane, tmp_path, variant))
    await acked(plane, fault(418))
    await proxy.answers(418)
    reloads = await proxy.discovery("config_reload")
    await plane.stop()
    await plane.start()
    await eventually(lambda: plane.metric("hfi_xds_acks_total", type="ecds") == 1, what="its return")
    # A delta client says what it has. One of the other variant may claim what it no longer runs, so it is answered;
    # what it has it does not load again.
    assert plane.pushes == (0 if variant == DELTA else 1)
    assert await proxy.discovery("config_reload") == reloads
    assert plane.status() is not None
    await proxy.answers(418)
    plane.serve(fault(503))
    await acked(plane, fault(503))
    await proxy.answers(503)


@BOTH
async def test_what_is_taken_away_stays_where_it_is(stack: AsyncExitStack, tmp_path: Path, variant: Variant) -> None:
    """Without a default configuration, an Envoy would answer everything with 500."""
    plane = await stack.enter_async_context(running(Plane.of(fault(418))))
    proxy = await stack.enter_async_context(proxied(plane, tmp_path, variant, default=False))
    await proxy.answers(418)
    plane.serve()
    plane.serve(fault(503, "other"))
    assert (await once(proxy.port, "/")).status == 418
    plane.serve(pass_through())
    await acked(plane, pass_through())
    await proxy.answers(200)
    assert plane.pushes == 2


# -- time to live ---------------------------------------------------------------------------------------------


@BOTH
async def test_what_has_a_time_to_live_lives_by_heartbeats_and_dies_with_the_control_plane(
    stack: AsyncExitStack, tmp_path: Path, variant: Variant
) -> None:
    plane = Plane.of(fault(418), resource_ttl_seconds=1.5)
    await stack.enter_async_context(running(plane))
    proxy = await stack.enter_async_context(proxied(plane, tmp_path, variant))
    await acked(plane, fault(418))
    await proxy.answers(418)
    reloads = await proxy.discovery("config_reload")
    beats = plane.metric("hfi_xds_heartbeats_total", type="ecds")
    # Twice the time to live.
    await eventually(
        lambda: plane.metric("hfi_xds_heartbeats_total", type="ecds") >= beats + 7, within=PATIENCE, what="heartbeats"
    )
    assert (await once(proxy.port, "/")).status == 418
    assert (await proxy.discovery("config_reload"), plane.pushes) == (reloads, 1)
    await plane.stop()
    # Nobody is there any more: it falls back to its default, and requests pass.
    await proxy.answers(200)
    await plane.start()
    await proxy.answers(418)


# -- the filter -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def module() -> FilterModule:
    return load_module(FILTER)


async def test_the_filter_is_swapped_under_traffic_and_counts_what_it_sees(
    stack: AsyncExitStack, tmp_path: Path, module: FilterModule
) -> None:
    plane = await stack.enter_async_context(running(Plane.of(filter_resource(module, FilterConfig()))))
    proxy = await stack.enter_async_context(proxied(plane, tmp_path))
    await acked(plane, filter_resource(module, FilterConfig()))
    running_config = await proxy.envoy.extension_config("hfi")
    assert running_config is not None
    assert running_config["version_info"] == filter_resource(module, FilterConfig()).version

    found: Counter[int] = Counter()
    swapped = asyncio.Event()

    async def ask(connection: Connection) -> None:
        while not swapped.is_set():
            found[(await connection.request("/")).status] += 1

    async def swap() -> None:
        for generation in range(2, 7):
            resource = filter_resource(module, FilterConfig(generation=generation))
            before = found.total()
            plane.serve(resource)
            await acked(plane, resource)
            await eventually(lambda before=before: found.total() > before + 50, what="traffic on the new one")
        swapped.set()

    opened = await stack.enter_async_context(connections(proxy.port, 8))
    async with asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(ask(connection))
        group.create_task(swap())
    assert set(found) == {200}
    assert await proxy.discovery("config_reload") >= 6

    # Envoy's own number is the witness for what has come by the sink.
    async def agreed() -> int | None:
        seen = await proxy.envoy.stat("wasmcustom.hfi.total_requests")
        return seen if seen == plane.data_plane.counters.totals["total_requests"] else None

    assert await eventually_async(agreed, within=PATIENCE, what="the sink's total being Envoy's")
    assert set(plane.data_plane.counters.nodes) == {"n1"}
    assert all(name.startswith("wasmcustom.hfi.") for name in plane.data_plane.counters.nodes["n1"])


BROKEN = FilterModule(FILTER, "0", hashlib.sha256(b"").hexdigest(), b"\0asm but no module")


def broken(generation: int = 1) -> Resource:
    """A filter that Envoy says no to only once it tries to run it."""
    return filter_resource(BROKEN, FilterConfig(generation=generation))


async def test_a_module_that_is_none_is_rejected_each_time_that_it_looks_new(
    stack: AsyncExitStack, tmp_path: Path, module: FilterModule
) -> None:
    plane = await stack.enter_async_context(running(Plane.of(broken())))
    proxy = await stack.enter_async_context(proxied(plane, tmp_path))
    for generation in (1, 2):
        plane.serve(broken(generation))
        await eventually(lambda g=generation: plane.has(broken(g), "nacked"), within=PATIENCE, what="the rejection")
    status = plane.status()
    assert status is not None
    assert "Unable to create Wasm plugin" in status.message
    # The default configuration goes on.
    assert (await once(proxy.port, "/")).status == 200
    mended = filter_resource(module, FilterConfig(generation=3))
    plane.serve(mended)
    await acked(plane, mended)


@BOTH
async def test_an_acknowledgement_of_what_was_rejected_is_not_believed(
    stack: AsyncExitStack, tmp_path: Path, variant: Variant
) -> None:
    """Envoy that is sent again a module that it could not run says yes, and runs something else."""
    plane = Plane.of(broken(), max_connection_age_seconds=0.5, max_connection_age_grace_seconds=0.05)
    await stack.enter_async_context(running(plane))
    proxy = await stack.enter_async_context(proxied(plane, tmp_path, variant))
    # It has nothing, and a listener may be waiting: so on the next connection it is answered with what there is.
    await eventually(lambda: plane.has(broken(), "not_applied"), within=PATIENCE, what="a yes that is not believed")
    assert plane.metric("hfi_xds_nacks_total", type="ecds") == 1
    assert plane.metric("hfi_xds_false_acks_total", type="ecds") >= 1
    assert plane.metric("hfi_xds_acks_total", type="ecds") == 0
    assert (await once(proxy.port, "/")).status == 200
    plane.serve(fault(418))
    await acked(plane, fault(418))
    await proxy.answers(418)


async def test_a_bootstrap_that_people_copy_reaches_this_server(stack: AsyncExitStack, tmp_path: Path) -> None:
    from hfi_cli.bootstrap import Sidecar, sidecar
    from hfi_core.address import Address

    plane = await stack.enter_async_context(running(Plane.of(fault(418))))
    nowhere, somewhere = Address("127.0.0.1", 1), Address("127.0.0.1", 0)
    text = sidecar(
        Sidecar(
            node_id="copied",
            cluster="c",
            listen=somewhere,
            upstream=nowhere,
            admin=somewhere,
            http=[nowhere],
            xds=[Address("127.0.0.1", plane.port)],
        )
    )
    envoy = await stack.enter_async_context(running_envoy(text, tmp_path, concurrency=1))
    await eventually(lambda: plane.has(fault(418), "acked", node="copied"), what="the acknowledgement")
    url = f"http://{await envoy.listener('ingress')}/"

    async def answered() -> bool:
        return (await envoy.admin.get(httpx.URL(url))).status_code == 418

    await eventually_async(answered, what="the fault")
