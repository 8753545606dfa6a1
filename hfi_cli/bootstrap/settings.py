"""What one Envoy is to be told, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid
from hfi_xds.chain import STDOUT


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How an Envoy proves the control plane's name and its own. ``ca``, ``cert`` and ``key`` are PEM files where Envoy
    runs. ``server_names``: what the control plane's certificate may say; without any, the hosts that are connected to.

    Raises :class:`~hfi_core.errors.SettingsInvalid`.
    """

    ca: str
    cert: str | None = None
    key: str | None = None
    server_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, ca: str | None, cert: str | None, key: str | None, server_names: Sequence[str] = ()) -> Self | None:
        """From the options of the command line; None without any. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
        if ca is None:
            given = {"--cert": cert, "--key": key, "--server-name": server_names}
            alone = [flag for flag, value in given.items() if value]
            if alone:
                raise SettingsInvalid(f"{', '.join(alone)}: TLS needs --ca, so that Envoy knows whom it talks to")
            return None
        return cls(ca, cert, key, tuple(server_names))

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise SettingsInvalid("--cert and --key belong together: a certificate without its key proves nothing")
        for option, path in (("--ca", self.ca), ("--cert", self.cert), ("--key", self.key)):
            if path is not None and (not path or not path.isprintable()):
                raise SettingsInvalid(f"{option} needs the printable path of a PEM file")
        for name in self.server_names:
            if not re.fullmatch(r"[A-Za-z0-9:]([-A-Za-z0-9_.:]*[A-Za-z0-9])?", name):
                raise SettingsInvalid(f"--server-name {name!r} is neither a DNS name nor an IP address")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What one Envoy is to be told. ``http`` and ``xds`` name the control plane, a replica each; ``access_log`` is a
    file, or ``-`` for standard output, and without it there is no access log; without ``bandwidth``, policies have
    none; without ``tls``, the control plane is reached in plaintext. ``listen`` and ``upstream`` may be None only where
    the control plane says them (:mod:`~hfi_cli.bootstrap.minimal`). Without ``admin``, Envoy has no interface of its
    own.

    Raises :class:`~hfi_core.errors.SettingsInvalid` when Envoy could not start with it.
    """

    node_id: str
    cluster: str
    listen: Address | None
    upstream: Address | None
    admin: Address | None
    http: Sequence[Address]
    xds: Sequence[Address]
    labels: Mapping[str, str] = field(default_factory=dict)
    access_log: str | None = None
    bandwidth: bool = True
    tls: ClientTls | None = None

    def __post_init__(self) -> None:
        for name, text in (("node id", self.node_id), ("cluster", self.cluster)):
            if not re.fullmatch(r"[!-~]+( [!-~]+)*", text) or len(text) > 253:
                # They travel in HTTP headers, and the control plane matches them.
                raise SettingsInvalid(f"the {name} {text!r} must be 1 to 253 visible ASCII characters")
        for name, address in (("listen", self.listen), ("admin", self.admin)):
            if address is not None and not address.is_ip:
                raise SettingsInvalid(f"Envoy listens on IP addresses only: --{name} cannot be {address}")
        upstream = () if self.upstream is None else (self.upstream,)
        for name, addresses in (("upstream", upstream), ("http", self.http), ("xds", self.xds)):
            if (not addresses and name != "upstream") or any(address.port == 0 for address in addresses):
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

    def places(self) -> tuple[Address, Address]:
        """Where it listens, and its application. Raises :class:`~hfi_core.errors.SettingsInvalid` without both."""
        if self.listen is None or self.upstream is None:
            raise SettingsInvalid("--upstream is needed, unless the control plane is to say it: --minimal")
        return self.listen, self.upstream
