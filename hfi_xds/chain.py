"""What a request goes through: HFI's filter between what Envoy itself does before and behind it, and the access log.

YAML, as it stands in a bootstrap, because people read it there. ``sidecar_resources`` makes resources of the same text:
what a sidecar gets by xDS is what a bootstrap would have said. Pure.
"""

from __future__ import annotations

import textwrap

from hfi_xds.scalars import scalar

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
#: Envoy names the filter's ECDS resource as the filter is named in the listener.
FILTER = "hfi"
#: As the path of an access log: Envoy's standard output.
STDOUT = "-"
#: What the listener and the route configuration of a sidecar are called, and the cluster of its application.
INGRESS = "ingress"
UPSTREAM = "upstream"
#: By headers of this prefix, Envoy's own fault filter can be steered.
STEERING = "x-envoy-fault-"
#: By this one HFI tells it how fast a response may be.
THROUGHPUT = f"{STEERING}throughput-response"

_BANDWIDTH = f"""\
# A policy's bandwidth: HFI says by {THROUGHPUT} how fast a response may be,
# and this filter, which does nothing else, keeps to it without buffering.
- name: {FILTER}-bandwidth
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
    response_rate_limit: {{header_limit: {{}}, percentage: {{numerator: 100}}}}
    disable_downstream_cluster_stats: true               # for faults that are not asked of it
"""


def guard() -> str:
    """For a connection manager: no client's header reaches the filters. Unlike a filter, it cannot stand too late."""
    return f"""\
early_header_mutation_extensions:
  # Before all filters: by these headers a client could steer Envoy's fault filter, and only HFI may.
  - name: {FILTER}-headers
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
      mutations:
        - remove_on_match: {{key_matcher: {{prefix: {STEERING}}}}}
"""


def filters(source: str, *, bandwidth: bool) -> str:
    """``http_filters``: HFI's, in their order, and the router. ``source`` is where the filter's settings come from.

    The native one has a name of its own: settings that a route has for ``envoy.filters.http.fault`` are meant for
    another one.
    """
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
{_BANDWIDTH if bandwidth else ""}\
- name: envoy.filters.http.router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"""


def manager(routes: str, source: str, *, access_log_path: str | None, bandwidth: bool) -> str:
    """The connection manager of a sidecar. ``routes`` says where its routes are, ``source`` where the filter is."""
    return f"""\
"@type": {HCM}
stat_prefix: {INGRESS}
codec_type: AUTO                         # HTTP/1.1 and HTTP/2, and so gRPC, on one port
# Envoy ends a stream on which nothing moves for this long, and a delayed request is one: raise it
# when a policy is to delay for longer.
stream_idle_timeout: 300s
{guard()}\
{access_log(access_log_path)}\
{routes}\
http_filters:
{textwrap.indent(filters(source, bandwidth=bandwidth), "  ")}"""


def routes() -> str:
    """The route configuration of a sidecar: everything goes to the application."""
    return f"""\
name: {INGRESS}
# What HFI tells Envoy's fault filter is not for the application, nor for an Envoy in front of that.
{kept_from_upstream()}\
virtual_hosts:
  - name: application
    domains: ["*"]
    routes:
      - match: {{prefix: "/"}}
        # 0s: what times out is the caller's and the application's business, as without a proxy.
        route: {{cluster: {UPSTREAM}, timeout: 0s}}
"""


def upstream(where: str) -> str:
    """The cluster of the application; ``where`` says where that is."""
    return f"""\
name: {UPSTREAM}                                     # the application
connect_timeout: 1s
{where}\
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    # What came as HTTP/2 goes on as HTTP/2: gRPC needs it.
    use_downstream_protocol_config: {{http2_protocol_options: {{}}}}
"""


def kept_from_upstream() -> str:
    """For a route configuration: what HFI tells Envoy's fault filter is not for the application, or its own Envoy."""
    return f"request_headers_to_remove: [{THROUGHPUT}]\n"


def access_log(path: str | None) -> str:
    """The connection manager's ``access_log``, one JSON object a request; nothing when ``path`` is None."""
    if path is None:
        return ""
    kind = "stdout" if path == STDOUT else "file"
    log = "stream.v3.StdoutAccessLog" if path == STDOUT else "file.v3.FileAccessLog"
    where = "" if path == STDOUT else f"\n      path: {scalar(path)}"
    return f"""\
access_log:
  - name: envoy.access_loggers.{kind}
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.{log}{where}
      log_format:
        json_format:
          time: "%START_TIME%"
          method: "%REQ(:METHOD)%"
          authority: "%REQ(:AUTHORITY)%"
          path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"
          status: "%RESPONSE_CODE%"
          # <policy>/<rule> that acted on this request, or null. A policy's `mark: false` does not hide it here.
          fault: "%FILTER_STATE(wasm.hfi.fault:PLAIN)%"
          duration_ms: "%DURATION%"
          flags: "%RESPONSE_FLAGS%"
          details: "%RESPONSE_CODE_DETAILS%"
"""
