"""Whole files: a bootstrap for an Envoy of HFI's own, and what to add to one that is there already."""

from __future__ import annotations

import textwrap

from hfi_cli.bootstrap import plane
from hfi_cli.bootstrap.settings import Sidecar
from hfi_core.modules.filter_config import HTTP_CLUSTER
from hfi_xds import chain
from hfi_xds.scalars import endpoints, socket


def sidecar(of: Sidecar) -> str:
    """A whole bootstrap: one listener in front of one application."""
    listen, upstream = of.places()
    routes = "route_config:\n" + textwrap.indent(chain.routes(), "  ")
    manager = chain.manager(routes, "ads: {}", access_log_path=of.access_log, bandwidth=of.bandwidth)
    return f"""\
# An Envoy with HFI's filter, in front of one application. Written by: hfi-cli bootstrap
# Check it with: envoy --mode validate -c FILE

{plane.admin(of)}\
{plane.node(of)}
{plane.ADS}
{plane.SINK}
static_resources:
  listeners:
    - name: {chain.INGRESS}
      address: {socket(listen)}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
{textwrap.indent(manager, " " * 16)}\
  clusters:
{_item(chain.upstream(endpoints(chain.UPSTREAM, [upstream], 0)), 4)}\
{textwrap.indent(plane.clusters(of), " " * 4)}"""


def snippet(of: Sidecar) -> str:
    """What to add to a bootstrap that is there already: it leaves that bootstrap's own xDS alone.

    The text is a bootstrap by itself, so that Envoy can check it; what is not HFI's is marked.
    """
    listen, upstream = of.places()
    return f"""\
# HFI in an Envoy that you configure yourself. Copy the parts marked 1 to 7; the rest stands for what you have.
# README.md, beside this file, explains each of them.

# 1. Who this proxy is. A policy's selector is compared with node.cluster and with these labels.
{plane.node(of)}
# 2. This may be left out.
{plane.SINK}
static_resources:
  listeners:
    - name: yours
      address: {socket(listen)}
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
{endpoints("yours", [upstream])}\
    # 6 and 7. The control plane, by these very names: the filter calls {HTTP_CLUSTER}.
{textwrap.indent(plane.clusters(of), " " * 4)}"""


def _item(mapping: str, indent: int) -> str:
    """A mapping, as an item of a list."""
    return " " * indent + "- " + textwrap.indent(mapping, " " * (indent + 2)).lstrip()
