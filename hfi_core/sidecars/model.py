"""The sidecar as a value, from whoever says it: the node itself, or a document for its cluster. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid

#: Addresses of one application. Behind more than that stands a service of its own.
MAX_UPSTREAMS = 64
MAX_PATH = 1_024


@dataclass(frozen=True, slots=True)
class Sidecar:
    """All that an Envoy needs to know. ``access_log``: a file, ``-`` for standard output, None for none."""

    listen: Address
    upstream: tuple[Address, ...]
    access_log: str | None = None
    bandwidth: bool = True

    @property
    def by_name(self) -> bool:
        """Whether the application is to be looked up by its name."""
        return not self.upstream[0].is_ip


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody says of it; None: says nothing of that."""

    listen: Address | None = None
    upstream: tuple[Address, ...] | None = None
    access_log: str | None = None
    bandwidth: bool | None = None


NOTHING = Wish()


def missing(own: Wish, document: Wish | None) -> tuple[str, ...]:
    """Which of ``listen`` and ``upstream`` nobody says; without both there is no sidecar."""
    other = document or NOTHING
    said = {"listen": own.listen or other.listen, "upstream": own.upstream or other.upstream}
    return tuple(field for field, value in said.items() if value is None)


def complete(own: Wish, document: Wish | None) -> Sidecar | None:
    """What a node is to be: by its own word first, and by its cluster's document where it says nothing.

    None: it is not known where it listens, or for whom.
    """
    other = document or NOTHING
    listen, upstream = own.listen or other.listen, own.upstream or other.upstream
    if listen is None or upstream is None:
        return None
    bandwidth = next((said for said in (own.bandwidth, other.bandwidth) if said is not None), True)
    return Sidecar(listen, upstream, own.access_log or other.access_log, bandwidth)


def listen_address(text: str) -> Address:
    """Where an Envoy can listen. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
    address = Address.parse(text)
    if not address.is_ip:
        raise SettingsInvalid(f"Envoy listens on IP addresses only, not on {address}")
    return address


def upstream_addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    """Where an application can be reached. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
    addresses = tuple(Address.parse(text) for text in texts)
    if not 0 < len(addresses) <= MAX_UPSTREAMS:
        raise SettingsInvalid(f"needs 1 to {MAX_UPSTREAMS} addresses")
    if any(address.port == 0 for address in addresses):
        raise SettingsInvalid("needs a port above 0: Envoy connects to it")
    if len({address.is_ip for address in addresses}) > 1:
        raise SettingsInvalid("mixes names and IP addresses; Envoy resolves a cluster in one way")
    if len(set(addresses)) < len(addresses):
        raise SettingsInvalid("names an address twice")
    return addresses


def log_path(text: str) -> str:
    """The path of an access log. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
    if not text or not text.isprintable() or len(text) > MAX_PATH:
        raise SettingsInvalid(f"must be the path of a file, at most {MAX_PATH} characters, or - for standard output")
    return text
