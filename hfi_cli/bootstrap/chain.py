"""What a request goes through: HFI's filter between what Envoy itself does before and behind it, and the access log."""

from __future__ import annotations

import textwrap

from hfi_cli.bootstrap.scalars import scalar
from hfi_cli.bootstrap.settings import STDOUT

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
#: Envoy names the filter's ECDS resource as the filter is named in the listener.
FILTER = "hfi"
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
