"""Addresses as people type them: ``HOST:PORT``, with ``[...]`` around an IPv6 address."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

from hfi_core.errors import SettingsInvalid

_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name or IP address, without brackets) and a port. Port 0 lets the system choose, where one listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises :class:`~hfi_core.errors.SettingsInvalid`."""
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise SettingsInvalid(f"{text!r} is not an address; write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
        is_v6 = _version(host) == 6
        if is_v6 != bracketed or (not is_v6 and not _HOST.fullmatch(host)):
            raise SettingsInvalid(f"{text!r} has no host that could be one; an IPv6 address stands in brackets")
        return cls(host, int(port))

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address, and not a name."""
        return _version(self.host) is not None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect: a loopback address, or the name ``localhost``."""
        if self.is_ip:
            return ipaddress.ip_address(self.host).is_loopback
        return self.host.rstrip(".").lower() == "localhost"

    def with_port(self, port: int) -> Address:
        """The same host, another port."""
        return Address(self.host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _version(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None
