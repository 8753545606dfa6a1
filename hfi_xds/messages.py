"""What goes in and out of a session, as values. Pure.

The discovery protocol's messages without their wire: ``wire`` converts. A request names what a client wants and
answers what it was sent; a response carries resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hfi_core.sidecars.model import NOTHING, Wish
from hfi_core.snapshot import NodeIdentity
from hfi_xds.resources import Resource

WILDCARD = "*"
#: The names of gRPC's status codes, by number.
CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
#: Codes that add nothing to the words: one that is not set, and the one that Envoy gives to each of its rejections.
_SAYS_NOTHING = {CODES.index("OK"), CODES.index("INTERNAL")}


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a client says it is.

    ``user_agent`` is like ``envoy/1.40.0``; ``wish`` is what it says of itself as a sidecar.
    """

    node: NodeIdentity
    user_agent: str = ""
    wish: Wish = NOTHING


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a response was not taken: a gRPC status code as a number, and the client's words."""

    code: int
    message: str

    @property
    def words(self) -> str:
        """``INVALID_ARGUMENT: no such filter``: the message, and before it the code where that says something."""
        if self.code in _SAYS_NOTHING:
            return self.message
        name = CODES[self.code] if 0 <= self.code < len(CODES) else f"code {self.code}"
        return f"{name}: {self.message}" if self.message else name


@dataclass(frozen=True, slots=True)
class SotwRequest:
    """State of the world: ``names`` is all that the client wants of this type, each time."""

    type_url: str = ""
    names: tuple[str, ...] = ()
    version: str = ""
    nonce: str = ""
    error: Rejection | None = None
    hello: Hello | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text of the client's that a session may remember."""
        return self.names


@dataclass(frozen=True, slots=True)
class DeltaRequest:
    """Incremental: what the client wants from now on, and no longer.

    ``initial_versions`` is what it has already, on the first message of a type when it comes back.
    """

    type_url: str = ""
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    error: Rejection | None = None
    hello: Hello | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text of the client's that a session may remember."""
        return (*self.subscribe, *self.initial_versions.keys(), *self.initial_versions.values())


@dataclass(frozen=True, slots=True)
class SotwResponse:
    """Resources of one type, under one version.

    ``ttl_seconds``: how long they live from now on, 0 for ever. ``heartbeat``: the client has them, and lives on.
    """

    type_url: str
    version: str
    nonce: str
    resources: tuple[Resource, ...]
    ttl_seconds: float = 0
    heartbeat: bool = False


@dataclass(frozen=True, slots=True)
class DeltaResponse:
    """Resources of one type that are new or changed, and names that do not exist. ``alive``: what the client has goes
    on living, as (name, version)."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    alive: tuple[tuple[str, str], ...] = ()
    ttl_seconds: float = 0

    @property
    def heartbeat(self) -> bool:
        """Whether it says nothing new."""
        return bool(self.alive)
