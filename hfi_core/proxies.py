"""What is known of each proxy: its xDS streams, what it acknowledged, and how far its rules are.

The only arrow back from the data plane. It can never cause a snapshot: nothing here is read by the feed.
Both servers write here and neither reads the other's mind: xDS says what became of the module, SSE how far
the rules are. One event loop, no locks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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


class ProxyRegistry:
    """The proxies of this replica, by node id."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._proxies: dict[str, ProxyStatus] = {}
        self._changed: set[str] = set()

    def list(self) -> tuple[ProxyStatus, ...]:
        """Every known proxy, by id; those silent for too long are forgotten first."""
        oldest = self._clock() - FORGET_AFTER_MS
        for status in [s for s in self._proxies.values() if not s.connected and s.last_seen_ms < oldest]:
            self._forget(status.node.id)
        return tuple(sorted(self._proxies.values(), key=lambda status: status.node.id))

    def get(self, node_id: str) -> ProxyStatus | None:
        """What is known of one proxy."""
        return self._proxies.get(node_id)

    def take_changed(self) -> frozenset[str]:
        """The nodes of which something was told, or that were forgotten, since this was last asked."""
        changed, self._changed = frozenset(self._changed), set()
        return changed

    # -- xDS ------------------------------------------------------------------------------------------------

    def stream_opened(self, node: NodeIdentity, user_agent: str = "") -> None:
        """A discovery stream of this node has said who it is."""
        status = self._seen(node)
        self._put(replace(status, xds_streams=status.xds_streams + 1, user_agent=user_agent or status.user_agent))

    def stream_closed(self, node_id: str) -> None:
        """That stream has ended."""
        status = self._proxies.get(node_id)
        if status is not None:
            streams = max(0, status.xds_streams - 1)
            self._put(replace(status, xds_streams=streams, last_seen_ms=self._clock()))

    def resource(self, node_id: str, status: ResourceStatus) -> None:
        """What became of a resource; replaces what was known of the same type and name."""
        proxy = self._proxies.get(node_id)
        if proxy is not None:
            same = (status.type_url, status.name)
            before = [known for known in proxy.resources if (known.type_url, known.name) == same]
            kept = tuple(known for known in proxy.resources if known not in before)
            applied = status.digest if status.state == "acked" else "".join(known.applied for known in before)
            stamped = replace(status, at_ms=status.at_ms or self._clock(), applied=applied)
            self._put(replace(proxy, resources=(*kept, stamped), last_seen_ms=self._clock()))

    # -- rules ----------------------------------------------------------------------------------------------

    def rules_reached(self, node: NodeIdentity, version: int, epoch: str) -> None:
        """This node's rules are what version ``version`` says: it confirmed them, or nothing newer concerns it."""
        status = self._seen(node)
        self._put(replace(status, rules_version=version, rules_epoch=epoch, rules_seen_ms=self._clock()))

    def polling(self, node: NodeIdentity, waiting: bool) -> None:
        """Whether a poll of this node is parked with us."""
        self._put(replace(self._seen(node), polling=waiting))

    # -------------------------------------------------------------------------------------------------------

    def _seen(self, node: NodeIdentity) -> ProxyStatus:
        now = self._clock()
        known = self._proxies.get(node.id)
        if known is None:
            return ProxyStatus(node, first_seen_ms=now, last_seen_ms=now)
        return replace(known, node=node, last_seen_ms=now)

    def _put(self, status: ProxyStatus) -> None:
        if status.node.id not in self._proxies and len(self._proxies) >= MAX_PROXIES:
            idle = [s for s in self._proxies.values() if not s.connected]
            oldest = min(idle or self._proxies.values(), key=lambda s: s.last_seen_ms)
            self._forget(oldest.node.id)
        self._proxies[status.node.id] = status
        self._changed.add(status.node.id)

    def _forget(self, node_id: str) -> None:
        del self._proxies[node_id]
        self._changed.add(node_id)
