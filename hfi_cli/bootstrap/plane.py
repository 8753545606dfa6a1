"""How an Envoy reaches the control plane: who it is, its xDS stream, its report of metrics, and the two clusters."""

from __future__ import annotations

from hfi_cli.bootstrap.scalars import endpoints, scalar
from hfi_cli.bootstrap.settings import Sidecar
from hfi_core.modules.filter_config import HTTP_CLUSTER, XDS_CLUSTER

ADS = f"""\
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC                                 # only what has changed is sent
    transport_api_version: V3
    set_node_on_first_message_only: true                 # a node is 60 KB; without this, so is every acknowledgement
    grpc_services:
      - envoy_grpc:
          cluster_name: {XDS_CLUSTER}
          # Without it Envoy waits up to 30 s before it tries again.
          retry_policy: {{retry_back_off: {{base_interval: 0.1s, max_interval: 2s}}}}
"""

#: For one filter alone, where ``ads_config`` is somebody else's.
OWN_STREAM = f"""\
api_config_source:                           # a stream of its own: your ads_config, if any, stays yours
  api_type: DELTA_GRPC
  transport_api_version: V3
  set_node_on_first_message_only: true
  grpc_services:
    - envoy_grpc:
        cluster_name: {XDS_CLUSTER}
        retry_policy: {{retry_back_off: {{base_interval: 0.1s, max_interval: 2s}}}}
"""

SINK = f"""\
# The filter's metrics (wasmcustom.hfi.*) go to the control plane. A sink sends every stat that this Envoy has, some
# 10 KB each time for a listener and a cluster, and the control plane drops what is not HFI's. The only way to send
# less is stats_config.stats_matcher, and that is left out on purpose: Envoy does not create at all what it excludes,
# so your dashboards would lose it. If nobody reads this Envoy's other stats, add:
#   stats_config: {{stats_matcher: {{inclusion_list: {{patterns: [{{prefix: wasmcustom.hfi}}]}}}}}}
stats_flush_interval: 1s                                 # of all sinks; 5s is enough unless you watch live
stats_sinks:
  - name: envoy.stat_sinks.metrics_service
    typed_config:
      "@type": type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig
      transport_api_version: V3
      report_counters_as_deltas: false                   # absolute values: a report that is lost loses nothing
      histogram_emit_mode: HISTOGRAM                     # buckets can be added up over proxies, quantiles cannot
      batch_size: 1000                                   # an Envoy of many stats stays below gRPC's 4 MB a message
      grpc_service: {{envoy_grpc: {{cluster_name: {XDS_CLUSTER}}}}}
"""


def node(of: Sidecar) -> str:
    """Who this Envoy is: what a policy's selector is compared with."""
    labels = ", ".join(f"{scalar(key)}: {scalar(value)}" for key, value in sorted(of.labels.items()))
    return f"""\
node:
  id: {scalar(of.node_id)}
  cluster: {scalar(of.cluster)}
  metadata:
    hfi:
      labels: {{{labels}}}
"""


def clusters(of: Sidecar) -> str:
    """The control plane's two sides, by the names that the filter knows."""
    return f"""\
- name: {HTTP_CLUSTER}                                     # rules: the filter asks, and is held until there is news
  connect_timeout: 1s
{endpoints(HTTP_CLUSTER, of.http, 2)}\
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config: {{http_protocol_options: {{}}}}
      # Between two requests, not during one. Shorter than the control plane's own 75 s, so that no request meets
      # a connection that is just being closed.
      common_http_protocol_options: {{idle_timeout: 60s}}
- name: {XDS_CLUSTER}                                      # the filter itself, and its metrics back
  connect_timeout: 1s
{endpoints(XDS_CLUSTER, of.xds, 2)}\
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options:
          # A control plane that vanished without a word is noticed after 35 s.
          connection_keepalive: {{interval: 30s, timeout: 5s}}
"""
