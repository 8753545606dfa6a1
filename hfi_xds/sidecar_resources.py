"""A whole sidecar as resources: listener, route configuration, cluster and endpoints. Pure.

They are made of the text that a bootstrap has (``chain``), read as YAML and packed with envoy-data-plane. Where the
application is comes beside that: it is what changes, and 64 addresses took 20 ms that way. Names never change with
content, so a change of the application's address is a change of endpoints, and nothing that points to the cluster has
to move.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import yaml

from hfi_core.address import Address
from hfi_core.sidecars.model import Sidecar
from hfi_xds import chain, pb
from hfi_xds.resource_types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from hfi_xds.resources import Resource
from hfi_xds.scalars import BY_NAME, socket

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
    from envoy_data_plane.envoy.config.listener.v3 import Listener
    from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

    _register()
    where = _where(sidecar.upstream)
    cluster = _body(Cluster, chain.upstream(f"{BY_NAME}\n" if sidecar.by_name else _EDS))
    resources = [
        Resource.of(LISTENER, chain.INGRESS, _body(Listener, listener(sidecar))),
        Resource.of(ROUTE, chain.INGRESS, _body(RouteConfiguration, chain.routes())),
    ]
    if sidecar.by_name:
        # A message is its fields one after the other (protobuf's encoding, "Last One Wins").
        cluster += pb.ClusterPart(load_assignment=where).SerializeToString()
    else:
        resources.append(Resource.of(ENDPOINT, chain.UPSTREAM, where.SerializeToString()))
    return (Resource.of(CLUSTER, chain.UPSTREAM, cluster), *resources)


def _where(addresses: Sequence[Address]) -> pb.ClusterLoadAssignment:
    sockets = (pb.SocketAddress(address=address.host, port_value=address.port) for address in addresses)
    places = [pb.LbEndpoint(endpoint=pb.Endpoint(address=pb.Address(socket_address=socket))) for socket in sockets]
    return pb.ClusterLoadAssignment(
        cluster_name=chain.UPSTREAM, endpoints=[pb.LocalityLbEndpoints(lb_endpoints=places)]
    )


#: Of a thousand sidecars most parts are the same, and reading one takes some 20 ms.
@functools.lru_cache(maxsize=256)
def _body(kind: type[Message], text: str) -> bytes:
    return bytes(kind.from_dict(yaml.load(text, _LOADER)))


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
