"""What can be done with policies: apply, read, delete. Used by REST; everything else watches.

Writes go to the store and touch nothing else; the snapshot changes when the store's watch says so. A write
then waits until this replica's snapshot has it, so that who writes and then reads here sees the write.
Reads come from the snapshot: they go on while the store is away, and show what is being served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hfi_core.clock import now_ms
from hfi_core.errors import EntryConflict, PolicyNotFound
from hfi_core.feed import Feed
from hfi_core.kinds import POLICY
from hfi_core.policy.model import Policy
from hfi_core.policy.stored import StoredPolicy, encode, policy_end_ms
from hfi_core.policy.validation import EngineCheck, validate
from hfi_core.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an apply. ``created``: no policy of that name was there before."""

    stored: StoredPolicy
    created: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some policies, by name. ``next_after`` is the ``after`` of the next page; None on the last."""

    policies: tuple[StoredPolicy, ...]
    next_after: str | None
    version: int


class PolicyService:
    """Policies in a store, seen through a feed that follows it."""

    def __init__(self, store: Store, feed: Feed, engine_check: EngineCheck, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._feed = feed
        self._engine_check = engine_check
        self._clock = clock

    def validate(self, document: Any) -> Policy:
        """The policy that a document says. Raises :class:`~hfi_core.errors.PolicyInvalid`."""
        return validate(document, self._engine_check)

    async def apply(self, document: Any, *, expected: int | None = None, dry_run: bool = False) -> Applied:
        """Create or update. ``expected`` (or the document's own version) is an optimistic lock; 0: must be new.

        Its duration counts from now, also when an equal policy was there: applying is what starts the clock.
        Raises :class:`~hfi_core.errors.PolicyInvalid`, :class:`~hfi_core.errors.PolicyConflict` and
        :class:`~hfi_core.errors.StoreUnavailable`. ``dry_run`` does everything but the write.
        """
        policy = self.validate(document)
        if expected is None and policy.metadata.version is not None:
            expected = int(policy.metadata.version)
        while True:
            entry = await self._store.get(policy.name)
            actual = 0 if entry is None else entry.version
            POLICY.expect(policy.name, expected, actual)
            applied_at = self._clock()
            if dry_run:
                return Applied(StoredPolicy(policy, actual, applied_at), created=entry is None)
            value, end = encode(policy, applied_at), policy_end_ms(policy, applied_at)
            try:
                written = await self._store.put(policy.name, value, expected=actual, expires_at_ms=end)
            except EntryConflict:
                continue  # Somebody wrote between the read and the write: compare again.
            await self._feed.seen(written.version)
            return Applied(StoredPolicy(policy, written.version, applied_at), created=entry is None)

    async def delete(self, name: str, *, expected: int | None = None) -> int:
        """Remove, and answer the revision. Raises :class:`~hfi_core.errors.PolicyNotFound` and the like."""
        with POLICY.named(name):
            revision = await self._store.delete(name, expected=expected)
        await self._feed.seen(revision)
        return revision

    def get(self, name: str) -> StoredPolicy:
        """One policy as served. Raises :class:`~hfi_core.errors.PolicyNotFound`."""
        stored = self._feed.required().policies.get(name)
        if stored is None:
            raise PolicyNotFound(name)
        return stored

    def list(self, labels: Mapping[str, str] | None = None, *, limit: int = 100, after: str = "") -> Page:
        """Policies whose labels include ``labels``, by name, beginning behind ``after``."""
        snapshot = self._feed.required()
        wanted = dict(labels or {})
        found = [
            stored
            for name, stored in sorted(snapshot.policies.items())
            if name > after and wanted.items() <= stored.policy.metadata.labels.items()
        ]
        page = tuple(found[:limit])
        return Page(page, page[-1].name if len(found) > limit else None, snapshot.version)
