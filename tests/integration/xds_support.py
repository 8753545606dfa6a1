"""The xDS server in the test's own process, clients that speak as plainly as the protocol does, and small resources.

The small resources are configurations of Envoy's own fault filter: what an Envoy runs shows in what it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from grpc import aio
from prometheus_client import CollectorRegistry

from hfi_core.dataplane import DataPlane
from hfi_core.proxies import ProxyRegistry, ResourceStatus
from hfi_xds import pb
from hfi_xds.metrics import XdsMetrics
from hfi_xds.resource_types import EXTENSION_CONFIG
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.server import XdsServer
from hfi_xds.settings import XdsSettings
from hfi_xds.sidecar_source import SidecarSource
from hfi_xds.source import ResourceSource
from tests.support.waiting import eventually

#: gRPC's events of a test that is over would meet a loop that is closed: a process with gRPC has one loop.
ONE_LOOP = pytest.mark.asyncio(loop_scope="session")

#: Only the time that it takes to say what is wrong: nothing here is slow.
PATIENCE = 15.0
#: More than gRPC takes in advance.
MEGABYTE = 1 << 20

AGGREGATED = "envoy.service.discovery.v3.AggregatedDiscoveryService"
EXTENSIONS = "envoy.service.extension.v3.ExtensionConfigDiscoveryService"
REPORTS = "envoy.service.metrics.v3.MetricsService"
STATUS = "envoy.service.status.v3.ClientStatusDiscoveryService"


def text(content: str | bytes, name: str = "hfi") -> Resource:
    """A resource whose body is no message at all: nobody but an Envoy looks into it."""
    return Resource.of(EXTENSION_CONFIG, name, content.encode() if isinstance(content, str) else content)


def fault(status: int, name: str = "hfi") -> Resource:
    """Envoy's fault filter, which answers every request with this status; or is rejected, when that is no status."""
    from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
    from envoy_data_plane.envoy.extensions.filters.http.fault.v3 import FaultAbort, HttpFault
    from envoy_data_plane.envoy.type.v3 import FractionalPercent
    from envoy_data_plane.google.protobuf import Any as Packed

    abort = FaultAbort(http_status=status, percentage=FractionalPercent(numerator=100))
    return Resource.of(
        EXTENSION_CONFIG, name, bytes(TypedExtensionConfig(name=name, typed_config=Packed.pack(HttpFault(abort=abort))))
    )


@dataclass
class Plane:
    """Everything around one server. Its source, proxies and what they report may outlive it; its own metrics do not."""

    source: ResourceSource
    proxies: ProxyRegistry = field(default_factory=ProxyRegistry)
    data_plane: DataPlane = field(default_factory=DataPlane)
    settings: XdsSettings = field(default_factory=XdsSettings)
    credentials: grpc.ServerCredentials | None = None
    sidecars: SidecarSource = field(default_factory=SidecarSource)
    port: int = 0

    @classmethod
    def of(cls, *resources: Resource, **settings: Any) -> Plane:
        """One that serves these, without waiting for more of them."""
        return cls(
            ResourceSource(ResourceSnapshot.of(*resources), debounce_seconds=0), settings=XdsSettings(**settings)
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def serve(self, *resources: Resource) -> None:
        """Serve these from now on, and nothing else."""
        self.source.publish(ResourceSnapshot.of(*resources, types=[EXTENSION_CONFIG]))

    async def start(self) -> None:
        """A new server, on the port of the one before."""
        self.registry = CollectorRegistry()
        self.server = XdsServer(
            self.address,
            self.source,
            self.proxies,
            self.data_plane,
            XdsMetrics(self.registry),
            self.settings,
            self.credentials,
            self.sidecars,
        )
        self.port = await self.server.start()

    async def stop(self) -> None:
        await self.server.stop()

    def metric(self, name: str, **labels: str) -> float:
        """A metric of the server that runs."""
        return self.registry.get_sample_value(name, labels) or 0

    @property
    def pushes(self) -> float:
        return self.metric("hfi_xds_pushes_total", type="ecds")

    def status(self, node: str = "n1", name: str = "hfi") -> ResourceStatus | None:
        """What is known of a resource at a proxy."""
        proxy = self.proxies.get(node)
        return next((known for known in proxy.resources if known.name == name), None) if proxy else None

    def has(self, resource: Resource, state: str, node: str = "n1") -> bool:
        """Whether this content is in that state at the proxy."""
        status = self.status(node, resource.name)
        return status is not None and (status.digest, status.state) == (resource.version, state)


@asynccontextmanager
async def running(plane: Plane) -> AsyncIterator[Plane]:
    await plane.start()
    try:
        yield plane
    finally:
        await plane.stop()


async def streams(plane: Plane, count: int) -> None:
    """Wait until so many discovery streams are open."""
    await eventually(lambda: plane.metric("hfi_xds_streams") == count, what=f"{count} streams")


class Peer:
    """A client's end of one stream. Messages are written as their JSON."""

    def __init__(self, channel: aio.Channel, method: str, request: type[Message], response: type[Message]) -> None:
        self._request = request
        multi = channel.stream_unary if response is pb.StreamMetricsResponse else channel.stream_stream
        self.call: Any = multi(
            f"/{method}", request_serializer=_serialised, response_deserializer=response.FromString
        )()

    async def send(self, **message: Any) -> None:
        await self.send_raw(ParseDict(message, self._request()).SerializeToString())

    async def send_raw(self, message: bytes) -> None:
        await self.call.write(message)

    async def receive(self) -> Any:
        """The next response."""
        async with asyncio.timeout(PATIENCE):
            response = await self.call.read()
        assert response is not aio.EOF, (await self.call.code(), await self.call.details())
        return response

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ends, by the server's word; what it still had to say is left aside."""
        async with asyncio.timeout(PATIENCE):
            try:
                while isinstance(self.call, aio.StreamStreamCall) and await self.call.read() is not aio.EOF:
                    pass
            except aio.AioRpcError:
                pass
            return await self.call.code(), await self.call.details()


def _serialised(message: bytes) -> bytes:
    return message


NODE: Mapping[str, Any] = {"id": "n1", "cluster": "c"}


@asynccontextmanager
async def connected(plane: Plane) -> AsyncIterator[aio.Channel]:
    """A connection of its own to the server. What is not read is soon not taken either: it takes 64 KB in advance."""
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", 1 << 26),
        ("grpc.http2.bdp_probe", 0),
    ]
    async with aio.insecure_channel(plane.address, options=options) as channel:
        yield channel


