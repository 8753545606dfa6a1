"""What all replicas know of the proxies, as one list. Pure.

A proxy may hold its stream at one replica and wait for rules at another: each half is told by who holds it. Of two who
say the same, the one that has heard the latest counts, and this replica before others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hfi_core.proxies import ProxyStatus
from hfi_core.replicas.documents import Held


@dataclass(frozen=True, slots=True)
class Known:
    """One proxy. ``xds_replica`` holds its stream and ``rules_replica`` its poll; None: nobody does."""

    status: ProxyStatus
    xds_replica: str | None
    rules_replica: str | None


def merge(own: str, local: Iterable[ProxyStatus], others: Iterable[Held]) -> tuple[Known, ...]:
    """By node id. ``own`` is the id of this replica, and what it says of itself in the store is not needed."""
    by_node: dict[str, list[Held]] = {}
    for status in local:
        by_node.setdefault(status.node.id, []).append(Held(own, status))
    for held in others:
        if held.replica != own:
            by_node.setdefault(held.status.node.id, []).append(held)
    return tuple(_one(by_node[node]) for node in sorted(by_node))


def _one(said: list[Held]) -> Known:
    xds = max(said, key=lambda held: (held.status.xds_streams > 0, held.status.last_seen_ms))
    rules = max(said, key=lambda held: (held.status.polling, held.status.rules_seen_ms or 0))
    status = replace(
        xds.status,
        first_seen_ms=min(held.status.first_seen_ms for held in said),
        last_seen_ms=max(held.status.last_seen_ms for held in said),
        xds_streams=sum(held.status.xds_streams for held in said),
        rules_version=rules.status.rules_version,
        rules_epoch=rules.status.rules_epoch,
        rules_seen_ms=rules.status.rules_seen_ms,
        polling=rules.status.polling,
    )
    return Known(
        status,
        xds.replica if xds.status.xds_streams else None,
        rules.replica if rules.status.polling else None,
    )
