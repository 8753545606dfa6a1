"""A bootstrap for an Envoy that gets everything else from the control plane.

What is in it has to be: who the Envoy is; the one stream by which all the rest comes; the two clusters, for that stream
and for the filter's rules; and the report of its metrics, which only a bootstrap can set up.
"""

from __future__ import annotations

import textwrap

from hfi_cli.bootstrap import plane
from hfi_cli.bootstrap.settings import Sidecar
from hfi_xds.scalars import scalar


def minimal(of: Sidecar) -> str:
    """Who this Envoy is, and how it reaches the control plane. What is not said here, its cluster's document says."""
    return f"""\
# An Envoy that gets its listener, routes, cluster and endpoints from HFI's control plane, and the filter in them.
# Written by: hfi-cli bootstrap --minimal

{plane.admin(of)}\
{plane.who(of)}\
{textwrap.indent(_wish(of), "  ")}
{plane.ADS}\
  # All of it on one stream, on which the control plane makes before it breaks.
  cds_config: {{ads: {{}}, resource_api_version: V3}}
  lds_config: {{ads: {{}}, resource_api_version: V3}}

{plane.SINK}
static_resources:
  clusters:
{textwrap.indent(plane.clusters(of), " " * 4)}"""


def _wish(of: Sidecar) -> str:
    """The node's metadata: its labels, and what it is to be; none when there is nothing to say."""
    said = {
        "labels": plane.labels(of) if of.labels else None,
        "listen": of.listen and scalar(str(of.listen)),
        "upstream": of.upstream and scalar(str(of.upstream)),
        "access_log": of.access_log and scalar(of.access_log),
        "bandwidth": None if of.bandwidth else "false",
    }
    lines = "".join(f"{name}: {value}\n" for name, value in said.items() if value is not None)
    about = "# What this Envoy is to be is said here or, where it is not, by its cluster's document, kind: Sidecar.\n"
    return about + (f"metadata:\n  hfi:\n{textwrap.indent(lines, ' ' * 4)}" if lines else "")
