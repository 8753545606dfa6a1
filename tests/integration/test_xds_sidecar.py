"""An Envoy all of whose configuration comes from here: what it gets, and that no request is lost when that changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hfi_cli.bootstrap import Sidecar as Bootstrap
from hfi_cli.bootstrap import minimal
from hfi_core.address import Address
from hfi_core.sidecars.model import Wish
from hfi_xds.filter_resource import pass_through
from hfi_xds.resource_types import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE
from hfi_xds.resources import Resource, ResourceSnapshot
from tests.integration.xds_support import ONE_LOOP, PATIENCE, Plane, fault, running
from tests.support.envoy import Envoy, running_envoy
from tests.support.processes import free_ports
from tests.support.traffic import Connection, connections, once
from tests.support.upstream import Upstream
from tests.support.waiting import eventually, eventually_async

pytestmark = [
    ONE_LOOP,
    pytest.mark.envoy,
    # envoy-data-plane, which builds the resources, declares its validators in a way that pydantic will drop.
    pytest.mark.filterwarnings("ignore:Using `@model_validator` with mode='after':DeprecationWarning"),
]
BOTH = pytest.mark.parametrize("variant", ["DELTA_GRPC", "GRPC"], ids=["delta", "sotw"])
LOCAL = "127.0.0.1"


@pytest.fixture
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    with Upstream() as one, Upstream() as two:
        yield one, two


@asynccontextmanager
async def envoy_of(plane: Plane, directory: Path, variant: str = "DELTA_GRPC", **wish: Any) -> AsyncIterator[Envoy]:
    """An Envoy started with what ``hfi-cli bootstrap --minimal`` prints."""
    made = Bootstrap(
        node_id="n1",
        cluster="checkout",
        listen=wish.pop("listen", None),
        upstream=wish.pop("upstream", None),
        admin=Address(LOCAL, 0),
        http=[Address(LOCAL, 1)],
        xds=[Address(LOCAL, plane.port)],
        **wish,
    )
    text = minimal(made).replace("DELTA_GRPC", variant)
    async with running_envoy(text, directory, concurrency=2) as envoy:
        yield envoy


def at(upstream: Upstream) -> Address:
    return Address(LOCAL, upstream.port)


async def plane_of(stack: AsyncExitStack, *resources: Resource, **documents: Wish) -> Plane:
    plane = Plane.of(*(resources or (pass_through(),)))
    plane.sidecars.publish(documents)
    return await stack.enter_async_context(running(plane))


async def port_of(envoy: Envoy) -> int:
    async def listening() -> int:
        found = (await envoy.admin.get("/listeners", params={"format": "json"})).json()
        ports = [one["local_address"]["socket_address"]["port_value"] for one in found.get("listener_statuses", [])]
        return ports[0] if ports else 0

    return await eventually_async(listening, within=PATIENCE, what="the listener")


def states(plane: Plane) -> dict[str, str]:
    proxy = plane.proxies.get("n1")
    return {resource.type_url: resource.state for resource in proxy.resources} if proxy else {}


WHOLE = {CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE}


@BOTH
async def test_everything_comes_from_here(
    stack: AsyncExitStack, tmp_path: Path, upstreams: tuple[Upstream, Upstream], variant: str
) -> None:
    """By the node's own word; and the filter is in it, and before the application."""
    plane = await plane_of(stack)
    where = {"listen": Address(LOCAL, 0), "upstream": at(upstreams[0])}
    envoy = await stack.enter_async_context(envoy_of(plane, tmp_path, variant, **where))
    port = await port_of(envoy)
    assert (await once(port, "/a")).status == 200
    assert [seen.target for seen in upstreams[0].seen()] == ["/a"]
    await eventually(lambda: set(states(plane)) == WHOLE, what="all types")
    await eventually(lambda: set(states(plane).values()) == {"acked"}, what="everything acknowledged")
    plane.source.publish(ResourceSnapshot.of(fault(418)))
    await eventually_async(lambda: _answers(port, 418), what="the filter's fault")
    assert len(upstreams[0].seen()) >= 1


