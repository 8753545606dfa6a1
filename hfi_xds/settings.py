"""What can be set of the xDS server, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, fields

from hfi_core.errors import SettingsInvalid


@dataclass(frozen=True, slots=True)
class XdsSettings:
    """Limits and times of the server. Raises :class:`SettingsInvalid` when one makes no sense."""

    max_streams: int = 10_000
    """Streams of all kinds at once; one more is refused with RESOURCE_EXHAUSTED. gRPC's own limit is not relied on
    (grpc/grpc#41531)."""

    max_streams_per_node: int = 32
    """Streams of all kinds of one node id. An Envoy has two or three, and those of before a reconnect until they are
    noticed to be gone; several Envoys under one id are a mistake."""

    hello_timeout_seconds: float = 60.0
    """A stream that has not said who it is by then is ended."""

    write_timeout_seconds: float = 20.0
    """A client that does not take a response for so long loses its stream, and its connection with it. About 4 MB fit
    between it and us."""

    max_concurrent_pushes: int = 100
    """Responses that are on their way to clients at one time; the rest wait, and then send what is newest. Each
    is in memory, and a module is a megabyte. A client that does not read counts for a second."""

    keepalive_seconds: float = 30.0
    """An idle connection is pinged after so long: a proxy that vanished without a word is noticed."""

    keepalive_timeout_seconds: float = 10.0
    """The answer to such a ping must come within."""

    min_ping_interval_seconds: float = 5.0
    """Clients may ping so often, also without data. gRPC's default is 300 s, and Envoys that ping every 30 s would be
    cut off for it."""

    max_connection_age_seconds: float = 1_800.0
    """Connections end after so long (gRPC adds a jitter of 10 %), so that replicas share the load anew; what a client
    has is not sent again. 0: never."""

    max_connection_age_grace_seconds: float = 5.0
    """Streams on such a connection have so long to end."""

    max_message_bytes: int = 4 * 1024 * 1024
    """Of what clients send. A first message is 61 KB, a report of metrics some 10 KB (Envoy's batch_size bounds it)."""

    resource_ttl_seconds: float = 0.0
    """Extension configurations live for so long without a heartbeat; then an Envoy falls back to its default. A third
    of it passes between heartbeats. 0: for ever."""

    identifier: str = "hfi"
    """``control_plane.identifier``: Envoy shows it as a stat, and so which replica it is connected to."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) or (value == 0 and field.name in _MAY_BE_ZERO):
                continue
            most = _MOST // 1_000 if field.name.endswith("_seconds") else _MOST
            if not 0 < value <= most:
                raise SettingsInvalid(f"xDS: {field.name} is {value}; it must be above 0 and at most {most}")


_MAY_BE_ZERO = frozenset({"max_connection_age_seconds", "resource_ttl_seconds"})
#: gRPC takes 32-bit numbers, and times in milliseconds.
_MOST = 2**31 - 1
