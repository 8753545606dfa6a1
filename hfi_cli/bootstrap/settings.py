"""What one Envoy is to be told, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hfi_cli.address import Address
from hfi_core.errors import SettingsInvalid

#: As the path of an access log: Envoy's standard output.
STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What one Envoy is to be told. ``http`` and ``xds`` name the control plane, a replica each; ``access_log`` is a
    file, or :data:`STDOUT`, and without it there is no access log; without ``bandwidth``, policies have none.

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
    access_log: str | None = None
    bandwidth: bool = True

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
        if self.access_log is not None and not self.access_log.isprintable():
            raise SettingsInvalid("the path of the access log must be printable")
        if self.access_log == "":
            raise SettingsInvalid(f"--access-log needs the path of a file, or {STDOUT} for standard output")
