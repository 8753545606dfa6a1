"""What is known of each proxy: its xDS streams, what it acknowledged, and how far its rules are.

The only arrow back from the data plane. It can never cause a snapshot: nothing here is read by the feed.
Both servers write here and neither reads the other's mind: xDS says what became of the module, SSE how far
the rules are. One event loop, no locks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from hfi_core.clock import now_ms
from hfi_core.snapshot import NodeIdentity

#: A proxy that has shown no sign of life for so long is forgotten. Longer than any poll and any backoff.
FORGET_AFTER_MS = 15 * 60_000
#: Nodes are named by whoever connects, so their number is bounded; the longest silent go first.
MAX_PROXIES = 20_000

ResourceState = Literal["sent", "acked", "nacked", "not_applied"]


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """What became of one xDS resource at one node.

    ``digest`` is the resource version that was sent. ``not_applied``: acknowledged, but this Envoy rejected
    the same content before and so kept what it had (research of Envoy 1.40; see ``docs/xds.md``). ``applied`` is the
    version that the node last said it has, which the registry keeps; empty when it has said that of none.
    """

    type_url: str
    name: str
    digest: str
    state: ResourceState
    message: str = ""
    at_ms: int = 0
    applied: str = ""


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """One proxy. ``rules_version`` is how far its rules are up to date; None before its first confirmed poll."""

    node: NodeIdentity
    first_seen_ms: int
    last_seen_ms: int
    xds_streams: int = 0
    user_agent: str = ""
    resources: tuple[ResourceStatus, ...] = ()
    rules_version: int | None = None
    rules_epoch: str = ""
    rules_seen_ms: int | None = None
    polling: bool = False

    @property
    def connected(self) -> bool:
        """Whether it holds an xDS stream or waits for rules right now."""
        return self.xds_streams > 0 or self.polling


@dataclass(slots=True)
class _Proxy:
    """What is known of one, while it changes: each response to it and each answer of it is noted here."""

    node: NodeIdentity
    first_seen_ms: int
    last_seen_ms: int
    xds_streams: int = 0
    user_agent: str = ""
    #: By type and name, the newest last.
    resources: dict[tuple[str, str], ResourceStatus] = field(default_factory=dict)
    rules_version: int | None = None
    rules_epoch: str = ""
    rules_seen_ms: int | None = None
    polling: bool = False
    #: The same as a value; None since something has changed.
    known: ProxyStatus | None = None

    @property
    def connected(self) -> bool:
        return self.xds_streams > 0 or self.polling

    def status(self) -> ProxyStatus:
        """As a value: the same one until something changes."""
        if self.known is None:
            self.known = ProxyStatus(
                self.node,
                self.first_seen_ms,
                self.last_seen_ms,
                self.xds_streams,
                self.user_agent,
                tuple(self.resources.values()),
                self.rules_version,
                self.rules_epoch,
                self.rules_seen_ms,
                self.polling,
            )
        return self.known


class ProxyRegistry:
    """The proxies of this replica, by node id."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._proxies: dict[str, _Proxy] = {}
        self._changed: set[str] = set()

    def list(self) -> tuple[ProxyStatus, ...]:
        """Every known proxy, by id; those silent for too long are forgotten first."""
        oldest = self._clock() - FORGET_AFTER_MS
        for proxy in [p for p in self._proxies.values() if not p.connected and p.last_seen_ms < oldest]:
            self._forget(proxy.node.id)
        return tuple(self._proxies[node_id].status() for node_id in sorted(self._proxies))

    def get(self, node_id: str) -> ProxyStatus | None:
        """What is known of one proxy."""
        proxy = self._proxies.get(node_id)
        return None if proxy is None else proxy.status()

    def take_changed(self) -> frozenset[str]:
        """The nodes of which something was told, or that were forgotten, since this was last asked."""
        changed, self._changed = frozenset(self._changed), set()
        return changed

    # -- xDS ------------------------------------------------------------------------------------------------

    def stream_opened(self, node: NodeIdentity, user_agent: str = "") -> None:
        """A discovery stream of this node has said who it is."""
        proxy = self._seen(node)
        proxy.xds_streams += 1
        proxy.user_agent = user_agent or proxy.user_agent

    def stream_closed(self, node_id: str) -> None:
        """That stream has ended."""
        proxy = self._told(node_id)
        if proxy is not None:
            proxy.xds_streams = max(0, proxy.xds_streams - 1)

    def resource(self, node_id: str, status: ResourceStatus) -> None:
        """What became of a resource; replaces what was known of the same type and name."""
        proxy = self._told(node_id)
        if proxy is not None:
            before = proxy.resources.pop((status.type_url, status.name), None)
            proxy.resources[status.type_url, status.name] = ResourceStatus(
                status.type_url,
                status.name,
                status.digest,
                status.state,
                status.message,
                status.at_ms or proxy.last_seen_ms,
                status.digest if status.state == "acked" else "" if before is None else before.applied,
            )

    # -- rules ----------------------------------------------------------------------------------------------

    def rules_reached(self, node: NodeIdentity, version: int, epoch: str) -> None:
        """This node's rules are what version ``version`` says: it confirmed them, or nothing newer concerns it."""
        proxy = self._seen(node)
        proxy.rules_version, proxy.rules_epoch, proxy.rules_seen_ms = version, epoch, proxy.last_seen_ms

    def polling(self, node: NodeIdentity, waiting: bool) -> None:
        """Whether a poll of this node is parked with us."""
        self._seen(node).polling = waiting

    # -------------------------------------------------------------------------------------------------------

    def _seen(self, node: NodeIdentity) -> _Proxy:
        """That one, about which something is being told; made when it is new."""
        proxy = self._told(node.id)
        if proxy is None:
            self._make_room()
            now = self._clock()
            proxy = self._proxies[node.id] = _Proxy(node, first_seen_ms=now, last_seen_ms=now)
            self._changed.add(node.id)
        proxy.node = node
        return proxy

    def _told(self, node_id: str) -> _Proxy | None:
        """That one, about which something is being told; None when it is not known."""
        proxy = self._proxies.get(node_id)
        if proxy is not None:
            proxy.last_seen_ms, proxy.known = self._clock(), None
            self._changed.add(node_id)
        return proxy

    def _make_room(self) -> None:
        if len(self._proxies) >= MAX_PROXIES:
            idle = [proxy for proxy in self._proxies.values() if not proxy.connected]
            oldest = min(idle or self._proxies.values(), key=lambda proxy: proxy.last_seen_ms)
            self._forget(oldest.node.id)

    def _forget(self, node_id: str) -> None:
        del self._proxies[node_id]
        self._changed.add(node_id)
