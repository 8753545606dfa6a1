"""Envoy bootstraps with HFI in them, as commented YAML. Pure: addresses in, text out.

The text is written and not dumped: a bootstrap is read, copied and changed by people, so each choice that is not
obvious has its reason beside it. Every value that comes from outside goes through :func:`_scalar`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hfi_cli.address import Address
from hfi_core.errors import SettingsInvalid
from hfi_core.modules.filter_config import HTTP_CLUSTER, XDS_CLUSTER

#: Envoy names the filter's ECDS resource as the filter is named in the listener.
FILTER = "hfi"
UPSTREAM_CLUSTER = "upstream"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What one Envoy is to be told. ``http`` and ``xds`` name the control plane, a replica each.

    Raises :class:`~hfi_core.errors.SettingsInvalid` when Envoy could not start with it.
    """

    node_id: str
    cluster: str
    listen: Address
    upstream: Address
    admin: Address
    http: Sequence[Address]
    xds: Sequence[Address]
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, text in (("node id", self.node_id), ("cluster", self.cluster)):
            if not re.fullmatch(r"[!-~]+( [!-~]+)*", text) or len(text) > 253:
                # They travel in HTTP headers, and the control plane matches them.
                raise SettingsInvalid(f"the {name} {text!r} must be 1 to 253 visible ASCII characters")
        for name, address in (("listen", self.listen), ("admin", self.admin)):
            if not address.is_ip:
                raise SettingsInvalid(f"Envoy listens on IP addresses only: --{name} cannot be {address}")
        for name, addresses in (("upstream", [self.upstream]), ("http", self.http), ("xds", self.xds)):
            if not addresses or any(address.port == 0 for address in addresses):
                raise SettingsInvalid(f"--{name} needs an address with a port above 0: Envoy connects to it")
            if len({address.is_ip for address in addresses}) > 1:
                raise SettingsInvalid(f"--{name} mixes names and IP addresses; Envoy resolves a cluster in one way")
        for key, value in self.labels.items():
            if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9_./]*", key) or not re.fullmatch(r"[-A-Za-z0-9_.]*", value):
                raise SettingsInvalid(f"the label {key}={value} must be letters, digits, '-', '_' and '.'")


def sidecar(of: Sidecar) -> str:
    """A whole bootstrap: one listener in front of one application."""
    return (
        _HEAD
        + f"""\
admin:
  address: {_socket(of.admin)}

{_node(of)}
{_ADS}
{_sink()}
static_resources:
  listeners:
    - name: ingress
      address: {_socket(of.listen)}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {_HCM}
                stat_prefix: ingress
                codec_type: AUTO                         # HTTP/1.1 and HTTP/2, and so gRPC, on one port
                # Envoy ends a stream on which nothing moves for this long, and a delayed request is one: raise it
                # when a policy is to delay for longer.
                stream_idle_timeout: 300s
                route_config:
                  name: ingress
                  virtual_hosts:
                    - name: application
                      domains: ["*"]
                      routes:
                        - match: {{prefix: "/"}}
                          # 0s: what times out is the caller's and the application's business, as without a proxy.
                          route: {{cluster: {UPSTREAM_CLUSTER}, timeout: 0s}}
                http_filters:
{textwrap.indent(_filter("ads: {}"), " " * 18)}\
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: {UPSTREAM_CLUSTER}                                     # the application
      connect_timeout: 1s
{_endpoints(UPSTREAM_CLUSTER, [of.upstream])}\
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          # What came as HTTP/2 goes on as HTTP/2: gRPC needs it.
          use_downstream_protocol_config: {{http2_protocol_options: {{}}}}
{textwrap.indent(_control_plane(of), " " * 4)}"""
    )


