"""What all replicas know of the proxies, as one list. Pure.

A proxy may hold its stream at one replica and wait for rules at another: each half is told by who holds it. Several
may say so: one has died some seconds ago and its word still stands, or a poll that has moved on counts for a while yet.
Of streams, this replica knows its own; of others' the one counts that was told the latest. Of rules the furthest count,
for a proxy does not go back. When nobody holds it, the one that has heard the latest counts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hfi_core.proxies import ProxyStatus
from hfi_core.replicas.documents import Held

#: What is known here is newer than whatever others have told.
_NOW = sys.maxsize


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
        by_node.setdefault(status.node.id, []).append(Held(own, status, _NOW))
    for held in others:
        if held.replica != own:
            by_node.setdefault(held.status.node.id, []).append(held)
    return tuple(_one(by_node[node]) for node in sorted(by_node))


def _one(said: list[Held]) -> Known:
    xds, rules = max(said, key=_stream), max(said, key=_poll)
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


def _stream(held: Held) -> tuple[int, int]:
    status = held.status
    return (held.revision if status.xds_streams else 0, status.last_seen_ms)


def _poll(held: Held) -> tuple[bool, int, int, int]:
    status = held.status
    reached = status.rules_version or 0 if status.polling else 0
    return (status.polling, reached, held.revision if status.polling else 0, status.rules_seen_ms or 0)
