"""A whole sidecar as resources: listener, route configuration, cluster and endpoints. Pure.

They are made of the text that a bootstrap has (``chain``), read as YAML and packed with envoy-data-plane. Names never
change with content, so a change of the application's address is a change of endpoints, and nothing that points to the
cluster has to move.
"""

from __future__ import annotations

import functools
import textwrap
from typing import TYPE_CHECKING

import yaml

from hfi_core.sidecars.model import Sidecar
from hfi_xds import chain
from hfi_xds.resource_types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from hfi_xds.resources import Resource
from hfi_xds.scalars import endpoints, socket

if TYPE_CHECKING:
    from betterproto2 import Message

_ADS = "{ads: {}, resource_api_version: V3}"
_RDS = f"rds: {{route_config_name: {chain.INGRESS}, config_source: {_ADS}}}\n"
#: Its endpoints come on their own: their change is the cheapest there is, and touches no connection to the rest.
_EDS = f"type: EDS\neds_cluster_config: {{eds_config: {_ADS}}}\n"
#: Where PyYAML has been built with libyaml, which reads several times faster.
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)


def sidecar_resources(sidecar: Sidecar) -> tuple[Resource, ...]:
    """The resources of one sidecar. Equal sidecars give equal bytes."""
    from envoy_data_plane.envoy.config.cluster.v3 import Cluster
    from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
    from envoy_data_plane.envoy.config.listener.v3 import Listener
    from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

    _register()
    where = endpoints(chain.UPSTREAM, sidecar.upstream, 0)
    resources = [
        _resource(CLUSTER, chain.UPSTREAM, Cluster, chain.upstream(where if sidecar.by_name else _EDS)),
        _resource(LISTENER, chain.INGRESS, Listener, listener(sidecar)),
        _resource(ROUTE, chain.INGRESS, RouteConfiguration, chain.routes()),
    ]
    if not sidecar.by_name:
        assignment = yaml.safe_dump(yaml.load(where, _LOADER)["load_assignment"])
        resources.append(_resource(ENDPOINT, chain.UPSTREAM, ClusterLoadAssignment, assignment))
    return tuple(resources)


#: Of a thousand sidecars most parts are the same, and reading one takes some 20 ms.
@functools.lru_cache(maxsize=256)
def _resource(type_url: str, name: str, kind: type[Message], text: str) -> Resource:
    return Resource.of(type_url, name, bytes(kind.from_dict(yaml.load(text, _LOADER))))


def listener(sidecar: Sidecar) -> str:
    """The listener, as YAML."""
    manager = chain.manager(_RDS, "ads: {}", access_log_path=sidecar.access_log, bandwidth=sidecar.bandwidth)
    return f"""\
name: {chain.INGRESS}
address: {socket(sidecar.listen)}
filter_chains:
  - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
{textwrap.indent(manager, " " * 10)}"""


def _register() -> None:
    """Import what the texts hold as ``Any``: envoy-data-plane packs only what it has met."""
    import envoy_data_plane.envoy.extensions.access_loggers.file.v3
    import envoy_data_plane.envoy.extensions.access_loggers.stream.v3
    import envoy_data_plane.envoy.extensions.filters.http.fault.v3
    import envoy_data_plane.envoy.extensions.filters.http.router.v3
    import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3
    import envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3
    import envoy_data_plane.envoy.extensions.upstreams.http.v3  # noqa: F401
