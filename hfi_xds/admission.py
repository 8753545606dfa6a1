"""Who a stream is, once it has said so: whether it may be that node, and how many streams that node has.

It also knows which nodes share a connection: a proxy in front of us may bring several, and only where one is alone may
its connection be cut for its sake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hfi_core.errors import NodeDenied
from hfi_core.tls import NodeNames, Peer
from hfi_xds.errors import StreamRefused


@dataclass(frozen=True, slots=True)
class Caller:
    """The other end of a stream: what its certificate says, and its address as gRPC writes it."""

    peer: Peer = field(default_factory=Peer)
    address: str = ""


class Admission:
    """``nodes``: whose certificate may be which node; None where clients have none. ``limit``: streams of one node."""

    def __init__(self, limit: int, nodes: NodeNames | None = None) -> None:
        self._limit = limit
        self._nodes = nodes
        self._streams: Counter[str] = Counter()
        self._connections: dict[str, Counter[str]] = {}

    def admit(self, caller: Caller, node_id: str) -> None:
        """Raises :class:`StreamRefused` when this caller may not be that node."""
        if self._nodes is not None:
            try:
                self._nodes.admit(caller.peer, node_id)
            except NodeDenied as denied:
                raise StreamRefused("PERMISSION_DENIED", str(denied), "denied") from denied

    @contextmanager
    def holding(self, caller: Caller, node_id: str) -> Iterator[None]:
        """A stream of this node, for as long as the block runs. Raises :class:`StreamRefused` when it may not be."""
        self.admit(caller, node_id)
        if self._streams[node_id] >= self._limit:
            raise StreamRefused(
                "RESOURCE_EXHAUSTED",
                f"node {node_id!r} has {self._limit} streams already; do several proxies have this id?",
                "node_limit",
            )
        here = self._connections.setdefault(caller.address, Counter())
        for counter, key in ((self._streams, node_id), (here, node_id)):
            counter[key] += 1
        try:
            yield
        finally:
            for counter, key in ((self._streams, node_id), (here, node_id)):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
            if not here and self._connections.get(caller.address) is here:
                del self._connections[caller.address]

    def alone(self, caller: Caller) -> bool:
        """Whether all streams on this connection are of one node."""
        return len(self._connections.get(caller.address, ())) == 1