async def _answers(port: int, status: int) -> bool:
    return (await once(port, "/")).status == status


async def test_no_document_and_nothing_said_is_an_envoy_that_listens_nowhere(
    stack: AsyncExitStack, tmp_path: Path, upstreams: tuple[Upstream, Upstream]
) -> None:
    plane = await plane_of(stack)
    envoy = await stack.enter_async_context(envoy_of(plane, tmp_path))
    assert (await envoy.admin.get("/listeners", params={"format": "json"})).json().get("listener_statuses", []) == []
    plane.sidecars.publish({"checkout": Wish(Address(LOCAL, 0), (at(upstreams[0]),))})
    assert (await once(await port_of(envoy), "/")).status == 200
    # What the document says no longer is taken away, the listener first.
    plane.sidecars.publish({})
    await eventually_async(lambda: _gone(envoy), within=PATIENCE, what="the end of the listener and the cluster")
    assert plane.metric("hfi_xds_nacks_total", type="lds") == 0


async def _gone(envoy: Envoy) -> bool:
    listeners = (await envoy.admin.get("/listeners", params={"format": "json"})).json().get("listener_statuses", [])
    return not listeners and "upstream::" not in (await envoy.admin.get("/clusters")).text


# -- under load -----------------------------------------------------------------------------------------------


async def under_load(port: int, change: Callable[[Callable[[], int]], Awaitable[None]]) -> Counter[int]:
    """Requests on eight connections while ``change`` runs; the answers by status. It is told how many there are."""
    found: Counter[int] = Counter()
    over = asyncio.Event()

    async def ask(connection: Connection) -> None:
        while not over.is_set():
            found[(await connection.request("/")).status] += 1

    async def run() -> None:
        try:
            await change(found.total)
        finally:
            over.set()

    async with connections(port, 8) as opened, asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(ask(connection))
        group.create_task(run())
    return found


@BOTH
async def test_the_upstream_is_changed_under_load_and_no_request_is_lost(
    stack: AsyncExitStack, tmp_path: Path, upstreams: tuple[Upstream, Upstream], variant: str
) -> None:
    listen = Address(LOCAL, 0)
    plane = await plane_of(stack, checkout=Wish(listen, (at(upstreams[0]),)))
    envoy = await stack.enter_async_context(envoy_of(plane, tmp_path, variant))
    port = await port_of(envoy)

    async def change(answered: Callable[[], int]) -> None:
        # By address, by name (which is another kind of cluster), and both at once.
        for turn in range(9):
            upstream = upstreams[turn % 2 - 1]
            host = "localhost" if turn % 3 == 2 else LOCAL
            plane.sidecars.publish({"checkout": Wish(listen, (Address(host, upstream.port),))})
            before, seen = answered(), len(upstream.seen())
            await eventually(
                lambda: answered() > before + 100 and len(upstream.seen()) > seen + 50,  # noqa: B023
                within=PATIENCE,
                what="traffic to where it is now",
            )

    found = await under_load(port, change)
    assert set(found) == {200}, found
    assert set(states(plane).values()) == {"acked"}
    assert found.total() == sum(len(upstream.seen()) for upstream in upstreams)


def packed(type_url: str, name: str, fields: dict[str, Any]) -> Resource:
    """A resource of these fields, as YAML would have them."""
    from envoy_data_plane.envoy.config.cluster.v3 import Cluster
    from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
    from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

    kind = {CLUSTER: Cluster, ENDPOINT: ClusterLoadAssignment, ROUTE: RouteConfiguration}[type_url]
    return Resource.of(type_url, name, bytes(kind.from_dict(fields)))


