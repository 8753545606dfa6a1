"""Whole files: a bootstrap for an Envoy of HFI's own, and what to add to one that is there already."""

from __future__ import annotations

import textwrap

from hfi_cli.bootstrap import chain, plane
from hfi_cli.bootstrap.scalars import endpoints, socket
from hfi_cli.bootstrap.settings import Sidecar
from hfi_core.modules.filter_config import HTTP_CLUSTER

UPSTREAM_CLUSTER = "upstream"


def sidecar(of: Sidecar) -> str:
    """A whole bootstrap: one listener in front of one application."""
    return f"""\
# An Envoy with HFI's filter, in front of one application. Written by: hfi-cli bootstrap
# Check it with: envoy --mode validate -c FILE

admin:
  address: {socket(of.admin)}

{plane.node(of)}
{plane.ADS}
{plane.SINK}
static_resources:
  listeners:
    - name: ingress
      address: {socket(of.listen)}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {chain.HCM}
                stat_prefix: ingress
                codec_type: AUTO                         # HTTP/1.1 and HTTP/2, and so gRPC, on one port
                # Envoy ends a stream on which nothing moves for this long, and a delayed request is one: raise it
                # when a policy is to delay for longer.
                stream_idle_timeout: 300s
{textwrap.indent(chain.guard(), " " * 16)}\
{textwrap.indent(chain.access_log(of.access_log), " " * 16)}\
                route_config:
                  name: ingress
                  # What HFI tells Envoy's fault filter is not for the application, nor for an Envoy in front of that.
                  {chain.kept_from_upstream()}\
                  virtual_hosts:
                    - name: application
                      domains: ["*"]
                      routes:
                        - match: {{prefix: "/"}}
                          # 0s: what times out is the caller's and the application's business, as without a proxy.
                          route: {{cluster: {UPSTREAM_CLUSTER}, timeout: 0s}}
                http_filters:
{textwrap.indent(chain.filters("ads: {}", bandwidth=of.bandwidth), " " * 18)}\
  clusters:
    - name: {UPSTREAM_CLUSTER}                                     # the application
      connect_timeout: 1s
{endpoints(UPSTREAM_CLUSTER, [of.upstream])}\
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          # What came as HTTP/2 goes on as HTTP/2: gRPC needs it.
          use_downstream_protocol_config: {{http2_protocol_options: {{}}}}
{textwrap.indent(plane.clusters(of), " " * 4)}"""


def snippet(of: Sidecar) -> str:
    """What to add to a bootstrap that is there already: it leaves that bootstrap's own xDS alone.

    The text is a bootstrap by itself, so that Envoy can check it; what is not HFI's is marked.
    """
    return f"""\
# HFI in an Envoy that you configure yourself. Copy the parts marked 1 to 7; the rest stands for what you have.
# README.md, beside this file, explains each of them.

# 1. Who this proxy is. A policy's selector is compared with node.cluster and with these labels.
{plane.node(of)}
# 2. The filter's metrics, to the control plane. Leave it out, and HFI works all the same, without metrics.
{plane.SINK}
static_resources:
  listeners:
    - name: yours
      address: {socket(of.listen)}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {chain.HCM}
                stat_prefix: yours
                # 3. Clients' headers that steer faults end here.
{textwrap.indent(chain.guard(), " " * 16)}\
{textwrap.indent(chain.access_log(of.access_log), " " * 16)}\
                route_config:
                  # 4. What HFI tells Envoy's fault filter is not for your application, nor for an Envoy in front of it.
                  {chain.kept_from_upstream()}\
                  virtual_hosts:
                    - name: yours
                      domains: ["*"]
                      routes: [{{match: {{prefix: "/"}}, route: {{cluster: yours}}}}]
                http_filters:
                  # 5. What is named hfi, together and before the router; behind authentication, if faults are not to
                  # hide who called.
{textwrap.indent(chain.filters(plane.OWN_STREAM, bandwidth=of.bandwidth), " " * 18)}\
  clusters:
    - name: yours
      connect_timeout: 1s
{endpoints("yours", [of.upstream])}\
    # 6 and 7. The control plane, by these very names: the filter calls {HTTP_CLUSTER}.
{textwrap.indent(plane.clusters(of), " " * 4)}"""
