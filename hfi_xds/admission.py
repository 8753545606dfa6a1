"""Who a stream is, once it has said so: whether it may be that node, and how many streams that node has.

Who only asks for status need not be a node: such streams are counted by the host that they come from.

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

    @property
    def host(self) -> str:
        """Its address without the port, which is another for each connection."""
        return self.address.rpartition(":")[0]


#: A node by its id, or nobody in particular by the host.
_Who = str | tuple[str]


class Admission:
    """``nodes``: whose certificate may be which node; None where clients have none. ``limit``: streams of one node."""

    def __init__(self, limit: int, nodes: NodeNames | None = None) -> None:
        self._limit = limit
        self._nodes = nodes
        self._streams: Counter[_Who] = Counter()
        self._connections: dict[str, Counter[_Who]] = {}

    def admit(self, caller: Caller, node_id: str) -> None:
        """Raises :class:`StreamRefused` when this caller may not be that node."""
        if self._nodes is not None:
            try:
                self._nodes.admit(caller.peer, node_id)
            except NodeDenied as denied:
                raise StreamRefused("PERMISSION_DENIED", str(denied), "denied") from denied

    @contextmanager
    def holding(self, caller: Caller, node_id: str | None) -> Iterator[None]:
        """A stream of this node, or of nobody in particular, for as long as the block runs.

        Raises :class:`StreamRefused` when it may not be.
        """
        if node_id is not None:
            self.admit(caller, node_id)
        who: _Who = (caller.host,) if node_id is None else node_id
        if self._streams[who] >= self._limit:
            whose = f"{caller.host} has" if node_id is None else f"node {node_id!r} has"
            hint = "" if node_id is None else "; do several proxies have this id?"
            raise StreamRefused("RESOURCE_EXHAUSTED", f"{whose} {self._limit} streams already{hint}", "node_limit")
        here = self._connections.setdefault(caller.address, Counter())
        for counter in (self._streams, here):
            counter[who] += 1
        try:
            yield
        finally:
            for counter in (self._streams, here):
                counter[who] -= 1
                if not counter[who]:
                    del counter[who]
            if not here and self._connections.get(caller.address) is here:
                del self._connections[caller.address]

    def alone(self, caller: Caller) -> bool:
        """Whether all streams on this connection are of one node."""
        return len(self._connections.get(caller.address, ())) == 1
