"""What a replica writes down for the others: a document of its own, and one for each proxy connected to it. Pure.

The key of a replica's own document is its id; that of a proxy's is ``<replica>/<node id>``. "Current" rules are those
of the replica's own document: a change that every proxy has taken costs one write, and not one for each.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from hfi_core.proxies import ProxyStatus, ResourceStatus
from hfi_core.snapshot import NodeIdentity
from hfi_core.store.protocol import Entry

#: Another replica may be of another version: a document of a layout that is not ours is left out.
LAYOUT = 1
#: What becomes of a document that is none of ours, wherever in it that is noticed.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
CURRENT = "current"
_POLLING = b'"polling":true'


@dataclass(frozen=True, slots=True)
class Position:
    """How far rules are up to date: a store's version, and the epoch that it is of."""

    version: int
    epoch: str


@dataclass(frozen=True, slots=True)
class Replica:
    """A control plane. ``position`` is how far it had read the rules when it last wrote; ``writes`` counts."""

    id: str
    started_ms: int
    version: str
    position: Position | None
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What ``replica`` says of a proxy that is connected to it, and since which revision of the store."""

    replica: str
    status: ProxyStatus
    revision: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """All replicas, by id, and what they hold, by node and replica."""

    replicas: tuple[Replica, ...] = ()
    held: tuple[Held, ...] = ()


def replica_document(replica: Replica) -> bytes:
    """As it is written under the replica's id."""
    return _json({"layout": LAYOUT, **asdict(replica)})


def proxy_key(replica: str, node_id: str) -> str:
    """Where a proxy's document lies."""
    return f"{replica}/{node_id}"


def is_current(status: ProxyStatus, position: Position | None) -> bool:
    """Whether a proxy's rules are those of the replica's own document."""
    return position is not None and (status.rules_version, status.rules_epoch) == (position.version, position.epoch)


def proxy_document(status: ProxyStatus, position: Position | None) -> bytes:
    """A proxy's document; ``position`` is that of the replica's own. Times that pass by themselves are not in it."""
    rules: Any = None
    if is_current(status, position):
        rules = CURRENT
    elif status.rules_version is not None:
        rules = [status.rules_version, status.rules_epoch]
    return _json(
        {
            "layout": LAYOUT,
            "node": status.node.id,
            "cluster": status.node.cluster,
            "labels": dict(status.node.labels),
            "first_seen_ms": status.first_seen_ms,
            "xds_streams": status.xds_streams,
            "user_agent": status.user_agent,
            "resources": [_resource(resource) for resource in status.resources],
            "rules": rules,
            "polling": status.polling,
        }
    )


def _resource(status: ResourceStatus) -> dict[str, Any]:
    # By hand: asdict copies deeply, and thousands of proxies take one change within a second.
    return {
        "type_url": status.type_url,
        "name": status.name,
        "digest": status.digest,
        "state": status.state,
        "message": status.message,
        "at_ms": status.at_ms,
        "applied": status.applied,
    }


def polling(entries: Iterable[Entry], besides: str) -> frozenset[str]:
    """The ids of the nodes that wait for rules at another replica than ``besides``.

    Asked for again and again while a rollout is under way, so nothing is parsed: within a text of JSON each quote has a
    backslash before it, and no other value in a document is true or false.
    """
    found = set()
    for entry in entries:
        owner, slash, node_id = entry.key.partition("/")
        if slash and owner != besides and _POLLING in entry.value:
            found.add(node_id)
    return frozenset(found)


def positions(entries: Iterable[Entry]) -> tuple[Position, ...]:
    """How far the replicas have read, as they told. What they say of their proxies is not parsed."""
    found = []
    for entry in entries:
        if "/" not in entry.key:
            with contextlib.suppress(*_UNREADABLE):
                position = _replica(_document(entry)).position
                if position is not None:
                    found.append(position)
    return tuple(found)


def read(entries: Iterable[Entry], now_ms: int) -> Fleet:
    """What the entries say. What cannot be read, and what no living replica says, is left out.

    A proxy that somebody holds was seen just now, for its replica lives.
    """
    replicas: dict[str, Replica] = {}
    documents: list[tuple[str, dict[str, Any], int]] = []
    for entry in entries:
        owner, slash, _ = entry.key.partition("/")
        with contextlib.suppress(*_UNREADABLE):
            document = _document(entry)
            if slash:
                documents.append((owner, document, entry.version))
            else:
                replicas[owner] = _replica(document)
    held = []
    for owner, document, revision in documents:
        replica = replicas.get(owner)
        if replica is not None:
            with contextlib.suppress(*_UNREADABLE):
                held.append(Held(owner, _status(document, replica.position, now_ms), revision))
    held.sort(key=lambda found: (found.status.node.id, found.replica))
    return Fleet(tuple(replica for _, replica in sorted(replicas.items())), tuple(held))


def _document(entry: Entry) -> dict[str, Any]:
    """What an entry holds. Raises one of :data:`_UNREADABLE`, of another layout as well."""
    document: dict[str, Any] = json.loads(entry.value)
    if document.pop("layout") != LAYOUT:
        raise ValueError("another layout")
    return document


def _replica(document: dict[str, Any]) -> Replica:
    position = document.pop("position")
    return Replica(**document, position=None if position is None else Position(**position))


def _status(document: dict[str, Any], position: Position | None, now_ms: int) -> ProxyStatus:
    rules = document["rules"]
    version, epoch = (None, "") if rules is None else rules if rules != CURRENT else (None, "")
    if rules == CURRENT and position is not None:
        version, epoch = position.version, position.epoch
    return ProxyStatus(
        NodeIdentity.of(document["node"], document["cluster"], document["labels"]),
        first_seen_ms=document["first_seen_ms"],
        last_seen_ms=now_ms,
        xds_streams=document["xds_streams"],
        user_agent=document["user_agent"],
        resources=tuple(ResourceStatus(**resource) for resource in document["resources"]),
        rules_version=version,
        rules_epoch=epoch,
        rules_seen_ms=None if version is None else now_ms,
        polling=document["polling"],
    )


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
