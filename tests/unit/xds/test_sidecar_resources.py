from __future__ import annotations

from typing import Any

import pytest
import yaml

from hfi_cli.bootstrap import Sidecar as Bootstrap
from hfi_cli.bootstrap import sidecar
from hfi_core.address import Address
from hfi_core.sidecars.model import Sidecar
from hfi_xds.chain import UPSTREAM, upstream
from hfi_xds.resource_types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from hfi_xds.resources import Resource
from hfi_xds.scalars import endpoints
from hfi_xds.sidecar_resources import sidecar_resources

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using `@model_validator` with mode='after':DeprecationWarning",
)
LISTEN, APP = Address("127.0.0.1", 10000), Address("127.0.0.1", 9000)


def made(listen: Address = LISTEN, upstream: tuple[Address, ...] = (APP,), **more: Any) -> dict[str, Resource]:
    return {resource.type_url: resource for resource in sidecar_resources(Sidecar(listen, upstream, **more))}


def read(resource: Resource) -> Any:
    """A resource's fields, with all that they pack unpacked, as YAML names them."""
    from betterproto2 import Casing
    from envoy_data_plane.envoy.config.cluster.v3 import Cluster
    from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
    from envoy_data_plane.envoy.config.listener.v3 import Listener
    from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

    kinds: dict[str, Any] = {
        CLUSTER: Cluster,
        ENDPOINT: ClusterLoadAssignment,
        LISTENER: Listener,
        ROUTE: RouteConfiguration,
    }
    return kinds[resource.type_url].parse(resource.body).to_dict(casing=Casing.SNAKE)


def bootstrapped(**more: Any) -> dict[str, Any]:
    nowhere = [Address("127.0.0.1", 1)]
    written = Bootstrap("n", "c", LISTEN, APP, Address("127.0.0.1", 0), nowhere, nowhere, **more)
    config: dict[str, Any] = yaml.safe_load(sidecar(written))["static_resources"]
    return config


def plain(value: Any) -> Any:
    """Without what only says the default, and with durations in one form."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if key not in ("codec_type", "type")}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


@pytest.mark.parametrize("more", [{}, {"access_log": "-"}, {"access_log": "/a: b", "bandwidth": False}])
def test_the_resources_say_what_a_bootstrap_says(more: dict[str, Any]) -> None:
    """Whatever somebody changes in the chain, a sidecar by xDS has it, and nothing is lost on the way."""
    resources, config = made(**more), bootstrapped(**more)
    [static] = config["listeners"]
    manager = static["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager.pop("route_config")
    listener = read(resources[LISTENER])
    by_xds = listener["filter_chains"][0]["filters"][0]["typed_config"]
    rds = by_xds.pop("rds")
    assert rds == {"route_config_name": "ingress", "config_source": {"ads": {}, "resource_api_version": "V3"}}
    assert plain(listener) == plain(static)
    assert plain(read(resources[ROUTE])) == plain(routes)
    cluster = config["clusters"][0]
    assert plain(read(resources[ENDPOINT])) == plain(cluster.pop("load_assignment"))
    dynamic = read(resources[CLUSTER])
    assert dynamic.pop("type") == "EDS"
    assert dynamic.pop("eds_cluster_config")["eds_config"] == {"ads": {}, "resource_api_version": "V3"}
    assert plain(dynamic) == plain(cluster)


def test_an_application_of_names_is_looked_up_as_a_bootstrap_would() -> None:
    addresses = (Address("app-0.internal", 1), Address("app-1.internal", 2))
    resources = made(upstream=addresses)
    assert ENDPOINT not in resources
    cluster, written = read(resources[CLUSTER]), yaml.safe_load(upstream(endpoints(UPSTREAM, addresses, 0)))
    assert cluster["type"] == written["type"] == "STRICT_DNS"
    assert plain(cluster) == plain(written)


def test_another_address_of_the_application_is_another_set_of_endpoints_and_nothing_else() -> None:
    before, after = made(), made(upstream=(Address("127.0.0.1", 9001),))
    assert {url for url in before if before[url] != after[url]} == {ENDPOINT}


def test_names_are_those_that_point_to_each_other() -> None:
    assert {url: resource.name for url, resource in made().items()} == {
        CLUSTER: "upstream",
        ENDPOINT: "upstream",
        LISTENER: "ingress",
        ROUTE: "ingress",
    }


def test_equal_sidecars_are_equal_bytes() -> None:
    assert made() == made()