def snippet(of: Sidecar) -> str:
    """What to add to a bootstrap that is there already: it leaves that bootstrap's own xDS alone.

    The text is a bootstrap by itself, so that Envoy can check it; what is not HFI's is marked.
    """
    own_stream = f"""\
api_config_source:                           # a stream of its own: your ads_config, if any, stays yours
  api_type: DELTA_GRPC
  transport_api_version: V3
  set_node_on_first_message_only: true
  grpc_services:
    - envoy_grpc:
        cluster_name: {XDS_CLUSTER}
        retry_policy: {{retry_back_off: {{base_interval: 0.1s, max_interval: 2s}}}}
"""
    return f"""\
# HFI in an Envoy that you configure yourself. Copy the parts marked 1 to 5; the rest stands for what you have.
# README.md, beside this file, explains each of them.

# 1. Who this proxy is. A policy's selector is compared with node.cluster and with these labels.
{_node(of)}
# 2. The filter's counters, to the control plane. Leave it out, and HFI works all the same, without metrics.
{_sink()}
static_resources:
  listeners:
    - name: yours
      address: {_socket(of.listen)}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {_HCM}
                stat_prefix: yours
                route_config:
                  virtual_hosts:
                    - name: yours
                      domains: ["*"]
                      routes: [{{match: {{prefix: "/"}}, route: {{cluster: yours}}}}]
                http_filters:
                  # 3. The filter, before the router; behind authentication, if faults are not to hide who called.
{textwrap.indent(_filter(own_stream), " " * 18)}\
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: yours
      connect_timeout: 1s
{_endpoints("yours", [of.upstream])}\
    # 4 and 5. The control plane, by these very names: the filter calls {HTTP_CLUSTER}.
{textwrap.indent(_control_plane(of), " " * 4)}"""


# -- parts --------------------------------------------------------------------------------------------------

_HEAD = """\
# An Envoy with HFI's filter, in front of one application. Written by: hfi-cli bootstrap
# Check it with: envoy --mode validate -c FILE

"""

_ADS = f"""\
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


def _node(of: Sidecar) -> str:
    labels = ", ".join(f"{_scalar(key)}: {_scalar(value)}" for key, value in sorted(of.labels.items()))
    return f"""\
node:
  id: {_scalar(of.node_id)}
  cluster: {_scalar(of.cluster)}
  metadata:
    hfi:
      labels: {{{labels}}}
"""


def _sink() -> str:
    return f"""\
# The filter's counters (wasmcustom.hfi.*) go to the control plane. A sink sends every stat that this Envoy has, some
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
      histogram_emit_mode: SUMMARY                       # HFI reads no histograms; this is the smaller form
      batch_size: 1000                                   # an Envoy of many stats stays below gRPC's 4 MB a message
      grpc_service: {{envoy_grpc: {{cluster_name: {XDS_CLUSTER}}}}}
"""


def _filter(source: str) -> str:
    """The filter's entry in ``http_filters``. ``source`` is where its configuration comes from."""
    origin = f"{source}\n" if "\n" not in source else source
    return f"""\
- name: {FILTER}
  config_discovery:
    config_source:
      resource_api_version: V3
{textwrap.indent(origin, " " * 6)}\
    # Until the control plane has sent the filter, and while there is none, requests pass: this default does
    # nothing, and it does not wait. Without it Envoy would answer 500.
    default_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
    apply_default_config_without_warming: true
    type_urls:
      - type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
      - type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
"""


def _control_plane(of: Sidecar) -> str:
    return f"""\
- name: {HTTP_CLUSTER}                                     # rules: the filter asks, and is held until there is news
  connect_timeout: 1s
{_endpoints(HTTP_CLUSTER, of.http, 2)}\
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config: {{http_protocol_options: {{}}}}
      # Between two requests, not during one. Shorter than the control plane's own 75 s, so that no request meets
      # a connection that is just being closed.
      common_http_protocol_options: {{idle_timeout: 60s}}
- name: {XDS_CLUSTER}                                      # the filter itself, and its counters back
  connect_timeout: 1s
{_endpoints(XDS_CLUSTER, of.xds, 2)}\
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options:
          # A control plane that vanished without a word is noticed after 35 s.
          connection_keepalive: {{interval: 30s, timeout: 5s}}
"""


def _endpoints(cluster: str, addresses: Sequence[Address], indent: int = 6) -> str:
    """The type of a cluster and where it is. Names are looked up again and again, addresses need no looking up."""
    kind = "type: STATIC" if addresses[0].is_ip else "type: STRICT_DNS\ndns_lookup_family: V4_PREFERRED"
    endpoints = "\n".join(f"        - endpoint: {{address: {_socket(address)}}}" for address in addresses)
    text = f"""\
{kind}
load_assignment:
  cluster_name: {cluster}
  endpoints:
    - lb_endpoints:
{endpoints}
"""
    return textwrap.indent(text, " " * indent)


def _socket(address: Address) -> str:
    return f"{{socket_address: {{address: {_scalar(address.host)}, port_value: {address.port}}}}}"


def _scalar(text: str) -> str:
    """A text as a YAML scalar: bare where it reads well and can be nothing else, quoted like JSON otherwise."""
    if re.fullmatch(r"[A-Za-z][-A-Za-z0-9_/]*|[0-9]{1,3}(\.[0-9]{1,3}){3}", text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text)


#: Plain words that YAML 1.1, which Envoy reads, takes for something else.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
