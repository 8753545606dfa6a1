"""Generated messages: the only door to them.

Generated from ``proto/envoy`` by ``proto/generate.py``; not to be edited. The message names are Envoy's own,
so that they are the same on the wire and under reflection; the file names are ours. One process can hold only
one definition of a name, so what is generated elsewhere for ``envoy.*`` or ``google.rpc`` (xds-protos,
googleapis-common-protos) must not be imported beside this.
"""

from hfi_xds.pb.admin_pb2 import ACKED, NACKED, REQUESTED, UpdateFailureState
from hfi_xds.pb.assignment_pb2 import ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints
from hfi_xds.pb.client_status_pb2 import DESCRIPTOR as CLIENT_STATUS_FILE
from hfi_xds.pb.client_status_pb2 import (
    ERROR,
    STALE,
    SYNCED,
    ClientConfig,
    ClientStatusRequest,
    ClientStatusResponse,
)
from hfi_xds.pb.cluster_part_pb2 import ClusterPart
from hfi_xds.pb.cluster_pb2 import DESCRIPTOR as CLUSTER_FILE
from hfi_xds.pb.core_pb2 import Address, BuildVersion, ControlPlane, Node, SocketAddress, TypedExtensionConfig
from hfi_xds.pb.discovery_pb2 import DESCRIPTOR as DISCOVERY_FILE
from hfi_xds.pb.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
)
from hfi_xds.pb.endpoint_pb2 import DESCRIPTOR as ENDPOINT_FILE
from hfi_xds.pb.extension_pb2 import DESCRIPTOR as EXTENSION_FILE
from hfi_xds.pb.listener_pb2 import DESCRIPTOR as LISTENER_FILE
from hfi_xds.pb.matcher_pb2 import NodeMatcher, StringMatcher, StructMatcher, ValueMatcher
from hfi_xds.pb.metrics_pb2 import DESCRIPTOR as METRICS_FILE
from hfi_xds.pb.metrics_pb2 import StreamMetricsMessage, StreamMetricsResponse
from hfi_xds.pb.prometheus_pb2 import COUNTER, GAUGE, HISTOGRAM, Histogram, MetricFamily
from hfi_xds.pb.route_pb2 import DESCRIPTOR as ROUTE_FILE
from hfi_xds.pb.status_pb2 import Status
from hfi_xds.pb.wasm_filter_pb2 import Wasm

__all__ = [
    "ACKED",
    "CLIENT_STATUS_FILE",
    "CLUSTER_FILE",
    "COUNTER",
    "DISCOVERY_FILE",
    "ENDPOINT_FILE",
    "ERROR",
    "EXTENSION_FILE",
    "GAUGE",
    "HISTOGRAM",
    "LISTENER_FILE",
    "METRICS_FILE",
    "NACKED",
    "REQUESTED",
    "ROUTE_FILE",
    "STALE",
    "SYNCED",
    "Address",
    "BuildVersion",
    "ClientConfig",
    "ClientStatusRequest",
    "ClientStatusResponse",
    "ClusterLoadAssignment",
    "ClusterPart",
    "ControlPlane",
    "DeltaDiscoveryRequest",
    "DeltaDiscoveryResponse",
    "DiscoveryRequest",
    "DiscoveryResponse",
    "Endpoint",
    "Histogram",
    "LbEndpoint",
    "LocalityLbEndpoints",
    "MetricFamily",
    "Node",
    "NodeMatcher",
    "Resource",
    "SocketAddress",
    "Status",
    "StreamMetricsMessage",
    "StreamMetricsResponse",
    "StringMatcher",
    "StructMatcher",
    "TypedExtensionConfig",
    "UpdateFailureState",
    "ValueMatcher",
    "Wasm",
]