def to_cluster(name: str, upstream: Upstream, timeout: str = "1s") -> list[Resource]:
    """A cluster of that name, its endpoints, and the routes of the sidecar that lead to it."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    address = {"socket_address": {"address": LOCAL, "port_value": upstream.port}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": name}}
    cluster = {"name": name, "type": "EDS", "connect_timeout": timeout, "eds_cluster_config": {"eds_config": ads}}
    endpoints = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    routes = {"name": "ingress", "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [route]}]}
    return [packed(CLUSTER, name, cluster), packed(ENDPOINT, name, endpoints), packed(ROUTE, "ingress", routes)]


@BOTH
async def test_routes_move_to_another_cluster_under_load_and_the_old_one_goes(
    stack: AsyncExitStack, tmp_path: Path, upstreams: tuple[Upstream, Upstream], variant: str
) -> None:
    """Each time a cluster is new, the routes change to it, and the one before is gone, all in one change."""
    from hfi_core.sidecars.model import Sidecar
    from hfi_xds.sidecar_resources import sidecar_resources

    _, listener, *_ = sidecar_resources(Sidecar(Address(LOCAL, 0), (at(upstreams[0]),)))
    assert listener.type_url == LISTENER
    plane = Plane.of(pass_through(), listener, *to_cluster("c0", upstreams[0]))
    await stack.enter_async_context(running(plane))
    envoy = await stack.enter_async_context(envoy_of(plane, tmp_path, variant))
    port = await port_of(envoy)

    async def change(answered: Callable[[], int]) -> None:
        for turn in range(1, 8):
            upstream = upstreams[turn % 2]
            plane.source.publish(
                ResourceSnapshot.of(pass_through(), listener, *to_cluster(f"c{turn}", upstream)), urgent=True
            )
            await eventually_async(lambda: _only(envoy, f"c{turn}"), within=PATIENCE, what="the end of the old")  # noqa: B023
            before, seen = answered(), len(upstream.seen())
            await eventually(
                lambda: answered() > before + 100 and len(upstream.seen()) > seen + 50,  # noqa: B023
                within=PATIENCE,
                what="traffic to where it is now",
            )

    found = await under_load(port, change)
    assert set(found) == {200}, found


async def _only(envoy: Envoy, cluster: str) -> bool:
    text = (await envoy.admin.get("/clusters")).text
    there = {line.partition("::")[0] for line in text.splitlines()}
    return there - {"hfi_http", "hfi_xds"} == {cluster}


@BOTH
async def test_a_cluster_that_changes_is_warm_again_at_once(
    stack: AsyncExitStack, tmp_path: Path, upstreams: tuple[Upstream, Upstream], variant: str
) -> None:
    """A cluster that is made anew needs its endpoints again, although they are the same (envoyproxy/envoy#13009)."""
    from hfi_core.sidecars.model import Sidecar
    from hfi_xds.sidecar_resources import sidecar_resources

    _, listener, *_ = sidecar_resources(Sidecar(Address(LOCAL, 0), (at(upstreams[0]),)))
    plane = Plane.of(pass_through(), listener, *to_cluster("c", upstreams[0]))
    await stack.enter_async_context(running(plane))
    envoy = await stack.enter_async_context(envoy_of(plane, tmp_path, variant))
    await port_of(envoy)
    changed = to_cluster("c", upstreams[0], timeout="2s")
    plane.source.publish(ResourceSnapshot.of(pass_through(), listener, *changed))
    # Envoy says yes when it is warm; without its endpoints that would be after 15 s.
    await eventually(lambda: plane.has(changed[0], "acked"), within=5, what="a warm cluster")
    assert await envoy.stat("cluster_manager.warming_clusters") == 0


async def test_a_listener_moves(stack: AsyncExitStack, tmp_path: Path, upstreams: tuple[Upstream, Upstream]) -> None:
    first, second = free_ports(2)
    to = (at(upstreams[0]),)
    plane = await plane_of(stack, checkout=Wish(Address(LOCAL, first), to))
    envoy = await stack.enter_async_context(envoy_of(plane, tmp_path))
    assert await port_of(envoy) == first
    plane.sidecars.publish({"checkout": Wish(Address(LOCAL, second), to)})
    await eventually_async(lambda: _listens(second), within=PATIENCE, what="the new address")
    assert (await once(second, "/")).status == 200


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOCAL, port)
    except OSError:
        return False
    writer.close()
    return True