def delta(channel: aio.Channel, service: str = AGGREGATED) -> Peer:
    method = "DeltaAggregatedResources" if service == AGGREGATED else "DeltaExtensionConfigs"
    return Peer(channel, f"{service}/{method}", pb.DeltaDiscoveryRequest, pb.DeltaDiscoveryResponse)


def sotw(channel: aio.Channel, service: str = AGGREGATED) -> Peer:
    method = "StreamAggregatedResources" if service == AGGREGATED else "StreamExtensionConfigs"
    return Peer(channel, f"{service}/{method}", pb.DiscoveryRequest, pb.DiscoveryResponse)


def reports(channel: aio.Channel) -> Peer:
    return Peer(channel, f"{REPORTS}/StreamMetrics", pb.StreamMetricsMessage, pb.StreamMetricsResponse)


def status(channel: aio.Channel) -> Peer:
    return Peer(channel, f"{STATUS}/StreamClientStatus", pb.ClientStatusRequest, pb.ClientStatusResponse)


def wants(*names: str, **more: Any) -> dict[str, Any]:
    """The first delta request of a client."""
    return {"node": NODE, "type_url": EXTENSION_CONFIG, "resource_names_subscribe": names, **more}


# -- Envoy ----------------------------------------------------------------------------------------------------

TYPES = "type.googleapis.com/envoy.extensions.filters."


@dataclass(frozen=True)
class Variant:
    """How an Envoy asks for the filter. ``api_type`` is Envoy's word; ``aggregated``: by the stream of all types."""

    api_type: str = "DELTA_GRPC"
    aggregated: bool = True

    def __str__(self) -> str:
        return f"{'delta' if self.api_type == 'DELTA_GRPC' else 'sotw'}-{'ads' if self.aggregated else 'ecds'}"


def bootstrap(port: int, variant: Variant, *, default: bool = True) -> dict[str, Any]:
    """An Envoy that answers 200 to everything, unless the filter that it is sent does something else.

    ``default``: it has a default configuration, as people are told to have.
    """
    server = {
        "envoy_grpc": {
            "cluster_name": "hfi_xds",
            "retry_policy": {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.1s"}},
        }
    }
    api = {
        "api_type": variant.api_type,
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [server],
    }
    source: dict[str, Any] = {"resource_api_version": "V3", "initial_fetch_timeout": "10s"}
    source |= {"ads": {}} if variant.aggregated else {"api_config_source": api}
    discovery: dict[str, Any] = {
        "config_source": source,
        "type_urls": [f"{TYPES}http.wasm.v3.Wasm", f"{TYPES}http.fault.v3.HTTPFault"],
    }
    if default:
        discovery |= {
            "default_config": {"@type": f"{TYPES}http.fault.v3.HTTPFault"},
            "apply_default_config_without_warming": True,
        }
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = {
        "@type": f"{TYPES}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "hfi", "config_discovery": discovery},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPES}http.router.v3.Router"}},
        ],
    }
    listener = {
        "name": "ingress",
        "address": _address(0),
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    sink = {
        "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
        "transport_api_version": "V3",
        "grpc_service": server,
    }
    return {
        "node": {"id": "n1", "cluster": "c", "metadata": {"hfi": {"labels": {"track": "canary"}}}},
        "admin": {"address": _address(0)},
        "dynamic_resources": {"ads_config": api} if variant.aggregated else {},
        "stats_flush_interval": "0.2s",
        "stats_sinks": [{"name": "envoy.stat_sinks.metrics_service", "typed_config": sink}],
        "static_resources": {
            "listeners": [listener],
            # Nobody serves rules here; without them the filter lets everything pass.
            "clusters": [_cluster("hfi_xds", port), _cluster("hfi_http", 1)],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    protocol = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
    }
