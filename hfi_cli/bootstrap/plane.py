"""How an Envoy reaches the control plane: who it is, its xDS stream, its report of metrics, and the two clusters."""

from __future__ import annotations

from collections.abc import Sequence

from hfi_cli.bootstrap.settings import ClientTls, Sidecar
from hfi_core.address import Address
from hfi_core.modules.filter_config import HTTP_CLUSTER, XDS_CLUSTER
from hfi_xds.scalars import endpoints, scalar, socket

ADS = f"""\
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC                                 # only what has changed is sent
    transport_api_version: V3
    set_node_on_first_message_only: true                 # a node is 60 KB; without this, so is every acknowledgement
    grpc_services:
      - envoy_grpc:
          cluster_name: {XDS_CLUSTER}
          # Without it Envoy waits up to 30 s before it tries again. Short, because only a response makes it start
          # anew at the base, and who comes back with everything up to date is sent none.
          retry_policy: {{retry_back_off: {{base_interval: 0.1s, max_interval: 0.5s}}}}
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
        retry_policy: {{retry_back_off: {{base_interval: 0.1s, max_interval: 0.5s}}}}
"""

SINK = f"""\
# The filter's metrics (wasmcustom.hfi.*) go to the control plane: hfi-cli metrics shows them, and a rollout of the
# filter's module sees errors by them. Without it faults are injected all the same. A sink sends every stat that this
# Envoy has, some 10 KB each time for a listener and a cluster, and the control plane drops what is not HFI's. The only
# way to send less is stats_config.stats_matcher, and that is left out on purpose: Envoy does not create at all what it
# excludes, so your dashboards would lose it. If nobody reads this Envoy's other stats, add:
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


def admin(of: Sidecar) -> str:
    """Envoy's own interface, where one is wanted. HFI asks it nothing."""
    return "" if of.admin is None else f"admin:\n  address: {socket(of.admin)}\n\n"


def node(of: Sidecar) -> str:
    """Who this Envoy is: what a policy's selector is compared with."""
    return f"{who(of)}  metadata:\n    hfi:\n      labels: {labels(of)}\n"


def who(of: Sidecar) -> str:
    """The node without its metadata."""
    return f"node:\n  id: {scalar(of.node_id)}\n  cluster: {scalar(of.cluster)}\n"


def labels(of: Sidecar) -> str:
    """Its labels, as a mapping in one line."""
    return "{" + ", ".join(f"{scalar(key)}: {scalar(value)}" for key, value in sorted(of.labels.items())) + "}"


def clusters(of: Sidecar) -> str:
    """The control plane's two sides, by the names that the filter knows."""
    return f"""\
- name: {HTTP_CLUSTER}                                     # rules: the filter asks, and is held until there is news
  connect_timeout: 1s
{endpoints(HTTP_CLUSTER, of.http, 2)}\
{_failover(of.http)}\
{_tls(of.tls, of.http, "http/1.1")}\
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
{_failover(of.xds)}\
{_tls(of.tls, of.xds, "h2")}\
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options:
          # A control plane that vanished without a word is noticed after 35 s.
          connection_keepalive: {{interval: 30s, timeout: 5s}}
"""


def _failover(replicas: Sequence[Address]) -> str:
    """Which replica is asked: any one, but for those that have just failed.

    Not by priority: every Envoy would go to the first one. Not in turn: the two streams to xDS would try again in step,
    one of them always at the replica that is gone. A name may be several replicas, an address is one.
    """
    if len(replicas) == 1 and replicas[0].is_ip:
        return ""
    return """\
  # Any replica, but for one whose connection has just broken or that has answered 502, 503 or 504: that one is left
  # alone for a second, and longer each time. When all have failed, all are tried. Without the 0s Envoy would go on
  # trying it for up to a second, where another one has come back within the second before.
  lb_policy: RANDOM
  common_lb_config: {healthy_panic_threshold: {value: 1}, update_merge_window: 0s}
  outlier_detection:
    split_external_local_origin_errors: true
    consecutive_local_origin_failure: 1
    consecutive_gateway_failure: 1
    enforcing_consecutive_gateway_failure: 100
    enforcing_success_rate: 0
    enforcing_local_origin_success_rate: 0
    interval: 0.5s
    base_ejection_time: 1s
    max_ejection_time: 5s
    max_ejection_percent: 100
"""


def _tls(tls: ClientTls | None, replicas: Sequence[Address], protocol: str) -> str:
    """The cluster's transport socket: who is believed to be the control plane, and what shows who this Envoy is."""
    if tls is None:
        return ""
    names = list(dict.fromkeys(tls.server_names or [address.host for address in replicas]))
    dns = [name for name in names if not Address(name, 0).is_ip]
    sni = f"\n      sni: {scalar(dns[0])}" if len(dns) == 1 else ""
    accepted = "\n".join(
        f"            - {{san_type: {'DNS' if name in dns else 'IP_ADDRESS'}, matcher: {{exact: {scalar(name)}}}}}"
        for name in names
    )
    mine = (
        f"""
        tls_certificates:                                # read at Envoy's start; a change needs another start, or SDS
          - certificate_chain: {{filename: {scalar(tls.cert)}}}
            private_key: {{filename: {scalar(tls.key)}}}"""
        if tls.cert and tls.key
        else ""
    )
    return f"""\
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext{sni}
      common_tls_context:
        tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}
        alpn_protocols: [{protocol}]{mine}
        validation_context:
          trusted_ca: {{filename: {scalar(tls.ca)}}}
          match_typed_subject_alt_names:                 # without it, whoever the CA has signed would do
{accepted}
"""
