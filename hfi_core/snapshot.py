"""One immutable picture of all policies, and each proxy's view of it. Pure.

Laws:

1. A snapshot is a function of the store's content alone: not of the clock, the replica or its history. So
   every replica that has reached the same revision has an equal snapshot.
2. Rules stand in one total order: priority (higher first), policy name, order in the policy.
3. A value that cannot be read leaves out that policy alone, and is named in ``broken``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from types import MappingProxyType

from hfi_core.errors import PolicyInvalid
from hfi_core.policy.model import Selector
from hfi_core.policy.stored import StoredPolicy, decode
from hfi_core.store.protocol import Change, Entry, Listing


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who a proxy says it is: the id, cluster and labels of its bootstrap."""

    id: str
    cluster: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, id: str, cluster: str = "", labels: Mapping[str, str] | None = None) -> NodeIdentity:
        """The same identity from a mapping of labels, in any order."""
        return cls(id, cluster, tuple(sorted((labels or {}).items())))


@dataclass(frozen=True)
class View:
    """The rules that one kind of proxy gets.

    ``rules_json`` is a JSON array (see the design, section 4); ``digest`` is of these bytes, so two views are
    equal exactly when a proxy would notice no difference.
    """

    rules_json: bytes
    digest: str
    rule_count: int


@dataclass(frozen=True)
class Snapshot:
    """Every stored policy at one revision. ``epoch`` names the store's life; revisions compare only within it."""

    epoch: str
    version: int
    policies: Mapping[str, StoredPolicy] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def ordered(self) -> tuple[StoredPolicy, ...]:
        """The policies in the total order (law 2)."""
        return tuple(sorted(self.policies.values(), key=attrgetter("order")))

    def view(self, cluster: str, labels: Mapping[str, str]) -> View:
        """What a proxy of that cluster and those labels is to run."""
        known = dict(labels)
        return self._view_of(s for s in self.ordered if s.selector is None or s.selector.covers(cluster, known))

    def whole_view(self) -> View:
        """Every rule, whatever its selector says: for readers that are no proxy and watch everything."""
        return self._view_of(self.ordered)

    def _view_of(self, policies: Iterable[StoredPolicy]) -> View:
        rules = [rule for stored in policies for rule in stored.wire_rules]
        rules_json = b"[" + b",".join(rules) + b"]"
        return View(rules_json, hashlib.sha256(rules_json).hexdigest(), len(rules))

    @cached_property
    def selector_keys(self) -> frozenset[str]:
        """The label keys that some selector names: other labels cannot make two views differ."""
        selectors = (stored.selector for stored in self.policies.values())
        return frozenset(key for selector in selectors if selector is not None for key in selector.labels)


def event_data(snapshot: Snapshot, view: View, server_time_ms: int) -> bytes:
    """The ``data`` of an update event: one line of JSON.

    The time is not part of the view: it must be that of the sending, for the data plane corrects its clock by it.
    """
    head = json.dumps(
        {"version": str(snapshot.version), "epoch": snapshot.epoch, "server_time_ms": server_time_ms},
        separators=(",", ":"),
    ).encode()
    return head[:-1] + b',"rules":' + view.rules_json + b"}"


def from_listing(epoch: str, listing: Listing) -> Snapshot:
    """The snapshot of a whole listing."""
    policies: dict[str, StoredPolicy] = {}
    broken: dict[str, str] = {}
    for entry in listing.entries:
        _take(policies, broken, entry.key, entry)
    return Snapshot(epoch, listing.revision, MappingProxyType(policies), MappingProxyType(broken))


def fold(snapshot: Snapshot, changes: Iterable[Change], revision: int) -> Snapshot:
    """The snapshot after those changes, at ``revision``."""
    policies, broken = dict(snapshot.policies), dict(snapshot.broken)
    for change in changes:
        _take(policies, broken, change.key, change.entry)
    return Snapshot(snapshot.epoch, revision, MappingProxyType(policies), MappingProxyType(broken))


def changed_selectors(before: Snapshot, after: Snapshot) -> list[Selector]:
    """The selectors, old and new, of the policies that are not the same in both snapshots.

    A view that none of them concerns is the same in both. A stored policy's version is the revision of its
    last write, so equal versions mean equal policies.
    """
    old, new = before.policies, after.policies
    changed: list[tuple[StoredPolicy | None, StoredPolicy | None]]
    changed = [(old.get(name), stored) for name, stored in new.items() if old.get(name) is not stored]
    changed += [(stored, None) for name, stored in old.items() if name not in new]
    selectors: list[Selector] = []
    for was, now in changed:
        if was is None or now is None or was.version != now.version:
            selectors.extend(stored.policy.spec.selector for stored in (was, now) if stored is not None)
    return selectors


def _take(policies: dict[str, StoredPolicy], broken: dict[str, str], key: str, entry: Entry | None) -> None:
    policies.pop(key, None)
    broken.pop(key, None)
    if entry is None:
        return
    try:
        policies[key] = decode(entry)
    except PolicyInvalid as error:
        broken[key] = str(error)
