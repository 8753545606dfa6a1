"""Generated messages: the only door to them.

Generated from ``proto/envoy`` by ``proto/generate.py``; not to be edited. The message names are Envoy's own,
so that they are the same on the wire and under reflection; the file names are ours. One process can hold only
one definition of a name, so what is generated elsewhere for ``envoy.*`` or ``google.rpc`` (xds-protos,
googleapis-common-protos) must not be imported beside this.
"""

from hfi_xds.pb.core_pb2 import BuildVersion, ControlPlane, Node, TypedExtensionConfig
from hfi_xds.pb.discovery_pb2 import DESCRIPTOR as DISCOVERY_FILE
from hfi_xds.pb.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
)
from hfi_xds.pb.extension_pb2 import DESCRIPTOR as EXTENSION_FILE
from hfi_xds.pb.metrics_pb2 import DESCRIPTOR as METRICS_FILE
from hfi_xds.pb.metrics_pb2 import StreamMetricsMessage, StreamMetricsResponse
from hfi_xds.pb.prometheus_pb2 import COUNTER, GAUGE, HISTOGRAM, Histogram, MetricFamily
from hfi_xds.pb.status_pb2 import Status
from hfi_xds.pb.wasm_filter_pb2 import Wasm

__all__ = [
    "COUNTER",
    "DISCOVERY_FILE",
    "EXTENSION_FILE",
    "GAUGE",
    "HISTOGRAM",
    "METRICS_FILE",
    "BuildVersion",
    "ControlPlane",
    "DeltaDiscoveryRequest",
    "DeltaDiscoveryResponse",
    "DiscoveryRequest",
    "DiscoveryResponse",
    "Histogram",
    "MetricFamily",
    "Node",
    "Resource",
    "Status",
    "StreamMetricsMessage",
    "StreamMetricsResponse",
    "TypedExtensionConfig",
    "Wasm",
]
