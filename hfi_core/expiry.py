"""The expiration registry: policies whose rules have all ended leave the store.

The end is in the stored value (``hfi_core.policy.stored``) and the data plane enforces it by itself; this
only tidies up. With etcd a lease does the same while no control plane runs, but a lease begins anew when
etcd restarts or elects another leader, so it may be late. Every replica tries; the expected version makes
that harmless: whoever comes second finds nothing, and a policy applied anew meanwhile has another version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from hfi_core.clock import now_ms
from hfi_core.errors import EntryError, StoreError
from hfi_core.feed import Feed
from hfi_core.policy.stored import StoredPolicy
from hfi_core.snapshot import Snapshot
from hfi_core.store.protocol import Store

log = logging.getLogger(__name__)

#: The longest wait between two looks: the wall clock may be set while we wait.
LOOK_AGAIN_SECONDS = 30.0
#: After a delete that the feed has not shown yet, or one that failed.
RETRY_SECONDS = 1.0


def due(snapshot: Snapshot, at_ms: int) -> tuple[StoredPolicy, ...]:
    """The policies whose last rule has ended at that time."""
    return tuple(
        stored
        for stored in snapshot.policies.values()
        if stored.expires_at_ms is not None and stored.expires_at_ms <= at_ms
    )


def next_due_ms(snapshot: Snapshot, after_ms: int) -> int | None:
    """When the next policy ends, of those that have not by then."""
    ends = [stored.expires_at_ms for stored in snapshot.policies.values()]
    return min((end for end in ends if end is not None and end > after_ms), default=None)


class ExpirationRegistry:
    """Deletes what has ended, as soon as it has. ``clock`` answers Unix milliseconds."""

    def __init__(self, store: Store, feed: Feed, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock

    async def run(self) -> None:
        """For ever; ends only by cancellation."""
        async for snapshot in self._feed.follow():
            while self._feed.current is snapshot:
                now = self._clock()
                ended = due(snapshot, now)
                for stored in ended:
                    await self._delete(stored)
                if ended:
                    wait = RETRY_SECONDS
                else:
                    upcoming = next_due_ms(snapshot, now)
                    wait = LOOK_AGAIN_SECONDS if upcoming is None else min(LOOK_AGAIN_SECONDS, (upcoming - now) / 1000)
                await self._feed.changed_from(snapshot, within=wait)

    async def _delete(self, stored: StoredPolicy) -> None:
        try:
            await self._store.delete(stored.name, expected=stored.version)
            log.info("policy %s has ended and is removed", stored.name)
        except EntryError:
            pass
        except StoreError as error:
            log.warning("policy %s has ended but cannot be removed yet: %s", stored.name, error)
