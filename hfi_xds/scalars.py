"""Single values as YAML: every text that comes from outside goes through here."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence

from hfi_core.address import Address

#: Plain words that YAML 1.1, which Envoy reads, takes for something else.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
#: The type of a cluster whose names are looked up again and again, as YAML.
BY_NAME = "type: STRICT_DNS\ndns_lookup_family: V4_PREFERRED"


def scalar(text: str) -> str:
    """A text as a YAML scalar: bare where it reads well and can be nothing else, quoted like JSON otherwise."""
    if re.fullmatch(r"[A-Za-z][-A-Za-z0-9_/]*|[0-9]{1,3}(\.[0-9]{1,3}){3}", text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text)


def socket(address: Address) -> str:
    """An address, as Envoy writes it."""
    return f"{{socket_address: {{address: {scalar(address.host)}, port_value: {address.port}}}}}"


def endpoints(cluster: str, addresses: Sequence[Address], indent: int = 6) -> str:
    """The type of a cluster and where it is. Addresses need no looking up."""
    kind = "type: STATIC" if addresses[0].is_ip else BY_NAME
    lines = "\n".join(f"        - endpoint: {{address: {socket(address)}}}" for address in addresses)
    text = f"""\
{kind}
load_assignment:
  cluster_name: {cluster}
  endpoints:
    - lb_endpoints:
{lines}
"""
    return textwrap.indent(text, " " * indent)
